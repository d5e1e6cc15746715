/* SPDX-License-Identifier: Apache-2.0 */
/* Collections of Python by process: how many, how long, what they freed, and for whom. */
#ifndef KYMO_QUERY_COLLECTIONS_H
#define KYMO_QUERY_COLLECTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "query/query.h"

#define QUERY_GENERATIONS    3
#define QUERY_CALLERS	     3 /* innermost Python functions that tell where */
#define QUERY_PLACES_BY_PROC 3

/* Where in the program a collection was begun: by an allocation, or asked for. */
struct query_place {
	const struct function *callers[QUERY_CALLERS]; /* innermost first; NULL = no more */
	uint64_t count, total_ns;
};

struct query_collecting {
	const struct process *process; /* valid until the profile is closed */
	uint64_t count, total_ns, max_ns;
	uint64_t by_generation[QUERY_GENERATIONS + 1]; /* the last: older, or not known */
	int64_t objects;			       /* found to be garbage; saturates */
	int64_t rss_bytes; /* by what memory shrank over all of them (below 0: grew) */
	struct query_place places[QUERY_PLACES_BY_PROC]; /* by time, the most first */
	size_t places_n;
};

struct query_collections {
	struct query_collecting *items; /* by time, the most first */
	size_t n;
	struct query_collecting total; /* without process and places */
};

/* 0 or -errno (profile_message says why). */
int query_collections(struct profile *p, const struct query_selection *s,
		      struct query_collections *ret);
void query_collections_release(struct query_collections *c);

#endif
