/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The walk of native frames. s->native holds the registers of the frame at hand; native_step() goes
 * to its caller by the rule for its pc. The rule there is now: the frame pointer.
 */
#ifndef KYMO_BPF_WALK_NATIVE_H
#define KYMO_BPF_WALK_NATIVE_H

#include "lib/mapping.bpf.h"

/* No user address lies below (vm.mmap_min_addr is at least a page, and 0 is no frame). */
#define USER_LOWEST 4096

/*
 * Two adjacent words of the stack, from the window: one read costs about 95 ns whether it is of 8
 * bytes or 512. Where a whole window cannot be read (the stack's last page), exactly these.
 */
static __always_inline int stack_read_pair(struct scratch *s, __u64 address, __u64 pair[2])
{
	struct native_walk *n = &s->native;
	__u64 offset = address - n->window_start;

	if (!n->window_start || offset > STACK_WINDOW_BYTES - 16) {
		n->window_start = 0;
		if (read_user(n->window, STACK_WINDOW_BYTES, address))
			return read_user(pair, 16, address);
		n->window_start = address;
		offset = 0;
	}
	opaque(offset);
	offset &= STACK_WINDOW_BYTES - 1;
	__builtin_memcpy(&pair[0], n->window + offset, 8);
	__builtin_memcpy(&pair[1], n->window + offset + 8, 8);
	return 0;
}

/* The pc must lie in an executable mapping. KYMO_END_NONE or the end. */
static __always_inline int native_check_pc(struct scratch *s, __u32 slot)
{
	if (mapping_find(slot, s->native.ip) || !(s->mapping.flags & VM_EXEC))
		return KYMO_END_NOT_EXECUTABLE;
	return KYMO_END_NONE;
}

/* Emits the frame at hand. KYMO_END_NONE or the end. */
static __always_inline int native_emit(struct scratch *s)
{
	__u32 flags = s->native.leaf ? 0 : KYMO_FRAME_RETURN_ADDRESS | KYMO_FRAME_BY_FP;

	return frame_add_native(s, s->native.ip, flags) ? KYMO_END_TOO_DEEP : KYMO_END_NONE;
}

/* To the caller's frame, by the frame pointer. KYMO_END_NONE or the end. */
static __always_inline int native_step_by_fp(struct scratch *s)
{
	struct native_walk *n = &s->native;
	__u64 pair[2] = { 0, 0 };

	if (!n->bp)
		return KYMO_END_FP_ZERO;
	/*
	 * A frame lies above what is already unwound: anything else is a register used for
	 * something else.
	 */
	if ((n->bp & 7) || n->bp < n->sp || n->bp < USER_LOWEST)
		return KYMO_END_FP_BROKEN;
	if (stack_read_pair(s, n->bp, pair))
		return KYMO_END_UNREADABLE;
	n->sp = n->bp + 16;
	n->bp = pair[0];
	n->ip = pair[1];
	n->leaf = 0;
	return n->ip ? KYMO_END_NONE : KYMO_END_FP_ZERO;
}

#endif
