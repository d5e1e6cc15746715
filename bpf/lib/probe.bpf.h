/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Collections and imports that are going on, by thread. A thread has at most one collection (the interpreter
 * does not start another within), and imports within imports.
 */
#ifndef KYMO_BPF_PROBE_H
#define KYMO_BPF_PROBE_H

#include "lib/common.bpf.h"

#define PROBE_THREADS_MAX 16384
#define PROBE_DEPTH_MAX \
	256 /* of imports; the interpreter's own limit of recursion ends them about there */

struct probe_thread {
	/* Whose it is: after an exec, or in a thread that got the id anew, nothing goes on. */
	__u64 start_ns; /* of the thread */
	__u64 mm;
	__u32 collecting;
	__u32 imports;
};

struct probe_key {
	__u32 tid;
	__u32 level; /* 0 = the collection; imports from 1 on */
};

struct probe_begun {
	__u64 start_ns;
	__s64 rss_bytes;
	__u64 nested_ns; /* of imports within */
	__s32 generation;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PROBE_THREADS_MAX);
	__type(key, __u32);
	__type(value, struct probe_thread);
} probe_threads __weak SEC(".maps");

/* What a thread left at its end is forgotten as the oldest: nobody asks for it. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PROBE_THREADS_MAX);
	__type(key, struct probe_key);
	__type(value, struct probe_begun);
} probes_begun __weak SEC(".maps");

static __always_inline bool probe_is_of(const struct probe_thread *t, struct task_struct *task,
					struct mm_struct *mm)
{
	return t->start_ns == task->start_boottime && t->mm == (__u64)mm;
}

static __always_inline bool probe_in_collection(struct task_struct *task, struct mm_struct *mm)
{
	__u32 tid = task->pid;
	struct probe_thread *t = bpf_map_lookup_elem(&probe_threads, &tid);

	return t && t->collecting && probe_is_of(t, task, mm);
}

static __always_inline void probe_count_unfinished(const struct probe_thread *t)
{
	if (t->collecting || t->imports)
		count(KYMO_COUNTER_PROBE_UNFINISHED);
}

static __always_inline void probe_thread_ended(__u32 tid)
{
	struct probe_thread *t = bpf_map_lookup_elem(&probe_threads, &tid);

	if (!t)
		return;
	probe_count_unfinished(t);
	bpf_map_delete_elem(&probe_threads, &tid);
}

#endif
