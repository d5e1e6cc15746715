/* SPDX-License-Identifier: Apache-2.0 */
/* Files read whole, with a bound; pread-based, for /proc files and files that others own. */
#ifndef KYMO_BASE_FILE_H
#define KYMO_BASE_FILE_H

#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/cleanup.h"

DEFINE_CLEANUP(DIR *, closedir);

/*
 * Replaces the contents of buf by the file's, from its start, NUL-terminated
 * (not counted). 0 or -errno; -EFBIG when longer than max_bytes, -ESPIPE for a
 * pipe. A negative dirfd is the current folder. The fd variant rereads an open
 * descriptor (pread from 0), as /proc files allow.
 */
int file_read(int dirfd, const char *path, size_t max_bytes, struct buf *buf);
int file_reread(int fd, size_t max_bytes, struct buf *buf);
/* All of it, across short writes. 0 or -errno. */
int file_write_all(int fd, const void *data, size_t size);
/* All `size` bytes at `offset`; -ENODATA at a short file. */
int file_pread_all(int fd, void *data, size_t size, off_t offset);
/*
 * The folder `path` below dirfd ("." for itself: a description of its own, whose position nobody
 * shares). The caller closes it. 0 or -errno.
 */
int file_open_folder(int dirfd, const char *path, DIR **ret);

#endif
