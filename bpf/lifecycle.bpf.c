// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Births and deaths of processes: who is followed. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "lib/follow.bpf.h"

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

/*
 * A task's last moment, after it was reaped: at sched_process_exit it still has its memory map to
 * take down, which can be the longest part of a process. By now its pid may be another's, hence the
 * start.
 */
SEC("tp_btf/sched_process_free")
int on_free(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	__u32 pid = task->tgid;

	if (task->pid == task->tgid && followed_is(pid, task->start_boottime))
		bpf_map_delete_elem(&followed, &pid);
	return 0;
}
