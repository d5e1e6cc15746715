/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How SQLite reaches the files. Both kinds take file names as they are given (no links are
 * resolved), so that "/proc/self/fd/FOLDER/NAME" stays in a folder that is held open.
 */
#ifndef KYMO_STORE_VFS_H
#define KYMO_STORE_VFS_H

#include <limits.h>
#include <sqlite3.h>
#include <stdint.h>

struct vfs;

#define VFS_PATH_MAX (NAME_MAX + 32)

/* "/proc/self/fd/FOLDER/NAME" */
const char *vfs_path(int dir_fd, const char *name, char out[VFS_PATH_MAX]);

/* SQLite's own way, with its locks and its shared memory: the writer's. */
int vfs_new_writer(struct vfs **ret);

/*
 * A file and the first wal_bytes of its WAL (-1 = none), which nobody changes meanwhile: no locks,
 * the WAL's index on the heap, no byte ever written. The descriptors stay the caller's and outlive
 * the connection.
 */
int vfs_new_snapshot(int fd, int wal_fd, uint64_t wal_bytes, struct vfs **ret);

const char *vfs_name(const struct vfs *v); /* for sqlite3_open_v2 */
void vfs_free(struct vfs *v);		   /* after its connections; NULL is allowed */

#endif
