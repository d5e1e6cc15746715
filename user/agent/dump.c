/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/dump.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/dump_state.h"
#include "agent/pipeline.h"
#include "agent/unsupported.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "worker/options.h"

/* Of the clock, while threads are looked at: whoever runs is met within two of its ticks. */
#define CLOCK_HZ 997
/* How long the files of the processes are waited for. */
#define INSPECT_NS	 (30 * NS_PER_SEC)
#define CODES_MAX	 65536
#define THREAD_NAMES_MAX 65536
#define SAMPLES_MAX	 65536

static void on_file(void *data, uint32_t pid, const struct proc_mapping *mapping)
{
	struct dumper *d = data;

	files_seen(d->files, pid, mapping);
}

/* ---- the clock's samples: the newest of each thread ---- */

static void on_sample(void *data, const struct raw_sample *sample)
{
	struct dumper *d = data;
	size_t size = sample->head->head.size;
	void *copy = malloc(size), **place;

	place = copy ? hmap_put(&d->samples, &sample->head->who.tid, NULL) : NULL;
	if (!place) {
		free(copy);
		return;
	}
	memcpy(copy, sample->head, size);
	free(*place);
	*place = copy;
}

static void on_code(void *data, const struct kern_code *code)
{
	struct dumper *d = data;

	if (python_codes_add(d->codes, code->head, code->file, code->name, code->table) == -ENOMEM)
		d->error = -ENOMEM;
}

static void on_thread_name(void *data, const struct kern_thread *thread)
{
	struct dumper *d = data;

	if (python_thread_names_add(d->thread_names, thread->head, thread->name) == -ENOMEM)
		d->error = -ENOMEM;
}

static void on_process(void *data, const struct process_event *event)
{
	struct dumper *d = data;

	if (proc_apply(d->procs, event) == -ENOMEM)
		d->error = -ENOMEM;
}

int dump_drain(struct dumper *d)
{
	const struct kern_handler handler = {
		.sample = on_sample,
		.code = on_code,
		.thread = on_thread_name,
		.process = on_process,
		.data = d,
	};
	int r = kern_poll(d->kern, UINT64_MAX, &handler);

	return r < 0 ? r : d->error;
}

/* ---- parts ---- */

static int open_parts(struct dumper *d)
{
	struct worker_options worker = worker_defaults;
	struct resolve_parts parts;
	int r = merge_new(NULL, &d->merge);

	worker.cache = PIPELINE_CACHE_FOLDER;
	worker.all_hurried = true;

	if (r == 0)
		r = worker_new_with(&worker, &d->worker);
	if (r == 0)
		r = files_new(d->kern, d->merge, d->worker, NULL, &d->files);
	if (r == 0)
		r = proc_table_new("/proc", on_file, d, &d->procs);
	if (r == 0)
		r = python_codes_new(CODES_MAX, &d->codes);
	if (r == 0)
		r = python_thread_names_new(THREAD_NAMES_MAX, &d->thread_names);
	if (r < 0)
		return r;
	d->observer = (struct files_observer){ .rules = dump_tables_rules,
					       .python = dump_tables_python,
					       .data = &d->tables };
	files_observe(d->files, &d->observer);
	if (!d->options->lines)
		files_without_lines(d->files);
	(void)kallsyms_new("/proc/kallsyms", &d->kallsyms);
	parts = (struct resolve_parts){
		.merge = d->merge, .files = d->files, .codes = d->codes, .kallsyms = d->kallsyms
	};
	return resolve_new(&parts, &d->resolve);
}

static int tell_layouts(struct dumper *d)
{
	const struct kymo_python_layout *layouts;
	size_t n = python_layouts(&layouts);
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = kern_set_python_layout(d->kern, (uint32_t)i, &layouts[i]);
	return r;
}

static int open_all(struct dumper *d)
{
	const struct kern_options kern = { .cpu_period_ns = NS_PER_SEC / CLOCK_HZ,
					   .filter = d->options->pids_n > 0,
					   .threads = true };
	_cleanup_free_ char *message = NULL;
	int r = kern_open(&kern, &d->kern, &message);

	if (r == 0)
		r = open_parts(d);
	if (r == 0)
		r = tell_layouts(d);
	if (message) {
		log_error("%s", message);
		d->told = true;
	}
	return r;
}

static void dumper_release(struct dumper *d)
{
	const void *key;
	size_t pos = 0;
	void *sample;

	while (hmap_next(&d->samples, &pos, &key, &sample))
		free(*(void **)sample);
	hmap_release(&d->samples);
	hmap_release(&d->rows);
	resolve_free(d->resolve);
	kallsyms_free(d->kallsyms);
	python_codes_free(d->codes);
	python_thread_names_free(d->thread_names);
	proc_table_free(d->procs);
	files_free(d->files);
	worker_free(d->worker);
	merge_free(d->merge);
	kern_close(d->kern);
	dump_tables_release(&d->tables);
	dump_free(d->dump);
}

/* ---- which processes ---- */

static int fail(struct dumper *d, uint32_t pid, int error)
{
	const char *why = error == -ESRCH || error == -ENOENT ? "no such process"
			  : error == -ENODATA ? "a kernel thread, which runs no program"
			  : error == -EACCES || error == -EPERM
				  ? "its memory may not be read (CAP_SYS_PTRACE is missing)"
				  : strerror(-error);

	log_error("process %" PRIu32 ": %s", pid, why);
	d->told = true;
	return error;
}

static int check_given(struct dumper *d, uint32_t pid)
{
	uint32_t process = 0;
	int r = proc_of_thread("/proc", pid, &process);

	if (r < 0)
		return fail(d, pid, r);
	if (process == pid)
		return 0;
	log_error("-p %" PRIu32 ": that is a thread of process %" PRIu32 "; give -p %" PRIu32, pid,
		  process, process);
	d->told = true;
	return -EINVAL;
}

static int follow_given(struct dumper *d)
{
	const struct dump_options *o = d->options;
	int r = 0;

	proc_want_named(d->procs);
	for (size_t i = 0; i < o->pids_n && r == 0; i++) {
		r = check_given(d, o->pids[i]);
		if (r == 0)
			r = kern_follow(d->kern, o->pids[i]);
		if (r == 0)
			r = proc_want(d->procs, o->pids[i]);
	}
	return r;
}

struct pids {
	uint32_t *items;
	size_t n, cap;
	int error;
};

static int compare_pids(const void *pa, const void *pb)
{
	uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;

	return a < b ? -1 : a > b;
}

/* Each process once: the kernel tells of threads by their ids. */
static void pids_sort(struct pids *p)
{
	size_t n = 0;

	if (p->n)
		qsort(p->items, p->n, sizeof(*p->items), compare_pids);
	for (size_t i = 0; i < p->n; i++)
		if (!n || p->items[n - 1] != p->items[i])
			p->items[n++] = p->items[i];
	p->n = n;
}

static void on_any_thread(void *data, const struct kymo_standing *thread)
{
	struct pids *p = data;

	if (thread->flags & KYMO_STANDING_KERNEL || thread->who.pid == (uint32_t)getpid())
		return;
	if (array_reserve(&p->items, &p->cap, p->n + 1) < 0)
		p->error = -ENOMEM;
	else
		p->items[p->n++] = thread->who.pid;
}

static void tell_python(const struct dumper *d, struct unsupported *told)
{
	struct files_stats stats;

	files_stats(d->files, &stats);
	if (unsupported_is_new(told, stats.unknown_python, stats.unknown_python_why))
		unsupported_tell(stats.unknown_python, stats.unknown_python_why);
}

static int wait_inspected(struct dumper *d)
{
	const struct timespec pause = { .tv_nsec = NS_PER_MSEC };
	uint64_t give_up = clock_mono_ns() + INSPECT_NS;
	struct unsupported told = { 0 };
	struct files_names names = { 0 };
	int r;

	do {
		r = dump_drain(d);
		if (r == 0)
			r = files_pump(d->files, &names);
		late_names_free(names.current);
		tell_python(d, &told);
		if (r < 0 || !files_uninspected(d->files))
			return r;
		nanosleep(&pause, NULL);
	} while (clock_mono_ns() < give_up);
	return 0;
}

static int take_all(struct dumper *d)
{
	struct pids all = { 0 };
	int r = kern_threads(d->kern, 0, on_any_thread, &all);

	if (r == 0)
		r = all.error;
	pids_sort(&all);
	for (size_t i = 0; i < all.n && r == 0; i++) {
		r = dump_take(d, all.items[i]);
		/* Ended meanwhile, or not for us: the others are. */
		if (r == -ESRCH || r == -EACCES || r == -EPERM || r == -ENODATA)
			r = 0;
	}
	free(all.items);
	return r;
}

static int take_given(struct dumper *d)
{
	const struct dump_options *o = d->options;
	int r = 0;

	for (size_t i = 0; i < o->pids_n && r == 0; i++) {
		r = dump_take(d, o->pids[i]);
		if (r < 0)
			r = fail(d, o->pids[i], r);
	}
	return r;
}

static int dump(struct dumper *d)
{
	bool given = d->options->pids_n > 0;
	int r = given ? follow_given(d) : proc_scan(d->procs, 0);

	if (r == 0)
		r = wait_inspected(d);
	if (r == 0)
		r = kern_start(d->kern);
	if (r < 0)
		return r;
	merge_tick_begin(d->merge, clock_mono_ns());
	r = given ? take_given(d) : take_all(d);
	(void)kern_stop(d->kern);
	return r < 0 ? r : dump_name(d);
}

int agent_dump(const struct dump_options *options, struct dump **ret)
{
	_cleanup_(dumper_release) struct dumper d = { .options = options };
	int r;

	d.dump = calloc(1, sizeof(*d.dump));
	if (!d.dump)
		return -ENOMEM;
	hmap_init(&d.samples, sizeof(uint32_t), sizeof(void *), SAMPLES_MAX);
	hmap_init(&d.rows, sizeof(uint32_t), sizeof(struct row_owner), 0);
	dump_tables_init(&d.tables);
	r = open_all(&d);
	if (r == 0)
		r = dump(&d);
	if (r < 0 && !d.told)
		log_error("cannot look at the processes: %s", strerror(-r));
	if (r == 0)
		*ret = TAKE_PTR(d.dump);
	return r;
}

static void thread_release(struct dump_thread *t)
{
	free(t->name);
	free(t->frames);
}

void dump_free(struct dump *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->processes_n; i++) {
		struct dump_process *p = &d->processes[i];

		for (size_t k = 0; k < p->threads_n; k++)
			thread_release(&p->threads[k]);
		free(p->threads);
		free(p->cmdline);
	}
	free(d->processes);
	dump_names_free(d->names);
	free(d);
}
