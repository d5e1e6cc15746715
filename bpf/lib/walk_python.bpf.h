/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The walk of CPython's frames. Called by walk.bpf.h, which has found the interpreter before: scratch
 * holds `process` (load_bias), `binary`, `layout` (copies), native.fs_base and python.futex.
 *
 *   python_begin(slot)    finds the thread state and its newest frame: sets s->python.active where there are
 *                         frames, and the bits of s->record.head.state (GIL, GC).
 *   python_segment(slot)  emits (frame_add_python) the frames of one native eval loop, up to and including
 *                         its boundary frame. Sets s->python.done when no frame is left.
 *   python_rest(slot)     emits all that are left.
 *   python_thread_name(slot)   behind the last frame: the name of a threading.Thread, when it is time to look.
 *
 * Each returns 0 (KYMO_END_NONE) or the enum kymo_end that ends the stack, after counting it; frames emitted so far stay.
 * Code objects are copied out as KYMO_RECORD_CODE with s->record.head.head.time_ns as their time.
 * Global functions with a slot number each: verified apart from their callers. Also built natively (native.h stands in for the kernel).
 */
#ifndef KYMO_BPF_WALK_PYTHON_H
#define KYMO_BPF_WALK_PYTHON_H

#include "lib/common.bpf.h"
#include "lib/python_code.bpf.h"
#include "lib/python_thread.bpf.h"

/* glibc keeps so many values of pthread keys in the thread's own block. */
#define PTHREAD_KEYS_INLINE 32
/* 3.6's lock lies in the same .bss as the one symbol of it that is exported. */
#define GIL_NEAR_BYTES 0x10000
/* Frames and shims of one stack. */
#define PYTHON_STEPS_MAX (KYMO_USER_FRAMES_MAX + KYMO_USER_FRAMES_MAX / 4)
/* In two loops, one in the other: of one over all the verifier follows every turn, and gives up. */
#define PYTHON_STEPS 64
static_assert(PYTHON_STEPS_MAX % PYTHON_STEPS == 0, "whole turns");
/* Of the stack: an eval loop has 300 bytes of its own, then registers that it saved. */
#define UNLINKED_WORDS 64
/* An eval loop that has just begun has one frame; a caller's may have more. */
#define PYTHON_PROLOGUE_STEPS 64

/* The thread state that a value of a pthread key is: 0 with s->python.head, or -1 when it is none of this thread's. */
static __always_inline int python_thread_state_at(struct scratch *s, __u64 address)
{
	__u64 value = 0;

	if (read_user(&value, sizeof(value), address))
		return -1;
	/* The key may be another library's while the interpreter starts or ends. */
	if (!value || read_user(s->python.head, KYMO_PYTHON_THREAD_STATE_BYTES, value) ||
	    head_u64(s, s->layout.ts_thread_id) != s->native.fs_base)
		return -1;
	s->python.thread_state = value;
	return 0;
}

/* 0, or -1: no thread of the interpreter. s->python.head holds the thread state. */
static __always_inline int python_thread_state(struct scratch *s)
{
	__u64 values = 0;
	__u32 key = 0;

	if (read_user(&key, sizeof(key), s->process.load_bias + s->binary.key_vaddr) ||
	    key >= PTHREAD_KEYS_INLINE)
		return -1;
	/* struct pthread_key_data: a sequence number, then the value */
	if (s->binary.tls_specific &&
	    !python_thread_state_at(s, s->native.fs_base + s->binary.tls_specific + key * 16 + 8))
		return 0;
	if (!s->binary.tls_values ||
	    read_user(&values, sizeof(values), s->native.fs_base + s->binary.tls_values))
		return -1;
	return python_thread_state_at(s, values + key * 8);
}

/* Where the state that runs is kept; 0 = nowhere. */
static __always_inline __u64 python_current_at(const struct scratch *s)
{
	if (s->layout.gil == KYMO_PYTHON_GIL_CURRENT)
		return s->process.load_bias + s->binary.gil_vaddr;
	if (s->layout.runtime_current)
		return s->process.load_bias + s->binary.runtime_vaddr + s->layout.runtime_current;
	return 0;
}

/*
 * Up to 3.11 the key keeps the thread's first state while it runs in a sub-interpreter; the state that runs is then another
 * one of the same thread.
 */
static __always_inline void python_thread_state_runs(struct scratch *s)
{
	__u64 at = python_current_at(s), current = 0, key = s->python.thread_state;

	if (!at || read_user(&current, sizeof(current), at) || !current || current == key)
		return;
	if (!read_user(s->python.head, KYMO_PYTHON_THREAD_STATE_BYTES, current) &&
	    head_u64(s, s->layout.ts_thread_id) == s->native.fs_base) {
		s->python.thread_state = current;
		s->python.other_state = 1;
	} else {
		read_user(s->python.head, KYMO_PYTHON_THREAD_STATE_BYTES, key);
	}
}

static __always_inline __u32 python_gil_state(struct scratch *s, __u64 interp)
{
	__u64 gil = s->process.load_bias + s->binary.gil_vaddr, near = 0,
	      bytes = KYMO_PYTHON_GIL_BYTES;
	__u64 lock[2] = { 0 }; /* last_holder, locked */

	if (s->layout.gil == KYMO_PYTHON_GIL_INTERP &&
	    read_user(&gil, sizeof(gil), interp + s->layout.gil_offset))
		return 0;
	if (s->layout.gil == KYMO_PYTHON_GIL_CURRENT) {
		if (read_user(lock, sizeof(lock[0]), gil))
			return 0;
		lock[1] = 1;
		near = GIL_NEAR_BYTES;
		bytes = GIL_NEAR_BYTES;
	} else if (read_user(lock, sizeof(lock), gil + KYMO_PYTHON_GIL_HOLDER)) {
		return 0;
	}
	s->python.gil = gil;
	/* First: a holder also calls futex inside the lock, to wake others. */
	if ((__u32)lock[1] && lock[0] == s->python.thread_state)
		return KYMO_STATE_GIL_HOLDING;
	if (s->python.futex >= gil - near && s->python.futex < gil + bytes)
		return KYMO_STATE_GIL_WAITING;
	return 0;
}

static __always_inline void python_states(struct scratch *s, __u64 interp)
{
	__u64 base = s->layout.gc_in_interp ? interp
					    : s->process.load_bias + s->binary.runtime_vaddr;
	__u32 state, collecting = 0;

	if (!s->layout.gil)
		return;
	state = python_gil_state(s, interp);
	/* The flag is the interpreter's: it says who collects only together with the lock. */
	if ((state & KYMO_STATE_GIL_HOLDING) && s->layout.gc_collecting &&
	    !read_user(&collecting, sizeof(collecting), base + s->layout.gc_collecting) &&
	    collecting)
		state |= KYMO_STATE_IN_GC;
	s->record.head.state |= state;
}

/* The thread was interrupted where the eval loop links itself in. */
static __always_inline bool python_in_prologue(const struct scratch *s)
{
	__u64 offset = s->native.ip - s->process.load_bias - s->binary.text_offset_bias;

	return s->native.leaf && offset >= s->binary.torn.start && offset < s->binary.torn.end;
}

/* Of the frame in s->python.head. */
static __always_inline bool python_at_boundary(const struct scratch *s)
{
	if (s->layout.boundary == KYMO_PYTHON_BOUNDARY_EACH)
		return true;
	if (s->layout.boundary == KYMO_PYTHON_BOUNDARY_ENTRY)
		return head_u8(s, s->layout.frame_boundary) == 1;
	return head_u8(s, s->layout.frame_boundary) >= s->layout.boundary_value;
}

/*
 * Of the frame in s->python.head: somebody resumes it, so that it has one before it, but for the
 * instructions in which it is linked in or out.
 */
static __always_inline bool python_is_generator(const struct scratch *s)
{
	return s->layout.frame_owner &&
	       head_u8(s, s->layout.frame_owner) == KYMO_PYTHON_OWNER_GENERATOR;
}

static __always_inline int python_frame_read(struct scratch *s, __u64 frame)
{
	__u64 size = s->layout.frame_size;

	opaque(size);
	if (size > KYMO_PYTHON_HEAD_BYTES)
		size = KYMO_PYTHON_HEAD_BYTES;
	return read_user(s->python.head, size, frame);
}

/* One frame up within an eval loop, for python_linked: 0, 1 at the boundary, -1 where it cannot be read. */
__weak __noinline int python_prologue_step(__u32 slot)
{
	struct scratch *s = scratch_get(slot);

	if (!s || !s->python.frame || python_frame_read(s, s->python.frame))
		return -1;
	s->python.frame = head_u64(s, s->layout.frame_previous);
	return python_at_boundary(s);
}

/*
 * Whether s->python.frame is a frame of the eval loop whose cframe that is: its boundary frame leads to
 * the newest frame of the cframe before.
 */
__weak __noinline int python_linked(__u32 slot, __u64 frame_before)
{
	struct scratch *s = scratch_get(slot);
	int r = 0;

	if (!s)
		return 0;
	for (__u32 i = 0; i < PYTHON_PROLOGUE_STEPS; i++) {
		r = python_prologue_step(slot);
		if (r)
			return r > 0 && s->python.frame == frame_before;
	}
	return 1;
}

/*
 * 3.11 and 3.12: the thread state points to a cframe on the C stack, which points to the frame. The
 * prologue publishes the cframe before it fills it. 0 or the end.
 */
static __always_inline int python_from_cframe(struct scratch *s, __u32 slot, __u64 cframe)
{
	__u64 fields[3], frame, before, frame_before = 0;

	if (read_user(fields, sizeof(fields), cframe))
		return KYMO_END_PYTHON_UNREADABLE;
	frame = s->layout.cframe_current == 8 ? fields[1] : fields[0];
	before = s->layout.cframe_previous == 16 ? fields[2] : fields[1];
	s->python.frame = frame;
	s->python.loop = cframe;
	if (!python_in_prologue(s))
		return KYMO_END_NONE;
	if (read_user(&frame_before, sizeof(frame_before), before + s->layout.cframe_current) ||
	    !python_linked(slot, frame_before))
		return KYMO_END_PYTHON_TORN;
	s->python.frame = frame;
	return KYMO_END_NONE;
}

static __always_inline int python_stop(struct scratch *s, enum kymo_end end)
{
	if (end == KYMO_END_PYTHON_TORN)
		count(KYMO_COUNTER_PYTHON_TORN);
	else if (end == KYMO_END_PYTHON_UNREADABLE)
		count(KYMO_COUNTER_PYTHON_UNREADABLE);
	else
		count(KYMO_COUNTER_PYTHON_TOO_DEEP);
	s->python.end = end;
	s->python.done = 1;
	return 1;
}

__weak __noinline int python_begin(__u32 slot)
{
	struct scratch *s = scratch_get(slot);
	__u64 frame;
	int end;

	if (!s)
		return KYMO_END_PYTHON_UNREADABLE;
	s->python.active = 0;
	s->python.done = 0;
	s->python.codes = 0;
	s->python.spare_loops = 0;
	s->python.sample++;
	s->python.end = KYMO_END_NONE;
	s->python.frame = 0;
	s->python.root = 0;
	s->python.newest = 0;
	s->python.loop = 0;
	s->python.other_state = 0;
	s->python.gil = 0;
	if (python_thread_state(s)) {
		count(KYMO_COUNTER_PYTHON_NO_THREAD);
		return KYMO_END_NONE;
	}
	python_thread_state_runs(s);
	frame = head_u64(s, s->layout.ts_frame);
	python_states(s, head_u64(s, s->layout.ts_interp));
	if (s->layout.frames == KYMO_PYTHON_FRAME_DIRECT) {
		s->python.frame = frame;
	} else if (frame) {
		end = python_from_cframe(s, slot, frame);
		if (end) {
			python_stop(s, end);
			return end;
		}
	}
	s->python.newest = s->python.frame;
	s->python.active = s->python.frame != 0;
	return KYMO_END_NONE;
}

/* Bytes from the first instruction, -1 before it. */
static __always_inline __s32 python_instruction(const struct scratch *s, __u64 instruction)
{
	__s64 bytes;

	if (s->layout.instruction_is_index)
		bytes = (__s64)(__s32)instruction * s->layout.instruction_scale; /* an int */
	else
		bytes = instruction - (s->python.code + s->layout.code_bytes);
	return bytes < 0 || bytes > 0x7fffffff ? -1 : (__s32)bytes;
}

static __always_inline struct python_seen *python_seen_at(struct scratch *s)
{
	/* objects are 16 bytes apart at least, code objects some 200 */
	__u64 i = s->python.code >> 4 ^ s->python.code >> 8;

	opaque(i);
	i &= PYTHON_SEEN_MAX - 1;
	return &s->python.seen[i];
}

/* s->python.generation of s->python.code: 0; 1 where the walk ends; -1: a shim, no frame of its own. */
static __always_inline int python_identify(struct scratch *s, __u32 slot)
{
	struct python_seen *seen = python_seen_at(s);

	if (seen->code == s->python.code && seen->sample == s->python.sample) {
		s->python.generation = seen->generation;
		return 0;
	}
	if (code_read(s))
		return python_stop(s, KYMO_END_PYTHON_UNREADABLE);
	if (!code_is(s))
		return python_stop(s, KYMO_END_PYTHON_TORN);
	if (code_is_shim(s))
		return -1;
	code_identify(slot);
	seen = python_seen_at(s);
	seen->code = s->python.code;
	seen->generation = s->python.generation;
	seen->sample = s->python.sample;
	return 0;
}

/* 0, or 1 where the walk ends. */
static __always_inline int python_emit(struct scratch *s, __u32 slot, __u64 instruction)
{
	int r = python_identify(s, slot);

	if (r)
		return r > 0;
	s->python.root = s->python.at;
	s->python.root_code = s->python.code;
	if (frame_add_python(s, s->python.code, s->python.generation,
			     python_instruction(s, instruction)))
		return python_stop(s, KYMO_END_TOO_DEEP);
	return 0;
}

/* One frame. 0 to go on; 1 when it was the last of its eval loop, or of all (done), or the walk ends (end). */
__weak __noinline int python_step(__u32 slot)
{
	struct scratch *s = scratch_get(slot);
	__u64 instruction, previous;
	bool boundary, outermost;

	if (!s)
		return 1;
	if (!s->python.frame) {
		s->python.done = 1;
		return 1;
	}
	if (python_frame_read(s, s->python.frame))
		return python_stop(s, KYMO_END_PYTHON_UNREADABLE);
	boundary = python_at_boundary(s);
	outermost = boundary && !python_is_generator(s);
	previous = head_u64(s, s->layout.frame_previous);
	instruction = head_u64(s, s->layout.frame_instruction);
	s->python.code = head_u64(s, s->layout.frame_code) & ~KYMO_PYTHON_TAG_BITS;
	/* Not on the stack: before 6.2 all frames of the deepest call have 512 bytes together. */
	s->python.at = s->python.frame;
	/* From 3.12 on the boundary lies in the C frame of its eval loop. */
	if (boundary && s->layout.boundary == KYMO_PYTHON_BOUNDARY_OWNER)
		s->python.loop = s->python.at;
	s->python.frame = previous;
	/* From 3.12 on the boundary is a shim. */
	if ((s->layout.boundary != KYMO_PYTHON_BOUNDARY_OWNER || !boundary) &&
	    python_emit(s, slot, instruction))
		return 1;
	s->python.done = !previous;
	if (!previous && !outermost)
		return python_stop(s, KYMO_END_PYTHON_TORN);
	return boundary;
}

/* 1 when it stopped: python.end says why. */
__weak __noinline int python_segment_some(__u32 slot)
{
	for (__u32 i = 0; i < PYTHON_STEPS; i++)
		if (python_step(slot))
			return 1;
	return 0;
}

__weak __noinline int python_segment(__u32 slot)
{
	struct scratch *s = scratch_get(slot);

	if (!s)
		return KYMO_END_PYTHON_UNREADABLE;
	for (__u32 i = 0; i < PYTHON_STEPS_MAX / PYTHON_STEPS; i++)
		if (python_segment_some(slot))
			return s->python.end;
	python_stop(s, KYMO_END_TOO_DEEP);
	return KYMO_END_TOO_DEEP;
}

/* Whether there are frames behind the boundary at which the last step stopped. */
__weak __noinline int python_rest_step(__u32 slot)
{
	struct scratch *s = scratch_get(slot);

	python_step(slot);
	return !s || s->python.done;
}

__weak __noinline int python_rest_some(__u32 slot)
{
	for (__u32 i = 0; i < PYTHON_STEPS; i++)
		if (python_rest_step(slot))
			return 1;
	return 0;
}

__weak __noinline int python_rest(__u32 slot)
{
	struct scratch *s = scratch_get(slot);

	if (!s)
		return KYMO_END_PYTHON_UNREADABLE;
	for (__u32 i = 0; i < PYTHON_STEPS_MAX / PYTHON_STEPS; i++)
		if (python_rest_some(slot))
			return s->python.end;
	python_stop(s, KYMO_END_TOO_DEEP);
	return KYMO_END_TOO_DEEP;
}

/*
 * Whether that word is a frame that the newest linked one has called. Up to 3.10, where frames are objects: of the same
 * type, too.
 */
static __always_inline bool python_is_called(const struct scratch *s, __u64 word, __u64 type)
{
	__u64 fields[4] = { 0 }; /* reference count (0: one that has ended), type, size, previous */

	return word && !(word & 7) && word != s->python.newest &&
	       !read_user(fields, sizeof(fields), word) && fields[0] && fields[1] == type &&
	       fields[3] == s->python.newest;
}

/*
 * The frame of an eval loop that was interrupted before it linked it in, or after it took it out: the loop or its caller
 * keeps it in a register, which either may have saved on the stack. Behind walk_begin. 0 = no such frame.
 */
__weak __noinline __u64 python_unlinked(__u32 slot)
{
	struct scratch *s = scratch_get(slot);
	__u64 *saved, type = 0;

	if (!s || s->python.other_state ||
	    read_user(&type, sizeof(type), s->python.newest + OBJECT_TYPE))
		return 0;
	for (__u32 i = 0; i < NATIVE_REGISTERS; i++)
		if (python_is_called(s, s->native.registers[i], type))
			return s->native.registers[i];
	saved = (__u64 *)s->native.window;
	s->native.window_bytes = 0;
	s->native.window_start = 0;
	if (read_user(saved, UNLINKED_WORDS * sizeof(*saved),
		      s->native.registers[KYMO_UNWIND_X86_RSP]))
		return 0;
	for (__u32 i = 0; i < UNLINKED_WORDS; i++)
		if (python_is_called(s, saved[i], type))
			return saved[i];
	return 0;
}

#endif
