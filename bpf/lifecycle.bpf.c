// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Births and deaths of processes: who is followed, what they run, and what the dead had used. */
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

struct exec_record {
	struct kymo_exec head;
	__u64 args[KYMO_ARGS_MAX / 8 + 1]; /* a word of zeroes may follow */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct exec_record);
} exec_records SEC(".maps");

/* As many bytes as there are now behind the head. */
static __always_inline __u64 args_read(struct exec_record *r, struct task_struct *task)
{
	struct mm_struct *mm = task->mm;
	__u64 start, bytes;

	if (!mm || config.no_args)
		return 0;
	start = mm->arg_start;
	bytes = mm->arg_end - start;
	if (bytes > KYMO_ARGS_MAX)
		bytes = KYMO_ARGS_MAX;
	opaque(bytes);
	if (bytes > KYMO_ARGS_MAX)
		return 0;
	if (read_user(r->args, bytes, start)) {
		count(KYMO_COUNTER_EXEC_UNREADABLE);
		return 0;
	}
	r->head.args_size = bytes;
	opaque(bytes);
	if (bytes > KYMO_ARGS_MAX)
		return 0;
	/* Zeroes up to the next word. */
	__builtin_memset((__u8 *)r->args + bytes, 0, sizeof(__u64));
	return (bytes + 7) & ~7ULL;
}

/*
 * What the program before it used, which no sweep may have seen. Its other threads are dead and released
 * (fs/exec.c, de_thread), the one that is left is the leader.
 */
static __always_inline void emit_replaced(struct task_struct *leader)
{
	struct kymo_task record = { 0 };
	struct kymo_counters own = { 0 };

	record.head.type = KYMO_RECORD_REPLACED;
	record.head.size = sizeof(record);
	record.head.time_ns = bpf_ktime_get_ns();
	who_of(&record.who, leader);
	counters_of(&own, leader);
	released_read(&record.counters, leader);
	counters_add(&record.counters, &own);
	dead_threads_read(&record.counters, leader);
	no_memory(&record.counters);
	if (bpf_ringbuf_output(&records, &record, sizeof(record), BPF_RB_NO_WAKEUP))
		count(KYMO_COUNTER_EXEC_RING_FULL);
}

/*
 * The new program is in place, its arguments lie in its stack's top pages, which the kernel has just
 * written. Many a process is gone before its folder in /proc could be read.
 */
SEC("tp_btf/sched_process_exec")
int on_exec(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0], *leader = task->group_leader;
	struct exec_record *r;
	__u32 zero = 0;
	__u64 size;

	if (!asked_for(task->tgid, leader))
		return 0;
	emit_replaced(leader);
	r = bpf_map_lookup_elem(&exec_records, &zero);
	if (!r)
		return 0;
	__builtin_memset(&r->head, 0, sizeof(r->head));
	r->head.head.type = KYMO_RECORD_EXEC;
	r->head.head.time_ns = bpf_ktime_get_ns();
	r->head.process_start_ns = leader->start_boottime;
	r->head.pid = task->tgid;
	r->head.uid = BPF_CORE_READ(task, cred, uid.val);
	size = sizeof(r->head) + args_read(r, task);
	opaque(size);
	if (size > sizeof(*r))
		return 0;
	r->head.head.size = size;
	if (bpf_ringbuf_output(&records, r, size, BPF_RB_NO_WAKEUP))
		count(KYMO_COUNTER_EXEC_RING_FULL);
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
	counters_of(&own, leader);
	/* A leader that its parent has reaped meanwhile is among the released, but for its bytes. */
	if (released_read(&record.counters, task)) {
		counters_add(&record.counters, &own);
	} else {
		record.counters.read_bytes = own.read_bytes;
		record.counters.write_bytes = own.write_bytes;
	}
	dead_threads_read(&record.counters, leader);
	last_memory_take(&record.counters, leader);
	record.exit_code = BPF_CORE_READ(leader, exit_code);
	if (bpf_ringbuf_output(&records, &record, sizeof(record), BPF_RB_NO_WAKEUP))
		count(KYMO_COUNTER_END_RING_FULL);
}

/*
 * The last thread of a process begins to exit. Since 6.16 its memory map is still there (kernel/exit.c;
 * before, this came behind exit_mm): what it held to its end, which no sweep sees.
 */
SEC("tp_btf/sched_process_exit")
int on_exit(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0], *leader = task->group_leader;
	struct mm_struct *mm = task->mm;

	if (!mm || task->signal->live.counter > 0 || !asked_for(task->tgid, leader))
		return 0;
	last_memory_keep(mm, leader);
	return 0;
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
	leader = task->group_leader;
	if (task != leader)
		dead_thread_add(task, leader);
	if (task->signal->live.counter > 0)
		return 0;
	pid = task->tgid;
	if (!asked_for(pid, leader))
		return 0;
	emit_end(task, leader);
	if (config.filter)
		bpf_map_delete_elem(&followed, &pid);
	return 0;
}
