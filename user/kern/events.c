/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clock that samples: a software cpu-clock event per CPU. It runs from a timer interrupt (no
 * PMU and no NMI needed, so the walk may read user memory), whatever task is there.
 */
#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kern/state.h"
#include "kymo.skel.h"

/*
 * exclude_idle: else an idle CPU, whose tick is stopped, is soon throttled (the kernel allows so
 * many interrupts between two ticks), and what then runs on it for less than a tick is never
 * sampled.
 */
static int open_cpu_clock(uint32_t cpu, uint64_t period_ns)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = period_ns,
		.exclude_idle = 1,
		.disabled = 1, /* until the program is attached */
	};
	long fd = syscall(SYS_perf_event_open, &attr, -1, (int)cpu, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : (int)fd;
}

static int start_on_cpu(struct kern *k, uint32_t cpu)
{
	_cleanup_close_ int fd = open_cpu_clock(cpu, k->cpu_period_ns);
	struct bpf_link *link;

	if (fd < 0)
		return fd == -ENODEV ? 0 : fd; /* went offline meanwhile */
	link = bpf_program__attach_perf_event(k->skeleton->progs.on_cpu_clock, fd);
	if (!link)
		return -errno;
	(void)TAKE_FD(fd); /* the link's now */
	k->links[k->links_n++] = link;
	return 0;
}

int events_start(struct kern *k)
{
	_cleanup_free_ uint32_t *cpus = NULL;
	size_t n = 0;
	int r = cpus_online(&cpus, &n);

	if (r < 0)
		return r;
	k->links = calloc(n, sizeof(struct bpf_link *));
	if (!k->links)
		return -ENOMEM;
	for (size_t i = 0; i < n && r == 0; i++)
		r = start_on_cpu(k, cpus[i]);
	if (r < 0)
		events_stop(k);
	return r;
}

void events_stop(struct kern *k)
{
	for (size_t i = 0; i < k->links_n; i++)
		bpf_link__destroy(k->links[i]);
	free(k->links);
	k->links = NULL;
	k->links_n = 0;
}
