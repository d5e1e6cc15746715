/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which place in the kernel's chunks each page of each table has: bookkeeping alone, the rows are
 * copied by who owns the chunks. Tables share chunks; a page never straddles two. What a table leaves
 * is taken again.
 */
#ifndef KYMO_UNWIND_POOL_H
#define KYMO_UNWIND_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "unwind/rules.h"
#include "unwind/runs.h"
#include "unwind/unwind.h"

struct unwind_pool {
	struct unwind_runs free; /* rows, numbered through all chunks */
	size_t chunks_n, chunks_max;
};

void unwind_pool_init(struct unwind_pool *p, size_t chunks_max);
void unwind_pool_release(struct unwind_pool *p);
/* Gives every page of the table a place: ret_pages has t->pages_n. 0, -ENOMEM, -ENOSPC (nothing is placed). */
int unwind_pool_place(struct unwind_pool *p, const struct unwind_table *t,
		      struct kymo_unwind_page *ret_pages);
/* The places, of one table, are free again; the kernel side must not know them any more. */
void unwind_pool_free(struct unwind_pool *p, const struct kymo_unwind_page *pages, size_t n);

/*
 * The ids that the table's rules have in the dictionary of all files: ret_ids has t->rules_n. Rules
 * for which there is no room become KYMO_UNWIND_RULE_UNSUPPORTED; how many is returned, or -ENOMEM.
 */
int unwind_pool_rules(struct unwind_rules *all, const struct unwind_table *t, uint16_t *ret_ids);

#endif
