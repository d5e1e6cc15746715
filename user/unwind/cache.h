/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables on disk, so that a file's is made once. The folder is ours alone (mode 0700); it may be
 * deleted, cut or damaged at any time: whatever is wrong is as good as absent, and made again.
 *
 * The key is the file's identity as the kernel has it. Not its build-id: anyone can write a file
 * with the C library's, and would then say how every process is unwound.
 */
#ifndef KYMO_UNWIND_CACHE_H
#define KYMO_UNWIND_CACHE_H

#include <stdint.h>
#include <sys/stat.h>

#include "unwind/unwind.h"

/* The change time is in it since nobody can set it: a file made to look like another one does not. */
struct unwind_cache_key {
	uint64_t dev, inode, size, mtime_ns, ctime_ns;
};

struct unwind_cache {
	int dir;
	uint64_t bytes_max;
	uint64_t bytes;	  /* of the tables in the folder, as far as is known */
	uint64_t evicted; /* files removed to make room */
	uint64_t wrong;	  /* files that could not be used, and were removed */
};

struct unwind_cache_key unwind_cache_key(const struct stat *st);

/* Makes the folder when it is missing (its parent must be there). 0; -EPERM when it is not ours alone; -errno. */
int unwind_cache_open(struct unwind_cache *c, const char *path, uint64_t bytes_max);
void unwind_cache_close(struct unwind_cache *c);
/* 0; -ENOENT when there is none to be used; -ENOMEM. */
int unwind_cache_load(struct unwind_cache *c, const struct unwind_cache_key *key,
		      struct unwind_table **ret);
/* Replaces; the tables used longest ago make room. 0; -EFBIG above bytes_max; -errno (nothing is left behind). */
int unwind_cache_store(struct unwind_cache *c, const struct unwind_cache_key *key,
		       const struct unwind_table *t);

#endif
