/* SPDX-License-Identifier: Apache-2.0 */
#include "unwind/step.h"

#define WORD		 8
#define SIGNAL_REGISTERS 16

struct step {
	const struct unwind_arch *arch;
	const struct kymo_unwind_rule *rule;
	const struct unwind_frame *from;
	unwind_read_fn read;
	void *data;
	uint64_t cfa;
};

static bool get(const struct unwind_frame *f, uint8_t reg, uint64_t *ret)
{
	*ret = f->registers[reg];
	return f->known & (1U << reg);
}

/* What the rule's offset is added to. */
static bool find_base(const struct step *s, uint64_t *ret)
{
	const struct kymo_unwind_rule *rule = s->rule;
	uint64_t index;

	if (rule->cfa_kind != KYMO_UNWIND_CFA_PLT && rule->cfa_kind != KYMO_UNWIND_CFA_INDEXED)
		return get(s->from, rule->cfa_register, ret);
	*ret = s->from->registers[s->arch->sp];
	if (rule->cfa_kind == KYMO_UNWIND_CFA_PLT) {
		*ret += (s->from->pc & 15) >= rule->cfa_register ? WORD : 0;
		return true;
	}
	if (!get(s->from, rule->cfa_register, &index))
		return false;
	*ret += index * WORD;
	return true;
}

static enum unwind_step find_cfa(struct step *s)
{
	const struct kymo_unwind_rule *rule = s->rule;
	uint64_t value;

	if (rule->cfa_kind == KYMO_UNWIND_CFA_END)
		return UNWIND_STEP_END;
	if (rule->cfa_kind == KYMO_UNWIND_CFA_GAP)
		return UNWIND_STEP_GAP;
	if (rule->cfa_kind >= KYMO_UNWIND_CFA_UNSUPPORTED)
		return UNWIND_STEP_UNSUPPORTED;
	if (!find_base(s, &value))
		return UNWIND_STEP_LOST;
	value += (uint64_t)(int64_t)rule->cfa_offset;
	if (rule->cfa_kind == KYMO_UNWIND_CFA_DEREF || rule->cfa_kind == KYMO_UNWIND_CFA_INDEXED) {
		if (s->read(s->data, value, &value) < 0)
			return UNWIND_STEP_UNREADABLE;
		value += (uint64_t)(int64_t)rule->cfa_add * WORD;
	}
	s->cfa = value;
	return UNWIND_STEP_OK;
}

/* One register of the caller, where `own` is its number here. */
static enum unwind_step find_value(const struct step *s, uint8_t own, uint8_t kind, uint8_t reg,
				   int16_t offset, uint64_t *ret)
{
	uint64_t distance = (uint64_t)((int64_t)offset * WORD), base;

	switch (kind) {
	case KYMO_UNWIND_SAME:
		return own < UNWIND_REGISTERS && get(s->from, own, ret) ? UNWIND_STEP_OK
									: UNWIND_STEP_LOST;
	case KYMO_UNWIND_IN_REGISTER:
		return get(s->from, reg, ret) ? UNWIND_STEP_OK : UNWIND_STEP_LOST;
	case KYMO_UNWIND_OF_CFA:
		*ret = s->cfa + distance;
		return UNWIND_STEP_OK;
	case KYMO_UNWIND_AT_CFA:
		base = s->cfa;
		break;
	case KYMO_UNWIND_AT_REGISTER:
		if (!get(s->from, reg, &base))
			return UNWIND_STEP_LOST;
		break;
	default:
		return UNWIND_STEP_LOST;
	}
	return s->read(s->data, base + distance, ret) < 0 ? UNWIND_STEP_UNREADABLE : UNWIND_STEP_OK;
}

static void keep(struct unwind_frame *to, uint8_t reg, enum unwind_step found, uint64_t value)
{
	if (found != UNWIND_STEP_OK)
		return;
	to->registers[reg] = value;
	to->known |= 1U << reg;
}

/*
 * The registers that an interrupted leaf may be described by, which no rule gives back. Only from a
 * frame that the kernel made: its CFA is the stack pointer in it.
 */
static void keep_interrupted(const struct step *s, struct unwind_frame *to)
{
	const struct kymo_unwind_rule *rule = s->rule;
	const uint8_t *words = s->arch->signal_words;
	uint64_t sp = s->from->registers[s->arch->sp], value;

	if (!words || rule->cfa_kind != KYMO_UNWIND_CFA_DEREF ||
	    rule->cfa_register != s->arch->sp || rule->cfa_offset != words[s->arch->sp] * WORD)
		return;
	for (uint8_t reg = 0; reg < SIGNAL_REGISTERS; reg++)
		if (!(to->known & (1U << reg)) &&
		    s->read(s->data, sp + (uint64_t)words[reg] * WORD, &value) == 0)
			keep(to, reg, UNWIND_STEP_OK, value);
}

/* A stack grows downwards, so a caller's frame lies above; at the leaf it may begin where this one does (vfork, arm64). */
static bool is_above(const struct step *s)
{
	uint64_t sp = s->from->registers[s->arch->sp];

	if (s->rule->flags & (KYMO_UNWIND_SIGNAL | KYMO_UNWIND_OTHER_STACK))
		return true; /* the handler may have run on another stack */
	return s->cfa > sp || (s->cfa == sp && s->from->exact);
}

enum unwind_step unwind_step(const struct unwind_arch *arch, const struct kymo_unwind_rule *rule,
			     struct unwind_frame *frame, unwind_read_fn read, void *data)
{
	struct step s = { .arch = arch, .rule = rule, .from = frame, .read = read, .data = data };
	struct unwind_frame to = { .signal = rule->flags & KYMO_UNWIND_SIGNAL };
	enum unwind_step r = find_cfa(&s);
	uint64_t value = 0;

	if (r != UNWIND_STEP_OK)
		return r;
	if ((rule->flags & KYMO_UNWIND_OTHER_STACK) && !frame->registers[arch->fp])
		return UNWIND_STEP_END;
	if (!is_above(&s))
		return UNWIND_STEP_NOT_ABOVE;
	r = find_value(&s, arch->ra, rule->ra_kind, rule->ra_register, rule->ra_offset, &to.pc);
	if (r != UNWIND_STEP_OK)
		return r;
	keep(&to, arch->sp, UNWIND_STEP_OK, s.cfa);
	r = find_value(&s, arch->fp, rule->fp_kind, rule->fp_register, rule->fp_offset, &value);
	keep(&to, arch->fp, r, value);
	if (arch->base != UNWIND_NO_REGISTER) {
		r = find_value(&s, arch->base, rule->base_kind, rule->base_register,
			       rule->base_offset, &value);
		keep(&to, arch->base, r, value);
	}
	to.exact = to.signal;
	if (to.signal)
		keep_interrupted(&s, &to);
	*frame = to;
	return UNWIND_STEP_OK;
}
