/* SPDX-License-Identifier: Apache-2.0 */
/* Inside files.c: frames of one file that wait for something. */
#ifndef KYMO_AGENT_FRAME_LIST_H
#define KYMO_AGENT_FRAME_LIST_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "merge/merge.h"

struct frame_list {
	struct merge_unnamed *items;
	size_t n, cap;
};

static inline void frame_list_clear(struct frame_list *l)
{
	free(l->items);
	*l = (struct frame_list){ 0 };
}

static inline int frame_list_add(struct frame_list *l, const struct merge_unnamed *items, size_t n)
{
	if (array_reserve(&l->items, &l->cap, l->n + n) < 0)
		return -ENOMEM;
	memcpy(&l->items[l->n], items, n * sizeof(*items));
	l->n += n;
	return 0;
}

#endif
