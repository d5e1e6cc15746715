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

#include "base/array.h"
#include "base/cleanup.h"
#include "kern/state.h"
#include "kymo.skel.h"

#ifndef PERF_SAMPLE_DATA_PAGE_SIZE /* in headers since 5.11 */
#define PERF_SAMPLE_DATA_PAGE_SIZE (1U << 22)
#endif

#define KINDS_MAX 3 /* of events per CPU */

struct event_kind {
	struct perf_event_attr attr;
	enum kymo_source source; /* tells the program */
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
				    .source = KYMO_SOURCE_CPU };
}

/* The page size is worked out for the program: no ring of perf's is there to hold it. */
static struct event_kind fault_kind(const struct kern *k, uint64_t config)
{
	return (struct event_kind){ .attr = { .config = config,
					      .sample_period = k->fault_period,
					      .sample_type = PERF_SAMPLE_DATA_PAGE_SIZE },
				    .source = KYMO_SOURCE_FAULT };
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

static int keep_link(struct kern *k, uint32_t cpu, struct bpf_link *link)
{
	if (!link)
		return -errno;
	if (array_reserve(&k->links, &k->links_cap, k->links_n + 1) < 0) {
		bpf_link__destroy(link);
		return -ENOMEM;
	}
	k->links[k->links_n++] = (struct event_link){ .link = link, .cpu = cpu };
	return 0;
}

static int start_on_cpu(struct kern *k, const struct event_kind *kind, uint32_t cpu)
{
	struct bpf_perf_event_opts options;
	struct perf_event_attr attr = kind->attr;
	_cleanup_close_ int fd = -1;
	int r;

	/* libbpf wants zeroes behind the last field, too, which an initialiser need not put there. */
	memset(&options, 0, sizeof(options));
	options.sz = sizeof(options);
	options.bpf_cookie = kind->source;
	attr.type = PERF_TYPE_SOFTWARE;
	attr.size = sizeof(attr);
	attr.disabled = 1; /* until the program is attached */
	fd = (int)syscall(SYS_perf_event_open, &attr, -1, (int)cpu, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return errno == ENODEV ? 0 : -errno; /* went offline meanwhile */
	r = keep_link(k, cpu,
		      bpf_program__attach_perf_event_opts(k->skeleton->progs.on_event, fd,
							  &options));
	if (r == 0)
		(void)TAKE_FD(fd); /* the link's now */
	return r;
}

static bool has_cpu(const struct kern *k, uint32_t cpu)
{
	for (size_t i = 0; i < k->links_n; i++)
		if (k->links[i].cpu == cpu)
			return true;
	return false;
}

/* Those of a CPU that went offline are dead: the kernel does not revive them when it comes back. */
static void drop_gone(struct kern *k, const uint32_t *cpus, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < k->links_n; i++) {
		const struct event_link *l = &k->links[i];

		if (l->cpu == EVENT_EVERYWHERE || cpus_have(cpus, n, l->cpu))
			k->links[kept++] = *l;
		else
			bpf_link__destroy(l->link);
	}
	k->links_n = kept;
}

static void drop_cpu(struct kern *k, uint32_t cpu)
{
	while (k->links_n && k->links[k->links_n - 1].cpu == cpu)
		bpf_link__destroy(k->links[--k->links_n].link);
}

/* All kinds, or none. */
static int start_cpu(struct kern *k, uint32_t cpu)
{
	struct event_kind kinds[KINDS_MAX];
	size_t kinds_n = choose_kinds(k, kinds);
	int r = 0;

	for (size_t kind = 0; kind < kinds_n && r == 0; kind++)
		r = start_on_cpu(k, &kinds[kind], cpu);
	if (r < 0)
		drop_cpu(k, cpu);
	return r;
}

int events_follow(struct kern *k, const uint32_t *cpus, size_t n)
{
	int r = 0;

	if (!k->sampling)
		return 0;
	drop_gone(k, cpus, n);
	for (size_t i = 0; i < n && r == 0; i++)
		if (!has_cpu(k, cpus[i]))
			r = start_cpu(k, cpus[i]);
	return r;
}

static int start_gil(struct kern *k)
{
	int r = keep_link(k, EVENT_EVERYWHERE,
			  bpf_program__attach(k->skeleton->progs.on_gil_wakeup));

	if (r < 0)
		return r;
	return keep_link(k, EVENT_EVERYWHERE,
			 bpf_program__attach(k->skeleton->progs.on_gil_switch));
}

int events_start(struct kern *k)
{
	_cleanup_free_ uint32_t *cpus = NULL;
	size_t n = 0;
	int r = cpus_online(&cpus, &n);

	if (r < 0)
		return r;
	k->sampling = true;
	r = events_follow(k, cpus, n);
	if (r == 0 && k->sources & KERN_SOURCE(KYMO_SOURCE_IO))
		r = keep_link(k, EVENT_EVERYWHERE,
			      bpf_program__attach(k->skeleton->progs.on_bio_queue));
	if (r == 0 && k->sources & (KERN_SOURCE(KYMO_SOURCE_GIL) | KERN_SOURCE(KYMO_SOURCE_HELD)))
		r = start_gil(k);
	if (r < 0)
		events_stop(k);
	return r;
}

void events_stop(struct kern *k)
{
	for (size_t i = 0; i < k->links_n; i++)
		bpf_link__destroy(k->links[i].link);
	free(k->links);
	k->links = NULL;
	k->links_n = k->links_cap = 0;
	k->sampling = false;
}
