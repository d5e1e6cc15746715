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

static size_t recent_slot(const struct kymo_unwind_rule *rule)
{
	uint64_t words[2];

	memcpy(words, rule, sizeof(words));
	return ((words[0] ^ words[1] * 31) * 0x9e3779b97f4a7c15ULL) >> 56;
}

/* A rule too many is not supported: its code is described, the walk stops there and says so. */
static int rule_id(struct rows *r, const struct kymo_unwind_rule *rule, uint16_t *ret)
{
	struct recent_rule *recent = &r->recent[recent_slot(rule)];
	int error;

	if (recent->used && memcmp(&recent->rule, rule, sizeof(*rule)) == 0) {
		*ret = recent->id;
		return 0;
	}
	error = unwind_rules_get(&r->rules, rule, ret);
	if (error == -ENOSPC) {
		*ret = KYMO_UNWIND_RULE_UNSUPPORTED;
		r->dropped++;
		return 0;
	}
	if (error < 0)
		return error;
	*recent = (struct recent_rule){ .rule = *rule, .id = *ret, .used = true };
	return 0;
}

static struct unwind_page *open_page(struct rows *r)
{
	return &r->pages[r->pages_n - 1];
}

static int push_row(struct rows *r, uint16_t low, uint16_t rule)
{
	if (array_reserve(&r->rows, &r->rows_cap, r->rows_n + 1) < 0)
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

int rows_add(struct rows *r, uint64_t offset, const struct kymo_unwind_rule *rule)
{
	uint64_t page = offset >> KYMO_UNWIND_PAGE_SHIFT;
	uint16_t id;
	int error = rule_id(r, rule, &id);

	if (error < 0)
		return error;
	if (!r->pages_n) {
		if (id == KYMO_UNWIND_RULE_GAP)
			return 0;
		r->first_page = page;
	}
	if (page - r->first_page >= UNWIND_PAGES_MAX) {
		r->dropped++;
		return 0;
	}
	while (r->pages_n <= page - r->first_page) {
		error = next_page(r);
		if (error < 0)
			return error;
	}
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
