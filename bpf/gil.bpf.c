// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Who waits for the lock of a CPython, and who is off the CPU with it. A thread that goes to sleep in a futex inside
 * the lock waits for it: its stack is taken then, where it stands still; how long it slept is told when it runs again.
 * Only processes that a sample of the clock has found to be interpreters are looked at. CPython wakes a waiter
 * every 5 ms (sys.getswitchinterval) to ask for the lock, so that a long wait is many short ones.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "lib/sample.bpf.h"
#include "lib/thin.bpf.h"

/* The program that takes the sample in this one's place, bpf_trace_run4, and __traceiter_sched_switch. */
#define OWN_FRAMES    3
#define GIL_WAITS_MAX 16384

/* Of a thread that is off the CPU; by its id. */
struct gil_wait {
	__u64 start_ns; /* of the thread */
	__u64 began_ns;
	__u64 woken_ns; /* waiting: when the sleep ended; then it waits for a CPU. 0 = it sleeps, or holds the lock */
	__u32 holding;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, GIL_WAITS_MAX);
	__type(key, __u32);
	__type(value, struct gil_wait);
} gil_waits SEC(".maps");

/* How many there are, as far as none was forgotten: on a host where nobody waits nothing is looked up. */
__u32 gil_waits_n = 0;

static __always_inline void gil_end(__u32 tid)
{
	struct gil_wait *w = bpf_map_lookup_elem(&gil_waits, &tid);
	struct kymo_waited record = { 0 };
	__u64 now;

	if (!w)
		return;
	now = bpf_ktime_get_ns();
	record.head.type = KYMO_RECORD_WAITED;
	record.head.size = sizeof(record);
	record.head.time_ns = now;
	record.thread_start_ns = w->start_ns;
	record.began_ns = w->began_ns;
	record.duration_ns = (w->woken_ns ? w->woken_ns : now) - w->began_ns;
	record.tid = tid;
	bpf_map_delete_elem(&gil_waits, &tid);
	__sync_fetch_and_sub(&gil_waits_n, 1);
	if (bpf_ringbuf_output(&records, &record, sizeof(record), BPF_RB_NO_WAKEUP))
		count(KYMO_COUNTER_WAITED_RING_FULL);
}

/* Holding, waiting, or neither (0), of the thread that leaves the CPU; in a scratch of one's own. */
static __always_inline __u32 gil_state(struct scratch *s, struct task_struct *task,
				       struct mm_struct *mm)
{
	if (!interpreter_known(s, task, mm) || walk_begin(CONTEXT_SWITCH) || python_thread_state(s))
		return 0;
	python_thread_state_runs(s);
	return s->layout.gil ? python_gil_state(s, head_u64(s, s->layout.ts_interp)) : 0;
}

/* 0 where the thread is in no state of interest, which is nearly always. Global: its stack is gone before the walk. */
__weak __noinline __u32 gil_state_leaving(bool sleeps)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct mm_struct *mm = user_mm(task);
	struct scratch *s;
	__u32 state;

	if (!mm)
		return 0;
	s = sample_scratch(CONTEXT_SWITCH);
	if (!s)
		return 0;
	state = gil_state(s, task, mm);
	s->busy = 0;
	if (state == KYMO_STATE_GIL_WAITING && !sleeps)
		return 0;
	return state && asked_for(task->tgid, task->group_leader) ? state : 0;
}

/* Remembers the beginning: when it was. */
static __always_inline __u64 gil_remember(struct task_struct *task, bool holding)
{
	struct gil_wait wait = { 0 };
	__u32 tid = task->pid;

	wait.start_ns = task->start_boottime;
	wait.began_ns = bpf_ktime_get_ns();
	wait.holding = holding;
	if (bpf_map_update_elem(&gil_waits, &tid, &wait, BPF_ANY) == 0)
		__sync_fetch_and_add(&gil_waits_n, 1);
	return wait.began_ns;
}

/* The thread that leaves the CPU is still the current one. */
static __always_inline void gil_begin(void *ctx, bool sleeps)
{
	__u32 state = gil_state_leaving(sleeps);
	bool holding = state == KYMO_STATE_GIL_HOLDING;
	struct cause cause = { .context = CONTEXT_TRACEPOINT,
			       .source = holding ? KYMO_SOURCE_HELD : KYMO_SOURCE_GIL,
			       .state = holding ? KYMO_STATE_KERNEL : 0,
			       .skip = OWN_FRAMES,
			       .flags = KYMO_SAMPLE_BEGINS };

	if (!state)
		return;
	/* Which, is a matter of chance alone: how long it takes is not known yet. */
	cause.weight = thin(cause.source, THIN_THRESHOLD_MIN) / THIN_THRESHOLD_MIN;
	if (!cause.weight)
		return;
	cause.aux = gil_remember(bpf_get_current_task_btf(), holding);
	sample_hand_on(ctx, &cause);
}

/* (preempt, prev, next, prev_state). Who is preempted does not sleep, whatever its state says. */
SEC("raw_tp/sched_switch")
int on_gil_switch(__u64 *ctx)
{
	struct task_struct *next = (void *)ctx[2];

	if (gil_waits_n)
		gil_end(BPF_CORE_READ(next, pid));
	if (ctx[3] != TASK_DEAD)
		gil_begin(ctx, !ctx[0] && ctx[3]);
	return 0;
}

/* The sleep ends: what comes now is the wait for a CPU. */
SEC("raw_tp/sched_wakeup")
int on_gil_wakeup(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct gil_wait *w;
	__u32 tid;

	if (!gil_waits_n)
		return 0;
	tid = BPF_CORE_READ(task, pid);
	w = bpf_map_lookup_elem(&gil_waits, &tid);
	if (w && !w->holding && !w->woken_ns)
		w->woken_ns = bpf_ktime_get_ns();
	return 0;
}
