/* SPDX-License-Identifier: Apache-2.0 */
/* Inside user/worker: the symbol tables that the parser made last, within a bound of memory. */
#ifndef KYMO_WORKER_CACHE_H
#define KYMO_WORKER_CACHE_H

#include "elf/symbols.h"
#include "worker/protocol.h"

#define CACHE_FILES_MAX 256

struct cache {
	struct cache_entry {
		struct file_identity key;
		struct elf_symbols *symbols; /* NULL: the file has none, see error */
		int error;
		uint64_t used; /* the clock when it was asked for last */
	} entries[CACHE_FILES_MAX];
	size_t n;
	size_t bytes, bytes_max; /* of the tables */
	uint64_t clock;
};

void cache_init(struct cache *c, size_t bytes_max);
void cache_release(struct cache *c);
/* The file's table, made from fd when it is not there; owned by c, valid until the next call. 0 or the error that making it gave. */
int cache_symbols(struct cache *c, const struct file_identity *key, int fd,
		  const struct elf_symbols **ret);

#endif
