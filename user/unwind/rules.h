/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A dictionary of unwind rules: equal rules have one id. A file's table has a small one of its own;
 * the agent keeps the one of the kernel, in which a rule stays as long as a table uses it.
 */
#ifndef KYMO_UNWIND_RULES_H
#define KYMO_UNWIND_RULES_H

#include <stddef.h>
#include <stdint.h>

#include "base/hmap.h"
#include "kymo/unwind.h"

struct unwind_rules {
	struct kymo_unwind_rule *rules; /* by id */
	uint32_t *users;		/* by id; 0 = free to be taken again */
	size_t n, cap, users_cap;
	size_t max;
	size_t free_n;
	uint32_t free_first; /* where free_n: the chain goes on in the free rule's cfa_offset */
	struct hmap ids;     /* rule -> uint16_t */
};

/* With the fixed rules of enum kymo_unwind_rule_id. `max` = rules at most, up to KYMO_UNWIND_RULES_MAX. 0 or -ENOMEM. */
int unwind_rules_init(struct unwind_rules *d, size_t max);
void unwind_rules_release(struct unwind_rules *d); /* also valid on zeroes */
/* The rule's id, with one user more. 0, -ENOMEM, -ENOSPC when there are `max` already. */
int unwind_rules_get(struct unwind_rules *d, const struct kymo_unwind_rule *rule, uint16_t *ret_id);
/* One user less; without users its id may come to stand for another rule. */
void unwind_rules_put(struct unwind_rules *d, uint16_t id);
/* Ids that stand for a rule. */
size_t unwind_rules_count(const struct unwind_rules *d);

#endif
