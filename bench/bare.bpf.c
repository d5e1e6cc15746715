// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What a sample costs without a walk of our own: the same header, then the stack as the kernel makes it,
 * by frame pointers. The measure for bench/walk.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "lib/sample.bpf.h"

#define BARE_FRAMES_MAX 127	  /* what the kernel takes: kernel.perf_event_max_stack */
#define BARE_USER_STACK (1U << 8) /* BPF_F_USER_STACK */

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile __u32 bare_pids[8] = { 0 };
__u64 bare_frames = 0, bare_samples = 0;

static __always_inline bool bare_wanted(__u32 pid)
{
#pragma unroll
	for (int i = 0; i < 8; i++)
		if (bare_pids[i] == pid)
			return true;
	return false;
}

SEC("perf_event")
int on_bare(struct bpf_perf_event_data *ctx)
{
	struct cause cause = { .source = KYMO_SOURCE_CPU, .weight = config.cpu_period_ns };
	struct task_struct *task = bpf_get_current_task_btf();
	struct mm_struct *mm = user_mm(task);
	struct scratch *s = scratch_get(CONTEXT_TIMER);
	__u64 cs = *(volatile unsigned long *)&ctx->regs.cs;
	__u64 at, size;
	long bytes;

	if (!s || !bare_wanted(task->tgid))
		return 0;
	sample_begin(s, task, mm, &cause);
	if ((cs & KYMO_CS_MODE_MASK) == 0)
		kernel_stack(ctx, s, 0);
	at = (__u64)s->record.head.kernel_frames * sizeof(__u64);
	opaque(at);
	if (at > KYMO_KERNEL_FRAMES_MAX * sizeof(__u64))
		return 0;
	bytes = bpf_get_stack(ctx, s->record.body + at, BARE_FRAMES_MAX * sizeof(__u64),
			      BARE_USER_STACK);
	if (bytes < 0)
		bytes = 0;
	size = sizeof(s->record.head) + at + bytes;
	opaque(size);
	if (size > sizeof(s->record))
		return 0;
	__sync_fetch_and_add(&bare_samples, 1);
	__sync_fetch_and_add(&bare_frames, bytes / sizeof(__u64));
	bpf_ringbuf_output(&records, &s->record, size, BPF_RB_NO_WAKEUP);
	return 0;
}
