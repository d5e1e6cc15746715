/* SPDX-License-Identifier: Apache-2.0 */
/* Inside query: gives every function and process one item, by what it is called, not by its id. */
#ifndef KYMO_QUERY_ITEM_H
#define KYMO_QUERY_ITEM_H

#include <stddef.h>
#include <stdint.h>

#include "base/hmap.h"
#include "base/strings.h"
#include "query/query.h"
#include "query/segment.h"

struct item_table {
	struct strings *strings;
	struct hmap keys;
	struct query_item *items; /* [0] is empty */
	size_t items_n, items_cap;
};

int item_table_init(struct item_table *t);
void item_table_release(struct item_table *t);

/* Index of the item; 0 = out of memory. A NULL frame is one that the profile does not have. */
uint32_t item_of_frame(struct item_table *t, const struct segment *s, const struct frame *f);
/* A function where it is inlined into another: marked in its name, apart from the function itself. */
uint32_t item_of_inline(struct item_table *t, const struct segment *s, uint32_t function);
uint32_t item_of_comm(struct item_table *t, const char *comm);
/* "[no stack]": the leaf of samples without a frame. */
uint32_t item_of_no_stack(struct item_table *t);

#endif
