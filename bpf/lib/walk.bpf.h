/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The user stack of the current task: native and Python frames in true call order. */
#ifndef KYMO_BPF_WALK_H
#define KYMO_BPF_WALK_H

#include "lib/interpreter.bpf.h"
#include "lib/walk_native.bpf.h"
#include "lib/walk_python.bpf.h"

#define WALK_STEPS 64
static_assert(KYMO_USER_FRAMES_MAX % WALK_STEPS == 0, "whole turns");

/*
 * The pc of the frame at hand is inside the interpreter's eval loop. A return address may be the
 * byte behind it.
 */
static __always_inline bool in_eval_loop(const struct scratch *s)
{
	__u64 pc = s->native.ip - !s->native.exact;
	__u64 offset = pc - s->process.load_bias - s->binary.text_offset_bias;

#pragma unroll
	for (__u32 i = 0; i < KYMO_PYTHON_EVAL_RANGES; i++)
		if (offset >= s->binary.eval[i].start && offset < s->binary.eval[i].end)
			return true;
	return false;
}

static __always_inline void mark_take(struct scratch *s)
{
	struct walk_mark *m = &s->before_loop;

	m->ip = s->native.ip;
	m->sp = s->native.registers[RSP];
	m->python_frame = s->python.frame;
	m->python_loop = s->python.loop;
	m->flags = native_flags(s);
	m->user_frames = s->record.head.user_frames;
}

/*
 * Behind the frames of an eval loop and the step to its caller: whether they are its own. Where it has not linked its frame in
 * yet, or no longer, the newest ones are those of the loop before, as where they lie shows: then it is a native frame.
 */
static __always_inline int keep_if_of_loop(struct scratch *s)
{
	const struct walk_mark *m = &s->before_loop;
	__u64 loop = s->python.loop;

	if (!loop || (loop >= m->sp && loop < s->native.registers[RSP])) {
		s->python.loop = 0;
		return KYMO_END_NONE;
	}
	s->python.frame = m->python_frame;
	s->python.loop = m->python_loop;
	s->python.done = 0;
	s->record.head.user_frames = m->user_frames;
	return frame_add_native(s, m->ip, m->flags) ? KYMO_END_TOO_DEEP : KYMO_END_NONE;
}

/*
 * One native frame, or the Python frames that it stands for; then to its caller. KYMO_END_NONE to
 * go on.
 */
__weak __noinline int walk_step(__u32 slot)
{
	struct scratch *s = scratch_get(slot);
	int end = KYMO_END_NONE;
	bool in_loop, python;

	if (!s)
		return KYMO_END_NO_RULE;
	if (!s->native.leaf)
		end = native_check_pc(s, slot);
	if (end)
		return end;
	in_loop = s->python.active && in_eval_loop(s);
	python = in_loop && !s->python.done;
	if (in_loop && !python)
		s->python.spare_loops++;
	if (python) {
		mark_take(s);
		end = python_segment(slot);
	} else {
		end = native_emit(s);
	}
	if (!end)
		end = native_step(s, slot);
	return python && !end ? keep_if_of_loop(s) : end;
}

/*
 * Some steps. Global, for the sake of the verifier: of a single loop over all frames it follows every turn, and gives
 * up after 8,192 branches. KYMO_END_NONE to go on.
 */
__weak __noinline int walk_some(__u32 slot)
{
	int end = KYMO_END_NONE;

	for (__u32 i = 0; i < WALK_STEPS; i++) {
		end = walk_step(slot);
		if (end)
			return end;
	}
	return KYMO_END_NONE;
}

static __always_inline int walk_by_steps(__u32 slot)
{
	int end = KYMO_END_NONE;

	for (__u32 i = 0; i < KYMO_USER_FRAMES_MAX / WALK_STEPS; i++) {
		end = walk_some(slot);
		if (end)
			return end;
	}
	return KYMO_END_TOO_DEEP;
}

/* A leaf may be described by any of them: rax, rdx, rcx, rbx, rsi, rdi, rbp, rsp, r8 to r15. */
static __always_inline void registers_take(struct native_walk *to, const struct pt_regs *from)
{
	to->registers[0] = from->ax;
	to->registers[1] = from->dx;
	to->registers[2] = from->cx;
	to->registers[3] = from->bx;
	to->registers[4] = from->si;
	to->registers[5] = from->di;
	to->registers[6] = from->bp;
	to->registers[7] = from->sp;
	to->registers[8] = from->r8;
	to->registers[9] = from->r9;
	to->registers[10] = from->r10;
	to->registers[11] = from->r11;
	to->registers[12] = from->r12;
	to->registers[13] = from->r13;
	to->registers[14] = from->r14;
	to->registers[15] = from->r15;
	to->known = (1U << NATIVE_REGISTERS) - 1;
}

/*
 * Takes the registers of the user side from where the kernel was entered: right from user and from
 * kernel mode. Global: its copy of the registers leaves the stack before the walk. 0, 32-bit: 1, or
 * -1.
 */
__weak __noinline int walk_begin(__u32 slot)
{
	struct scratch *s = scratch_get(slot);
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs regs;

	if (!s || read_kernel(&regs, sizeof(regs), (__u64)bpf_task_pt_regs(task)))
		return -1;
	s->native.ip = regs.ip;
	registers_take(&s->native, &regs);
	s->native.fs_base = task->thread.fsbase;
	s->native.leaf = 1;
	s->native.exact = 1;
	s->native.by_fp = 0;
	s->native.window_bytes = 0;
	s->native.window_start = 0;
	s->native.windows = 0;
	s->python.futex = regs.orig_ax == KYMO_SYSCALL_FUTEX ? regs.di : 0;
	s->python.thread_state = 0;
	s->python.frame = 0;
	s->python.active = 0;
	s->python.done = 0;
	s->python.codes = 0;
	return (regs.cs & KYMO_CS_SELECTOR_MASK) == KYMO_CS_USER_32;
}

/* Whether the walk gets through the interpreter itself: by rules or by the frame pointer that it keeps. */
static __always_inline bool passes_interpreter(const struct scratch *s)
{
	struct kymo_file_key key = s->process.file;
	struct kymo_unwind_file *file = bpf_map_lookup_elem(&unwind_files, &key);

	return s->binary.frame_pointers || (file && file->pages);
}

/*
 * An interpreter without rules that does not keep the frame pointer: rbp is never followed through it. The native
 * frame that was interrupted, then all Python frames; callers in C stay unknown.
 */
static __always_inline int walk_without_rules(struct scratch *s, __u32 slot)
{
	int end = KYMO_END_NONE;

	if (!in_eval_loop(s))
		end = native_emit(s);
	if (!end)
		end = python_rest(slot);
	if (s->python.done)
		python_thread_name(slot);
	return end ? end : KYMO_END_NO_RULE;
}

/*
 * Up to 3.10 a frame does not say which loop it is of. A loop too many at the end of the stack may be the newest one's, whose
 * frame is not linked in yet or no longer: once more, from that frame on.
 */
static __always_inline int walk_from_unlinked(struct scratch *s, __u32 slot, int end)
{
	__u64 frame;

	if (walk_begin(slot) < 0)
		return end;
	frame = python_unlinked(slot);
	if (!frame)
		return end;
	s->record.head.user_frames = 0;
	s->python.frame = frame;
	s->python.active = 1;
	s->python.spare_loops = 0;
	return walk_by_steps(slot);
}

static __always_inline int walk_with_python(struct scratch *s, __u32 slot)
{
	int python, end;

	s->record.head.state |= KYMO_STATE_PYTHON;
	python = python_begin(slot);
	if (s->record.head.source != KYMO_SOURCE_IO)
		s->record.head.aux = s->python.gil;
	if (s->python.active && !passes_interpreter(s))
		return walk_without_rules(s, slot);
	end = walk_by_steps(slot);
	if (s->python.spare_loops && s->layout.boundary == KYMO_PYTHON_BOUNDARY_EACH)
		end = walk_from_unlinked(s, slot, end);
	if (s->python.spare_loops)
		count(KYMO_COUNTER_PYTHON_DOUBTFUL);
	if (s->python.active && !s->python.done && end != KYMO_END_TOO_DEEP &&
	    end != KYMO_END_PYTHON_TORN && end != KYMO_END_PYTHON_UNREADABLE)
		python = python_rest(slot);
	if (s->python.done)
		python_thread_name(slot);
	return python ? python : end;
}

/* Walks the user stack of the current task, which has a memory map. Returns how it ended. */
static __always_inline int walk_user(struct scratch *s, __u32 slot)
{
	int r = walk_begin(slot);

	if (r < 0 || mapping_begin(slot))
		return KYMO_END_UNREADABLE;
	/* A 32-bit program: frames of another size. */
	if (r > 0)
		return native_emit(s) ? KYMO_END_TOO_DEEP : KYMO_END_NO_RULE;
	if (interpreter_find(slot))
		return walk_with_python(s, slot);
	return walk_by_steps(slot);
}

#endif
