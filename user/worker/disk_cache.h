/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside user/worker: what the parser said of files, on disk, so that each is parsed once. The folder is ours alone
 * (mode 0700); it may be deleted, cut or damaged at any time: whatever is wrong is as good as absent, and made again.
 *
 * The key is the file's identity as the kernel has it. Not its build-id: anyone can write a file
 * with the C library's, and would then say how every process is unwound.
 */
#ifndef KYMO_WORKER_DISK_CACHE_H
#define KYMO_WORKER_DISK_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "worker/protocol.h"

struct disk_cache {
	int dir; /* -1 = none: nothing is found, nothing is kept */
	uint64_t
		maker; /* which build of this program: another one may say something else of a file */
	uint64_t bytes_max;
	/* The answers in the folder as far as is known: others write to it, too. Bytes are whole blocks. */
	uint64_t bytes, files;
	uint64_t
		looks; /* how often the whole folder was looked at; first for the first answer that is kept */
	uint64_t evicted; /* answers removed to make room */
	uint64_t wrong;	  /* answers that could not be used, and were removed */
};

/*
 * Makes the folder when it is missing (its parent must be there). 0; -EPERM when it is not ours alone; -errno: then
 * *c is without a folder, and valid.
 */
int disk_cache_open(struct disk_cache *c, const char *path, uint64_t bytes_max);
void disk_cache_close(struct disk_cache *c);
/* Whether answers of that kind about that file are kept at all. */
bool disk_cache_keeps(const struct disk_cache *c, const struct file_identity *file,
		      enum worker_job_kind kind);
/* Replaces *ret by the bytes that were stored, which the caller is to check as it did then. 0; -ENOENT; -ENOMEM. */
int disk_cache_load(struct disk_cache *c, const struct file_identity *file,
		    enum worker_job_kind kind, struct buf *ret);
/* Those used longest ago make room, a quarter of the folder at once. 0; -EFBIG above bytes_max; -errno (nothing is left behind). */
int disk_cache_store(struct disk_cache *c, const struct file_identity *file,
		     enum worker_job_kind kind, const void *data, size_t size);
/* What was loaded is not what it should be. */
void disk_cache_refuse(struct disk_cache *c, const struct file_identity *file,
		       enum worker_job_kind kind);

#endif
