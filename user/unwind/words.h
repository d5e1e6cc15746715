/* SPDX-License-Identifier: Apache-2.0 */
/* Inside user/unwind: struct kymo_unwind_rule as two words, so that it is changed and compared in registers. */
#ifndef KYMO_UNWIND_WORDS_H
#define KYMO_UNWIND_WORDS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "kymo/unwind.h"

struct rule_words {
	uint64_t low;  /* cfa, ra, fp, base: a byte each; cfa_offset */
	uint64_t high; /* ra_offset, fp_offset, base_offset, flags, cfa_add */
};
static_assert(sizeof(struct rule_words) == sizeof(struct kymo_unwind_rule), "one layout");

/* The registers that rules follow, in the order of their fields. */
enum rule_column { RULE_RA, RULE_FP, RULE_BASE, RULE_COLUMN_MAX };

struct rule_value {
	enum kymo_unwind_value kind;
	uint32_t reg;
	int16_t offset;
};

#define RULE_BYTE_SHIFT(column)	  (8 + 8 * (column))
#define RULE_OFFSET_SHIFT(column) (16 * (column))
#define RULE_FLAGS_SHIFT	  48
#define RULE_ADD_SHIFT		  56

static inline bool rule_same(struct rule_words a, struct rule_words b)
{
	return a.low == b.low && a.high == b.high;
}

/* A rule of which only the CFA's kind matters. */
static inline struct rule_words rule_of_kind(enum kymo_unwind_cfa kind)
{
	return (struct rule_words){ .low = kind };
}

static inline enum kymo_unwind_cfa rule_cfa_kind(struct rule_words rule)
{
	return (enum kymo_unwind_cfa)(rule.low & 7);
}

static inline enum kymo_unwind_value rule_ra_kind(struct rule_words rule)
{
	return (enum kymo_unwind_value)(rule.low >> RULE_BYTE_SHIFT(RULE_RA) & 7);
}

static inline void rule_set_cfa(struct rule_words *rule, enum kymo_unwind_cfa kind, uint64_t reg,
				int32_t offset, int8_t add)
{
	rule->low = (rule->low & 0xffffff00) | kind | reg << 3 | (uint64_t)(uint32_t)offset << 32;
	rule->high = (rule->high & ~(0xffULL << RULE_ADD_SHIFT)) | (uint64_t)(uint8_t)add
									   << RULE_ADD_SHIFT;
}

static inline void rule_set_value(struct rule_words *rule, uint8_t column, struct rule_value to)
{
	unsigned int byte = RULE_BYTE_SHIFT(column), offset = RULE_OFFSET_SHIFT(column);

	rule->low = (rule->low & ~(0xffULL << byte)) | (uint64_t)(to.kind | to.reg << 3) << byte;
	rule->high = (rule->high & ~(0xffffULL << offset)) | (uint64_t)(uint16_t)to.offset
								     << offset;
}

/* What one column says becomes what it says in another rule. */
static inline void rule_copy_value(struct rule_words *rule, uint8_t column, struct rule_words from)
{
	uint64_t byte = 0xffULL << RULE_BYTE_SHIFT(column);
	uint64_t offset = 0xffffULL << RULE_OFFSET_SHIFT(column);

	rule->low = (rule->low & ~byte) | (from.low & byte);
	rule->high = (rule->high & ~offset) | (from.high & offset);
}

static inline struct kymo_unwind_rule rule_of_words(struct rule_words words)
{
	struct kymo_unwind_rule rule;

	memcpy(&rule, &words, sizeof(rule));
	return rule;
}

#endif
