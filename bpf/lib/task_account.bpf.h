/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Exact accounts of a task that is not the current one: for the sweep and for the dead. */
#ifndef KYMO_BPF_TASK_ACCOUNT_H
#define KYMO_BPF_TASK_ACCOUNT_H

#include "lib/account.bpf.h"

#define ACCOUNT_CPUS_MAX 512
/*
 * In two loops, one in the other as a global function: of one over all CPUs the verifier follows every turn at each of its places,
 * which was 27,000 instructions a program and a third of all loading.
 */
#define ACCOUNT_CPUS 32
static_assert(ACCOUNT_CPUS_MAX % ACCOUNT_CPUS == 0, "whole turns");
#define ACCOUNT_PROCESSES_MAX 16384
#define ACCOUNT_EXITS_MAX     4096

/*
 * What each CPU adds to the address of per-CPU memory (__per_cpu_offset). A kernel without
 * CONFIG_KALLSYMS_ALL names none of its variables, so it is learned from a per-CPU map of ours: the
 * address of its element on that CPU, less the address that the map holds.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} cpu_anchor __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ACCOUNT_CPUS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} cpu_offsets __weak SEC(".maps");

/* Of ACCOUNT_CPUS from the first on. 0 to go on. */
__weak __noinline int cpu_offsets_some(__u32 first, __u64 base)
{
	__u32 zero = 0;

	for (__u32 i = 0; i < ACCOUNT_CPUS; i++) {
		__u32 cpu = first + i, key = cpu;
		__u64 *element = bpf_map_lookup_percpu_elem(&cpu_anchor, &zero, cpu);
		volatile __u64 *offset = bpf_map_lookup_elem(&cpu_offsets, &key);

		if (!element || !offset)
			return -1;
		*offset = (__u64)element;
		*offset -= base;
	}
	return 0;
}

__weak __noinline int cpu_offsets_learn(void)
{
	__u32 zero = 0;
	volatile __u64 *address = bpf_map_lookup_elem(&cpu_offsets, &zero);
	struct bpf_array *anchor;
	__u64 base = 0;

	if (!address)
		return -1;
	/* Written and read again: an address may be stored, not calculated with. */
	*address = (__u64)&cpu_anchor;
	anchor = (struct bpf_array *)*address;
	if (bpf_core_read(&base, sizeof(base), &anchor->pptrs[0]))
		return -1;
	for (__u32 cpu = 0; cpu < ACCOUNT_CPUS_MAX; cpu += ACCOUNT_CPUS)
		if (cpu_offsets_some(cpu, base))
			break;
	return 0;
}

static __always_inline __u64 cgroup_id_of(struct task_struct *task)
{
	return BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
}

static __always_inline void who_of(struct kymo_who *who, struct task_struct *task)
{
	struct task_struct *leader = task->group_leader;

	who->pid = task->tgid;
	who->tid = task->pid;
	who->process_start_ns = leader->start_boottime;
	who->thread_start_ns = task->start_boottime;
	who->cgroup_id = cgroup_id_of(task);
	bpf_probe_read_kernel_str(who->comm, sizeof(who->comm), task->comm);
}

/* Of a percpu_counter's part on one CPU: an s32 (include/linux/percpu_counter.h). 0 = there is no such CPU. */
static __always_inline __u64 part_at(__u64 counters, __u32 cpu)
{
	__u64 *offset = bpf_map_lookup_elem(&cpu_offsets, &cpu);

	return offset && *offset ? counters + *offset : 0;
}

/* The parts of ACCOUNT_CPUS from the first on. */
__weak __noinline __s64 percpu_some(__u64 counters, __u32 first)
{
	__s64 sum = 0;

	for (__u32 i = 0; i < ACCOUNT_CPUS; i++) {
		__u64 at = part_at(counters, first + i);
		__s32 part = 0;

		if (!at)
			break;
		if (!read_kernel(&part, sizeof(part), at))
			sum += part;
	}
	return sum;
}

__weak __noinline __s64 percpu_parts(__u64 counters)
{
	__s64 sum = 0;

	if (!counters)
		return 0;
	for (__u32 cpu = 0; cpu < ACCOUNT_CPUS_MAX; cpu += ACCOUNT_CPUS) {
		if (!part_at(counters, cpu))
			break;
		sum += percpu_some(counters, cpu);
	}
	return sum;
}

/* As PAGES_READ (account.bpf.h), with the per-CPU parts added: the exact number of pages. */
#define PAGES_EXACT(mm, kind)                                                                   \
	({                                                                                      \
		struct mm_struct___before_6_2 *_old = (void *)(mm);                             \
		__s64 _exact = 0;                                                               \
		__s32 *_parts = NULL;                                                           \
		if (bpf_core_field_exists(_old->rss_stat.count)) {                              \
			bpf_core_read(&_exact, sizeof(_exact), &_old->rss_stat.count[kind]);    \
		} else {                                                                        \
			bpf_core_read(&_exact, sizeof(_exact), &(mm)->rss_stat[kind].count);    \
			bpf_core_read(&_parts, sizeof(_parts), &(mm)->rss_stat[kind].counters); \
			_exact += percpu_parts((__u64)_parts);                                  \
		}                                                                               \
		_exact < 0 ? 0 : _exact;                                                        \
	})

static __always_inline void memory_exact(struct kymo_counters *c, struct mm_struct *mm)
{
	c->rss_anon_pages = PAGES_EXACT(mm, MM_ANONPAGES);
	c->rss_file_pages = PAGES_EXACT(mm, MM_FILEPAGES);
	c->rss_shmem_pages = PAGES_EXACT(mm, MM_SHMEMPAGES);
	c->swap_pages = PAGES_EXACT(mm, MM_SWAPENTS);
}

static __always_inline void no_memory(struct kymo_counters *c)
{
	c->rss_anon_pages = -1;
	c->rss_file_pages = -1;
	c->rss_shmem_pages = -1;
	c->swap_pages = -1;
}

/* As counters_read (account.bpf.h), of a task that is not held: every field by probe reads, without memory. */
static __always_inline void counters_of(struct kymo_counters *c, struct task_struct *task)
{
	c->cpu_ns = BPF_CORE_READ(task, se.sum_exec_runtime);
	c->minor_faults = BPF_CORE_READ(task, min_flt);
	c->major_faults = BPF_CORE_READ(task, maj_flt);
	c->voluntary_switches = BPF_CORE_READ(task, nvcsw);
	c->involuntary_switches = BPF_CORE_READ(task, nivcsw);
	if (bpf_core_field_exists(task->ioac.read_bytes)) {
		c->read_bytes = BPF_CORE_READ(task, ioac.read_bytes);
		c->write_bytes = BPF_CORE_READ(task, ioac.write_bytes);
	}
}

static __always_inline void released_of(struct kymo_counters *c, struct signal_struct *signal)
{
	c->cpu_ns = BPF_CORE_READ(signal, sum_sched_runtime);
	c->minor_faults = BPF_CORE_READ(signal, min_flt);
	c->major_faults = BPF_CORE_READ(signal, maj_flt);
	c->voluntary_switches = BPF_CORE_READ(signal, nvcsw);
	c->involuntary_switches = BPF_CORE_READ(signal, nivcsw);
}

/*
 * Storage bytes of the dead threads of a process that lives on, by our own book: the kernel's
 * (signal->ioac, and /proc/PID/io with it) also has those of children that were waited for
 * (kernel/exit.c, wait_task_zombie), which have told their own.
 */
struct thread_bytes {
	__u64 read, write;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, ACCOUNT_PROCESSES_MAX);
	__type(key, struct process_key);
	__type(value, struct thread_bytes);
} dead_threads __weak SEC(".maps");

static __always_inline struct process_key process_key_of(struct task_struct *leader)
{
	return (struct process_key){ .start_ns = leader->start_boottime, .pid = leader->tgid };
}

/* task: a thread that will not run again, not the leader. */
static __always_inline void dead_thread_add(struct task_struct *task, struct task_struct *leader)
{
	struct process_key key = process_key_of(leader);
	struct thread_bytes own = { 0 }, *sum;

	if (!bpf_core_field_exists(task->ioac.read_bytes))
		return;
	own.read = BPF_CORE_READ(task, ioac.read_bytes);
	own.write = BPF_CORE_READ(task, ioac.write_bytes);
	if (!own.read && !own.write)
		return;
	/* Two threads may die at once: made empty first, whoever is the first. */
	sum = bpf_map_lookup_elem(&dead_threads, &key);
	if (!sum) {
		struct thread_bytes none = { 0 };

		bpf_map_update_elem(&dead_threads, &key, &none, BPF_NOEXIST);
		sum = bpf_map_lookup_elem(&dead_threads, &key);
	}
	if (!sum)
		return;
	__sync_fetch_and_add(&sum->read, own.read);
	__sync_fetch_and_add(&sum->write, own.write);
}

static __always_inline void dead_threads_read(struct kymo_counters *c, struct task_struct *leader)
{
	struct process_key key = process_key_of(leader);
	const struct thread_bytes *sum = bpf_map_lookup_elem(&dead_threads, &key);

	c->read_bytes += sum ? sum->read : 0;
	c->write_bytes += sum ? sum->write : 0;
}

/*
 * What a process's memory was when its last thread exited, from there to the last switch away from it:
 * by then the memory map is gone.
 */
struct last_memory {
	__s64 anon, file, shmem, swap;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, ACCOUNT_EXITS_MAX);
	__type(key, struct process_key);
	__type(value, struct last_memory);
} last_memories __weak SEC(".maps");

static __always_inline void last_memory_keep(struct mm_struct *mm, struct task_struct *leader)
{
	struct process_key key = process_key_of(leader);
	struct kymo_counters c = { 0 };
	struct last_memory last;

	memory_exact(&c, mm);
	last = (struct last_memory){ c.rss_anon_pages, c.rss_file_pages, c.rss_shmem_pages,
				     c.swap_pages };
	bpf_map_update_elem(&last_memories, &key, &last, BPF_ANY);
}

static __always_inline void last_memory_take(struct kymo_counters *c, struct task_struct *leader)
{
	struct process_key key = process_key_of(leader);
	const struct last_memory *last = bpf_map_lookup_elem(&last_memories, &key);

	no_memory(c);
	if (!last)
		return;
	c->rss_anon_pages = last->anon;
	c->rss_file_pages = last->file;
	c->rss_shmem_pages = last->shmem;
	c->swap_pages = last->swap;
	bpf_map_delete_elem(&last_memories, &key);
}

#define RELEASE_TRIES 8

/*
 * What the released threads of a process left behind, and how many are not released yet (kernel/exit.c,
 * __exit_signal). Both change together under a seqlock, and a parent may be reaping on another CPU
 * right now: without it a thread would be counted twice or not at all. That many tries are never
 * needed; after them the last reading stands.
 */
static __always_inline int released_read(struct kymo_counters *c, struct task_struct *task)
{
	struct signal_struct *signal = task->signal;
	unsigned int before, after;
	int threads = 0;

	for (int i = 0; i < RELEASE_TRIES; i++) {
		before = BPF_CORE_READ(signal, stats_lock.seqcount.seqcount.sequence);
		threads = BPF_CORE_READ(signal, nr_threads);
		released_of(c, signal);
		after = BPF_CORE_READ(signal, stats_lock.seqcount.seqcount.sequence);
		if (before == after && !(before & 1))
			break;
	}
	return threads;
}

static __always_inline void counters_add(struct kymo_counters *c, const struct kymo_counters *more)
{
	c->cpu_ns += more->cpu_ns;
	c->minor_faults += more->minor_faults;
	c->major_faults += more->major_faults;
	c->voluntary_switches += more->voluntary_switches;
	c->involuntary_switches += more->involuntary_switches;
	c->read_bytes += more->read_bytes;
	c->write_bytes += more->write_bytes;
}

#endif
