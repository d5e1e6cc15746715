/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Keeps the cost of storms down: of a source's events on a CPU only so many become samples. Which, is
 * a matter of chance and of bytes: an event of b bytes is kept with the probability b / threshold and
 * then stands for threshold bytes, so that the expected sum is the true one for every stack, and large
 * events are always kept and exact. The threshold is 0 until a window has more events than it may.
 */
#ifndef KYMO_BPF_THIN_H
#define KYMO_BPF_THIN_H

#include "lib/common.bpf.h"

#define THIN_WINDOW_NS	   (100ULL * 1000 * 1000)
#define THIN_THRESHOLD_MIN (1U << 13) /* two base pages: less would leave nothing out */
#define THIN_THRESHOLD_MAX (1U << 30)

/* Of one source on one CPU. An interrupt's update that gets lost between two of ours does no harm. */
struct thin_state {
	__u64 window_ns; /* its start */
	__u32 kept;	 /* in this window */
	__u32 threshold; /* bytes: 0 or a power of two */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, KYMO_SOURCE_MAX);
	__type(key, __u32);
	__type(value, struct thin_state);
} thinning __weak SEC(".maps");

/* Down by half where half as many would do: a steady load does not make it swing. */
static __always_inline void thin_window(struct thin_state *t, __u32 max)
{
	__u64 now = bpf_ktime_get_ns(), passed = now - t->window_ns;

	if (passed < THIN_WINDOW_NS)
		return;
	if (passed > 32 * THIN_WINDOW_NS)
		t->threshold = 0;
	else if (t->kept < max / 2)
		t->threshold /= 2;
	t->window_ns = now;
	t->kept = 0;
}

/* What the event stands for in bytes; 0: it is left out. */
static __always_inline __u64 thin(enum kymo_source source, __u64 bytes)
{
	__u32 key = source, max = config.window_max[source & KYMO_SOURCE_MASK];
	struct thin_state *t = bpf_map_lookup_elem(&thinning, &key);
	__u32 threshold;

	if (!t || !max)
		return bytes;
	thin_window(t, max);
	threshold = t->threshold;
	if (bytes < threshold && (bpf_get_prandom_u32() & (threshold - 1)) >= bytes) {
		count(KYMO_COUNTER_THINNED);
		return 0;
	}
	if (++t->kept >= max && threshold < THIN_THRESHOLD_MAX) {
		t->threshold = threshold ? threshold * 2 : THIN_THRESHOLD_MIN;
		t->kept = 0;
	}
	return bytes < threshold ? threshold : bytes;
}

#endif
