/* SPDX-License-Identifier: Apache-2.0 */
/* The samples one row at a time, for formats that keep more than sums: with process, thread, tick and frames. */
#ifndef KYMO_QUERY_ROWS_H
#define KYMO_QUERY_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "query/query.h"

struct query_row {
	size_t tick; /* index into profile_ticks */
	uint32_t segment;
	uint32_t thread_index;	       /* a number of its own for each thread of the segment */
	const struct process *process; /* never NULL; unknown ones are empty */
	const struct thread *thread;
	uint32_t stack; /* for query_stack; 0 = none */
	const struct tick_row *row;
	const uint32_t *offsets_us; /* row->count of them */
};

/*
 * Every selected row, by tick; of all sources when s->source is 0. A negative return of each()
 * ends it and is returned. Damaged ticks are skipped and counted into *ret_damaged (may be NULL).
 */
int query_each_row(struct profile *p, const struct query_selection *s,
		   int (*each)(void *data, const struct query_row *row), void *data,
		   uint32_t *ret_damaged);

/* One frame with its names. `id` is a number of its own for each frame of the segment, from 1. */
struct query_frame {
	uint32_t id;
	enum frame_kind kind;
	uint64_t offset;
	uint32_t line;			 /* where it was; 0 = unknown */
	const struct binary *binary;	 /* NULL = none */
	const struct function *function; /* NULL = not named */
	uint32_t inlines_first,
		inlines_n; /* for query_inline: what is inlined there, the outermost first */
};

/* One of the functions inlined at a frame of the segment; NULL = the profile has none. */
const struct function *query_inline(const struct profile *p, uint32_t segment, uint32_t i,
				    uint32_t *ret_line);

/* The row's stack, leaf first: how many of at most `max` were filled in. */
size_t query_stack(const struct profile *p, const struct query_row *row, struct query_frame *out,
		   size_t max);

#endif
