/* SPDX-License-Identifier: Apache-2.0 */
/* Inside query: where user stacks stop that are not whole. */
#ifndef KYMO_QUERY_ENDS_H
#define KYMO_QUERY_ENDS_H

#include <stddef.h>
#include <stdint.h>

#include "base/hmap.h"
#include "query/item.h"
#include "query/query.h"
#include "query/segment.h"

struct ends {
	struct query_stop *stops;
	size_t n, cap;
	struct hmap index;   /* (comm, path, end) -> stop */
	struct hmap offsets; /* (stop, offset) -> samples */
	uint32_t
		*roots; /* of the segment at hand: stack index + 1 -> that of its outermost frame */
};

void ends_init(struct ends *e);
void ends_release(struct ends *e);
int ends_segment(struct ends *e, const struct segment *s); /* comes first. 0 or -ENOMEM */
/* Of a row that is_broken_end() says: `stack` is index + 1. 0 or -ENOMEM. */
int ends_add(struct ends *e, struct item_table *items, const struct segment *s, const char *comm,
	     uint32_t stack, const struct tick_row *row);
void ends_finish(struct ends *e); /* sorts */

#endif
