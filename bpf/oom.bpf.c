// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Victims of the OOM killer: who was chosen, what it held, and on whose stack memory ran out. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "lib/sample.bpf.h"
#include "lib/task_account.bpf.h"

/* PID_MAX_LIMIT (include/linux/threads.h): no kernel address is as low. */
#define PIDS_MAX (4 * 1024 * 1024)
/* The program that takes the sample in this one's place, and bpf_trace_run that calls it. */
#define OWN_FRAMES 2

/* The directory of the cgroup that the task's memory is charged to; version 1 or 2. */
static __always_inline struct kernfs_node *memory_cgroup(struct task_struct *task)
{
	struct css_set *set = BPF_CORE_READ(task, cgroups);
	struct cgroup_subsys_state *state = NULL;
	__u64 at;

	if (!bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id))
		return NULL;
	at = (__u64)bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id);
	if (read_kernel(&state, sizeof(state), (__u64)&set->subsys + at * sizeof(state)))
		return NULL;
	return state ? BPF_CORE_READ(state, cgroup, kn) : NULL;
}

static __always_inline void cgroup_names(struct kymo_oom *record, struct task_struct *task)
{
	struct kernfs_node *node = memory_cgroup(task), *parent;

	for (int i = 0; i < KYMO_CGROUP_LEVELS && node; i++) {
		parent = kernfs_parent_of(node);
		if (!parent) /* the root has no name */
			return;
		bpf_probe_read_kernel_str(record->cgroup[i], sizeof(record->cgroup[i]),
					  BPF_CORE_READ(node, name));
		node = parent;
	}
}

/* As who_of, of a task that is only an address here. */
static __always_inline void victim_who(struct kymo_who *who, struct task_struct *task)
{
	who->pid = BPF_CORE_READ(task, tgid);
	who->tid = BPF_CORE_READ(task, pid);
	who->process_start_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	who->thread_start_ns = BPF_CORE_READ(task, start_boottime);
	who->cgroup_id = cgroup_id_of(task);
	bpf_probe_read_kernel_str(who->comm, sizeof(who->comm), task->comm);
}

static __always_inline void victim_read(struct kymo_oom *record, struct task_struct *task)
{
	struct mm_struct *mm = BPF_CORE_READ(task, mm);

	record->victim_known = 1;
	victim_who(&record->victim, task);
	record->oom_score_adj = BPF_CORE_READ(task, signal, oom_score_adj);
	cgroup_names(record, task);
	if (!mm)
		return;
	record->rss_anon_pages = PAGES_EXACT(mm, MM_ANONPAGES);
	record->rss_file_pages = PAGES_EXACT(mm, MM_FILEPAGES);
	record->rss_shmem_pages = PAGES_EXACT(mm, MM_SHMEMPAGES);
	record->swap_pages = PAGES_EXACT(mm, MM_SWAPENTS);
	record->total_vm_pages = BPF_CORE_READ(mm, total_vm);
}

static __always_inline void emit_victim(struct task_struct *current, __u64 victim)
{
	struct kymo_oom *record = bpf_ringbuf_reserve(&records, sizeof(*record), 0);

	if (!record) {
		count(KYMO_COUNTER_OOM_RING_FULL);
		return;
	}
	__builtin_memset(record, 0, sizeof(*record));
	record->head.type = KYMO_RECORD_OOM;
	record->head.size = sizeof(*record);
	record->head.time_ns = bpf_ktime_get_ns();
	record->allocator_pid = current->tgid;
	record->allocator_tid = current->pid;
	bpf_get_current_comm(record->allocator_comm, sizeof(record->allocator_comm));
	/* Before 72ba14deb40a (6.8) the tracepoint gives a pid, since then the task. */
	if (victim < PIDS_MAX && (__u32)victim == (__u32)current->pid)
		victim = (__u64)current;
	if (victim < PIDS_MAX)
		record->victim.pid = record->victim.tid = victim;
	else
		victim_read(record, (struct task_struct *)victim);
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
}

/* Runs on the thread whose allocation failed. Not restricted to what is followed: a host that is out of memory
 * is out of memory for all. */
SEC("raw_tp/mark_victim")
int on_oom_victim(__u64 *ctx)
{
	struct cause cause = { .context = CONTEXT_TRACEPOINT,
			       .source = KYMO_SOURCE_FAULT,
			       .state = KYMO_STATE_KERNEL,
			       .skip = OWN_FRAMES,
			       .flags = KYMO_SAMPLE_OF_OOM };

	emit_victim(bpf_get_current_task_btf(), ctx[0]);
	sample_hand_on(ctx, &cause);
	return 0;
}
