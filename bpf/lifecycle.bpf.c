// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Births and deaths of processes: who is followed, and what the dead had used. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "lib/follow.bpf.h"
#include "lib/probe.bpf.h"
#include "lib/task_account.bpf.h"

/* The child exists but has not run yet. */
SEC("tp_btf/sched_process_fork")
int on_fork(__u64 *ctx)
{
	struct task_struct *parent = (void *)ctx[0], *child = (void *)ctx[1];
	struct task_struct *leader = parent->group_leader;
	__u32 pid = child->tgid;
	__u64 start_ns = child->start_boottime;

	if (pid == (__u32)parent->tgid || !followed_is(parent->tgid, leader->start_boottime))
		return 0;
	if (bpf_map_update_elem(&followed, &pid, &start_ns, BPF_ANY))
		count(KYMO_COUNTER_FOLLOWED_FULL);
	return 0;
}

static __always_inline void emit_end(struct task_struct *task, struct task_struct *leader)
{
	struct kymo_task record = { 0 };
	struct kymo_counters own = { 0 };

	record.head.type = KYMO_RECORD_END;
	record.head.size = sizeof(record);
	record.head.time_ns = bpf_ktime_get_ns();
	who_of(&record.who, leader);
	/* A leader that its parent has reaped meanwhile is among the released. */
	if (released_read(&record.counters, task)) {
		counters_of(&own, leader);
		counters_add(&record.counters, &own);
	}
	no_memory(&record.counters);
	record.exit_code = BPF_CORE_READ(leader, exit_code);
	if (bpf_ringbuf_output(&records, &record, sizeof(record), BPF_RB_NO_WAKEUP))
		count(KYMO_COUNTER_END_RING_FULL);
}

/*
 * The last switch away from a thread that is dead: all that it used has been accounted, to the
 * nanosecond. At sched_process_exit its memory map is still to be taken down, which can be the longest
 * part of a short process; sched_process_free does not come for every task (measured on 6.18: two of
 * a thousand never). Told when no thread lives any more: of two that die at once each may tell, with
 * growing totals.
 */
SEC("tp_btf/sched_switch")
int on_switch(__u64 *ctx)
{
	struct task_struct *task, *leader;
	__u32 pid;

	/* (preempt, prev, next, prev_state): nearly always that is all. */
	if (ctx[3] != TASK_DEAD)
		return 0;
	task = (void *)ctx[1];
	if (config.probes)
		probe_thread_ended(task->pid);
	if (task->signal->live.counter > 0)
		return 0;
	leader = task->group_leader;
	pid = task->tgid;
	if (config.filter && !followed_is(pid, leader->start_boottime))
		return 0;
	emit_end(task, leader);
	if (config.filter)
		bpf_map_delete_elem(&followed, &pid);
	return 0;
}
