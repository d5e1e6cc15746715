// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The sweep: exact counters of every thread, sampled or not, read once per tick through a task iterator. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "lib/follow.bpf.h"
#include "lib/task_account.bpf.h"

/*
 * A thread's own counters; the group leader's also has what released threads left behind, so that the
 * sum over a process's threads is the process's total. Memory stands with the leader, or with all the others
 * where it has exited before them.
 */
SEC("iter/task")
int on_sweep(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;
	struct kymo_task record = { 0 };
	struct kymo_counters released = { 0 };
	struct task_struct *leader;
	struct mm_struct *mm;

	if (!task)
		return 0;
	if (ctx->meta->seq_num == 0)
		cpu_offsets_learn();
	leader = task->group_leader;
	mm = task->mm;
	if (!asked_for(task->tgid, leader))
		return 0;
	record.head.type = KYMO_RECORD_TASK;
	record.head.size = sizeof(record);
	record.head.time_ns = bpf_ktime_get_ns();
	who_of(&record.who, task);
	counters_read(&record.counters, task, NULL);
	record.parent_pid = BPF_CORE_READ(task, real_parent, tgid);
	if (task->pid == task->tgid) {
		/* Reaped while the iterator held it: its end is told by the last switch. */
		if (!released_read(&released, task))
			return 0;
		counters_add(&record.counters, &released);
		dead_threads_read(&record.counters, task);
	}
	if (mm && (task == leader || !leader->mm) &&
	    !(task->flags & (PF_KTHREAD | PF_IO_WORKER | PF_USER_WORKER)))
		memory_exact(&record.counters, mm);
	bpf_seq_write(seq, &record, sizeof(record));
	return 0;
}
