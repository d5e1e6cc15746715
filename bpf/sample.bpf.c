// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The sampler: what ran when a perf event fired. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "lib/account.bpf.h"
#include "lib/follow.bpf.h"
#include "lib/walk.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* The memory map of a user thread; NULL for kernel threads, also while they borrow one. */
static __always_inline struct mm_struct *user_mm(struct task_struct *task)
{
	if (task->flags & (PF_KTHREAD | PF_IO_WORKER | PF_USER_WORKER))
		return NULL;
	return task->mm;
}

static __always_inline void kernel_stack(void *ctx, struct scratch *s)
{
	long bytes = bpf_get_stack(ctx, s->record.body, KYMO_KERNEL_FRAMES_MAX * sizeof(__u64), 0);

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
					 struct mm_struct *mm, enum kymo_source source,
					 __u64 weight)
{
	struct kymo_sample *head = &s->record.head;

	head->head.type = KYMO_RECORD_SAMPLE;
	head->head.flags = 0;
	head->head.time_ns = bpf_ktime_get_ns();
	who_read(&head->who, task);
	counters_read(&head->counters, task, mm);
	head->weight = weight;
	head->aux = 0;
	head->cpu = bpf_get_smp_processor_id();
	head->source = source;
	head->state = 0;
	head->end = KYMO_END_NONE;
	head->kernel_frames = 0;
	head->user_frames = 0;
	head->pad = 0;
}

static __always_inline void sample_emit(struct scratch *s)
{
	struct kymo_sample *head = &s->record.head;
	__u64 size = sizeof(*head) + (__u64)head->kernel_frames * sizeof(__u64) +
		     (__u64)head->user_frames * sizeof(struct kymo_frame);

	opaque(size);
	if (size > sizeof(s->record))
		return;
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
	if (config.filter && !followed_is(task->tgid, leader->start_boottime)) {
		count(KYMO_COUNTER_FILTERED);
		return false;
	}
	return true;
}

/* Everything but what the contexts have of their own: the kernel stack comes from their ctx. */
static __always_inline void sample_take(void *ctx, enum context context, bool kernel_mode,
					enum kymo_source source, __u64 weight)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct mm_struct *mm = user_mm(task);
	struct scratch *s = scratch_get(context);

	if (!s)
		return;
	if (s->busy) {
		count(KYMO_COUNTER_NESTED);
		return;
	}
	s->busy = 1;
	sample_begin(s, task, mm, source, weight);
	if (kernel_mode) {
		s->record.head.state |= KYMO_STATE_KERNEL;
		kernel_stack(ctx, s);
	}
	s->record.head.end = user_stack(s, context, task, mm);
	sample_emit(s);
	s->busy = 0;
}

SEC("perf_event")
int on_cpu_clock(struct bpf_perf_event_data *ctx)
{
	/*
	 * Volatile: clang would read the low byte alone, which the verifier refuses for this
	 * context.
	 */
	__u64 cs = *(volatile unsigned long *)&ctx->regs.cs;

	if (wanted(bpf_get_current_task_btf()))
		sample_take(ctx, CONTEXT_TIMER, (cs & KYMO_CS_MODE_MASK) == 0, KYMO_SOURCE_CPU,
			    config.cpu_period_ns);
	return 0;
}
