/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The processes that were asked for, in the map `followed`: a pid with its start, since pids are
 * used again. Or those of a cgroup.
 */
#ifndef KYMO_BPF_FOLLOW_H
#define KYMO_BPF_FOLLOW_H

#include "flavors.h"
#include <bpf/bpf_core_read.h>

#include "lib/common.bpf.h"

/*
 * User space knows pids only, so its entries say 0 and take the start of the process that is first
 * seen.
 */
static __always_inline bool followed_is(__u32 pid, __u64 start_ns)
{
	__u64 *start = bpf_map_lookup_elem(&followed, &pid);

	if (!start)
		return false;
	if (!*start)
		*start = start_ns;
	return *start == start_ns;
}

static __always_inline struct kernfs_node *kernfs_parent_of(struct kernfs_node *node)
{
	struct kernfs_node___before_6_15 *old = (void *)node;

	return bpf_core_field_exists(old->parent) ? BPF_CORE_READ(old, parent)
						  : BPF_CORE_READ(node, __parent);
}

/* Deeper ones are taken for others. */
#define CGROUP_LEVELS_MAX 64

/* In the cgroup that was asked for or below it. A dead task is still where it was when it lived. */
static __noinline bool in_cgroup(struct task_struct *leader)
{
	struct css_set *set = BPF_CORE_READ(leader, cgroups);
	struct cgroup_subsys_state *state = NULL;
	struct kernfs_node *node;

	if (config.cgroup_subsys < 0) {
		node = BPF_CORE_READ(set, dfl_cgrp, kn);
	} else {
		if (read_kernel(&state, sizeof(state),
				(__u64)&set->subsys + (__u64)config.cgroup_subsys * sizeof(state)))
			return false;
		node = BPF_CORE_READ(state, cgroup, kn);
	}
	for (int i = 0; i < CGROUP_LEVELS_MAX && node; i++) {
		if (BPF_CORE_READ(node, id) == config.cgroup_id)
			return true;
		node = kernfs_parent_of(node);
	}
	return false;
}

/* Whether the process is to be recorded; its leader says so for all threads. */
static __always_inline bool asked_for(__u32 pid, struct task_struct *leader)
{
	if (config.filter && !followed_is(pid, leader->start_boottime))
		return false;
	return !config.cgroup_id || in_cgroup(leader);
}

#endif
