/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What user space sets before load (const volatile on the kernel side), and the maps' keys and values. */
#ifndef KYMO_CONFIG_H
#define KYMO_CONFIG_H

#include "kymo/record.h"
#include "kymo/types.h"

struct kymo_config {
	__u64 cpu_period_ns; /* what one cpu sample stands for */
	__u32 filter;	     /* 1: only processes in the map `followed` and what they fork */
	__u32 own_pid;	     /* kymo itself (root pid namespace) */
	__u64 page_bytes;    /* a base page */
	/* By source: so many of a CPU's events in 100 ms become samples at most; 0 = all. */
	__u32 window_max[KYMO_SOURCE_SLOTS];
	__u32 probes;	 /* 1: probes of interpreters may be attached */
	__u32 no_args;	 /* 1: arguments of programs are not copied */
	__u64 cgroup_id; /* only processes in this cgroup and below; 0 = all */
	__s32 cgroup_subsys; /* of the kernel's cgroup_subsys_id whose hierarchy it is in; -1 = version 2 */
	__u32 pad;
};

/* Counters, in the order of counters.def: the index into the per-CPU array map `counters`. */
enum kymo_counter {
#define KYMO_COUNTER(name, text, meaning) KYMO_COUNTER_##name,
#include "kymo/counters.def"
#undef KYMO_COUNTER
	KYMO_COUNTER_MAX,
};

/* A file, as the kernel knows it: super_block.s_dev and inode.i_ino. */
struct kymo_file_key {
	__u64 inode;
	__u32 dev; /* kernel encoding: major << 20 | minor */
	__u32 pad;
};
static_assert(sizeof(struct kymo_file_key) == 16, "layout");

#endif
