/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "unwind/unwind.h"

static const struct kymo_unwind_rule gap = { .cfa_kind = KYMO_UNWIND_CFA_GAP };

/* As the kernel side searches: the answer lies in [first, first + n), which halves. */
static const struct kymo_unwind_row *search(const struct kymo_unwind_row *first, uint32_t n,
					    uint16_t low)
{
	for (int step = 0; step < KYMO_UNWIND_SEARCH_STEPS && n > 1; step++) {
		uint32_t half = n / 2;

		if (first[half].low <= low) {
			first += half;
			n -= half;
		} else {
			n = half;
		}
	}
	return first;
}

const struct kymo_unwind_rule *unwind_table_find(const struct unwind_table *t, uint64_t offset)
{
	uint64_t page = (offset >> KYMO_UNWIND_PAGE_SHIFT) - t->first_page;
	const struct unwind_page *p;

	if (page >= t->pages_n)
		return &gap;
	p = &t->pages[page];
	return &t->rules[search(&t->rows[p->first], p->rows, (uint16_t)offset)->rule];
}

size_t unwind_table_bytes(const struct unwind_table *t)
{
	return sizeof(*t) + t->rules_n * sizeof(*t->rules) + t->rows_n * sizeof(*t->rows) +
	       t->pages_n * sizeof(*t->pages);
}

void unwind_table_free(struct unwind_table *t)
{
	if (!t)
		return;
	free(t->rules);
	free(t->rows);
	free(t->pages);
	free(t);
}
