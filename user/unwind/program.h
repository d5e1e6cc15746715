/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside user/unwind: runs the instructions (DW_CFA_*) of a frame description, a row at a time.
 * Only the columns that a rule has are kept: the CFA, the return address, fp and base.
 */
#ifndef KYMO_UNWIND_PROGRAM_H
#define KYMO_UNWIND_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "elf/eh_frame.h"
#include "kymo/unwind.h"
#include "unwind/arch.h"
#include "unwind/cursor.h"
#include "unwind/words.h"

#define PROGRAM_STATES_MAX    32   /* remembered at once; compilers nest one or two */
#define PROGRAM_CIE_BYTES_MAX 1024 /* of initial instructions; compilers write less than 40 */

/*
 * A row in the making. Its rule is in words all the time: the small fields of a struct, stored one by
 * one and read as a whole a moment later, would hold up the processor at each row.
 */
struct program_state {
	struct rule_words rule;
	/* As given last, also while an expression stands for them: hand-written code goes back to them. */
	uint64_t cfa_register;
	int64_t cfa_offset;
	bool by_expression;
};

#define PROGRAM_NUMBERS_MAX 64 /* registers above have no column */

/* What the descriptions that share a CIE start with. */
struct program_cie {
	const struct unwind_arch *arch;
	uint64_t code_align;
	int64_t data_align;
	uint8_t pointer_encoding;
	bool damaged;
	uint8_t columns
		[PROGRAM_NUMBERS_MAX]; /* enum rule_column of a register; RULE_COLUMN_MAX = none */
	struct program_state initial;
};

struct program {
	const struct program_cie *cie;
	struct cursor code;
	struct program_state now;
	struct program_state states[PROGRAM_STATES_MAX];
	unsigned int states_n;
	struct rule_words rule;	 /* the row: its rule, in its one normal form, */
	uint64_t start;		 /* from here */
	uint64_t next;		 /* to here; the last one to the end of the code */
	uint32_t values_unknown; /* counted on the way */
	bool ended;
};

/* Never fails: a damaged CIE makes rows that are not supported. */
void program_cie_init(struct program_cie *cie, const struct unwind_arch *arch,
		      const struct eh_cie *from);
/* `code` is the description's own instructions, for code that starts at `vaddr`. */
void program_init(struct program *p, const struct program_cie *cie, struct cursor code,
		  uint64_t vaddr);
/* Goes to the next row. False when there is no more. Where the instructions are damaged, the rest is not supported. */
bool program_next(struct program *p);

/* Expressions (DW_OP_*): those that compilers and assembly write are recognised, nothing is computed. False otherwise. */
bool expression_cfa(struct cursor c, const struct unwind_arch *arch, struct rule_words *rule);
/* Where a register is saved (`is_value`: what it was). */
bool expression_value(struct cursor c, bool is_value, struct rule_value *ret);

#endif
