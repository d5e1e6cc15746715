/* SPDX-License-Identifier: Apache-2.0 */
#include <dwarf.h>

#include "unwind/program.h"

#define WORD 8

/* A register and an offset: DW_OP_breg0 to 31, DW_OP_bregx. */
static bool based(struct cursor *c, uint8_t *reg, int64_t *offset)
{
	uint8_t op = cursor_u8(c);
	uint64_t number;

	if (op >= DW_OP_breg0 && op <= DW_OP_breg31)
		number = op - DW_OP_breg0;
	else if (op == DW_OP_bregx)
		number = cursor_uleb(c);
	else
		return false;
	*offset = cursor_sleb(c);
	*reg = (uint8_t)number;
	return !c->failed && number < 32;
}

static bool at_end(const struct cursor *c)
{
	return c->p == c->end && !c->failed;
}

/* What the linker writes for .plt: `rsp + 8 + ((rip & 15) >= threshold) << 3`. *c stands behind rsp + 8. */
static bool is_plt(struct cursor *c, const struct unwind_arch *arch, uint8_t *threshold)
{
	uint8_t pc, op;
	int64_t offset;

	if (!based(c, &pc, &offset) || pc != arch->pc || offset != 0 ||
	    cursor_u8(c) != DW_OP_lit15 || cursor_u8(c) != DW_OP_and)
		return false;
	op = cursor_u8(c);
	if (op < DW_OP_lit0 || op > DW_OP_lit15)
		return false;
	*threshold = (uint8_t)(op - DW_OP_lit0);
	return cursor_u8(c) == DW_OP_ge && cursor_u8(c) == DW_OP_lit3 &&
	       cursor_u8(c) == DW_OP_shl && cursor_u8(c) == DW_OP_plus && at_end(c);
}

/* Behind `*(register + offset)`: nothing, or a few words more. */
static bool addend(struct cursor *c, int8_t *ret)
{
	uint64_t bytes = 0;

	if (c->p < c->end) {
		if (cursor_u8(c) != DW_OP_plus_uconst)
			return false;
		bytes = cursor_uleb(c);
	}
	if (!at_end(c) || bytes % WORD || bytes / WORD > INT8_MAX)
		return false;
	*ret = (int8_t)(bytes / WORD);
	return true;
}

/* `+ 8 * index`, and the word there. *c stands behind what that is added to. */
static bool is_indexed(struct cursor *c, uint8_t *index)
{
	int64_t offset;

	return based(c, index, &offset) && offset == 0 && cursor_u8(c) == DW_OP_lit8 &&
	       cursor_u8(c) == DW_OP_mul && cursor_u8(c) == DW_OP_plus &&
	       cursor_u8(c) == DW_OP_deref;
}

/* What follows `register + offset`; *reg becomes what the rule names. The kind, or UNSUPPORTED. */
static enum kymo_unwind_cfa cfa_kind(struct cursor *c, const struct unwind_arch *arch, uint8_t *reg,
				     int8_t *add)
{
	struct cursor again = *c;

	if (at_end(c))
		return KYMO_UNWIND_CFA_REGISTER;
	if (*c->p == DW_OP_deref) {
		cursor_u8(c);
		return addend(c, add) ? KYMO_UNWIND_CFA_DEREF : KYMO_UNWIND_CFA_UNSUPPORTED;
	}
	if (*reg == arch->sp && arch->pc != UNWIND_NO_REGISTER && is_plt(&again, arch, reg))
		return KYMO_UNWIND_CFA_PLT;
	if (*reg == arch->sp && is_indexed(c, reg) && addend(c, add))
		return KYMO_UNWIND_CFA_INDEXED;
	return KYMO_UNWIND_CFA_UNSUPPORTED;
}

bool expression_cfa(struct cursor c, const struct unwind_arch *arch, struct rule_words *rule)
{
	enum kymo_unwind_cfa kind;
	int64_t offset;
	uint8_t reg;
	int8_t add = 0;

	if (!based(&c, &reg, &offset) || offset != (int32_t)offset)
		return false;
	kind = cfa_kind(&c, arch, &reg, &add);
	if (kind == KYMO_UNWIND_CFA_UNSUPPORTED)
		return false;
	rule_set_cfa(rule, kind, reg, (int32_t)offset, add);
	return true;
}

bool expression_value(struct cursor c, bool is_value, struct rule_value *ret)
{
	int64_t offset;
	uint8_t reg;

	if (!based(&c, &reg, &offset) || offset % WORD || offset / WORD != (int16_t)(offset / WORD))
		return false;
	*ret = (struct rule_value){ KYMO_UNWIND_AT_REGISTER, reg, (int16_t)(offset / WORD) };
	if (!is_value)
		return at_end(&c);
	if (at_end(&c)) {
		ret->kind = KYMO_UNWIND_IN_REGISTER;
		return offset == 0;
	}
	return cursor_u8(&c) == DW_OP_deref && at_end(&c);
}
