/* SPDX-License-Identifier: Apache-2.0 */
/* Inside user/unwind: puts rules, in ascending order of their code, into the rows and pages of a table. */
#ifndef KYMO_UNWIND_ROWS_H
#define KYMO_UNWIND_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "unwind/rules.h"
#include "unwind/unwind.h"
#include "unwind/words.h"

#define ROWS_RECENT 256

struct rows {
	struct kymo_unwind_row *rows;
	struct unwind_page *pages; /* the last one is open */
	size_t rows_n, rows_cap, pages_n, pages_cap;
	uint64_t first_page;
	uint64_t page_end;	/* of the open page: an offset in the file */
	struct rule_words last; /* what holds where the next row starts, */
	uint16_t rule;		/* and its id */
	bool page_full;		/* the rest of the open page is a gap */
	struct unwind_rules rules;
	/* Rules that were looked up lately: most rows name one of a few dozen. Zeroes are true: the gap's. */
	struct recent_rule {
		struct rule_words rule;
		uint16_t id;
	} recent[ROWS_RECENT];
	uint32_t dropped;
};

/* 0 or -ENOMEM. */
int rows_init(struct rows *r);
void rows_release(struct rows *r);
/* From `offset` on, not below that of the last call, `rule` holds. 0 or -ENOMEM; what exceeds a bound is counted. */
int rows_add(struct rows *r, uint64_t offset, struct rule_words rule);
/* Hands rows, pages and rules over to the table; r stays valid and empty. */
void rows_take(struct rows *r, struct unwind_table *t);

#endif
