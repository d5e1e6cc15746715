/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What samples. The clock: a software cpu-clock event per CPU, from a timer interrupt (no PMU and no NMI
 * needed, so the walk may read user memory). Faults: the two events that come when a fault has been
 * handled (the third, PERF_COUNT_SW_PAGE_FAULTS, comes before: it has no page to tell the size of yet, and
 * counts also what failed), which together are the faults that the kernel accounts to the thread. Blocks
 * submitted: a tracepoint.
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

#ifndef PERF_SAMPLE_DATA_PAGE_SIZE /* in headers since 5.11 */
#define PERF_SAMPLE_DATA_PAGE_SIZE (1U << 22)
#endif

#define KINDS_MAX 3 /* of events per CPU */

struct event_kind {
	struct perf_event_attr attr;
	struct bpf_program *program;
};

/*
 * exclude_idle: else an idle CPU, whose tick is stopped, is soon throttled (the kernel allows so
 * many interrupts between two ticks), and what then runs on it for less than a tick is never
 * sampled.
 */
static struct event_kind clock_kind(const struct kern *k)
{
	return (struct event_kind){ .attr = { .config = PERF_COUNT_SW_CPU_CLOCK,
					      .sample_period = k->cpu_period_ns,
					      .exclude_idle = 1 },
				    .program = k->skeleton->progs.on_cpu_clock };
}

/* The page size is worked out for the program: no ring of perf's is there to hold it. */
static struct event_kind fault_kind(const struct kern *k, uint64_t config)
{
	return (struct event_kind){ .attr = { .config = config,
					      .sample_period = k->fault_period,
					      .sample_type = PERF_SAMPLE_DATA_PAGE_SIZE },
				    .program = k->skeleton->progs.on_fault };
}

static size_t choose_kinds(const struct kern *k, struct event_kind kinds[KINDS_MAX])
{
	size_t n = 0;

	if (k->sources & KERN_SOURCE(KYMO_SOURCE_CPU))
		kinds[n++] = clock_kind(k);
	if (k->sources & KERN_SOURCE(KYMO_SOURCE_FAULT)) {
		kinds[n++] = fault_kind(k, PERF_COUNT_SW_PAGE_FAULTS_MIN);
		kinds[n++] = fault_kind(k, PERF_COUNT_SW_PAGE_FAULTS_MAJ);
	}
	return n;
}

static int keep_link(struct kern *k, struct bpf_link *link)
{
	if (!link)
		return -errno;
	k->links[k->links_n++] = link;
	return 0;
}

static int start_on_cpu(struct kern *k, const struct event_kind *kind, uint32_t cpu)
{
	struct perf_event_attr attr = kind->attr;
	_cleanup_close_ int fd = -1;
	int r;

	attr.type = PERF_TYPE_SOFTWARE;
	attr.size = sizeof(attr);
	attr.disabled = 1; /* until the program is attached */
	fd = (int)syscall(SYS_perf_event_open, &attr, -1, (int)cpu, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return errno == ENODEV ? 0 : -errno; /* went offline meanwhile */
	r = keep_link(k, bpf_program__attach_perf_event(kind->program, fd));
	if (r == 0)
		(void)TAKE_FD(fd); /* the link's now */
	return r;
}

static int start_all(struct kern *k, const uint32_t *cpus, size_t cpus_n)
{
	struct event_kind kinds[KINDS_MAX];
	size_t kinds_n = choose_kinds(k, kinds);
	int r = 0;

	for (size_t kind = 0; kind < kinds_n; kind++)
		for (size_t i = 0; i < cpus_n && r == 0; i++)
			r = start_on_cpu(k, &kinds[kind], cpus[i]);
	if (r == 0 && k->sources & KERN_SOURCE(KYMO_SOURCE_IO))
		r = keep_link(k, bpf_program__attach(k->skeleton->progs.on_bio_queue));
	return r;
}

int events_start(struct kern *k)
{
	_cleanup_free_ uint32_t *cpus = NULL;
	size_t n = 0;
	int r = cpus_online(&cpus, &n);

	if (r < 0)
		return r;
	k->links = calloc(n * KINDS_MAX + 1, sizeof(struct bpf_link *));
	if (!k->links)
		return -ENOMEM;
	r = start_all(k, cpus, n);
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
