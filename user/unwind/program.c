/* SPDX-License-Identifier: Apache-2.0 */
#include "unwind/program.h"

#include <dwarf.h>
#include <elf.h>

#define WORD		       8

#define PROGRAM_CODE_ALIGN_MAX 64 /* 1 or 4 */

/* Not in elfutils' dwarf.h of 0.188. */
#define DW_CFA_AARCH64_negate_ra_state_with_pc 0x2c

static uint8_t column_of(const struct program *p, uint64_t number)
{
	return number < PROGRAM_NUMBERS_MAX ? p->cie->columns[number] : RULE_COLUMN_MAX;
}

static void set_column(struct program *p, uint64_t number, struct rule_value to)
{
	uint8_t column = column_of(p, number);

	if (column == RULE_COLUMN_MAX)
		return;
	rule_set_value(&p->now.rule, column, to);
	p->values_unknown += to.kind == KYMO_UNWIND_UNKNOWN_RULE;
}

static void set_kind(struct program *p, uint64_t number, enum kymo_unwind_value kind)
{
	set_column(p, number, (struct rule_value){ .kind = kind });
}

static void restore(struct program *p, uint64_t number)
{
	uint8_t column = column_of(p, number);

	if (column != RULE_COLUMN_MAX)
		rule_copy_value(&p->now.rule, column, p->cie->initial.rule);
}

static bool scaled(int64_t factored, int64_t align, int64_t *ret)
{
	return !__builtin_mul_overflow(factored, align, ret);
}

/* A place relative to the CFA, or the CFA itself and that (KYMO_UNWIND_OF_CFA). */
static void set_offset(struct program *p, uint64_t number, enum kymo_unwind_value kind,
		       int64_t factored)
{
	struct rule_value to = { .kind = kind };
	int64_t bytes;

	if (!scaled(factored, p->cie->data_align, &bytes) || bytes % WORD ||
	    bytes / WORD != (int16_t)(bytes / WORD))
		to.kind = KYMO_UNWIND_UNKNOWN_RULE;
	else
		to.offset = (int16_t)(bytes / WORD);
	set_column(p, number, to);
}

static void set_register(struct program *p, uint64_t number, uint64_t other)
{
	struct rule_value to = { .kind = KYMO_UNWIND_UNKNOWN_RULE };

	if (other < 32)
		to = (struct rule_value){ KYMO_UNWIND_IN_REGISTER, (uint32_t)other, 0 };
	set_column(p, number, to);
}

static void set_expression(struct program *p, uint64_t number, bool is_value)
{
	struct cursor code = cursor_part(&p->code, cursor_uleb(&p->code));
	struct rule_value to;

	if (expression_value(code, is_value, &to))
		set_column(p, number, to);
	else
		set_kind(p, number, KYMO_UNWIND_UNKNOWN_RULE);
}

/* The CFA is what register and offset say. */
static void use_register(struct program_state *now)
{
	if (now->cfa_register < 32 && now->cfa_offset == (int32_t)now->cfa_offset)
		rule_set_cfa(&now->rule, KYMO_UNWIND_CFA_REGISTER, now->cfa_register,
			     (int32_t)now->cfa_offset, 0);
	else
		rule_set_cfa(&now->rule, KYMO_UNWIND_CFA_UNSUPPORTED, 0, 0, 0);
}

static void use_expression(struct program *p)
{
	struct cursor code = cursor_part(&p->code, cursor_uleb(&p->code));

	p->now.by_expression = true;
	if (!expression_cfa(code, p->cie->arch, &p->now.rule))
		rule_set_cfa(&p->now.rule, KYMO_UNWIND_CFA_UNSUPPORTED, 0, 0, 0);
}

/* An offset alone does not end an expression, a register does: so the C library's unwinder reads it. */
static void use_offset(struct program_state *now, int64_t offset)
{
	now->cfa_offset = offset;
	if (!now->by_expression)
		use_register(now);
}

static int64_t factored_offset(struct program *p)
{
	int64_t offset;

	return scaled(cursor_sleb(&p->code), p->cie->data_align, &offset) ? offset : INT64_MAX;
}

static void cfa_instruction(struct program *p, uint8_t op)
{
	struct program_state *now = &p->now;

	switch (op) {
	case DW_CFA_def_cfa_offset:
		use_offset(now, (int64_t)cursor_uleb(&p->code));
		return;
	case DW_CFA_def_cfa_offset_sf:
		use_offset(now, factored_offset(p));
		return;
	case DW_CFA_def_cfa_expression:
		use_expression(p);
		return;
	case DW_CFA_def_cfa:
		now->cfa_register = cursor_uleb(&p->code);
		now->cfa_offset = (int64_t)cursor_uleb(&p->code);
		break;
	case DW_CFA_def_cfa_sf:
		now->cfa_register = cursor_uleb(&p->code);
		now->cfa_offset = factored_offset(p);
		break;
	default: /* DW_CFA_def_cfa_register */
		now->cfa_register = cursor_uleb(&p->code);
	}
	now->by_expression = false;
	use_register(now);
}

static void remember_state(struct program *p)
{
	if (p->states_n == PROGRAM_STATES_MAX)
		p->code.failed = true;
	else
		p->states[p->states_n++] = p->now;
}

static void restore_state(struct program *p)
{
	if (!p->states_n)
		p->code.failed = true;
	else
		p->now = p->states[--p->states_n];
}

/* The rarer ones of a register. */
static void register_instruction(struct program *p, uint8_t op)
{
	struct cursor *c = &p->code;
	uint64_t number = cursor_uleb(c);

	switch (op) {
	case DW_CFA_offset_extended:
		set_offset(p, number, KYMO_UNWIND_AT_CFA, (int64_t)cursor_uleb(c));
		break;
	case DW_CFA_offset_extended_sf:
		set_offset(p, number, KYMO_UNWIND_AT_CFA, cursor_sleb(c));
		break;
	case DW_CFA_GNU_negative_offset_extended:
		set_offset(p, number, KYMO_UNWIND_AT_CFA, (int64_t)(0 - cursor_uleb(c)));
		break;
	case DW_CFA_val_offset:
		set_offset(p, number, KYMO_UNWIND_OF_CFA, (int64_t)cursor_uleb(c));
		break;
	case DW_CFA_val_offset_sf:
		set_offset(p, number, KYMO_UNWIND_OF_CFA, cursor_sleb(c));
		break;
	case DW_CFA_restore_extended:
		restore(p, number);
		break;
	case DW_CFA_undefined:
		set_kind(p, number, KYMO_UNWIND_UNDEFINED);
		break;
	case DW_CFA_same_value:
		set_kind(p, number, KYMO_UNWIND_SAME);
		break;
	case DW_CFA_register:
		set_register(p, number, cursor_uleb(c));
		break;
	default: /* DW_CFA_expression, DW_CFA_val_expression */
		set_expression(p, number, op == DW_CFA_val_expression);
	}
}

/* An instruction that does not move on. */
static void instruction(struct program *p, uint8_t op)
{
	switch (op) {
	case DW_CFA_nop:
		break;
	case DW_CFA_def_cfa:
	case DW_CFA_def_cfa_sf:
	case DW_CFA_def_cfa_register:
	case DW_CFA_def_cfa_offset:
	case DW_CFA_def_cfa_offset_sf:
	case DW_CFA_def_cfa_expression:
		cfa_instruction(p, op);
		break;
	case DW_CFA_offset_extended:
	case DW_CFA_offset_extended_sf:
	case DW_CFA_GNU_negative_offset_extended:
	case DW_CFA_val_offset:
	case DW_CFA_val_offset_sf:
	case DW_CFA_restore_extended:
	case DW_CFA_undefined:
	case DW_CFA_same_value:
	case DW_CFA_register:
	case DW_CFA_expression:
	case DW_CFA_val_expression:
		register_instruction(p, op);
		break;
	case DW_CFA_remember_state:
		remember_state(p);
		break;
	case DW_CFA_restore_state:
		restore_state(p);
		break;
	case DW_CFA_GNU_args_size:
		cursor_uleb(&p->code);
		break;
	case DW_CFA_GNU_window_save: /* on arm64 DW_CFA_AARCH64_negate_ra_state: a signed address is */
	case DW_CFA_AARCH64_negate_ra_state_with_pc: /* the same one once its upper bits are cut off */
		p->code.failed |= p->cie->arch->machine != EM_AARCH64;
		break;
	default:
		p->code.failed = true;
	}
}

/* The address of DW_CFA_set_loc, as the CIE encodes addresses: absolute, in practice by 8 bytes. */
static uint64_t set_loc(struct program *p)
{
	if (p->cie->pointer_encoding != 0)
		return cursor_fail(
			&p->code); /* relative to where it stands: no compiler writes it */
	return cursor_fixed(&p->code, 8);
}

/* Whether it is one of the longer instructions that move on; then by how much. */
static bool advance(struct program *p, uint8_t op, uint64_t *ret)
{
	uint64_t delta;

	if (op == DW_CFA_advance_loc1)
		delta = cursor_u8(&p->code);
	else if (op == DW_CFA_advance_loc2)
		delta = cursor_fixed(&p->code, 2);
	else if (op == DW_CFA_advance_loc4)
		delta = cursor_fixed(&p->code, 4);
	else if (op == DW_CFA_MIPS_advance_loc8)
		delta = cursor_fixed(&p->code, 8);
	else if (op == DW_CFA_set_loc) {
		*ret = set_loc(p) - p->next;
		return true;
	} else
		return false;
	if (__builtin_mul_overflow(delta, p->cie->code_align, ret))
		*ret = UINT64_MAX;
	return true;
}

/* Runs to the next instruction that moves on (true) or to the end. */
static bool run(struct program *p, uint64_t *ret_delta)
{
	while (p->code.p < p->code.end) {
		uint8_t op = *p->code.p++;

		switch (op & 0xc0) {
		case DW_CFA_advance_loc:
			*ret_delta = (op & 0x3f) * p->cie->code_align;
			return true;
		case DW_CFA_offset:
			set_offset(p, op & 0x3f, KYMO_UNWIND_AT_CFA,
				   (int64_t)cursor_uleb(&p->code));
			break;
		case DW_CFA_restore:
			restore(p, op & 0x3f);
			break;
		default:
			if (op == DW_CFA_def_cfa_offset)
				use_offset(&p->now, (int64_t)cursor_uleb(&p->code));
			else if (advance(p, op, ret_delta))
				return true;
			else if (op != DW_CFA_nop)
				instruction(p, op);
		}
	}
	return false;
}

/* One form for equal meanings, so that neighbours merge: nothing matters where there is no caller. */
static struct rule_words normal(const struct program *p)
{
	struct rule_words rule = p->now.rule;
	enum kymo_unwind_cfa cfa = rule_cfa_kind(rule);
	enum kymo_unwind_value ra = rule_ra_kind(rule);

	if (p->code.failed)
		return rule_of_kind(KYMO_UNWIND_CFA_UNSUPPORTED);
	if (ra == KYMO_UNWIND_UNDEFINED)
		return rule_of_kind(KYMO_UNWIND_CFA_END);
	if (cfa == KYMO_UNWIND_CFA_UNSUPPORTED || cfa == KYMO_UNWIND_CFA_GAP ||
	    ra == KYMO_UNWIND_UNKNOWN_RULE ||
	    (ra == KYMO_UNWIND_SAME && p->cie->arch->ra == UNWIND_NO_REGISTER))
		return rule_of_kind(KYMO_UNWIND_CFA_UNSUPPORTED);
	return rule;
}

bool program_next(struct program *p)
{
	uint64_t delta = 0;
	bool more;

	if (p->ended)
		return false;
	do
		more = run(p, &delta);
	while (more && !delta && !p->code.failed);
	p->ended = !more || p->code.failed;
	p->rule = normal(p);
	p->start = p->next;
	if (__builtin_add_overflow(p->next, delta, &p->next))
		p->next = UINT64_MAX;
	return true;
}

void program_init(struct program *p, const struct program_cie *cie, struct cursor code,
		  uint64_t vaddr)
{
	/* Not its 32 states: they are written before they are read. */
	p->cie = cie;
	p->code = code;
	p->code.failed |= cie->damaged;
	p->now = cie->initial;
	p->states_n = 0;
	p->next = vaddr;
	p->ended = false;
	p->values_unknown = 0;
}

/* False where the return address is in a column that there is not. */
static bool init_columns(struct program_cie *cie, uint64_t ra)
{
	memset(cie->columns, RULE_COLUMN_MAX, sizeof(cie->columns));
	cie->columns[cie->arch->fp] = RULE_FP;
	if (cie->arch->base != UNWIND_NO_REGISTER)
		cie->columns[cie->arch->base] = RULE_BASE;
	if (ra >= PROGRAM_NUMBERS_MAX)
		return false;
	cie->columns[ra] = RULE_RA;
	return true;
}

void program_cie_init(struct program_cie *cie, const struct unwind_arch *arch,
		      const struct eh_cie *from)
{
	struct cursor code = { .p = from->instructions,
			       .end = from->instructions + from->instructions_size };
	struct program p;
	uint64_t delta;

	*cie = (struct program_cie){ .arch = arch,
				     .code_align = from->code_align,
				     .data_align = from->data_align,
				     .pointer_encoding = from->pointer_encoding };
	if (from->signal)
		cie->initial.rule.high = (uint64_t)KYMO_UNWIND_SIGNAL << RULE_FLAGS_SHIFT;
	/* Many descriptions may claim many overlapping CIEs: the work for each is bounded. */
	cie->damaged = !init_columns(cie, from->return_register) ||
		       from->instructions_size > PROGRAM_CIE_BYTES_MAX ||
		       from->code_align > PROGRAM_CODE_ALIGN_MAX;
	if (cie->damaged)
		return;
	program_init(&p, cie, code, 0);
	cie->damaged = run(&p, &delta) || p.code.failed;
	cie->initial = p.now;
}
