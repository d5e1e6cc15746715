/* SPDX-License-Identifier: Apache-2.0 */
#include "unwind/rules.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/array.h"

static const struct kymo_unwind_rule fixed[KYMO_UNWIND_RULE_FIXED] = {
	[KYMO_UNWIND_RULE_GAP] = { .cfa_kind = KYMO_UNWIND_CFA_GAP },
	[KYMO_UNWIND_RULE_END] = { .cfa_kind = KYMO_UNWIND_CFA_END },
	[KYMO_UNWIND_RULE_UNSUPPORTED] = { .cfa_kind = KYMO_UNWIND_CFA_UNSUPPORTED },
};

int unwind_rules_init(struct unwind_rules *d, size_t max)
{
	uint16_t id;
	int r;

	assert(max >= KYMO_UNWIND_RULE_FIXED && max <= KYMO_UNWIND_RULES_MAX);
	*d = (struct unwind_rules){ .max = max };
	hmap_init(&d->ids, sizeof(struct kymo_unwind_rule), sizeof(uint16_t), 0);
	for (size_t i = 0; i < KYMO_UNWIND_RULE_FIXED; i++) {
		r = unwind_rules_get(d, &fixed[i], &id);
		if (r < 0) {
			unwind_rules_release(d);
			return r;
		}
		assert(id == i);
	}
	return 0;
}

void unwind_rules_release(struct unwind_rules *d)
{
	free(d->rules);
	free(d->users);
	hmap_release(&d->ids);
	*d = (struct unwind_rules){ 0 };
}

/* The id that became free last, or a new one. */
static int take_id(struct unwind_rules *d, size_t *ret)
{
	if (d->free_n) {
		*ret = d->free_first;
		return 0;
	}
	if (d->n == d->max)
		return -ENOSPC;
	if (array_reserve(&d->rules, &d->cap, d->n + 1) < 0 ||
	    array_reserve(&d->users, &d->users_cap, d->n + 1) < 0)
		return -ENOMEM;
	*ret = d->n;
	return 0;
}

int unwind_rules_get(struct unwind_rules *d, const struct kymo_unwind_rule *rule, uint16_t *ret_id)
{
	uint16_t *id = hmap_get(&d->ids, rule);
	size_t i;
	int r;

	if (id) {
		d->users[*id]++;
		*ret_id = *id;
		return 0;
	}
	r = take_id(d, &i);
	if (r < 0)
		return r;
	id = hmap_put(&d->ids, rule, NULL);
	if (!id)
		return -ENOMEM;
	if (i == d->n) {
		d->n++;
	} else {
		d->free_first = (uint32_t)d->rules[i].cfa_offset;
		d->free_n--;
	}
	d->rules[i] = *rule;
	d->users[i] = 1;
	*ret_id = *id = (uint16_t)i;
	return 0;
}

void unwind_rules_put(struct unwind_rules *d, uint16_t id)
{
	assert(id < d->n && d->users[id]);
	if (id < KYMO_UNWIND_RULE_FIXED || --d->users[id])
		return;
	hmap_remove(&d->ids, &d->rules[id]);
	d->rules[id] = (struct kymo_unwind_rule){ .cfa_offset = (int32_t)d->free_first };
	d->free_first = id;
	d->free_n++;
}

size_t unwind_rules_count(const struct unwind_rules *d)
{
	return d->n - d->free_n;
}
