/* SPDX-License-Identifier: Apache-2.0 */
#include "health/health.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "health/cgroups.h"
#include "health/source.h"

/* 1,024 CPUs with 400 interrupts each make files of a few megabytes. */
#define FILE_MAX (16U << 20)
/* A walk costs about as much as a reading. */
#define CGROUP_WALK_NS (5 * NS_PER_SEC)

static const struct source sources[] = {
	/* Pressure and CPU time first: what changes fastest lies nearest to the tick's time
	 * stamp. */
	{ "stat", source_stat, { -1, -1 } },
	{ "pressure/cpu", source_pressure, { HEALTH_psi_cpu_some_ns, -1 } },
	{ "pressure/memory", source_pressure, { HEALTH_psi_mem_some_ns, HEALTH_psi_mem_full_ns } },
	{ "pressure/io", source_pressure, { HEALTH_psi_io_some_ns, HEALTH_psi_io_full_ns } },
	{ "pressure/irq", source_pressure, { -1, HEALTH_psi_irq_full_ns } },
	{ "vmstat", source_vmstat, { -1, -1 } },
	{ "meminfo", source_meminfo, { -1, -1 } },
	{ "diskstats", source_diskstats, { -1, -1 } },
	{ "loadavg", source_loadavg, { -1, -1 } },
	{ "softirqs", source_softirqs, { -1, -1 } },
	{ "net/dev", source_net_dev, { -1, -1 } },
	{ "net/snmp", source_net_snmp, { -1, -1 } },
	{ "net/netstat", source_net_snmp, { -1, -1 } },
	{ "net/softnet_stat", source_softnet, { -1, -1 } },
};

struct health_reader {
	struct instruments in;
	int fds[ARRAY_SIZE(sources)]; /* -1 = this host does not have it */
	/* Each file's last reading, when it began and ended; the one before it. */
	struct {
		uint64_t begun_ns, done_ns, before_ns;
	} times[ARRAY_SIZE(sources)];
	uint64_t tick_end_ns; /* the last tick's; 0 = none */
	struct cgroups *cgroups;
	struct buf text;
};

static struct member_set member_set(const char *key, const struct series *series, size_t series_n)
{
	return (struct member_set){ .key = key, .series = series, .series_n = series_n };
}

static int open_files(struct health_reader *r, const char *proc)
{
	struct instruments *in = &r->in;

	in->proc_fd = open(proc, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (in->proc_fd < 0)
		return -errno;
	/* Which block device is whole and which interface is real, only sysfs says: /sys stands
	 * beside /proc. */
	in->sys_fd = openat(in->proc_fd, "../sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
		r->fds[i] = openat(in->proc_fd, sources[i].path, O_RDONLY | O_CLOEXEC);
	return 0;
}

static int read_all(struct health_reader *r, struct health *ret)
{
	struct reading *reading = &r->in.reading;

	reading_begin(reading);
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		int e;

		if (r->fds[i] < 0)
			continue;
		r->times[i].before_ns = r->times[i].begun_ns;
		r->times[i].begun_ns = clock_mono_ns();
		e = file_reread(r->fds[i], FILE_MAX, &r->text);
		r->times[i].done_ns = clock_mono_ns();
		if (e < 0) {
			reading->errors++;
			continue;
		}
		sources[i].read(&r->in, &sources[i],
				(struct span){ (char *)r->text.data,
					       (char *)r->text.data + r->text.size });
	}
	cgroups_read(r->cgroups, reading);
	return reading_end(reading, ret);
}

int health_reader_new(const char *proc, struct health_reader **ret)
{
	struct health_reader *r = calloc(1, sizeof(*r));
	long hz = sysconf(_SC_CLK_TCK);
	struct health first;
	int e;

	if (!r)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
		r->fds[i] = -1;
	r->in.proc_fd = r->in.sys_fd = -1;
	r->in.jiffy_ns = NS_PER_SEC / (uint64_t)(hz > 0 ? hz : 100);
	r->in.cpus = member_set("cpu", cpu_series, cpu_series_n);
	r->in.disks = member_set("system.device", disk_series, disk_series_n);
	r->in.interfaces =
		member_set("network.interface.name", interface_series, interface_series_n);
	r->in.softirqs = member_set("type", softirq_series, softirq_series_n);
	e = open_files(r, proc);
	if (e == 0)
		e = cgroups_new(r->in.proc_fd, CGROUP_WALK_NS, &r->cgroups);
	if (e == 0)
		e = read_all(r, &first);
	if (e < 0) {
		health_reader_free(r);
		return e;
	}
	health_release(&first);
	*ret = r;
	return 0;
}

void health_reader_free(struct health_reader *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
		closep(&r->fds[i]);
	closep(&r->in.proc_fd);
	closep(&r->in.sys_fd);
	reading_release(&r->in.reading);
	set_release(&r->in.cpus);
	set_release(&r->in.disks);
	set_release(&r->in.interfaces);
	set_release(&r->in.softirqs);
	cgroups_free(r->cgroups);
	buf_release(&r->text);
	free(r);
}

/*
 * A file is read a moment after the tick's end, on a busy host at times a long one: between two readings there
 * can be more time than the tick has, and more of it stalled. That much is the reading's doing, no more.
 */
static void fit_pressure(struct health_reader *r, uint64_t tick_ns, struct health *h)
{
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		uint64_t between = r->times[i].done_ns - r->times[i].before_ns;

		if (sources[i].read != source_pressure || r->fds[i] < 0 || !r->times[i].before_ns)
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(sources[i].columns); k++) {
			int column = sources[i].columns[k];

			if (column >= 0 && h->present[column])
				h->value[column] =
					pressure_of_tick(h->value[column], tick_ns, between);
		}
	}
}

int health_read(struct health_reader *r, uint64_t tick_end_ns, struct health *ret)
{
	int e = read_all(r, ret);

	if (e < 0)
		return e;
	if (tick_end_ns && r->tick_end_ns && tick_end_ns > r->tick_end_ns)
		fit_pressure(r, tick_end_ns - r->tick_end_ns, ret);
	r->tick_end_ns = tick_end_ns;
	return 0;
}

void health_renew(struct health_reader *r)
{
	r->in.reading.renewed++;
	r->in.reading.metric_last = 0;
}
