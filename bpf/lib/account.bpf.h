/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who a task is, and what the kernel has accounted to it. */
#ifndef KYMO_BPF_ACCOUNT_H
#define KYMO_BPF_ACCOUNT_H

#include "lib/common.bpf.h"
#include "flavors.h"

static __always_inline void who_read(struct kymo_who *who, struct task_struct *task)
{
	struct task_struct *leader = task->group_leader;

	who->pid = task->tgid;
	who->tid = task->pid;
	who->process_start_ns = leader->start_boottime;
	who->thread_start_ns = task->start_boottime;
	who->cgroup_id = bpf_get_current_cgroup_id();
	bpf_get_current_comm(who->comm, sizeof(who->comm));
}

/*
 * One kind of page. The kernel adds up per-CPU parts only now and then, and what lies here may
 * differ from the exact sum by max(32, 2 * CPUs) - 1 pages for each CPU (before 6.2: 63 pages for
 * each thread), and be below 0. A macro: only a constant index is relocated by the element's size
 * in the running kernel. 6.1's verifier does not look through the typedef of an array's elements:
 * hence a probe read of them.
 */
#define PAGES_READ(mm, kind)                                                                 \
	({                                                                                   \
		struct mm_struct___before_6_2 *_old = (void *)(mm);                          \
		__s64 _pages = 0;                                                            \
		if (bpf_core_field_exists(_old->rss_stat.count))                             \
			bpf_core_read(&_pages, sizeof(_pages), &_old->rss_stat.count[kind]); \
		else                                                                         \
			_pages = (mm)->rss_stat[kind].count;                                 \
		_pages < 0 ? 0 : _pages;                                                     \
	})

static __always_inline void memory_read(struct kymo_counters *c, struct mm_struct *mm)
{
	c->rss_anon_pages = PAGES_READ(mm, MM_ANONPAGES);
	c->rss_file_pages = PAGES_READ(mm, MM_FILEPAGES);
	c->rss_shmem_pages = PAGES_READ(mm, MM_SHMEMPAGES);
	c->swap_pages = PAGES_READ(mm, MM_SWAPENTS);
}

/* mm: NULL where the task has none of its own. */
static __always_inline void counters_read(struct kymo_counters *c, struct task_struct *task,
					  struct mm_struct *mm)
{
	c->cpu_ns = task->se.sum_exec_runtime;
	c->minor_faults = task->min_flt;
	c->major_faults = task->maj_flt;
	c->voluntary_switches = task->nvcsw;
	c->involuntary_switches = task->nivcsw;
	c->read_bytes = 0;
	c->write_bytes = 0;
	/* CONFIG_TASK_IO_ACCOUNTING */
	if (bpf_core_field_exists(task->ioac.read_bytes)) {
		c->read_bytes = task->ioac.read_bytes;
		c->write_bytes = task->ioac.write_bytes;
	}
	if (mm) {
		memory_read(c, mm);
		return;
	}
	c->rss_anon_pages = -1;
	c->rss_file_pages = -1;
	c->rss_shmem_pages = -1;
	c->swap_pages = -1;
}

#endif
