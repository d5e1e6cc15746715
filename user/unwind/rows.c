/* SPDX-License-Identifier: Apache-2.0 */
#include "unwind/rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"

int rows_init(struct rows *r)
{
	memset(r, 0, sizeof(*r));
	return unwind_rules_init(&r->rules, UNWIND_RULES_MAX);
}

void rows_release(struct rows *r)
{
	free(r->rows);
	free(r->pages);
	unwind_rules_release(&r->rules);
	memset(r, 0, sizeof(*r));
}

static size_t recent_slot(struct rule_words rule)
{
	return ((rule.low ^ rule.high * 31) * 0x9e3779b97f4a7c15ULL) >> 56;
}

/* A rule too many is not supported: its code is described, the walk stops there and says so. */
static int rule_id(struct rows *r, struct rule_words words, uint16_t *ret)
{
	struct recent_rule *recent = &r->recent[recent_slot(words)];
	struct kymo_unwind_rule rule;
	int error;

	if (rule_same(recent->rule, words)) {
		*ret = recent->id;
		return 0;
	}
	rule = rule_of_words(words);
	error = unwind_rules_get(&r->rules, &rule, ret);
	if (error == -ENOSPC) {
		*ret = KYMO_UNWIND_RULE_UNSUPPORTED;
		r->dropped++;
		return 0;
	}
	if (error < 0)
		return error;
	*recent = (struct recent_rule){ .rule = words, .id = *ret };
	return 0;
}

static struct unwind_page *open_page(struct rows *r)
{
	return &r->pages[r->pages_n - 1];
}

static int push_row(struct rows *r, uint16_t low, uint16_t rule)
{
	if (r->rows_n == r->rows_cap && array_reserve(&r->rows, &r->rows_cap, r->rows_n + 1) < 0)
		return -ENOMEM;
	r->rows[r->rows_n++] = (struct kymo_unwind_row){ .low = low, .rule = rule };
	open_page(r)->rows++;
	return 0;
}

/* A page in which nothing starts needs no row of its own when the one before carries the same. */
static void share_row(struct rows *r)
{
	struct unwind_page *page = open_page(r), *before = page - 1;

	if (r->pages_n < 2 || page->rows != 1 || before->rows != 1 ||
	    r->rows[before->first].rule != r->rows[page->first].rule)
		return;
	page->first = before->first;
	r->rows_n--;
}

static int next_page(struct rows *r)
{
	if (r->pages_n)
		share_row(r);
	if (array_reserve(&r->pages, &r->pages_cap, r->pages_n + 1) < 0)
		return -ENOMEM;
	r->pages[r->pages_n++] = (struct unwind_page){ .first = (uint32_t)r->rows_n };
	r->page_full = false;
	r->page_end = (r->first_page + r->pages_n) << KYMO_UNWIND_PAGE_SHIFT;
	return push_row(r, 0, r->rule);
}

/* A row in the open page, the last of its rows being at or below it. */
static int page_add(struct rows *r, uint16_t low, uint16_t rule)
{
	struct unwind_page *page = open_page(r);
	struct kymo_unwind_row *last = &r->rows[r->rows_n - 1];

	if (r->page_full) {
		r->dropped++;
		return 0;
	}
	if (last->low == low) { /* the code of the last rule is empty */
		last->rule = rule;
		if (page->rows > 1 && last[-1].rule == rule) {
			page->rows--;
			r->rows_n--;
		}
		return 0;
	}
	if (last->rule == rule)
		return 0;
	if (page->rows == KYMO_UNWIND_CHUNK_ROWS - 1 || r->rows_n >= UNWIND_ROWS_MAX) {
		r->page_full = true;
		r->dropped += rule != KYMO_UNWIND_RULE_GAP;
		rule = KYMO_UNWIND_RULE_GAP;
	}
	return push_row(r, low, rule);
}

/* Up to the page with the offset. 1, -ENOMEM; 0 where it lies beyond the bound. */
static int turn_pages(struct rows *r, uint64_t offset)
{
	uint64_t page = offset >> KYMO_UNWIND_PAGE_SHIFT;

	if (!r->pages_n)
		r->first_page = page;
	if (page - r->first_page >= UNWIND_PAGES_MAX) {
		r->dropped++;
		return 0;
	}
	while (r->pages_n <= page - r->first_page) {
		int error = next_page(r);

		if (error < 0)
			return error;
	}
	return 1;
}

int rows_add(struct rows *r, uint64_t offset, struct rule_words rule)
{
	uint16_t id;
	int error;

	if (rule_same(rule, r->last))
		return 0;
	error = rule_id(r, rule, &id);
	if (error < 0)
		return error;
	if (offset >= r->page_end) {
		error = turn_pages(r, offset);
		if (error <= 0)
			return error;
	}
	r->last = rule;
	r->rule = id;
	return page_add(r, (uint16_t)offset, id);
}

void rows_take(struct rows *r, struct unwind_table *t)
{
	if (r->pages_n)
		share_row(r);
	t->rows = TAKE_PTR(r->rows);
	t->pages = TAKE_PTR(r->pages);
	t->rules = TAKE_PTR(r->rules.rules);
	t->rows_n = (uint32_t)r->rows_n;
	t->pages_n = (uint32_t)r->pages_n;
	t->rules_n = (uint32_t)r->rules.n;
	t->first_page = (uint32_t)r->first_page;
	t->counts.rows_dropped = r->dropped;
	rows_release(r);
}
