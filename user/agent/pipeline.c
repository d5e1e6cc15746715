/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pipeline.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/accounts.h"
#include "agent/events.h"
#include "agent/files.h"
#include "agent/gil.h"
#include "agent/oom.h"
#include "agent/probes.h"
#include "agent/quality.h"
#include "agent/resolve.h"
#include "agent/storms.h"
#include "agent/writer.h"
#include "base/clock.h"
#include "base/hmap.h"
#include "health/health.h"
#include "kern/kern.h"
#include "merge/merge.h"
#include "proc/proc.h"
#include "python/python.h"
#include "symbol/symbol.h"
#include "worker/worker.h"

/* How often the rings are drained: their records need no wake-ups, which would cost more than a walk. */
#define DRAIN_NS (100 * NS_PER_MSEC)
/* While files are being looked at, and after the start, when a command maps its own: stacks are short until their rules are there. */
#define LOOKING_NS  (5 * NS_PER_MSEC)
#define STARTING_NS (300 * NS_PER_MSEC)
/* A record is delivered this long after its time: by then those before it have arrived from every CPU. */
#define LAG_NS (20 * NS_PER_MSEC)
/* How long the start may wait for the files of processes that already run. */
#define INSPECT_NS (1500 * NS_PER_MSEC)
/* An exited process is forgotten when its last samples must have come. */
#define FORGET_NS (2 * NS_PER_SEC)
/* How long a profile that another has followed is kept open for names that still come. */
#define RETIRED_NS	 (60 * NS_PER_SEC)

#define CODES_MAX	 65536
#define THREAD_NAMES_MAX 65536

struct pipeline {
	struct pipeline_options options;
	struct kern *kern;
	struct proc_table *procs;
	struct worker *worker;
	struct files *files;
	struct probes *probes; /* NULL: not asked for */
	struct python_codes *codes;
	struct python_thread_names *thread_names;
	struct kallsyms *kallsyms; /* NULL: hidden */
	struct resolve *resolve;
	struct merge *merge;
	struct health_reader *health;
	struct accounts *accounts;
	struct storms *storms;
	struct oom *oom;
	struct gil *gil; /* NULL: not asked for */
	struct writer *writer;
	struct hmap starts; /* pid -> start_ns of processes with Python codes */

	uint64_t start_ns;
	uint64_t tick_start_ns, due_ns; /* the open tick */
	bool closing; /* health has been read; samples up to end_ns are still on their way */
	uint64_t end_ns, wall_ns;
	struct health closing_health;
	uint64_t health_span_ns;
	uint64_t rotate_due_ns; /* 0 = never */
	uint64_t retired_ns; /* when the profile before was followed by another; 0 = it has ended */

	struct quality_state quality;
	struct pipeline_stats stats;
	bool stopping;
	int error; /* of a handler, for pipeline_step */
};

static void on_file(void *data, uint32_t pid, const struct proc_mapping *mapping)
{
	struct pipeline *p = data;

	files_seen(p->files, pid, mapping);
}

static void on_file_again(void *data, uint32_t pid, const struct proc_mapping *mapping)
{
	struct pipeline *p = data;

	files_seen_again(p->files, pid, mapping);
}

static uint32_t sample_process(struct pipeline *p, const struct kymo_who *who,
			       const struct proc_process *proc)
{
	struct process info = { .pid = who->pid,
				.start_ns = who->process_start_ns,
				.cgroup_id = who->cgroup_id,
				.exe = (char *)"",
				.cmdline = (char *)"" };

	if (!proc) {
		memcpy(info.comm, who->comm, sizeof(info.comm));
		return merge_process(p->merge, &info);
	}
	info = proc->info;
	info.start_ns = who->process_start_ns;
	info.cgroup_id = who->cgroup_id;
	if (p->options.no_cmdline)
		info.cmdline = (char *)"";
	return merge_process(p->merge, &info);
}

/* Its frames, leaf first, and its thread in merge; 0 threads = no memory. */
static uint32_t resolve(struct pipeline *p, const struct raw_sample *sample,
			const struct sample_frame **ret_frames, size_t *ret_n)
{
	const struct kymo_who *who = &sample->head->who;
	const struct proc_process *proc = proc_find(p->procs, who);
	uint32_t process = sample_process(p, who, proc);
	const char *name =
		python_thread_names_find(p->thread_names, who->tid, who->thread_start_ns);
	uint32_t thread = process ? merge_thread(p->merge, process, who, name) : 0;

	if (thread)
		*ret_n = resolve_sample(p->resolve, sample, proc, process, ret_frames);
	else
		p->error = -ENOMEM;
	return thread;
}

/* At a bound the sample goes without its event, counted by merge. */
static int add_event(struct pipeline *p, const struct raw_sample *sample, uint32_t thread,
		     const struct sample_frame *frames, size_t n)
{
	struct event event;
	int r = event_of_probe(sample, thread, &event);

	if (r < 0)
		return r;
	r = merge_event(p->merge, &event, frames, n);
	free(event.fields);
	return r;
}

/* Where only some are recorded, the files of others are nobody's business: reading them all costs more than the recording. */
static void want(struct pipeline *p, uint32_t pid)
{
	if (proc_want(p->procs, pid) == -ENOMEM)
		p->error = -ENOMEM;
}

/* Who holds an interpreter's lock is remembered, and told to those who waited for it. */
static void note_lock(struct pipeline *p, const struct raw_sample *sample,
		      const struct sample_frame **frames, size_t *n)
{
	const struct kymo_sample *head = sample->head;
	const char *name;

	if (!p->gil)
		return;
	if (head->source == KYMO_SOURCE_GIL) {
		*n = gil_waited(p->gil, head, *frames, *n, frames);
		return;
	}
	if (!(head->state & KYMO_STATE_GIL_HOLDING) ||
	    (head->source != KYMO_SOURCE_CPU && head->source != KYMO_SOURCE_HELD))
		return;
	name = python_thread_names_find(p->thread_names, head->who.tid, head->who.thread_start_ns);
	if (gil_held(p->gil, head, *name ? name : head->who.comm, *frames, *n) < 0)
		p->error = -ENOMEM;
}

static void on_begun(void *data, const struct raw_sample *sample)
{
	struct pipeline *p = data;
	const struct sample_frame *frames;
	size_t n;

	if (resolve(p, sample, &frames, &n))
		note_lock(p, sample, &frames, &n);
}

static void on_sample(void *data, const struct raw_sample *sample)
{
	struct pipeline *p = data;
	const struct sample_frame *frames;
	uint32_t thread;
	size_t n;
	int r;

	want(p, sample->head->who.pid);
	thread = resolve(p, sample, &frames, &n);
	if (!thread)
		return;
	note_lock(p, sample, &frames, &n);
	r = merge_sample(p->merge, sample->head, thread, frames, n);
	if (r == 0 && sample->probe)
		r = add_event(p, sample, thread, frames, n);
	if (r < 0)
		p->error = r;
	else
		p->stats.samples++;
}

static void on_oom(void *data, const struct kymo_oom *record)
{
	struct pipeline *p = data;
	int r = 0;

	if (p->start_ns && record->head.time_ns >= p->start_ns)
		r = oom_victim(p->oom, record, p->procs, p->merge);
	if (r < 0)
		p->error = r;
}

static void on_oom_stack(void *data, const struct raw_sample *stack)
{
	struct pipeline *p = data;
	const struct sample_frame *frames;
	size_t n;
	uint32_t thread = resolve(p, stack, &frames, &n);
	int r;

	if (!thread)
		return;
	r = oom_stack(p->oom, &stack->head->who, thread, oom_scope(p->kallsyms, stack), frames, n,
		      p->merge);
	if (r < 0)
		p->error = r;
}

static void on_code(void *data, const struct kern_code *code)
{
	struct pipeline *p = data;
	uint64_t *start = hmap_put(&p->starts, &code->head->pid, NULL);

	if (start)
		*start = code->head->process_start_ns;
	if (python_codes_add(p->codes, code->head, code->file, code->name, code->table) == -ENOMEM)
		p->error = -ENOMEM;
}

static void on_thread(void *data, const struct kern_thread *thread)
{
	struct pipeline *p = data;

	if (python_thread_names_add(p->thread_names, thread->head, thread->name) == -ENOMEM)
		p->error = -ENOMEM;
}

static void on_exit_event(struct pipeline *p, const struct process_event *e)
{
	const uint64_t *start;

	merge_thread_ended(p->merge, e->tid);
	python_thread_names_ended(p->thread_names, e->tid);
	if (e->pid != e->tid)
		return;
	merge_process_ended(p->merge, e->pid);
	start = hmap_get(&p->starts, &e->pid);
	if (start) {
		python_codes_process_ended(p->codes, e->pid, *start);
		hmap_remove(&p->starts, &e->pid);
	}
}

/* A sample between the exec and this event was given to a process without a command line: it gets one. */
static void on_args_event(struct pipeline *p, const struct process_event *e)
{
	const struct proc_process *proc = proc_named_late(p->procs, e->pid);
	struct kymo_who who;

	if (!proc)
		return;
	who = (struct kymo_who){ .pid = e->pid,
				 .process_start_ns = proc->info.start_ns,
				 .cgroup_id = proc->info.cgroup_id };
	(void)sample_process(p, &who, proc);
}

static void on_process(void *data, const struct process_event *e)
{
	struct pipeline *p = data;
	int r = proc_apply(p->procs, e);

	if (r == -ENOMEM)
		p->error = r;
	/* The sideband runs before the first tick begins. */
	if (p->start_ns && e->time_ns >= p->start_ns)
		storms_event(p->storms, e, p->procs);
	probes_event(p->probes, e);
	if (e->kind == PROCESS_EXIT)
		on_exit_event(p, e);
	if (e->kind == PROCESS_ARGS)
		on_args_event(p, e);
}

/* A process that may never have been sampled. */
static uint32_t account_process(void *data, const struct kymo_task *task)
{
	struct pipeline *p = data;

	return sample_process(p, &task->who, proc_find(p->procs, &task->who));
}

/* The event of the exec has come before: what the profile has of the process may still be the program before. */
static void on_replaced(void *data, const struct kymo_task *task)
{
	struct pipeline *p = data;
	const struct proc_process *proc = proc_newest(p->procs, task->who.pid);
	uint32_t before = proc ? merge_process_before(p->merge, task->who.pid,
						      task->who.process_start_ns, proc->info.execs)
			       : 0;

	if (accounts_replaced(p->accounts, task, before) == -ENOMEM)
		p->error = -ENOMEM;
}

/* At a bound a process goes without an account, counted; only a lack of memory ends the recording. */
static void on_ended(void *data, const struct kymo_task *task)
{
	struct pipeline *p = data;

	if (accounts_ended(p->accounts, task) == -ENOMEM)
		p->error = -ENOMEM;
}

static void on_swept(void *data, const struct kymo_task *task)
{
	struct pipeline *p = data;

	if (accounts_thread(p->accounts, task) == -ENOMEM)
		p->error = -ENOMEM;
	want(p, task->who.pid);
}

static void on_wanted(void *data, const struct kymo_task *task)
{
	want(data, task->who.pid);
}

/* Reads the counters at this instant; whose they are is asked when the events up to it have come. */
static int sweep(struct pipeline *p)
{
	int r;

	accounts_sweep_begin(p->accounts);
	r = kern_sweep(p->kern, on_swept, p);
	if (r == 0)
		r = p->error;
	p->error = 0;
	return r;
}

/* Who was born after the tick's end is swept, but who it is has not been delivered yet: it is the next tick's. */
static int sweep_end(struct pipeline *p)
{
	int r = accounts_sweep_end(p->accounts, p->end_ns + clock_boot_ahead_ns());

	return r == -ENOSPC ? 0 : r;
}

static int drain(struct pipeline *p, uint64_t until_ns)
{
	const struct kern_handler handler = {
		.sample = on_sample,
		.begun = on_begun,
		.code = on_code,
		.thread = on_thread,
		.process = on_process,
		.replaced = on_replaced,
		.ended = on_ended,
		.oom = on_oom,
		.oom_stack = on_oom_stack,
		.data = p,
	};
	int r = kern_poll(p->kern, until_ns, &handler);

	if (r == 0)
		r = p->error;
	p->error = 0;
	return r;
}

static bool wants_probes(const struct pipeline *p)
{
	return p->options.sources & (KERN_SOURCE(KYMO_SOURCE_GC) | KERN_SOURCE(KYMO_SOURCE_IMPORT));
}

static int open_parts(struct pipeline *p)
{
	struct resolve_parts parts;
	int r;

	r = merge_new(NULL, &p->merge);
	if (r == 0)
		r = accounts_new(p->merge, account_process, p, &p->accounts);
	if (r == 0)
		r = worker_new(PIPELINE_CACHE_FOLDER, &p->worker);
	if (r == 0 && wants_probes(p))
		r = probes_new(p->kern, &p->probes);
	if (r == 0 && p->options.sources & KERN_SOURCE(KYMO_SOURCE_GIL))
		r = gil_new(p->merge, &p->gil);
	if (r == 0)
		r = files_new(p->kern, p->merge, p->worker, p->probes, &p->files);
	if (r == 0)
		r = proc_table_new("/proc", on_file, p, &p->procs);
	if (r == 0)
		proc_tell_again(p->procs, on_file_again);
	if (r == 0)
		r = python_codes_new(CODES_MAX, &p->codes);
	if (r == 0)
		r = python_thread_names_new(THREAD_NAMES_MAX, &p->thread_names);
	if (r == 0)
		r = storms_new(&p->storms);
	if (r == 0)
		r = oom_new((uint64_t)sysconf(_SC_PAGESIZE), &p->oom);
	if (r == 0)
		r = health_reader_new("/proc", &p->health);
	if (r < 0)
		return r;

	p->stats.kernel_names = kallsyms_new("/proc/kallsyms", &p->kallsyms) == 0;
	parts = (struct resolve_parts){
		.merge = p->merge, .files = p->files, .codes = p->codes, .kallsyms = p->kallsyms
	};
	return resolve_new(&parts, &p->resolve);
}

static int tell_layouts(struct pipeline *p)
{
	const struct kymo_python_layout *layouts;
	size_t n = python_layouts(&layouts);

	for (size_t i = 0; i < n; i++) {
		int r = kern_set_python_layout(p->kern, (uint32_t)i, &layouts[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

int pipeline_open(const struct pipeline_options *options, struct pipeline **ret, char **ret_message)
{
	const struct kern_options kern = { .cpu_period_ns = options->cpu_period_ns,
					   .sources = options->sources,
					   .filter = options->filter,
					   .cgroup = options->cgroup,
					   .no_args = options->no_cmdline };
	struct pipeline *p = calloc(1, sizeof(*p));
	int r;

	*ret_message = NULL;
	if (!p)
		return -ENOMEM;
	p->options = *options;
	hmap_init(&p->starts, sizeof(uint32_t), sizeof(uint64_t), CODES_MAX);
	r = kern_open(&kern, &p->kern, ret_message);
	if (r == 0)
		r = open_parts(p);
	if (r == 0)
		r = tell_layouts(p);
	/* The sideband runs since kern_open: what starts during the reading is told there. */
	if (r == 0 && (options->filter || options->cgroup.id))
		proc_want_named(p->procs);
	if (r == 0)
		r = proc_scan(p->procs, 0);
	if (r < 0) {
		if (!*ret_message &&
		    asprintf(ret_message, "cannot start recording: %s", strerror(-r)) < 0)
			*ret_message = NULL;
		pipeline_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

void pipeline_free(struct pipeline *p)
{
	if (!p)
		return;
	writer_free(p->writer);
	resolve_free(p->resolve);
	kallsyms_free(p->kallsyms);
	health_reader_free(p->health);
	accounts_free(p->accounts);
	storms_free(p->storms);
	oom_free(p->oom);
	gil_free(p->gil);
	python_codes_free(p->codes);
	python_thread_names_free(p->thread_names);
	proc_table_free(p->procs);
	files_free(p->files);
	probes_free(p->probes);
	worker_free(p->worker);
	merge_free(p->merge);
	kern_close(p->kern);
	health_release(&p->closing_health);
	hmap_release(&p->starts);
	free(p);
}

int pipeline_set_store(struct pipeline *p, struct store *store, const struct writer_output *output)
{
	return writer_new(store, output, &p->writer);
}

int pipeline_follow(struct pipeline *p, uint32_t pid)
{
	return kern_follow(p->kern, pid);
}

void pipeline_expect(struct pipeline *p, const char *path)
{
	files_expect(p->files, path);
}

bool pipeline_follows_any(struct pipeline *p)
{
	return kern_follows_any(p->kern);
}

static int retired_end(struct pipeline *p)
{
	if (!files_retired_named(p->files) && clock_mono_ns() < p->retired_ns + RETIRED_NS)
		return 0;
	p->retired_ns = 0;
	files_retired_end(p->files);
	return writer_retired_end(p->writer);
}

static int pump_names(struct pipeline *p)
{
	struct files_names names;
	int r = files_pump(p->files, &names), q = 0;

	if (names.retired)
		q = writer_retired_names(p->writer, names.retired);
	if (names.current && p->writer)
		r = writer_names(p->writer, names.current);
	else
		late_names_free(names.current);
	if (q == 0 && p->retired_ns)
		q = retired_end(p);
	return r < 0 ? r : q;
}

/* Behind a closed tick, whose successor is empty yet: what follows goes into a new profile, complete in itself. */
static int rotate(struct pipeline *p)
{
	int r = files_renew(p->files);

	if (r < 0)
		return r;
	resolve_renew(p->resolve);
	if (p->gil)
		gil_renew(p->gil);
	python_codes_renew(p->codes);
	accounts_renew(p->accounts);
	health_renew(p->health);
	p->retired_ns = p->end_ns;
	p->rotate_due_ns += p->options.rotate_ns;
	if (p->rotate_due_ns <= p->end_ns)
		p->rotate_due_ns = p->end_ns + p->options.rotate_ns;
	return writer_next(p->writer);
}

static void wait_inspected(struct pipeline *p)
{
	uint64_t give_up = clock_mono_ns() + INSPECT_NS;
	const struct timespec pause = { .tv_nsec = 2 * NS_PER_MSEC };

	while (pump_names(p) == 0 && files_uninspected(p->files) > 0 && clock_mono_ns() < give_up)
		nanosleep(&pause, NULL);
}

int pipeline_start(struct pipeline *p, uint64_t *ret_start_ns)
{
	struct health discard = { 0 };
	uint64_t now;
	int r;

	r = kern_sweep(p->kern, on_wanted, p);
	if (r < 0)
		return r;
	wait_inspected(p);
	r = drain(p, clock_mono_ns());
	if (r < 0)
		return r;
	now = clock_mono_ns();
	r = health_read(p->health, now, &discard);
	/* Labelled metrics are told once: those of this reading belong to the first tick. */
	p->closing_health.metrics = discard.metrics;
	p->closing_health.metrics_n = discard.metrics_n;
	discard.metrics = NULL;
	discard.metrics_n = 0;
	health_release(&discard);
	if (r == 0)
		r = sweep(p);
	if (r == 0)
		r = sweep_end(p);
	if (r < 0)
		return r;
	merge_tick_begin(p->merge, now);
	p->start_ns = p->tick_start_ns = now;
	p->due_ns = now + p->options.tick_ns;
	p->rotate_due_ns = p->options.rotate_ns ? now + p->options.rotate_ns : 0;
	*ret_start_ns = now;
	return kern_start(p->kern);
}

/* Reads the health: this instant is the tick's end, and the next one's start. */
static int tick_end(struct pipeline *p)
{
	struct health_metric *first = p->closing_health.metrics;
	size_t first_n = p->closing_health.metrics_n;
	int r;

	p->closing_health = (struct health){ 0 };
	p->end_ns = clock_mono_ns();
	p->wall_ns = clock_wall_ns();
	r = health_read(p->health, p->end_ns, &p->closing_health);
	p->health_span_ns = clock_mono_ns() - p->end_ns;
	if (r == 0)
		r = sweep(p);
	if (r < 0)
		return r;
	if (first_n > 0) {
		struct health *h = &p->closing_health;
		struct health_metric *all =
			reallocarray(first, first_n + h->metrics_n, sizeof(*all));

		if (!all)
			return -ENOMEM;
		if (h->metrics_n)
			memcpy(all + first_n, h->metrics, h->metrics_n * sizeof(*all));
		free(h->metrics);
		h->metrics = all;
		h->metrics_n += first_n;
	}
	p->closing = true;
	return 0;
}

static void note_busy(struct pipeline *p, const struct health *h)
{
	int64_t idle = h->value[HEALTH_cpu_idle_ns] + h->value[HEALTH_cpu_iowait_ns];
	int64_t all = idle + h->value[HEALTH_cpu_user_ns] + h->value[HEALTH_cpu_nice_ns] +
		      h->value[HEALTH_cpu_system_ns] + h->value[HEALTH_cpu_irq_ns] +
		      h->value[HEALTH_cpu_softirq_ns] + h->value[HEALTH_cpu_steal_ns];

	p->stats.cpu_busy = all > 0 ? (double)(all - idle) / (double)all : 0;
}

static int tick_close(struct pipeline *p)
{
	const struct quality_sources from = { .kern = p->kern,
					      .files = p->files,
					      .probes = p->probes,
					      .resolve = p->resolve,
					      .procs = p->procs,
					      .accounts = p->accounts,
					      .writer = p->writer };
	struct tick *tick;
	int r;

	r = drain(p, p->end_ns);
	if (r == 0)
		r = sweep_end(p);
	if (r == 0)
		r = oom_tick(p->oom, p->merge);
	if (r == 0)
		r = storms_tick(p->storms, p->tick_start_ns, p->end_ns, p->procs, p->merge);
	if (r == 0)
		r = quality_tick(&p->quality, &from, p->merge);
	if (r == 0)
		r = merge_quality(p->merge, "health.span_ns", (int64_t)p->health_span_ns);
	if (r < 0)
		return r;
	note_busy(p, &p->closing_health);
	r = merge_tick_close(p->merge, p->end_ns, p->wall_ns, &p->closing_health, &tick);
	if (r < 0)
		return r;
	p->closing = false;
	p->stats.ticks++;
	merge_tick_begin(p->merge, p->end_ns);
	p->stats.recorded_ns += p->end_ns - p->tick_start_ns;
	p->tick_start_ns = p->end_ns;
	r = writer_tick(p->writer, tick);
	files_tick_closed(p->files);
	files_unwind_tick(p->files, p->procs, clock_mono_ns());
	probes_tick(p->probes, p->procs, clock_mono_ns());
	if (r == 0 && p->rotate_due_ns && p->end_ns >= p->rotate_due_ns && !p->stopping)
		r = rotate(p);
	if (p->end_ns > FORGET_NS)
		proc_forget_exited(p->procs, p->end_ns - FORGET_NS);
	return r;
}

/* The next end on the grid that lies ahead: a host that held us up gets one long tick, not many empty ones. */
static void tick_next_due(struct pipeline *p)
{
	p->due_ns += p->options.tick_ns;
	if (p->due_ns <= p->end_ns)
		p->due_ns += (p->end_ns - p->due_ns) / p->options.tick_ns * p->options.tick_ns +
			     p->options.tick_ns;
}

int pipeline_step(struct pipeline *p)
{
	uint64_t now = clock_mono_ns();
	int r;

	r = writer_error(p->writer);
	if (r == 0 && !p->closing && now >= p->due_ns) {
		r = tick_end(p);
		tick_next_due(p);
	}
	if (r < 0)
		return r;
	if (!p->closing)
		r = drain(p, now - LAG_NS);
	else if (now >= p->end_ns + LAG_NS)
		r = tick_close(p);
	if (r < 0)
		return r;
	return pump_names(p);
}

uint64_t pipeline_next_ns(const struct pipeline *p)
{
	uint64_t now = clock_mono_ns();
	bool soon = files_uninspected(p->files) || now < p->start_ns + STARTING_NS;
	uint64_t next = now + (soon ? LOOKING_NS : DRAIN_NS);

	if (p->closing)
		return p->end_ns + LAG_NS;
	return next < p->due_ns ? next : p->due_ns;
}

int pipeline_stop(struct pipeline *p)
{
	const struct timespec lag = { .tv_nsec = LAG_NS };
	int r = kern_stop(p->kern);

	p->stopping = true;
	if (r == 0 && p->closing)
		r = tick_close(p);
	if (r == 0)
		r = tick_end(p);
	if (r < 0)
		return r;
	nanosleep(&lag, NULL);
	r = drain(p, UINT64_MAX);
	if (r == 0)
		r = tick_close(p);
	files_finish(p->files);
	return r;
}

size_t pipeline_name(struct pipeline *p)
{
	return pump_names(p) < 0 ? 0 : files_pending(p->files);
}

int pipeline_finish(struct pipeline *p)
{
	return writer_finish(p->writer);
}

void pipeline_stats(struct pipeline *p, struct pipeline_stats *ret)
{
	struct files_stats files;

	files_stats(p->files, &files);
	*ret = p->stats;
	ret->lost = quality_lost(&p->quality);
	ret->bytes = p->writer ? writer_bytes(p->writer) : 0;
	ret->unknown_python = files.unknown_python;
	ret->unknown_python_why = files.unknown_python_why;
}

size_t pipeline_without_probes(struct pipeline *p, unsigned source, struct files_python *ret,
			       size_t max)
{
	return p->options.sources & KERN_SOURCE(source)
		       ? files_without_probes(p->files, source, ret, max)
		       : 0;
}
