/* SPDX-License-Identifier: Apache-2.0 */
#include "unwind/go.h"

#include "unwind/bases.h"

#define WORD	     8
#define DEPTH_MAX    (1 << 24)
#define SIGNAL_WORDS 20 /* of the kernel's frame, from its base: the registers RSP, */
#define SIGNAL_RBP   15
#define SIGNAL_RBX   16
#define SIGNAL_RIP   21

static bool moves_stack(const struct gopclntab *g, const struct gopclntab_function *f)
{
	struct gopclntab_depth d = { .at = f->depths };

	while (d.end < f->end - f->start && gopclntab_next(g, &d))
		if (d.depth)
			return true;
	return false;
}

/*
 * Bases do not move the stack pointer at all or set it anew. One that only moves it is the handler of signals, at
 * which Go's own walk ends too: we go on to what was interrupted.
 */
enum go_kind go_kind(const struct gopclntab *g, const struct gopclntab_function *f,
		     const struct elf_file *file, uint64_t offset)
{
	bool switches = f->flags & GOPCLNTAB_SWITCHES;

	if ((f->flags & GOPCLNTAB_TOP) && (switches || !moves_stack(g, f)))
		return GO_END;
	if ((f->flags & GOPCLNTAB_ASSEMBLY) && bases_returns_from_signal(file, offset))
		return GO_SIGNAL;
	return switches ? GO_SWITCHES : GO_PLAIN;
}

static struct rule_words signal_rule(void)
{
	const struct kymo_unwind_rule rule = { .cfa_kind = KYMO_UNWIND_CFA_DEREF,
					       .cfa_register = KYMO_UNWIND_X86_RSP,
					       .cfa_offset = SIGNAL_WORDS * WORD,
					       .ra_kind = KYMO_UNWIND_AT_REGISTER,
					       .ra_register = KYMO_UNWIND_X86_RSP,
					       .ra_offset = SIGNAL_RIP,
					       .fp_kind = KYMO_UNWIND_AT_REGISTER,
					       .fp_register = KYMO_UNWIND_X86_RSP,
					       .fp_offset = SIGNAL_RBP,
					       .base_kind = KYMO_UNWIND_AT_REGISTER,
					       .base_register = KYMO_UNWIND_X86_RSP,
					       .base_offset = SIGNAL_RBX,
					       .flags = KYMO_UNWIND_SIGNAL };
	struct rule_words words;

	memcpy(&words, &rule, sizeof(words));
	return words;
}

struct rule_words go_rule(enum go_kind kind, int64_t depth)
{
	struct rule_words rule = { 0 };
	/* Every function that has a frame keeps the frame pointer on top of it. */
	bool has_frame = depth >= WORD;
	bool switched = kind == GO_SWITCHES && has_frame;

	if (kind == GO_END)
		return rule_of_kind(KYMO_UNWIND_CFA_END);
	if (kind == GO_SIGNAL)
		return signal_rule();
	if (depth < 0 || depth > DEPTH_MAX)
		return rule_of_kind(KYMO_UNWIND_CFA_UNSUPPORTED);
	rule_set_cfa(&rule, KYMO_UNWIND_CFA_REGISTER,
		     switched ? KYMO_UNWIND_X86_RBP : KYMO_UNWIND_X86_RSP,
		     switched ? 2 * WORD : (int32_t)depth + WORD, 0);
	rule_set_value(&rule, RULE_RA, (struct rule_value){ KYMO_UNWIND_AT_CFA, 0, -1 });
	if (has_frame)
		rule_set_value(&rule, RULE_FP, (struct rule_value){ KYMO_UNWIND_AT_CFA, 0, -2 });
	rule_set_value(&rule, RULE_BASE, (struct rule_value){ KYMO_UNWIND_UNDEFINED, 0, 0 });
	if (switched)
		rule.high |= (uint64_t)KYMO_UNWIND_OTHER_STACK << RULE_FLAGS_SHIFT;
	return rule;
}
