/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The opener: keeps root's right to open files and does nothing else. An open can hang for ever (FUSE, a dead
 * server), which is why it is a process of its own. The file is first found with O_PATH, which asks neither a
 * FUSE server nor a driver, wakes no writer of a FIFO and rewinds no tape; only a regular file that is
 * the one asked for is then opened.
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
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
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

/* 0 when fd is the file asked for; -ESTALE for another file, -EINVAL for what is no file. */
static int check(int fd, const struct open_request *q, struct file_identity *ret)
{
	struct stat s;

	if (fstat(fd, &s) < 0)
		return -errno;
	if (!S_ISREG(s.st_mode))
		return -EINVAL;
	if (s.st_ino != q->inode)
		return -ESTALE;
	if ((major(s.st_dev) << 20 | minor(s.st_dev)) != q->dev && !has_other_dev(fd))
		return -ESTALE;
	*ret = (struct file_identity){ .dev = s.st_dev,
				       .inode = s.st_ino,
				       .size = (uint64_t)s.st_size,
				       .mtime_ns = (uint64_t)s.st_mtim.tv_sec * 1000000000ULL +
						   (uint64_t)s.st_mtim.tv_nsec };
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

/* Takes path_fd (or -1 with errno). */
static int open_checked(int path_fd, const struct open_request *q, struct open_reply *reply,
			int *ret)
{
	_cleanup_close_ int held = path_fd;
	int r;

	if (held < 0)
		return -errno;
	r = check(held, q, &reply->identity);
	return r < 0 ? r : reopen(held, ret);
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
	return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

/* The first way that leads to the file; else the error that says most: another file beats no file. */
static int find(const struct open_request *q, const char *path, struct open_reply *reply, int *ret)
{
	int best = -ENOENT, r;

	for (int way = q->pid ? 0 : 2; way < 3; way++) {
		if (way == 0 && !q->end)
			continue;
		if (way > 0 && path[0] != '/')
			continue;
		if (way == 0)
			r = open_checked(open_map_file(q), q, reply, ret);
		else if (way == 1)
			r = open_checked(open_in_root(q, path), q, reply, ret);
		else
			r = open_checked(open(path, O_PATH | O_CLOEXEC), q, reply, ret);
		if (r == 0)
			return 0;
		if (best == -ENOENT)
			best = r;
	}
	return best;
}

static int serve(char *packet)
{
	struct open_reply reply = { .magic = WORKER_MAGIC };
	_cleanup_close_ int fd = -1;
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
	reply.sequence = q.sequence;
	reply.error = find(&q, packet + sizeof(q), &reply, &fd);
	return channel_send(WORKER_HELPER_FD, &reply, sizeof(reply), NULL, 0, fd);
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
