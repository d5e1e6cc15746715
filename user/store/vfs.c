/* SPDX-License-Identifier: Apache-2.0 */
#include "store/vfs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"

struct vfs {
	sqlite3_vfs vfs; /* first: SQLite hands it back */
	char name[32];
	int fd, wal_fd; /* of a snapshot */
	uint64_t wal_bytes;
};

const char *vfs_path(int dir_fd, const char *name, char out[VFS_PATH_MAX])
{
	snprintf(out, VFS_PATH_MAX, "/proc/self/fd/%d/%s", dir_fd, name);
	return out;
}

const char *vfs_name(const struct vfs *v)
{
	return v->name;
}

void vfs_free(struct vfs *v)
{
	if (!v)
		return;
	if (v->vfs.zName)
		sqlite3_vfs_unregister(&v->vfs);
	free(v);
}

DEFINE_CLEANUP(struct vfs *, vfs_free);

static int full_path(sqlite3_vfs *vfs, const char *name, int size, char *out)
{
	(void)vfs;
	if (strlen(name) >= (size_t)size)
		return SQLITE_CANTOPEN;
	strcpy(out, name);
	return SQLITE_OK;
}

/* A copy of the unix VFS: its functions find themselves by pAppData, not by the address. */
static int vfs_new(struct vfs **ret)
{
	_cleanup_(vfs_freep) struct vfs *v = calloc(1, sizeof(*v));
	sqlite3_vfs *unix_vfs;

	if (sqlite3_initialize() != SQLITE_OK)
		return -ENOMEM;
	unix_vfs = sqlite3_vfs_find("unix");
	if (!v || !unix_vfs)
		return -ENOMEM;
	v->vfs = *unix_vfs;
	v->fd = v->wal_fd = -1;
	snprintf(v->name, sizeof(v->name), "kymo-%p", (void *)v);
	v->vfs.zName = NULL;
	v->vfs.pNext = NULL;
	v->vfs.xFullPathname = full_path;
	*ret = TAKE_PTR(v);
	return 0;
}

static int vfs_register(struct vfs *v)
{
	v->vfs.zName = v->name;
	if (sqlite3_vfs_register(&v->vfs, 0) == SQLITE_OK)
		return 0;
	v->vfs.zName = NULL;
	return -ENOMEM;
}

int vfs_new_writer(struct vfs **ret)
{
	_cleanup_(vfs_freep) struct vfs *v = NULL;
	int r = vfs_new(&v);

	if (r == 0)
		r = vfs_register(v);
	if (r == 0)
		*ret = TAKE_PTR(v);
	return r;
}

/* ---- snapshot ---- */

#define REGIONS_MAX 65536 /* of 4,096 frames of the WAL each: a terabyte */

struct snapshot_file {
	sqlite3_file base;
	int fd; /* -1: an empty file */
	int64_t max_bytes;
	void **regions;
	int regions_n;
};

static int snapshot_unmap(sqlite3_file *file, int delete_it)
{
	struct snapshot_file *f = (struct snapshot_file *)file;

	(void)delete_it;
	for (int i = 0; i < f->regions_n; i++)
		free(f->regions[i]);
	free(f->regions);
	f->regions = NULL;
	f->regions_n = 0;
	return SQLITE_OK;
}

static int snapshot_close(sqlite3_file *file)
{
	return snapshot_unmap(file, 0);
}

static int snapshot_read(sqlite3_file *file, void *data, int size, sqlite3_int64 offset)
{
	struct snapshot_file *f = (struct snapshot_file *)file;
	int64_t there = f->max_bytes > offset ? f->max_bytes - offset : 0;
	int want = f->fd < 0 ? 0 : there < size ? (int)there : size, done = 0;

	while (done < want) {
		ssize_t n = pread(f->fd, (char *)data + done, (size_t)(want - done), offset + done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return SQLITE_IOERR_READ;
		if (n == 0)
			break;
		done += (int)n;
	}
	if (done == size)
		return SQLITE_OK;
	memset((char *)data + done, 0, (size_t)(size - done));
	return SQLITE_IOERR_SHORT_READ;
}

static int snapshot_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 offset)
{
	(void)file, (void)data, (void)size, (void)offset;
	return SQLITE_READONLY;
}

static int snapshot_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	(void)file, (void)size;
	return SQLITE_READONLY;
}

static int snapshot_ok(sqlite3_file *file, int flags)
{
	(void)file, (void)flags;
	return SQLITE_OK;
}

static int snapshot_size(sqlite3_file *file, sqlite3_int64 *ret)
{
	struct snapshot_file *f = (struct snapshot_file *)file;
	struct stat st;

	*ret = 0;
	if (f->fd < 0)
		return SQLITE_OK;
	if (fstat(f->fd, &st) < 0)
		return SQLITE_IOERR_FSTAT;
	*ret = st.st_size < f->max_bytes ? st.st_size : f->max_bytes;
	return SQLITE_OK;
}

static int snapshot_reserved(sqlite3_file *file, int *ret)
{
	(void)file;
	*ret = 0;
	return SQLITE_OK;
}

static int snapshot_control(sqlite3_file *file, int op, void *arg)
{
	(void)file, (void)op, (void)arg;
	return SQLITE_NOTFOUND;
}

static int snapshot_zero(sqlite3_file *file)
{
	(void)file;
	return 0;
}

static int snapshot_map(sqlite3_file *file, int region, int size, int extend, void volatile **ret)
{
	struct snapshot_file *f = (struct snapshot_file *)file;

	*ret = NULL;
	if (region >= f->regions_n) {
		void **more;

		if (!extend)
			return SQLITE_OK;
		if (region >= REGIONS_MAX)
			return SQLITE_IOERR_SHMMAP;
		more = reallocarray(f->regions, (size_t)region + 1, sizeof(*more));
		if (!more)
			return SQLITE_IOERR_NOMEM;
		f->regions = more;
		for (; f->regions_n <= region; f->regions_n++) {
			more[f->regions_n] = calloc(1, (size_t)size);
			if (!more[f->regions_n])
				return SQLITE_IOERR_NOMEM;
		}
	}
	*ret = f->regions[region];
	return SQLITE_OK;
}

static int snapshot_lock_region(sqlite3_file *file, int offset, int n, int flags)
{
	(void)file, (void)offset, (void)n, (void)flags;
	return SQLITE_OK;
}

static void snapshot_barrier(sqlite3_file *file)
{
	(void)file;
}

static const sqlite3_io_methods snapshot_methods = {
	.iVersion = 2,
	.xClose = snapshot_close,
	.xRead = snapshot_read,
	.xWrite = snapshot_write,
	.xTruncate = snapshot_truncate,
	.xSync = snapshot_ok,
	.xFileSize = snapshot_size,
	.xLock = snapshot_ok,
	.xUnlock = snapshot_ok,
	.xCheckReservedLock = snapshot_reserved,
	.xFileControl = snapshot_control,
	.xSectorSize = snapshot_zero,
	.xDeviceCharacteristics = snapshot_zero,
	.xShmMap = snapshot_map,
	.xShmLock = snapshot_lock_region,
	.xShmBarrier = snapshot_barrier,
	.xShmUnmap = snapshot_unmap,
};

static int snapshot_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
			 int *ret_flags)
{
	struct vfs *v = (struct vfs *)vfs;
	struct snapshot_file *f = (struct snapshot_file *)file;

	(void)name;
	*f = (struct snapshot_file){ .fd = -1 };
	if (!(flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)))
		return SQLITE_CANTOPEN;
	f->fd = flags & SQLITE_OPEN_MAIN_DB ? v->fd : v->wal_fd;
	f->max_bytes = INT64_MAX;
	if (flags & SQLITE_OPEN_WAL && v->wal_bytes < INT64_MAX)
		f->max_bytes = (int64_t)v->wal_bytes;
	f->base.pMethods = &snapshot_methods;
	if (ret_flags)
		*ret_flags = (flags & ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)) |
			     SQLITE_OPEN_READONLY;
	return SQLITE_OK;
}

static int snapshot_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
	(void)vfs, (void)name, (void)sync;
	return SQLITE_READONLY;
}

static int snapshot_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
	struct vfs *v = (struct vfs *)vfs;
	size_t n = strlen(name);

	(void)flags;
	*ret = v->wal_fd >= 0 && n > 4 && strcmp(name + n - 4, "-wal") == 0;
	return SQLITE_OK;
}

int vfs_new_snapshot(int fd, int wal_fd, uint64_t wal_bytes, struct vfs **ret)
{
	_cleanup_(vfs_freep) struct vfs *v = NULL;
	int r = vfs_new(&v);

	if (r < 0)
		return r;
	v->fd = fd;
	v->wal_fd = wal_fd;
	v->wal_bytes = wal_bytes;
	v->vfs.szOsFile = sizeof(struct snapshot_file);
	v->vfs.xOpen = snapshot_open;
	v->vfs.xDelete = snapshot_delete;
	v->vfs.xAccess = snapshot_access;
	r = vfs_register(v);
	if (r == 0)
		*ret = TAKE_PTR(v);
	return r;
}
