/* SPDX-License-Identifier: Apache-2.0 */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "kern/state.h"
#include "kymo.skel.h"

int kern_counters(struct kern *k, uint64_t ret[KYMO_COUNTER_MAX])
{
	int cpus = libbpf_num_possible_cpus();
	_cleanup_free_ uint64_t *values = NULL;
	uint64_t sums[KYMO_COUNTER_MAX] = { 0 };

	if (cpus < 0)
		return cpus;
	values = calloc((size_t)cpus, sizeof(*values));
	if (!values)
		return -ENOMEM;
	for (uint32_t i = 0; i < KYMO_COUNTER_MAX; i++) {
		int r = bpf_map__lookup_elem(k->skeleton->maps.counters, &i, sizeof(i), values,
					     (size_t)cpus * sizeof(*values), 0);

		if (r < 0)
			return r;
		for (int c = 0; c < cpus; c++)
			sums[i] += values[c];
	}
	for (size_t i = 0; i < KYMO_COUNTER_MAX; i++)
		ret[i] = sums[i];
	return 0;
}

static int add_program(const struct bpf_program *program, struct kern_stats *stats)
{
	struct bpf_prog_info info = { 0 };
	uint32_t size = sizeof(info);
	int fd = bpf_program__fd(program);

	if (fd < 0)
		return 0; /* not loaded: not asked for */
	if (bpf_obj_get_info_by_fd(fd, &info, &size) < 0)
		return -errno;
	stats->bpf_run_ns += info.run_time_ns;
	stats->bpf_runs += info.run_cnt;
	return 0;
}

int kern_stats(struct kern *k, struct kern_stats *ret)
{
	struct kern_stats stats = { .bpf_stats = k->stats_fd >= 0,
				    .malformed = k->malformed,
				    .queued = k->order.items_n,
				    .queue_dropped = k->order.dropped };
	struct sideband_stats sideband;
	struct bpf_program *program;

	bpf_object__for_each_program(program, k->skeleton->obj)
	{
		int r = add_program(program, &stats);

		if (r < 0)
			return r;
	}
	unwind_stats(k, &stats);
	sideband_stats(k->sideband, &sideband);
	stats.malformed += sideband.malformed;
	stats.sideband_lost = sideband.lost;
	*ret = stats;
	return 0;
}
