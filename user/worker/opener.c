/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The opener: keeps root's right to open files and does nothing else. An open can hang for ever (FUSE, a dead
 * server), which is why it is a process of its own. The file is first found with O_PATH, which asks neither a
 * FUSE server nor a driver, wakes no writer of a FIFO and rewinds no tape; only a regular file that is
 * the one asked for is then opened, and the agent is told before.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "worker/channel.h"
#include "worker/protocol.h"
#include "worker/sandbox.h"

/* The kernel tells a mapping's file by its superblock's device; on these stat tells another one. */
static bool has_other_dev(int fd)
{
	struct statfs s;

	return fstatfs(fd, &s) == 0 &&
	       (s.f_type == OVERLAYFS_SUPER_MAGIC || s.f_type == BTRFS_SUPER_MAGIC);
}

/* From what the kernel knows already: a file system is not asked, it may not answer. */
static int identify(int fd, struct statx *ret)
{
	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, ret) < 0)
		return -errno;
	return S_ISREG(ret->stx_mode) ? 0 : -EINVAL;
}

/* 0 when fd is the file asked for; -ESTALE for another file, -EINVAL for what is no file. */
static int check(int fd, const struct open_request *q)
{
	struct statx s;
	int r = identify(fd, &s);

	if (r < 0)
		return r;
	if (q->what == OPEN_PERF_MAP && s.stx_uid != 0 && s.stx_uid != q->uid)
		return -EPERM;
	if (q->what == OPEN_PERF_MAP && s.stx_size > WORKER_MAP_BYTES_MAX)
		return -EFBIG;
	if (q->what != OPEN_MAPPED)
		return 0;
	if (s.stx_ino != q->inode)
		return -ESTALE;
	if ((s.stx_dev_major << 20 | s.stx_dev_minor) != q->dev &&
	    (q->careful || !has_other_dev(fd)))
		return -ESTALE;
	return 0;
}

static int reopen(int path_fd, int *ret)
{
	char link[32];
	int fd;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", path_fd);
	fd = open(link, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	*ret = fd;
	return 0;
}

static int open_map_file(const struct open_request *q)
{
	char path[96];

	snprintf(path, sizeof(path), "/proc/%u/map_files/%llx-%llx", q->pid,
		 (unsigned long long)q->start, (unsigned long long)q->end);
	return open(path, O_PATH | O_CLOEXEC);
}

/* With the process's root as root: an absolute link inside a container must not lead out of it. */
static int open_in_root(const struct open_request *q, const char *path)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	_cleanup_close_ int root = -1;
	char name[32];

	snprintf(name, sizeof(name), "/proc/%u/root", q->pid);
	root = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -1;
	/* In /tmp anybody may put a link, and to a process's own descriptors in /proc, too. */
	if (q->what == OPEN_PERF_MAP)
		how.resolve |= RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
	return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

static int open_path(const struct open_request *q, const char *path, int way)
{
	if (way == 0)
		return open_map_file(q);
	return way == 1 ? open_in_root(q, path) : open(path, O_PATH | O_CLOEXEC);
}

static bool is_possible(const struct open_request *q, const char *path, int way)
{
	if (way < 2 && !q->pid)
		return false;
	if (way == 0)
		return q->what == OPEN_MAPPED && q->end;
	if (path[0] != '/' || q->careful)
		return false;
	return q->what == OPEN_MAPPED || way == (q->what == OPEN_ON_HOST ? 2 : 1);
}

/* By the first way that leads to it; else the error that says most: another file beats no file. */
static int find(const struct open_request *q, const char *path, int *ret)
{
	int best = -ENOENT;

	for (int way = 0; way < 3; way++) {
		_cleanup_close_ int fd = -1;
		int r;

		if (!is_possible(q, path, way))
			continue;
		fd = open_path(q, path, way);
		r = fd < 0 ? -errno : check(fd, q);
		if (r == 0) {
			*ret = TAKE_FD(fd);
			return 0;
		}
		if (best == -ENOENT)
			best = r;
	}
	return best;
}

/*
 * The file system, where the kernel alone says when a file was changed, and users cannot mount what they prepared: not FUSE
 * nor the network's, nor overlayfs, which may lie over them in a user's own namespace. Its id is of use since
 * device numbers are given again.
 */
static uint64_t trusted_fs(int fd)
{
	static const uint32_t types[] = { EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC,
					  F2FS_SUPER_MAGIC, TMPFS_MAGIC };
	struct statfs s;
	uint64_t id;

	if (fstatfs(fd, &s) < 0)
		return 0;
	memcpy(&id, &s.f_fsid, sizeof(id));
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if ((uint32_t)s.f_type == types[i])
			return id * 31 + types[i];
	return 0;
}

static uint64_t time_ns(const struct statx_timestamp *t)
{
	return (uint64_t)t->tv_sec * NS_PER_SEC + t->tv_nsec;
}

static int open_found(int path_fd, const struct open_request *q, struct open_reply *reply, int *ret)
{
	_cleanup_close_ int fd = -1;
	struct statx s;
	int r = reopen(path_fd, &fd);

	if (r == 0)
		r = identify(fd, &s);
	if (r < 0)
		return r;
	reply->identity = (struct file_identity){
		.dev = (uint64_t)s.stx_dev_major << 32 | s.stx_dev_minor,
		.inode = s.stx_ino,
		.size = s.stx_size,
		.mtime_ns = time_ns(&s.stx_mtime),
		.ctime_ns = time_ns(&s.stx_ctime),
		.owner = s.stx_uid,
		.fs = q->careful || q->what != OPEN_MAPPED ? 0 : trusted_fs(fd),
	};
	*ret = TAKE_FD(fd);
	return 0;
}

static int answer(const struct open_request *q, const char *path)
{
	struct open_reply reply = { .magic = WORKER_MAGIC, .sequence = q->sequence };
	_cleanup_close_ int found = -1, fd = -1;
	int r;

	reply.error = find(q, path, &found);
	if (reply.error == 0) {
		r = channel_send(WORKER_HELPER_FD, &reply, sizeof(reply), NULL, 0, -1);
		if (r < 0)
			return r;
		reply.error = open_found(found, q, &reply, &fd);
	}
	reply.last = 1;
	return channel_send(WORKER_HELPER_FD, &reply, sizeof(reply), NULL, 0, fd);
}

static int serve(char *packet)
{
	struct open_request q;
	size_t size;
	int r;

	r = channel_recv(WORKER_HELPER_FD, packet, sizeof(q) + WORKER_PATH_MAX, &size, NULL);
	if (r < 0)
		return r;
	if (size < sizeof(q))
		return -EBADMSG;
	memcpy(&q, packet, sizeof(q));
	if (q.magic != WORKER_MAGIC || q.path_size != size - sizeof(q))
		return -EBADMSG;
	packet[size] = 0;
	return answer(&q, packet + sizeof(q));
}

int worker_opener_main(void)
{
	static char packet[sizeof(struct open_request) + WORKER_PATH_MAX + 1];
	struct hello hello = { .magic = WORKER_MAGIC };
	int r;

	(void)prctl(PR_SET_NAME, "kymo-opener", 0, 0, 0);
	hello.error = sandbox_opener();
	r = channel_send(WORKER_HELPER_FD, &hello, sizeof(hello), NULL, 0, -1);
	while (r == 0 && hello.error == 0)
		r = serve(packet);
	return r == -EPIPE ? 0 : 1;
}
