/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The one sampler body: who, counters, kernel and user stack, into the ring. */
#ifndef KYMO_BPF_SAMPLE_H
#define KYMO_BPF_SAMPLE_H

#include "lib/account.bpf.h"
#include "lib/follow.bpf.h"
#include "lib/probe.bpf.h"
#include "lib/walk.bpf.h"

/* The memory map of a user thread; NULL for kernel threads, also while they borrow one. */
static __always_inline struct mm_struct *user_mm(struct task_struct *task)
{
	if (task->flags & (PF_KTHREAD | PF_IO_WORKER | PF_USER_WORKER))
		return NULL;
	return task->mm;
}

static __always_inline void kernel_stack(void *ctx, struct scratch *s, __u64 skip)
{
	long bytes =
		bpf_get_stack(ctx, s->record.body, KYMO_KERNEL_FRAMES_MAX * sizeof(__u64), skip);

	if (bytes < 0) {
		count(KYMO_COUNTER_KERNEL_STACK_FAILED);
		return;
	}
	s->record.head.kernel_frames = bytes / sizeof(__u64);
}

/* execve replaces the memory map while the registers still tell of the old one. */
static __always_inline bool in_execve(struct task_struct *task)
{
	if (!bpf_core_field_exists(task->in_execve))
		return false;
	return BPF_CORE_READ_BITFIELD_PROBED(task, in_execve);
}

static __always_inline int user_stack(struct scratch *s, __u32 slot, struct task_struct *task,
				      struct mm_struct *mm)
{
	if (!mm) {
		s->record.head.state |= KYMO_STATE_NO_MM;
		return KYMO_END_NONE;
	}
	if (in_execve(task)) {
		s->record.head.state |= KYMO_STATE_EXECVE;
		return KYMO_END_EXECVE;
	}
	return walk_user(s, slot);
}

static __always_inline void sample_begin(struct scratch *s, struct task_struct *task,
					 struct mm_struct *mm, const struct cause *cause)
{
	struct kymo_sample *head = &s->record.head;

	head->head.type = KYMO_RECORD_SAMPLE;
	head->head.flags = cause->flags;
	head->head.time_ns = bpf_ktime_get_ns();
	who_read(&head->who, task);
	counters_read(&head->counters, task, mm);
	head->weight = cause->weight;
	head->aux = cause->aux;
	head->began_ns = cause->flags & KYMO_SAMPLE_BEGINS ? cause->aux : 0;
	head->cpu = bpf_get_smp_processor_id();
	head->source = cause->source;
	head->state = cause->state;
	if (config.probes && probe_in_collection(task, mm))
		head->state |= KYMO_STATE_IN_GC;
	head->end = KYMO_END_NONE;
	head->kernel_frames = 0;
	head->user_frames = 0;
	head->probe_bytes = 0;
}

static __always_inline void sample_emit(struct scratch *s, bool probe)
{
	struct kymo_sample *head = &s->record.head;
	__u64 size = sizeof(*head) + (__u64)head->kernel_frames * sizeof(__u64) +
		     (__u64)head->user_frames * sizeof(struct kymo_frame);

	opaque(size);
	if (size > offsetof(struct sample_record, room))
		return;
	if (probe) {
		*(struct kymo_probe *)((__u8 *)&s->record + size) = s->probe;
		head->probe_bytes = sizeof(struct kymo_probe);
		size += sizeof(struct kymo_probe);
	}
	head->head.size = size;
	/* User space polls on a timer: a wake-up costs more than the walk. */
	if (bpf_ringbuf_output(&records, &s->record, size, BPF_RB_NO_WAKEUP))
		count(KYMO_COUNTER_RING_FULL);
	else
		count(KYMO_COUNTER_SAMPLES);
}

static __always_inline bool wanted(struct task_struct *task)
{
	struct task_struct *leader = task->group_leader;

	if (!task->pid) {
		count(KYMO_COUNTER_IDLE);
		return false;
	}
	if (!asked_for(task->tgid, leader)) {
		count(KYMO_COUNTER_FILTERED);
		return false;
	}
	return true;
}

/* The scratch of this context on this CPU, to be given back; NULL, counted, while it is in use. */
static __always_inline struct scratch *sample_scratch(enum context context)
{
	struct scratch *s = scratch_get(context);

	if (!s)
		return NULL;
	if (s->busy) {
		count(KYMO_COUNTER_NESTED);
		return NULL;
	}
	s->busy = 1;
	return s;
}

/*
 * The sample of the current task, in a scratch of one's own. ctx is the program's own, of which the kernel
 * stack is made where the state says that there is one.
 */
static __always_inline void sample_write(void *ctx, struct scratch *s, const struct cause *cause)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct mm_struct *mm = user_mm(task);

	sample_begin(s, task, mm, cause);
	if (cause->state & KYMO_STATE_KERNEL)
		kernel_stack(ctx, s, cause->skip);
	s->record.head.end = user_stack(s, cause->context, task, mm);
	sample_emit(s, cause->probe);
}

static __always_inline void sample_take(void *ctx, const struct cause *cause)
{
	struct scratch *s = sample_scratch(cause->context);

	if (!s)
		return;
	sample_write(ctx, s, cause);
	s->busy = 0;
}

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} tracepoint_samplers __weak SEC(".maps");

/*
 * As sample_take, by the one program that has the walk for all raw tracepoints (tracepoint.bpf.c): verified once.
 * Comes back only where that is not there, which user space puts in its place before it attaches anything.
 */
static __always_inline void sample_hand_on(void *ctx, const struct cause *cause)
{
	struct scratch *s = sample_scratch(CONTEXT_TRACEPOINT);

	if (!s)
		return;
	/* One by one: of a struct whose fields are partly constants clang 14 copies some, and loses the stores before. */
	s->cause.context = CONTEXT_TRACEPOINT;
	s->cause.source = cause->source;
	s->cause.state = cause->state;
	s->cause.skip = cause->skip;
	s->cause.flags = cause->flags;
	s->cause.probe = false;
	s->cause.weight = cause->weight;
	s->cause.aux = cause->aux;
	bpf_tail_call(ctx, &tracepoint_samplers, 0);
	s->busy = 0;
}

#endif
