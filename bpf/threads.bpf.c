// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Where threads stand: registers and kernel stack of each that does not run now, for a walk from outside. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "lib/follow.bpf.h"
#include "lib/task_account.bpf.h"

struct thread_record {
	struct kymo_standing head;
	__u64 kernel[KYMO_KERNEL_FRAMES_MAX];
};

/* One user reads at a time. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct thread_record);
} thread_records SEC(".maps");

static __always_inline __u16 thread_flags(struct task_struct *task)
{
	bool kernel = task->flags & (PF_KTHREAD | PF_IO_WORKER | PF_USER_WORKER);
	__u16 flags = kernel ? KYMO_STANDING_KERNEL : 0;

	if (kernel || !task->mm)
		flags |= KYMO_STANDING_NO_MM;
	if (bpf_core_field_exists(task->in_execve) &&
	    BPF_CORE_READ_BITFIELD_PROBED(task, in_execve))
		flags |= KYMO_STANDING_EXECVE;
	return flags;
}

/* As user space keeps them: a kernel thread's say nothing. */
static __always_inline void registers_read(struct kymo_standing *t, struct task_struct *task)
{
	static_assert(sizeof(struct pt_regs) == sizeof(t->registers), "all of them");
	struct pt_regs *saved = (struct pt_regs *)t->registers;

	if (read_kernel(t->registers, sizeof(t->registers), (__u64)bpf_task_pt_regs(task)))
		t->flags |= KYMO_STANDING_NO_MM;
	else if ((saved->cs & KYMO_CS_SELECTOR_MASK) == KYMO_CS_USER_32)
		t->flags |= KYMO_STANDING_32_BIT;
	t->fs_base = task->thread.fsbase;
}

/* An int until it became shorter (seen in 7.3): read as wide as it is. */
static __always_inline bool is_on_cpu(struct task_struct *task)
{
	return BPF_CORE_READ_BITFIELD(task, on_cpu);
}

/*
 * The order matters: a thread that runs while it is read has another number of switches, or is on a CPU, the next time. On
 * x86-64 no read goes before an earlier one.
 */
static __always_inline void thread_read(struct thread_record *r, struct task_struct *task)
{
	struct kymo_standing *t = &r->head;
	long bytes;

	t->switches = task->nvcsw + task->nivcsw;
	barrier();
	who_of(&t->who, task);
	t->flags = thread_flags(task);
	t->kernel_frames = 0;
	t->state = task->__state;
	if (!(t->flags & KYMO_STANDING_NO_MM))
		registers_read(t, task);
	if (!is_on_cpu(task)) {
		bytes = bpf_get_task_stack(task, r->kernel, sizeof(r->kernel), 0);
		if (bytes > 0)
			t->kernel_frames = bytes / sizeof(__u64);
	}
	barrier();
	if (is_on_cpu(task))
		t->flags |= KYMO_STANDING_ON_CPU;
}

SEC("iter/task")
int on_thread(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct thread_record *r;
	__u64 size;
	__u32 zero = 0;

	if (!task || !asked_for(task->tgid, task->group_leader))
		return 0;
	if (!config.filter && (task->flags & PF_KTHREAD))
		return 0;
	r = bpf_map_lookup_elem(&thread_records, &zero);
	if (!r)
		return 0;
	r->head.head.type = KYMO_RECORD_STANDING;
	r->head.head.flags = 0;
	r->head.head.time_ns = bpf_ktime_get_ns();
	thread_read(r, task);
	size = sizeof(r->head) + (__u64)r->head.kernel_frames * sizeof(__u64);
	opaque(size);
	if (size > sizeof(*r))
		return 0;
	r->head.head.size = size;
	bpf_seq_write(ctx->meta->seq, r, size);
	return 0;
}
