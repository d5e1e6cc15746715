/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs bench/bare.bpf.c on every CPU until its input ends, then prints how many samples and user frames
 * there were. What it cost stands in /proc/PID/fdinfo meanwhile.
 *
 * usage: bare HZ PID...
 */
#include <errno.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "kymo/config.h"

#include "bare.skel.h"

#define POLL_MS	 100
#define PIDS_MAX 8

static int ignore(void *context, void *data, size_t size)
{
	(void)context;
	(void)data;
	(void)size;
	return 0;
}

static void must(const void *p, const char *what)
{
	if (p)
		return;
	fprintf(stderr, "bare: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void attach(struct bpf_program *program, int cpu, uint64_t period_ns)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE,
					.size = sizeof(attr),
					.config = PERF_COUNT_SW_CPU_CLOCK,
					.sample_period = period_ns,
					.exclude_idle = 1 };
	int fd = (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);

	if (fd < 0)
		must(NULL, "perf_event_open");
	must(bpf_program__attach_perf_event(program, fd), "attach");
}

int main(int argc, char **argv)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	struct bare_bpf *skeleton = bare_bpf__open();
	struct ring_buffer *ring;
	uint64_t period_ns;

	if (argc < 3)
		return 2;
	must(skeleton, "open");
	period_ns = 1000000000ULL / strtoul(argv[1], NULL, 10);
	skeleton->rodata->config.cpu_period_ns = period_ns;
	for (int i = 0; i < PIDS_MAX && argv[i + 2]; i++)
		skeleton->rodata->bare_pids[i] = (uint32_t)atoi(argv[i + 2]);
	if (bpf_enable_stats(BPF_STATS_RUN_TIME) < 0)
		must(NULL, "statistics");
	if (bare_bpf__load(skeleton) < 0)
		must(NULL, "load");
	ring = ring_buffer__new(bpf_map__fd(skeleton->maps.records), ignore, NULL, NULL);
	must(ring, "ring");
	for (int cpu = 0; cpu < libbpf_num_possible_cpus(); cpu++)
		attach(skeleton->progs.on_bare, cpu, period_ns);
	while (poll(&input, 1, POLL_MS) == 0)
		ring_buffer__consume(ring);
	printf("%llu %llu\n", skeleton->bss->bare_samples, skeleton->bss->bare_frames);
	return 0;
}
