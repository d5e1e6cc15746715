/* SPDX-License-Identifier: Apache-2.0 */
#include "unwind/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "unwind/serial.h"

#define NAME_BYTES_MAX 128
#define FILES_MAX      65536 /* that one look at the folder counts; the rest at the next */

DEFINE_CLEANUP(DIR *, closedir);

static uint64_t time_ns(const struct timespec *t)
{
	return (uint64_t)t->tv_sec * NS_PER_SEC + (uint64_t)t->tv_nsec;
}

struct unwind_cache_key unwind_cache_key(const struct stat *st)
{
	return (struct unwind_cache_key){ .dev = st->st_dev,
					  .inode = st->st_ino,
					  .size = (uint64_t)st->st_size,
					  .mtime_ns = time_ns(&st->st_mtim),
					  .ctime_ns = time_ns(&st->st_ctim) };
}

static void name_of(const struct unwind_cache_key *k, const char *suffix, char name[NAME_BYTES_MAX])
{
	snprintf(name, NAME_BYTES_MAX, "%llx-%llx-%llx-%llx-%llx.%s", (unsigned long long)k->dev,
		 (unsigned long long)k->inode, (unsigned long long)k->size,
		 (unsigned long long)k->mtime_ns, (unsigned long long)k->ctime_ns, suffix);
}

static bool has_suffix(const char *name, const char *suffix)
{
	const char *dot = strrchr(name, '.');

	return dot && strcmp(dot + 1, suffix) == 0;
}

/* A table in the folder. */
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

static int add_entry(struct unwind_cache *c, struct entries *e, const char *name)
{
	struct stat st;

	if (fstatat(c->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return 0;
	if (array_reserve(&e->items, &e->cap, e->n + 1) < 0)
		return -ENOMEM;
	e->items[e->n] = (struct entry){ .name = strdup(name),
					 .bytes = (uint64_t)st.st_size,
					 .used_ns = time_ns(&st.st_mtim) };
	if (!e->items[e->n].name)
		return -ENOMEM;
	c->bytes += e->items[e->n++].bytes;
	return 0;
}

/* Looks at the whole folder: its tables, and c->bytes. What a dead writer left is removed. */
static int list(struct unwind_cache *c, struct entries *e)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	struct dirent *d;
	int fd = openat(c->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	c->bytes = 0;
	while (r == 0 && e->n < FILES_MAX && (d = readdir(dir))) {
		if (has_suffix(d->d_name, "tmp"))
			unlinkat(c->dir, d->d_name, 0);
		else if (has_suffix(d->d_name, "rows"))
			r = add_entry(c, e, d->d_name);
	}
	return r;
}

static int by_use(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return x->used_ns < y->used_ns ? -1 : x->used_ns > y->used_ns;
}

static int make_room(struct unwind_cache *c, uint64_t bytes)
{
	_cleanup_(entries_release) struct entries e = { 0 };
	int r;

	if (bytes > c->bytes_max)
		return -EFBIG;
	if (c->bytes + bytes <= c->bytes_max)
		return 0;
	r = list(c, &e);
	if (r < 0)
		return r;
	if (e.n)
		qsort(e.items, e.n, sizeof(*e.items), by_use);
	for (size_t i = 0; i < e.n && c->bytes + bytes > c->bytes_max; i++) {
		if (unlinkat(c->dir, e.items[i].name, 0) < 0 && errno != ENOENT)
			continue;
		c->bytes -= e.items[i].bytes;
		c->evicted++;
	}
	return c->bytes + bytes <= c->bytes_max ? 0 : -ENOSPC;
}

int unwind_cache_open(struct unwind_cache *c, const char *path, uint64_t bytes_max)
{
	_cleanup_(entries_release) struct entries e = { 0 };
	_cleanup_close_ int dir = -1;
	struct stat st;
	int r;

	*c = (struct unwind_cache){ .dir = -1 };
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	if (fstat(dir, &st) < 0)
		return -errno;
	if (st.st_uid != geteuid() || (st.st_mode & 077))
		return -EPERM;
	*c = (struct unwind_cache){ .dir = dir, .bytes_max = bytes_max };
	r = list(c, &e);
	if (r < 0) {
		c->dir = -1;
		return r;
	}
	TAKE_FD(dir);
	return 0;
}

void unwind_cache_close(struct unwind_cache *c)
{
	if (c->dir >= 0)
		close(c->dir);
	c->dir = -1;
}

static int read_entry(int fd, struct unwind_table **ret)
{
	_cleanup_(buf_release) struct buf b = { 0 };
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_size > UNWIND_SERIAL_BYTES_MAX)
		return -EBADMSG;
	if (buf_reserve(&b, (size_t)st.st_size + 1) < 0)
		return -ENOMEM;
	r = file_pread_all(fd, b.data, (size_t)st.st_size, 0);
	return r < 0 ? r : unwind_serial_read(b.data, (size_t)st.st_size, ret);
}

int unwind_cache_load(struct unwind_cache *c, const struct unwind_cache_key *key,
		      struct unwind_table **ret)
{
	_cleanup_close_ int fd = -1;
	char name[NAME_BYTES_MAX];
	int r;

	name_of(key, "rows", name);
	/* Non-blocking: a pipe in its place must not hold us up. */
	fd = openat(c->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -ENOENT;
	r = read_entry(fd, ret);
	if (r == 0) {
		futimens(fd, NULL); /* used now */
		return 0;
	}
	if (r == -ENOMEM)
		return r;
	c->wrong++;
	unlinkat(c->dir, name, 0);
	return -ENOENT;
}

static int write_entry(const struct unwind_cache *c, const char *temporary, const char *name,
		       const struct buf *b)
{
	_cleanup_close_ int fd = -1;
	int r;

	unlinkat(c->dir, temporary, 0);
	fd = openat(c->dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = file_write_all(fd, b->data, b->size);
	/* Not synced: a table that a crash cut is seen by its checksum. */
	if (r == 0 && renameat(c->dir, temporary, c->dir, name) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(c->dir, temporary, 0);
	return r;
}

int unwind_cache_store(struct unwind_cache *c, const struct unwind_cache_key *key,
		       const struct unwind_table *t)
{
	char name[NAME_BYTES_MAX], temporary[NAME_BYTES_MAX];
	_cleanup_(buf_release) struct buf b = { 0 };
	int r = unwind_serial_write(t, &b);

	if (r == 0)
		r = make_room(c, b.size);
	if (r < 0)
		return r;
	name_of(key, "rows", name);
	name_of(key, "tmp", temporary);
	r = write_entry(c, temporary, name, &b);
	if (r == 0)
		c->bytes += b.size;
	return r;
}
