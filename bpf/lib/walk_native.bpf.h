/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The walk of native frames. s->native holds the registers of the frame at hand; native_step() goes
 * to its caller by the rule of .eh_frame for its pc. Where no rule is known, by the frame pointer.
 */
#ifndef KYMO_BPF_WALK_NATIVE_H
#define KYMO_BPF_WALK_NATIVE_H

#include "lib/unwind.bpf.h"

/* No user address lies below (vm.mmap_min_addr is at least a page, and 0 is no frame). */
#define USER_LOWEST	     4096

#define REGISTER_BIT(number) (1U << (number))
#define RSP		     KYMO_UNWIND_X86_RSP
#define RBP		     KYMO_UNWIND_X86_RBP
#define RBX		     KYMO_UNWIND_X86_RBX
#define WORD		     8

/* The kernel's frame for a signal handler: where the interrupted registers lie above its CFA's base. */
#define SIGNAL_RSP	 160
#define SIGNAL_REGISTERS 40 /* r8 */
#define SIGNAL_WORDS	 17

/*
 * Reads the window anew, from a little below the address: saved registers lie below the return address that is
 * asked for first. One read costs about 95 ns whether it is of 8 bytes or 512, and twice that of 4 KiB: the
 * first is small, as most stacks are. 0, or -1: it reaches beyond the stack's last page.
 */
__weak __noinline int window_read(__u32 slot, __u64 address)
{
	struct scratch *s = scratch_get(slot);
	__u64 start = address - STACK_WINDOW_BELOW;
	struct native_walk *n;

	if (!s)
		return -1;
	n = &s->native;
	if (n->registers[RSP] <= address && n->registers[RSP] > start)
		start = n->registers[RSP];
	n->window_bytes = 0;
	n->window_start = start;
	if (n->windows++ && !read_user(n->window, STACK_WINDOW_BYTES, start)) {
		n->window_bytes = STACK_WINDOW_BYTES - WORD + 1;
		return 0;
	}
	if (read_user(n->window, STACK_WINDOW_FIRST, start))
		return -1;
	n->window_bytes = STACK_WINDOW_FIRST - WORD + 1;
	return 0;
}

/* A word of the stack, from the window; where a whole window cannot be read exactly these 8 bytes. */
static __always_inline int stack_read(struct scratch *s, __u32 slot, __u64 address, __u64 *ret)
{
	struct native_walk *n = &s->native;
	__u64 offset = address - n->window_start;

	if (offset >= n->window_bytes) {
		if (window_read(slot, address))
			return read_user(ret, WORD, address);
		offset = address - n->window_start;
	}
	opaque(offset);
	offset &= STACK_WINDOW_BYTES - 1;
	__builtin_memcpy(ret, n->window + offset, WORD);
	return 0;
}

/* The pc must lie in an executable mapping. KYMO_END_NONE or the end. */
static __always_inline int native_check_pc(struct scratch *s, __u32 slot)
{
	if ((!mapping_has(s, s->native.ip) && mapping_find(slot, s->native.ip)) ||
	    !(s->mapping.flags & VM_EXEC))
		return KYMO_END_NOT_EXECUTABLE;
	return KYMO_END_NONE;
}

/* Of the frame at hand: enum kymo_frame_flag. */
static __always_inline __u32 native_flags(const struct scratch *s)
{
	return (s->native.exact ? 0 : KYMO_FRAME_RETURN_ADDRESS) |
	       (s->native.by_fp ? KYMO_FRAME_BY_FP : 0);
}

/* Emits the frame at hand. KYMO_END_NONE or the end. */
static __always_inline int native_emit(struct scratch *s)
{
	return frame_add_native(s, s->native.ip, native_flags(s)) ? KYMO_END_TOO_DEEP
								  : KYMO_END_NONE;
}

/* To the caller's frame, by the frame pointer. KYMO_END_NONE or the end. */
__weak __noinline int native_step_by_fp(__u32 slot)
{
	struct scratch *s = scratch_get(slot);
	__u64 bp, ip = 0, next = 0;

	if (!s)
		return KYMO_END_NO_RULE;
	bp = s->native.registers[RBP];
	if (!(s->native.known & REGISTER_BIT(RBP)))
		return KYMO_END_NO_RULE;
	if (!bp)
		return KYMO_END_FP_ZERO;
	/*
	 * A frame lies above what is already unwound: anything else is a register used for
	 * something else.
	 */
	if ((bp & 7) || bp < s->native.registers[RSP] || bp < USER_LOWEST)
		return KYMO_END_FP_BROKEN;
	if (stack_read(s, slot, bp, &next) || stack_read(s, slot, bp + WORD, &ip))
		return KYMO_END_UNREADABLE;
	s->native.registers[RSP] = bp + 2 * WORD;
	s->native.registers[RBP] = next;
	s->native.known = REGISTER_BIT(RSP) | REGISTER_BIT(RBP);
	s->native.ip = ip;
	s->native.leaf = 0;
	s->native.exact = 0;
	s->native.by_fp = 1;
	return ip ? KYMO_END_NONE : KYMO_END_FP_ZERO;
}

/* 0, or -1: no frame kept it. */
static __always_inline int register_get(const struct scratch *s, __u32 number, __u64 *ret)
{
	__u64 i = number;

	if (number >= NATIVE_REGISTERS || !(s->native.known >> number & 1))
		return -1;
	opaque(i);
	i &= NATIVE_REGISTERS - 1;
	*ret = s->native.registers[i];
	return 0;
}

/* The frame's CFA by its rule. KYMO_END_NONE or the end. */
static __always_inline int cfa_find(struct scratch *s, __u32 slot,
				    const struct kymo_unwind_rule *rule, __u64 *ret)
{
	__u32 kind = rule->cfa_kind, number = rule->cfa_register;
	__u64 value = 0;

	if (kind == KYMO_UNWIND_CFA_PLT)
		value = s->native.registers[RSP] + ((s->native.ip & 15) >= number ? WORD : 0);
	else if (register_get(s, number, &value))
		return KYMO_END_NO_RULE;
	else if (kind == KYMO_UNWIND_CFA_INDEXED)
		value = s->native.registers[RSP] + value * WORD;
	value += (__s64)rule->cfa_offset;
	if (kind == KYMO_UNWIND_CFA_DEREF || kind == KYMO_UNWIND_CFA_INDEXED) {
		if (stack_read(s, slot, value, &value))
			return KYMO_END_UNREADABLE;
		value += (__s64)rule->cfa_add * WORD;
	}
	*ret = value;
	return KYMO_END_NONE;
}

struct native_value {
	__u32 kind, number;
	__s32 offset; /* words */
	__u32 own;    /* the register's own number; NATIVE_REGISTERS = it has none */
};

/* What the caller had in a register. 0, or an end: KYMO_END_NO_RULE when it is lost. */
static __always_inline int value_find(struct scratch *s, __u32 slot, struct native_value v,
				      __u64 cfa, __u64 *ret)
{
	__u64 base = cfa;

	if (v.kind == KYMO_UNWIND_SAME)
		return register_get(s, v.own, ret) ? KYMO_END_NO_RULE : 0;
	if (v.kind == KYMO_UNWIND_IN_REGISTER)
		return register_get(s, v.number, ret) ? KYMO_END_NO_RULE : 0;
	if (v.kind == KYMO_UNWIND_OF_CFA) {
		*ret = cfa + (__s64)v.offset * WORD;
		return 0;
	}
	if (v.kind == KYMO_UNWIND_AT_REGISTER) {
		if (register_get(s, v.number, &base))
			return KYMO_END_NO_RULE;
	} else if (v.kind != KYMO_UNWIND_AT_CFA) {
		return KYMO_END_NO_RULE;
	}
	return stack_read(s, slot, base + (__s64)v.offset * WORD, ret) ? KYMO_END_UNREADABLE : 0;
}

/*
 * The registers that an interrupted leaf may be described by, which no rule gives back: as the
 * kernel saved them. Read into the window, which then is none.
 */
static __always_inline __u32 signal_registers(struct native_walk *n)
{
	const __u64 *saved = (const __u64 *)n->window;

	n->window_bytes = 0;
	n->window_start = 0;
	if (read_user(n->window, SIGNAL_WORDS * WORD, n->registers[RSP] + SIGNAL_REGISTERS))
		return 0;
#pragma unroll
	for (int i = 0; i < 8; i++)
		n->registers[8 + i] = saved[i];
	n->registers[0] = saved[13];
	n->registers[1] = saved[12];
	n->registers[2] = saved[14];
	n->registers[4] = saved[9];
	n->registers[5] = saved[8];
	return REGISTER_BIT(16) - 1 - REGISTER_BIT(RSP) - REGISTER_BIT(RBP) - REGISTER_BIT(RBX);
}

/* A stack grows downwards; at the leaf the caller's may begin where this one does (vfork). */
static __always_inline bool is_above(const struct native_walk *n,
				     const struct kymo_unwind_rule *rule, __u64 cfa)
{
	if (rule->flags & (KYMO_UNWIND_SIGNAL | KYMO_UNWIND_OTHER_STACK))
		return true; /* the handler may have run on another stack */
	return cfa > n->registers[RSP] || (cfa == n->registers[RSP] && n->exact);
}

static __always_inline int step_by_rule(struct scratch *s, __u32 slot)
{
	const struct kymo_unwind_rule rule = s->rule;
	struct native_value ra = { rule.ra_kind, rule.ra_register, rule.ra_offset,
				   NATIVE_REGISTERS };
	struct native_value fp = { rule.fp_kind, rule.fp_register, rule.fp_offset, RBP };
	struct native_value base = { rule.base_kind, rule.base_register, rule.base_offset, RBX };
	__u64 cfa = 0, ip = 0, bp = 0, bx = 0;
	__u32 known = REGISTER_BIT(RSP);
	int end = cfa_find(s, slot, &rule, &cfa);

	if (end)
		return end;
	if ((rule.flags & KYMO_UNWIND_OTHER_STACK) && !s->native.registers[RBP])
		return KYMO_END_WHOLE;
	if (!is_above(&s->native, &rule, cfa))
		return KYMO_END_NO_RULE;
	end = value_find(s, slot, ra, cfa, &ip);
	if (end)
		return end;
	if (!value_find(s, slot, fp, cfa, &bp))
		known |= REGISTER_BIT(RBP);
	if (!value_find(s, slot, base, cfa, &bx))
		known |= REGISTER_BIT(RBX);
	s->native.exact = rule.flags & KYMO_UNWIND_SIGNAL;
	if (rule.cfa_kind == KYMO_UNWIND_CFA_DEREF && rule.cfa_register == RSP &&
	    rule.cfa_offset == SIGNAL_RSP && s->native.exact)
		known |= signal_registers(&s->native);
	s->native.registers[RSP] = cfa;
	s->native.registers[RBP] = bp;
	s->native.registers[RBX] = bx;
	s->native.known = known;
	s->native.ip = ip;
	s->native.leaf = 0;
	s->native.by_fp = 0;
	return ip ? KYMO_END_NONE : KYMO_END_FP_ZERO;
}

/* To the caller's frame. KYMO_END_NONE or the end. */
static __always_inline int native_step(struct scratch *s, __u32 slot)
{
	int found = unwind_find(s, slot);
	__u32 kind;

	if (found == RULE_CHANGED)
		found = unwind_find_again(slot);
	if (found == RULE_NOT_MAPPED)
		return KYMO_END_NOT_EXECUTABLE;
	if (found != RULE_FOUND)
		return KYMO_END_NO_RULE;
	kind = s->rule.cfa_kind;
	if (kind == KYMO_UNWIND_CFA_END)
		return KYMO_END_WHOLE;
	if (kind == KYMO_UNWIND_CFA_GAP)
		return native_step_by_fp(slot);
	if (kind >= KYMO_UNWIND_CFA_UNSUPPORTED)
		return KYMO_END_NO_RULE;
	return step_by_rule(s, slot);
}

#endif
