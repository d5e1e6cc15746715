/* SPDX-License-Identifier: Apache-2.0 */
#include "store/hold.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"

/* Bytes of the database that SQLite locks: its file format, "the lock-byte page". */
#define FILE_PENDING	  0x40000000
#define FILE_SHARED	  (FILE_PENDING + 2)
#define FILE_SHARED_BYTES 510

/* Bytes of the shared memory: "WAL-mode file format", 2.3 and 3. Who has it open holds OPEN. */
#define SHM_CHECKPOINT	       121
#define SHM_READ_1	       124
#define SHM_OPEN	       128

#define WAL_HEADER_BYTES       32
#define WAL_SALT_OFFSET	       16
#define WAL_FRAME_HEADER_BYTES 24
#define WAL_PAGE_BYTES_MAX     65536

/* The WAL-index's header, of which it has two copies; in the byte order of the machine. */
struct index_header {
	uint32_t version;
	uint32_t unused;
	uint32_t change;
	uint8_t is_init;
	uint8_t big_endian_checksums;
	uint16_t page_bytes;
	uint32_t frames;
	uint32_t pages;
	uint32_t frame_checksum[2];
	uint8_t salt[8];
	uint32_t checksum[2];
};

#define INDEX_VERSION 3007000

/* Open-file locks: they go with the descriptor, and do not touch those of this process's SQLite. */
static int lock(int fd, short type, off_t start, off_t size)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = size };

	if (fcntl(fd, F_OFD_SETLK, &l) == 0)
		return 0;
	return errno == EACCES ? -EAGAIN : -errno;
}

int hold_file(int fd)
{
	/* The pending byte is taken by who waits for readers to go: new ones let it pass. */
	int r = lock(fd, F_RDLCK, FILE_PENDING, 1);

	if (r == 0) {
		r = lock(fd, F_RDLCK, FILE_SHARED, FILE_SHARED_BYTES);
		(void)lock(fd, F_UNLCK, FILE_PENDING, 1);
	}
	/* Where there are no locks, nobody records. */
	return r == -EAGAIN ? r : 0;
}

static bool is_open_elsewhere(int shm_fd)
{
	struct flock l = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = SHM_OPEN, .l_len = 1
	};

	return fcntl(shm_fd, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK;
}

/* Both copies are the same unless the writer is between them. */
static int read_index(struct hold *h)
{
	struct index_header copies[2];
	uint64_t page;

	static_assert(sizeof(copies[0]) == 48, "layout");
	if (file_pread_all(h->shm_fd, copies, sizeof(copies), 0) < 0 ||
	    memcmp(&copies[0], &copies[1], sizeof(copies[0])) != 0 || !copies[0].is_init ||
	    copies[0].version != INDEX_VERSION)
		return -EAGAIN;
	/* 1 stands for 65536. */
	page = copies[0].page_bytes == 1 ? WAL_PAGE_BYTES_MAX : copies[0].page_bytes;
	memcpy(h->salt, copies[0].salt, sizeof(h->salt));
	/* None: what the WAL still holds is in the file already, and about to be written over. */
	h->wal_bytes =
		copies[0].frames == 0
			? 0
			: WAL_HEADER_BYTES + copies[0].frames * (page + WAL_FRAME_HEADER_BYTES);
	return 0;
}

int hold_wal(int dir_fd, const char *name, struct hold *ret)
{
	_cleanup_(hold_release) struct hold h = HOLD_NONE;
	char shm[NAME_MAX + 8];
	struct stat st;
	int r;

	*ret = HOLD_NONE;
	snprintf(shm, sizeof(shm), "%s-shm", name);
	h.shm_fd = openat(dir_fd, shm, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (h.shm_fd < 0 || fstat(h.shm_fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    !is_open_elsewhere(h.shm_fd))
		return 0;
	/*
	 * A checkpoint, which changes the file, needs the one; a new start of the WAL, which
	 * changes that, needs all five of the others: one is enough.
	 */
	r = lock(h.shm_fd, F_RDLCK, SHM_CHECKPOINT, 1);
	if (r == 0)
		r = lock(h.shm_fd, F_RDLCK, SHM_READ_1, 1);
	if (r == 0)
		r = read_index(&h);
	if (r < 0)
		return r;
	*ret = h;
	h.shm_fd = -1;
	return 0;
}

int hold_check_wal(const struct hold *h, int wal_fd)
{
	uint8_t header[WAL_HEADER_BYTES];

	if (h->wal_bytes == UINT64_MAX || h->wal_bytes == 0)
		return 0;
	if (wal_fd < 0 || file_pread_all(wal_fd, header, sizeof(header), 0) < 0)
		return -EAGAIN;
	return memcmp(header + WAL_SALT_OFFSET, h->salt, sizeof(h->salt)) == 0 ? 0 : -EAGAIN;
}

void hold_release(struct hold *h)
{
	closep(&h->shm_fd);
	*h = HOLD_NONE;
}
