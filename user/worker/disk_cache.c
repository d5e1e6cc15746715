/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/disk_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hmap.h"
#include "unwind/serial.h"

#define DISK_MAGIC     0x7361796bU
#define NAME_BYTES_MAX 160
#define BLOCK_BYTES    4096
/*
 * Looking at the folder costs a stat of each answer: it is done once, and again when it is full; then a quarter
 * makes room at once. Tens of thousands of small answers would cost more than they save.
 */
#define FILES_MAX      8192
#define LOOK_MAX       65536 /* that one look counts; the rest at the next */
#define AFTER_EVICT(n) ((n) / 4 * 3)

/* The largest answer is a table. */
#define ANSWER_BYTES_MAX (sizeof(struct head) + UNWIND_SERIAL_BYTES_MAX)

static uint64_t time_ns(const struct timespec *t)
{
	return (uint64_t)t->tv_sec * NS_PER_SEC + (uint64_t)t->tv_nsec;
}

/* In front of the answer's bytes. */
struct head {
	uint32_t magic, kind;
	uint64_t maker;
	struct file_identity file;
	uint64_t size;	   /* of the bytes */
	uint64_t checksum; /* of the bytes; of the head the rest is compared */
};

static struct head head_of(const struct disk_cache *c, const struct file_identity *file,
			   enum worker_job_kind kind, const void *data, size_t size)
{
	return (struct head){ .magic = DISK_MAGIC,
			      .kind = kind,
			      .maker = c->maker,
			      .file = *file,
			      .size = size,
			      .checksum = hash_bytes(data, size, DISK_MAGIC) };
}

static const char *suffix_of(enum worker_job_kind kind)
{
	return kind == WORKER_UNWIND ? "rows" : "facts";
}

/* Of each build its own: two that run in turn must not spoil each other's. */
static void name_of(const struct disk_cache *c, const struct file_identity *f, const char *suffix,
		    char name[NAME_BYTES_MAX])
{
	snprintf(name, NAME_BYTES_MAX, "%llx-%llx-%llx-%llx-%llx-%llx-%llx.%s",
		 (unsigned long long)c->maker, (unsigned long long)f->fs,
		 (unsigned long long)f->dev, (unsigned long long)f->inode,
		 (unsigned long long)f->size, (unsigned long long)f->mtime_ns,
		 (unsigned long long)f->ctime_ns, suffix);
}

static bool has_suffix(const char *name, const char *suffix)
{
	const char *dot = strrchr(name, '.');

	return dot && strcmp(dot + 1, suffix) == 0;
}

/* An answer in the folder. */
struct entry {
	char *name;
	uint64_t bytes, used_ns;
};

struct entries {
	struct entry *items;
	size_t n, cap;
};

static void entries_release(struct entries *e)
{
	for (size_t i = 0; i < e->n; i++)
		free(e->items[i].name);
	free(e->items);
}

/* File systems give whole blocks, and most answers are smaller than one. */
static uint64_t on_disk(uint64_t bytes)
{
	return (bytes + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
}

static int add_entry(struct disk_cache *c, struct entries *e, const char *name)
{
	struct stat st;

	if (fstatat(c->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return 0;
	if (array_reserve(&e->items, &e->cap, e->n + 1) < 0)
		return -ENOMEM;
	e->items[e->n] = (struct entry){ .name = strdup(name),
					 .bytes = on_disk((uint64_t)st.st_size),
					 .used_ns = time_ns(&st.st_mtim) };
	if (!e->items[e->n].name)
		return -ENOMEM;
	c->bytes += e->items[e->n++].bytes;
	c->files++;
	return 0;
}

/* Looks at the whole folder: its answers, c->files and c->bytes. What a dead writer left is removed. */
static int list(struct disk_cache *c, struct entries *e)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	struct dirent *d;
	int r = file_open_folder(c->dir, ".", &dir);

	if (r < 0)
		return r;
	c->bytes = c->files = 0;
	c->looks++;
	while (r == 0 && e->n < LOOK_MAX && (d = readdir(dir))) {
		if (has_suffix(d->d_name, "tmp"))
			unlinkat(c->dir, d->d_name, 0);
		else if (has_suffix(d->d_name, "rows") || has_suffix(d->d_name, "facts"))
			r = add_entry(c, e, d->d_name);
	}
	return r;
}

static int by_use(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return x->used_ns < y->used_ns ? -1 : x->used_ns > y->used_ns;
}

static bool has_room(const struct disk_cache *c, uint64_t bytes, uint64_t files_max,
		     uint64_t bytes_max)
{
	return c->files < files_max && c->bytes + bytes <= bytes_max;
}

static int evict(struct disk_cache *c, struct entries *e, uint64_t bytes)
{
	if (e->n)
		qsort(e->items, e->n, sizeof(*e->items), by_use);
	for (size_t i = 0;
	     i < e->n && !has_room(c, bytes, AFTER_EVICT(FILES_MAX), AFTER_EVICT(c->bytes_max));
	     i++) {
		if (unlinkat(c->dir, e->items[i].name, 0) < 0 && errno != ENOENT)
			continue;
		c->bytes -= e->items[i].bytes;
		c->files--;
		c->evicted++;
	}
	return has_room(c, bytes, FILES_MAX, c->bytes_max) ? 0 : -ENOSPC;
}

static int make_room(struct disk_cache *c, uint64_t bytes)
{
	_cleanup_(entries_release) struct entries e = { 0 };
	int r;

	if (bytes > c->bytes_max)
		return -EFBIG;
	if (c->looks && has_room(c, bytes, FILES_MAX, c->bytes_max))
		return 0;
	r = list(c, &e);
	if (r == 0 && !has_room(c, bytes, FILES_MAX, c->bytes_max))
		r = evict(c, &e, bytes);
	return r;
}

/* The program's own file: one that was built anew has another. */
static uint64_t maker(void)
{
	struct stat st;
	uint64_t facts[5] = { 0 };

	if (stat("/proc/self/exe", &st) == 0) {
		facts[0] = st.st_dev;
		facts[1] = st.st_ino;
		facts[2] = (uint64_t)st.st_size;
		facts[3] = time_ns(&st.st_mtim);
		facts[4] = time_ns(&st.st_ctim);
	}
	return hash_bytes(facts, sizeof(facts), DISK_MAGIC);
}

int disk_cache_open(struct disk_cache *c, const char *path, uint64_t bytes_max)
{
	_cleanup_close_ int dir = -1;
	struct stat st;

	*c = (struct disk_cache){ .dir = -1 };
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	if (fstat(dir, &st) < 0)
		return -errno;
	if (st.st_uid != geteuid() || (st.st_mode & 077))
		return -EPERM;
	*c = (struct disk_cache){ .dir = dir, .maker = maker(), .bytes_max = bytes_max };
	TAKE_FD(dir);
	return 0;
}

void disk_cache_close(struct disk_cache *c)
{
	if (c->dir >= 0)
		close(c->dir);
	c->dir = -1;
}

bool disk_cache_keeps(const struct disk_cache *c, const struct file_identity *file,
		      enum worker_job_kind kind)
{
	return c->dir >= 0 && file->fs && (kind == WORKER_UNWIND || kind == WORKER_INSPECT);
}

/* 0; -EBADMSG: not what was stored for that key; -errno. */
static int read_entry(int fd, const struct head *want, struct buf *ret)
{
	struct head head, is;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_size < (off_t)sizeof(head) ||
	    st.st_size > (off_t)ANSWER_BYTES_MAX)
		return -EBADMSG;
	buf_clear(ret);
	if (buf_reserve(ret, (size_t)st.st_size) < 0)
		return -ENOMEM;
	ret->size = (size_t)st.st_size - sizeof(head);
	r = file_pread_all(fd, &head, sizeof(head), 0);
	if (r == 0)
		r = file_pread_all(fd, ret->data, ret->size, sizeof(head));
	if (r < 0)
		return r;
	is = *want;
	is.size = ret->size;
	is.checksum = hash_bytes(ret->data, ret->size, DISK_MAGIC);
	return memcmp(&is, &head, sizeof(head)) == 0 ? 0 : -EBADMSG;
}

void disk_cache_refuse(struct disk_cache *c, const struct file_identity *file,
		       enum worker_job_kind kind)
{
	char name[NAME_BYTES_MAX];

	name_of(c, file, suffix_of(kind), name);
	c->wrong++;
	unlinkat(c->dir, name, 0);
}

int disk_cache_load(struct disk_cache *c, const struct file_identity *file,
		    enum worker_job_kind kind, struct buf *ret)
{
	const struct head want = head_of(c, file, kind, NULL, 0);
	_cleanup_close_ int fd = -1;
	char name[NAME_BYTES_MAX];
	int r;

	if (!disk_cache_keeps(c, file, kind))
		return -ENOENT;
	name_of(c, file, suffix_of(kind), name);
	/* Non-blocking: a pipe in its place must not hold us up. */
	fd = openat(c->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -ENOENT;
	r = read_entry(fd, &want, ret);
	if (r == 0) {
		futimens(fd, NULL); /* used now */
		return 0;
	}
	if (r == -ENOMEM)
		return r;
	disk_cache_refuse(c, file, kind);
	return -ENOENT;
}

static int write_entry(const struct disk_cache *c, const char *temporary, const char *name,
		       const struct head *head, const void *data)
{
	_cleanup_close_ int fd = -1;
	int r;

	unlinkat(c->dir, temporary, 0);
	fd = openat(c->dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = file_write_all(fd, head, sizeof(*head));
	if (r == 0)
		r = file_write_all(fd, data, head->size);
	/* Not synced: an answer that a crash cut is seen by its checksum. */
	if (r == 0 && renameat(c->dir, temporary, c->dir, name) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(c->dir, temporary, 0);
	return r;
}

int disk_cache_store(struct disk_cache *c, const struct file_identity *file,
		     enum worker_job_kind kind, const void *data, size_t size)
{
	const struct head head = head_of(c, file, kind, data, size);
	char name[NAME_BYTES_MAX], temporary[NAME_BYTES_MAX];
	int r;

	if (!disk_cache_keeps(c, file, kind))
		return 0;
	r = make_room(c, on_disk(sizeof(head) + size));
	if (r < 0)
		return r;
	name_of(c, file, suffix_of(kind), name);
	/* By two that run at once, too: what one leaves of the other's is seen by its checksum. */
	name_of(c, file, "tmp", temporary);
	r = write_entry(c, temporary, name, &head, data);
	if (r == 0) {
		c->bytes += on_disk(sizeof(head) + size);
		c->files++;
	}
	return r;
}
