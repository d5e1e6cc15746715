/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The processes that were asked for, in the map `followed`: a pid with its start, since pids are
 * used again.
 */
#ifndef KYMO_BPF_FOLLOW_H
#define KYMO_BPF_FOLLOW_H

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

#endif
