/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/held.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "base/clock.h"

/* A tick, at whose end the names of its samples are asked for, and the time until that is noticed. */
#define LINGER_NS (1100 * NS_PER_MSEC)

static void drop(struct held *h, size_t i)
{
	close(h->files[i].fd);
	h->files[i] = h->files[--h->n];
}

void held_release(struct held *h)
{
	while (h->n)
		drop(h, h->n - 1);
}

static struct held_file *find(struct held *h, const struct worker_file *file)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->files[i].inode == file->inode && h->files[i].dev == file->dev)
			return &h->files[i];
	return NULL;
}

static void drop_oldest(struct held *h)
{
	size_t oldest = 0;

	for (size_t i = 1; i < h->n; i++)
		if (h->files[i].used < h->files[oldest].used)
			oldest = i;
	drop(h, oldest);
}

void held_put(struct held *h, const struct worker_file *file, const struct file_identity *identity,
	      int fd)
{
	struct held_file *known = find(h, file);
	int copy;

	if (!file->pid)
		return;
	/* The same device and inode, but another file by now: the old one is not asked for any more. */
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (known)
		drop(h, (size_t)(known - h->files));
	if (copy < 0)
		return;
	if (h->n == HELD_MAX)
		drop_oldest(h);
	h->files[h->n++] = (struct held_file){ .inode = file->inode,
					       .dev = file->dev,
					       .pid = file->pid,
					       .fd = copy,
					       .identity = *identity,
					       .used = ++h->clock };
}

int held_get(struct held *h, const struct worker_file *file, struct file_identity *ret_identity)
{
	struct held_file *known = find(h, file);
	int fd;

	if (!known)
		return -ENOENT;
	fd = fcntl(known->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	known->used = ++h->clock;
	*ret_identity = known->identity;
	return fd;
}

bool held_expire(struct held *h)
{
	uint64_t now = clock_mono_ns();

	for (size_t i = h->n; i-- > 0;) {
		struct held_file *f = &h->files[i];

		if (!f->gone_ns && kill((pid_t)f->pid, 0) < 0 && errno == ESRCH)
			f->gone_ns = now;
		if (f->gone_ns && now - f->gone_ns > LINGER_NS)
			drop(h, i);
	}
	return h->n > 0;
}
