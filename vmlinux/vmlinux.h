/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel types and fields that kymo reads, and no others: what we depend on. Fields are found
 * by name in the running kernel's BTF (preserve_access_index), so order and padding here mean
 * nothing; tests/bpf/test_fields.c holds every field against that BTF. Fields that changed between
 * 6.1 and today stand in flavors.h. Registers stand in registers.h: they are fixed (UAPI), not
 * relocated.
 */
#ifndef KYMO_VMLINUX_H
#define KYMO_VMLINUX_H

#define static_assert _Static_assert

typedef _Bool bool;
enum { false = 0, true = 1 };
#define NULL		       ((void *)0)
#define offsetof(type, member) __builtin_offsetof(type, member)

typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef short __s16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u16 __be16; /* named by libbpf's bpf_helper_defs.h */
typedef __u32 __be32;
typedef __u32 __wsum;

#include "registers.h"

/* include/uapi/linux/bpf.h */
enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PROG_ARRAY = 3,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
	BPF_MAP_TYPE_RINGBUF = 27,
};

enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
	BPF_EXIST = 2,
};

enum {
	BPF_RB_NO_WAKEUP = 1,
};

enum {
	BPF_RB_AVAIL_DATA = 0,
	BPF_RB_RING_SIZE = 1,
};

/*
 * The context of a perf event's program (include/uapi/linux/bpf_perf_event.h): read in whole longs.
 */
struct bpf_perf_event_data {
	struct pt_regs regs;
	__u64 sample_period;
	__u64 addr;
};

/* include/uapi/linux/perf_event.h: perf_sample_data.sample_flags */
#define PERF_SAMPLE_DATA_PAGE_SIZE (1ULL << 22)

/* include/linux/blk_types.h: the low bits of bio.bi_opf; a bit's number in bio.bi_flags (an enum without a name) */
#define REQ_OP_MASK	   0xff
#define REQ_OP_READ	   0
#define REQ_OP_WRITE	   1
#define REQ_OP_ZONE_APPEND 7
#define BIO_CLONED	   1

/* include/linux/sched.h: task_struct.flags */
#define PF_IO_WORKER   0x00000010
#define PF_USER_WORKER 0x00004000
#define PF_KTHREAD     0x00200000

/* include/linux/sched.h: the state of a task that will never run again, in sched_switch's prev_state */
#define TASK_DEAD 0x00000080

/* include/linux/mm.h: vm_area_struct.vm_flags */
#define VM_EXEC 0x00000004

/* include/linux/mm_types_task.h: indices of mm_struct.rss_stat */
enum {
	MM_FILEPAGES,
	MM_ANONPAGES,
	MM_SWAPENTS,
	MM_SHMEMPAGES,
};

/* include/linux/maple_tree.h: the kinds of node of the tree of mappings. */
enum {
	KYMO_MAPLE_LEAF_64 = 1,
	KYMO_MAPLE_RANGE_64 = 2,
	KYMO_MAPLE_ARANGE_64 = 3,
};

/* include/linux/cgroup_subsys.h: the number depends on what is built in, and is asked of the running kernel. */
enum cgroup_subsys_id {
	memory_cgrp_id = 0,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	__s64 counter;
} atomic64_t;

typedef atomic64_t atomic_long_t;

struct task_io_accounting {
	__u64 read_bytes;
	__u64 write_bytes;
};

struct sched_entity {
	__u64 sum_exec_runtime;
};

struct thread_struct {
	unsigned long fsbase;
};

typedef struct seqcount {
	unsigned int sequence;
} seqcount_t;

struct seqcount_spinlock {
	struct seqcount seqcount;
};

typedef struct {
	struct seqcount_spinlock seqcount;
} seqlock_t;

struct signal_struct {
	atomic_t live;
	int nr_threads;	      /* not yet released */
	seqlock_t stats_lock; /* of these and nr_threads */
	unsigned long nvcsw;  /* these: of released threads */
	unsigned long nivcsw;
	unsigned long min_flt;
	unsigned long maj_flt;
	unsigned long long sum_sched_runtime;
	short oom_score_adj;
};

struct kernfs_node {
	__u64 id;
	struct kernfs_node *__parent; /* since 6.15; before: flavors.h */
	const char *name;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
};

struct css_set {
	struct cgroup *dfl_cgrp;
	struct cgroup_subsys_state *subsys[1]; /* by cgroup_subsys_id */
};

/* kernel/bpf/arraymap.c's: a per-CPU array keeps each element's per-CPU address. */
struct bpf_array {
	void *pptrs[0];
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 seq_num;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

typedef struct {
	unsigned int val;
} kuid_t;

struct cred {
	kuid_t uid;
};

struct task_struct {
	unsigned int __state;
	unsigned int flags;
	int on_cpu;
	struct sched_entity se;
	struct mm_struct *mm;
	unsigned int in_execve : 1;
	int pid;
	int tgid;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	unsigned long nvcsw;
	unsigned long nivcsw;
	__u64 start_boottime;
	unsigned long min_flt;
	unsigned long maj_flt;
	char comm[16];
	struct signal_struct *signal;
	struct task_io_accounting ioac;
	int exit_code;
	const struct cred *cred;
	struct css_set *cgroups;
	struct thread_struct thread;
};

struct maple_tree {
	void *ma_root;
};

struct percpu_counter {
	__s64 count;
	__s32 *counters;
};

/* x86's */
typedef struct {
	void *vdso;
} mm_context_t;

struct mm_struct {
	struct maple_tree mm_mt;
	unsigned long mmap_base;
	unsigned long total_vm;
	unsigned long exec_vm;
	unsigned long start_code;
	unsigned long start_stack;
	unsigned long arg_start;
	unsigned long arg_end;
	struct percpu_counter rss_stat[4]; /* since 6.2; before: flavors.h */
	struct file *exe_file;
	mm_context_t context;
};

struct vm_area_struct {
	unsigned long vm_start;
	unsigned long vm_end;
	unsigned long vm_flags;
	unsigned long vm_pgoff;
	struct file *vm_file;
};

struct file {
	struct inode *f_inode;
};

struct inode {
	struct super_block *i_sb;
	unsigned long i_ino;
};

struct super_block {
	__u32 s_dev;
};

/* What a perf event's program is really given. */
struct perf_sample_data {
	__u64 sample_flags;
	__u64 data_page_size;
};

struct bpf_perf_event_data_kern {
	struct perf_sample_data *data;
};

struct block_device {
	__u32 bd_dev;
};

struct bvec_iter {
	unsigned int bi_size;
};

struct bio {
	struct block_device *bi_bdev;
	unsigned int bi_opf;
	unsigned short bi_flags;
	struct bvec_iter bi_iter;
};

#pragma clang attribute pop

#endif
