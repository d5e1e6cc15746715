/* SPDX-License-Identifier: Apache-2.0 */
#include <bpf/bpf.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "kern/features.h"
#include "kern/state.h"
#include "kymo.skel.h"

#define RING_BYTES_MIN	 (4UL << 20)
#define RING_BYTES_MAX	 (64UL << 20)
#define RING_BYTES_A_CPU (1UL << 20)
#define QUEUE_BYTES_MAX	 (64UL << 20)
#define LOG_BYTES_MAX	 (1UL << 20)

/*
 * libbpf's print callback has no argument of its own: the log of the loading that runs on this
 * thread.
 */
static _Thread_local struct buf *libbpf_log;

__attribute__((format(printf, 2, 0))) static int keep_log(enum libbpf_print_level level,
							  const char *format, va_list args)
{
	_cleanup_free_ char *text = NULL;

	if (!libbpf_log || level == LIBBPF_DEBUG || libbpf_log->size > LOG_BYTES_MAX)
		return 0;
	if (vasprintf(&text, format, args) < 0) {
		text = NULL;
		return 0;
	}
	return buf_append_str(libbpf_log, text);
}

static size_t ring_bytes(size_t asked)
{
	size_t bytes = asked ? asked : (size_t)libbpf_num_possible_cpus() * RING_BYTES_A_CPU;
	size_t rounded = (size_t)sysconf(_SC_PAGESIZE);

	if (!asked && bytes < RING_BYTES_MIN)
		bytes = RING_BYTES_MIN;
	if (bytes > RING_BYTES_MAX)
		bytes = RING_BYTES_MAX;
	while (rounded < bytes)
		rounded *= 2;
	return rounded;
}

static bool wants_probes(const struct kern *k)
{
	return k->sources & (KERN_SOURCE(KYMO_SOURCE_GC) | KERN_SOURCE(KYMO_SOURCE_IMPORT));
}

static bool wants_gil(const struct kern *k)
{
	return k->sources & (KERN_SOURCE(KYMO_SOURCE_GIL) | KERN_SOURCE(KYMO_SOURCE_HELD));
}

static void configure_gil(struct kern *k, const struct kern_options *o)
{
	uint32_t max = o->gil_max ? o->gil_max : KERN_GIL_MAX;

	k->skeleton->rodata->config.window_max[KYMO_SOURCE_GIL] = max;
	k->skeleton->rodata->config.window_max[KYMO_SOURCE_HELD] = max;
	bpf_program__set_autoload(k->skeleton->progs.on_gil_switch, wants_gil(k));
	bpf_program__set_autoload(k->skeleton->progs.on_gil_wakeup, wants_gil(k));
}

static int configure(struct kern *k, const struct kern_options *o)
{
	struct kymo_bpf *skeleton = k->skeleton;

	skeleton->rodata->config.cpu_period_ns = o->cpu_period_ns;
	skeleton->rodata->config.filter = o->filter;
	skeleton->rodata->config.cgroup_id = o->cgroup.id;
	skeleton->rodata->config.cgroup_subsys = o->cgroup.subsys;
	skeleton->rodata->config.no_args = o->no_args;
	skeleton->rodata->config.own_pid = (uint32_t)getpid();
	skeleton->rodata->config.page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	skeleton->rodata->config.window_max[KYMO_SOURCE_FAULT] = o->fault_max ? o->fault_max
									      : KERN_FAULT_MAX;
	skeleton->rodata->config.window_max[KYMO_SOURCE_IO] = o->io_max ? o->io_max : KERN_IO_MAX;
	skeleton->rodata->config.probes = wants_probes(k);
	configure_gil(k, o);
	bpf_program__set_autoload(skeleton->progs.on_python_probe, wants_probes(k));
	bpf_program__set_autoload(skeleton->progs.on_fork, o->filter && !o->threads);
	bpf_program__set_autoload(skeleton->progs.on_thread, o->threads);
	bpf_program__set_autoload(skeleton->progs.on_exec, !o->threads);
	bpf_program__set_autoload(skeleton->progs.on_exit, !o->threads);
	bpf_program__set_autoload(skeleton->progs.on_switch, !o->threads);
	bpf_program__set_autoload(skeleton->progs.on_oom_victim, !o->threads);
	bpf_program__set_autoload(skeleton->progs.on_sweep, !o->threads);
	bpf_program__set_autoload(skeleton->progs.on_event,
				  k->sources & (KERN_SOURCE(KYMO_SOURCE_CPU) |
						KERN_SOURCE(KYMO_SOURCE_FAULT)));
	bpf_program__set_autoload(skeleton->progs.on_tracepoint_sample, !o->threads);
	bpf_program__set_autoload(skeleton->progs.on_bio_queue,
				  k->sources & KERN_SOURCE(KYMO_SOURCE_IO));
	return bpf_map__set_max_entries(skeleton->maps.records,
					(uint32_t)ring_bytes(o->ring_bytes));
}

static int load_failed(int error, const char *log, char **ret_message)
{
	char reason[256];
	int n;

	features_verifier_reason(log, reason, sizeof(reason));
	if (reason[0])
		n = asprintf(ret_message, "the kernel refused kymo's program: %s", reason);
	else if (error == -EPERM)
		n = asprintf(ret_message, "the kernel does not let kymo load its programs: "
					  "run it with sudo, outside of containers and lockdown");
	else if (error == -EMFILE)
		n = asprintf(ret_message, "too many open files: raise the limit (ulimit -n)");
	else if (error == -ENOMEM)
		n = asprintf(ret_message, "not enough memory for kymo's kernel side");
	else
		n = asprintf(ret_message, "cannot load kymo's kernel side: %s", strerror(-error));
	if (n < 0)
		*ret_message = NULL;
	return error;
}

static int attach(struct bpf_program *program, struct bpf_link **ret)
{
	*ret = bpf_program__attach(program);
	return *ret ? 0 : -errno;
}

/* The one that takes the samples of raw tracepoints, where they look for it. */
static int set_tracepoint_sampler(struct kymo_bpf *skeleton)
{
	int fd = bpf_program__fd(skeleton->progs.on_tracepoint_sample);
	uint32_t key = 0;

	return bpf_map_update_elem(bpf_map__fd(skeleton->maps.tracepoint_samplers), &key, &fd,
				   BPF_ANY) < 0
		       ? -errno
		       : 0;
}

/* Births of followed processes, deaths of all: before the first is named. */
static int attach_all(struct kern *k, const struct kern_options *o)
{
	int r = set_tracepoint_sampler(k->skeleton);

	if (r == 0 && o->filter)
		r = attach(k->skeleton->progs.on_fork, &k->skeleton->links.on_fork);
	if (r == 0)
		r = attach(k->skeleton->progs.on_exec, &k->skeleton->links.on_exec);
	if (r == 0)
		r = attach(k->skeleton->progs.on_exit, &k->skeleton->links.on_exit);
	if (r == 0)
		r = attach(k->skeleton->progs.on_switch, &k->skeleton->links.on_switch);
	if (r == 0)
		r = attach(k->skeleton->progs.on_oom_victim, &k->skeleton->links.on_oom_victim);
	if (r == 0)
		r = attach(k->skeleton->progs.on_sweep, &k->skeleton->links.on_sweep);
	return r;
}

static int load_skeleton(struct kern *k, const struct kern_options *o)
{
	int r;

	k->skeleton = kymo_bpf__open();
	if (!k->skeleton)
		return -errno;
	r = configure(k, o);
	if (r == 0)
		r = kymo_bpf__load(k->skeleton);
	return r == 0 && !o->threads ? attach_all(k, o) : r;
}

static int load(struct kern *k, const struct kern_options *o, char **ret_message)
{
	_cleanup_(buf_release) struct buf log = { 0 };
	libbpf_print_fn_t before;
	const char *text;
	int r;

	libbpf_log = &log;
	before = libbpf_set_print(keep_log);
	r = load_skeleton(k, o);
	libbpf_set_print(before);
	libbpf_log = NULL;
	if (r == 0)
		return 0;
	text = buf_str(&log);
	return load_failed(r, text ? text : "", ret_message);
}

static int open_rings(struct kern *k, char **ret_message)
{
	int r;

	k->ring = ring_buffer__new(bpf_map__fd(k->skeleton->maps.records), ring_on_record, k, NULL);
	r = k->ring ? cpus_watch_open(&k->cpus) : -errno;
	if (r == 0)
		r = sideband_open(&k->sideband);
	if (r < 0 &&
	    asprintf(ret_message, "cannot open perf events for what processes do: %s%s",
		     strerror(-r), r == -EACCES || r == -EPERM ? " (run it with sudo)" : "") < 0)
		*ret_message = NULL;
	return r;
}

int kern_open(const struct kern_options *options, struct kern **ret, char **ret_message)
{
	struct features features;
	struct kern *k;
	int r;

	*ret_message = NULL;
	r = features_probe(&features);
	if (r == 0)
		r = features_check(&features, ret_message);
	if (r < 0)
		return r;
	k = calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;
	k->stats_fd = k->cpus.fd = -1;
	k->sources = options->sources ? options->sources : KERN_SOURCE(KYMO_SOURCE_CPU);
	k->cpu_period_ns = options->cpu_period_ns;
	k->fault_period = options->fault_period ? options->fault_period : KERN_FAULT_PERIOD;
	k->order.max_bytes = QUEUE_BYTES_MAX;
	waits_init(&k->waits);
	r = load(k, options, ret_message);
	if (r == 0)
		r = unwind_open(k);
	if (r == 0)
		r = probes_open(k);
	if (r == 0)
		r = open_rings(k, ret_message);
	if (r < 0) {
		kern_close(k);
		return r;
	}
	k->stats_fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
	*ret = k;
	return 0;
}

void kern_close(struct kern *k)
{
	if (!k)
		return;
	events_stop(k);
	probes_close(k);
	sideband_close(k->sideband);
	ring_buffer__free(k->ring);
	unwind_close(k);
	kymo_bpf__destroy(k->skeleton);
	waits_release(&k->waits);
	order_release(&k->order);
	cpus_watch_close(&k->cpus);
	if (k->stats_fd >= 0)
		close(k->stats_fd);
	free(k);
}

int kern_start(struct kern *k)
{
	if (k->sampling)
		return -EALREADY;
	probes_switch(k, true);
	return events_start(k);
}

int kern_stop(struct kern *k)
{
	probes_switch(k, false);
	events_stop(k);
	return 0;
}
