/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/json_views.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/log.h"
#include "cmd/screen.h"
#include "model/sample.h"
#include "query/metric.h"

static void put_str(struct json *j, const char *key, const char *value)
{
	json_key(j, key);
	json_str(j, value);
}

static void put_u64(struct json *j, const char *key, uint64_t value)
{
	json_key(j, key);
	json_u64(j, value);
}

static void put_i64(struct json *j, const char *key, int64_t value)
{
	json_key(j, key);
	json_i64(j, value);
}

static void put_double(struct json *j, const char *key, double value)
{
	json_key(j, key);
	json_double(j, value);
}

static void put_value(struct json *j, const char *key, const struct query_value *v)
{
	json_key(j, key);
	json_object(j);
	put_u64(j, "samples", v->count);
	put_u64(j, "weight", v->weight);
	json_object_end(j);
}

/* The beginning of every object: which recording, which view. */
static void begin(struct json *j, const struct profile *p, const char *view)
{
	json_begin(j, stdout);
	json_object(j);
	put_str(j, "view", view);
	json_key(j, "recording");
	json_object(j);
	put_str(j, "file", profile_path(p));
	put_str(j, "host", profile_meta(p, "host"));
	put_str(j, "kernel", profile_meta(p, "kernel"));
	put_str(j, "kymo", profile_meta(p, "kymo.version"));
	put_u64(j, "cpus", profile_meta_u64(p, "cpus", 0));
	put_u64(j, "start_wall_ns", profile_start_wall_ns(p));
	put_u64(j, "duration_ns", profile_duration_ns(p));
	json_key(j, "ended");
	json_bool(j, profile_ended(p));
	json_object_end(j);
}

static int end(struct json *j)
{
	int r;

	json_object_end(j);
	r = json_end(j);
	return r < 0 ? output_failed(NULL, r) : 0;
}

static void put_selected(struct json *j, size_t ticks, uint64_t duration_ns, uint32_t damaged)
{
	json_key(j, "selected");
	json_object(j);
	put_u64(j, "ticks", ticks);
	put_u64(j, "duration_ns", duration_ns);
	put_u64(j, "damaged_ticks", damaged);
	json_object_end(j);
}

static void put_item(struct json *j, const struct query_item *item)
{
	put_str(j, "kind", query_item_kind_names[item->kind]);
	put_str(j, "function", item->name);
	put_str(j, "file", *item->file ? item->file : NULL);
	put_u64(j, "line", item->line);
	put_str(j, "binary", *item->binary ? item->binary : NULL);
}

/* What the figures of functions and nodes are of. */
static void put_result(struct json *j, const struct query_result *r)
{
	put_selected(j, r->ticks_n, r->duration_ns, r->damaged_ticks);
	put_str(j, "value", values[r->value].name);
	put_str(j, "source", source_names[r->source]);
	put_str(j, "unit", values[r->value].unit);
	put_value(j, "total", &r->total);
	if (values[r->value].is_gauge)
		put_u64(j, "shrunk", r->shrunk);
}

int json_functions(struct profile *p, const struct query_result *r, enum query_order order,
		   uint64_t limit)
{
	_cleanup_free_ uint32_t *list = NULL;
	struct json j;
	size_t n;
	int error = query_functions(r, order, &list, &n);

	if (error < 0) {
		log_error("%s", strerror(-error));
		return error;
	}
	begin(&j, p, "functions");
	put_result(&j, r);
	json_key(&j, "functions");
	json_array(&j);
	for (size_t i = 0; i < n && (!limit || i < limit); i++) {
		const struct query_item *item = &r->items[list[i]];

		json_object(&j);
		put_item(&j, item);
		put_value(&j, "self", &item->self);
		put_value(&j, "total", &item->total);
		json_object_end(&j);
	}
	json_array_end(&j);
	return end(&j);
}

static void put_node(struct json *j, const struct query_result *r, const struct fold_node *n,
		     const uint32_t *ids)
{
	static const char *const folded[] = {
		[FOLD_FRAME] = NULL,
		[FOLD_LIBRARY] = "library",
		[FOLD_KERNEL] = "kernel",
	};

	json_object(j);
	json_key(j, "parent");
	if (n->parent)
		json_u64(j, ids[n->parent]);
	else
		json_null(j);
	put_str(j, "folded", folded[n->kind]);
	if (n->kind != FOLD_FRAME)
		put_u64(j, "functions", n->functions);
	put_item(j, &r->items[n->item]);
	json_key(j, "recursive");
	json_bool(j, n->is_recursive);
	json_key(j, "through_library");
	json_bool(j, n->is_through);
	put_value(j, "self", &n->self);
	put_value(j, "total", &n->total);
	json_object_end(j);
}

int json_tree(struct profile *p, const struct query_result *r, const struct query_fold *f,
	      const bool *shown)
{
	_cleanup_free_ uint32_t *ids = calloc(f->n, sizeof(*ids)); /* by node */
	uint32_t i = 0, next_id = 0;
	size_t depth = 0;
	struct json j;

	if (!ids) {
		log_error("%s", strerror(ENOMEM));
		return -ENOMEM;
	}
	begin(&j, p, "tree");
	put_result(&j, r);
	json_key(&j, "nodes");
	json_array(&j);
	while ((i = query_fold_next(f, shown, i, &depth))) {
		ids[i] = next_id++;
		put_node(&j, r, &f->nodes[i], ids);
	}
	json_array_end(&j);
	return end(&j);
}

static void put_account(struct json *j, const struct query_account *a, int64_t page_bytes)
{
	const struct process *p = a->process;
	const struct seen *c = &a->total;
	char comm[KYMO_COMM_SIZE + 1] = "";

	memcpy(comm, p->comm, KYMO_COMM_SIZE);
	put_u64(j, "pid", p->pid);
	put_u64(j, "parent_pid", p->parent_pid);
	put_u64(j, "uid", p->uid);
	put_u64(j, "start_ns", p->start_ns);
	put_str(j, "comm", comm);
	put_str(j, "exe", p->exe && *p->exe ? p->exe : NULL);
	put_str(j, "cmdline", p->cmdline && *p->cmdline ? p->cmdline : NULL);
	json_key(j, "ended");
	json_bool(j, a->ended);
	put_i64(j, "cpu_ns", c->cpu_ns);
	put_u64(j, "sampled_cpu_ns", a->sampled.weight);
	put_double(j, "sampled_error_ns", query_sampled_error(&a->sampled));
	put_u64(j, "samples", a->sampled.count);
	/* As doubles: a hostile page count must not wrap. */
	put_double(j, "rss_anon_bytes", (double)c->rss_anon_pages * (double)page_bytes);
	put_double(j, "rss_file_bytes", (double)c->rss_file_pages * (double)page_bytes);
	put_double(j, "rss_shmem_bytes", (double)c->rss_shmem_pages * (double)page_bytes);
	put_double(j, "swap_bytes", (double)c->swap_pages * (double)page_bytes);
	put_i64(j, "minor_faults", c->minor_faults);
	put_i64(j, "major_faults", c->major_faults);
	put_i64(j, "read_bytes", c->read_bytes);
	put_i64(j, "write_bytes", c->write_bytes);
	put_i64(j, "voluntary_switches", c->voluntary_switches);
	put_i64(j, "involuntary_switches", c->involuntary_switches);
}

int json_processes(struct profile *p, const struct query_accounts *a, uint64_t limit)
{
	int64_t page_bytes = (int64_t)profile_meta_u64(p, "page_bytes", 4096);
	struct json j;

	begin(&j, p, "processes");
	put_selected(&j, a->ticks, a->duration_ns, a->damaged_ticks);
	json_key(&j, "processes");
	json_array(&j);
	for (size_t i = 0; i < a->n && (!limit || i < limit); i++) {
		json_object(&j);
		put_account(&j, &a->items[i], page_bytes);
		json_object_end(&j);
	}
	json_array_end(&j);
	return end(&j);
}

static void put_process(struct json *j, const struct process *p)
{
	char comm[KYMO_COMM_SIZE + 1] = "";

	memcpy(comm, p->comm, KYMO_COMM_SIZE);
	put_u64(j, "pid", p->pid);
	put_str(j, "comm", comm);
}

static void put_function(struct json *j, const struct function *f)
{
	json_object(j);
	put_str(j, "function", f->name);
	put_str(j, "file", f->file);
	put_u64(j, "line", f->first_line);
	json_object_end(j);
}

static void put_place(struct json *j, const struct query_place *place)
{
	json_object(j);
	put_u64(j, "count", place->count);
	put_u64(j, "total_ns", place->total_ns);
	json_key(j, "callers");
	json_array(j);
	for (size_t i = 0; i < QUERY_CALLERS && place->callers[i]; i++)
		put_function(j, place->callers[i]);
	json_array_end(j);
	json_object_end(j);
}

static void put_collecting(struct json *j, const struct query_collecting *q)
{
	put_u64(j, "count", q->count);
	put_u64(j, "total_ns", q->total_ns);
	put_u64(j, "longest_ns", q->max_ns);
	json_key(j, "by_generation");
	json_array(j);
	for (size_t i = 0; i < QUERY_GENERATIONS; i++)
		json_u64(j, q->by_generation[i]);
	json_array_end(j);
	put_i64(j, "objects", q->objects);
	put_i64(j, "freed_bytes", q->rss_bytes);
}

int json_collections(struct profile *p, const struct query_collections *c, uint64_t limit)
{
	struct json j;

	begin(&j, p, "gc");
	json_key(&j, "total");
	json_object(&j);
	put_collecting(&j, &c->total);
	json_object_end(&j);
	json_key(&j, "processes");
	json_array(&j);
	for (size_t i = 0; i < c->n && (!limit || i < limit); i++) {
		json_object(&j);
		put_process(&j, c->items[i].process);
		put_collecting(&j, &c->items[i]);
		json_key(&j, "places");
		json_array(&j);
		for (size_t k = 0; k < c->items[i].places_n; k++)
			put_place(&j, &c->items[i].places[k]);
		json_array_end(&j);
		json_object_end(&j);
	}
	json_array_end(&j);
	return end(&j);
}

static void put_import(struct json *j, const struct query_import *i)
{
	json_object(j);
	put_str(j, "module", *i->name ? i->name : NULL);
	put_process(j, i->process);
	put_u64(j, "depth", i->depth);
	json_key(j, "failed");
	json_bool(j, i->failed);
	put_u64(j, "start_ns", i->start_ns);
	put_u64(j, "total_ns", i->total_ns);
	put_u64(j, "own_ns", i->own_ns);
	put_i64(j, "total_bytes", i->total_bytes);
	put_i64(j, "own_bytes", i->own_bytes);
	put_str(j, "importer", i->importer ? i->importer->name : NULL);
	put_str(j, "importer_file", i->importer ? i->importer->file : NULL);
	put_u64(j, "importer_line", i->line);
	json_object_end(j);
}

int json_imports(struct profile *p, const struct query_imports *i, uint64_t limit)
{
	struct json j;

	begin(&j, p, "imports");
	put_u64(&j, "count", i->n);
	put_u64(&j, "total_ns", i->total_ns);
	put_i64(&j, "total_bytes", i->total_bytes);
	put_u64(&j, "dropped", i->dropped);
	json_key(&j, "imports");
	json_array(&j);
	for (size_t k = 0; k < i->n && (!limit || k < limit); k++)
		put_import(&j, &i->items[k]);
	json_array_end(&j);
	return end(&j);
}

static void put_gil_times(struct json *j, const struct query_gil_times *t)
{
	put_u64(j, "holding_cpu_ns", t->holding_ns);
	put_u64(j, "holding_off_cpu_ns", t->held_ns);
	put_u64(j, "waiting_ns", t->waiting_ns);
	put_u64(j, "without_cpu_ns", t->without_ns);
	put_u64(j, "gc_cpu_ns", t->gc_ns);
	put_u64(j, "waits", t->waits);
}

static void put_gil_thread(struct json *j, const struct query_gil_thread *t)
{
	char comm[KYMO_COMM_SIZE + 1] = "";
	const char *name = t->thread->name;

	memcpy(comm, t->thread->comm, KYMO_COMM_SIZE);
	json_object(j);
	put_u64(j, "tid", t->thread->tid);
	put_str(j, "name", name && *name ? name : NULL);
	put_str(j, "comm", comm);
	put_gil_times(j, &t->times);
	json_object_end(j);
}

static void put_gil_process(struct json *j, const struct query_gil *g, size_t index)
{
	json_object(j);
	put_process(j, g->processes[index].process);
	put_gil_times(j, &g->processes[index].times);
	json_key(j, "threads");
	json_array(j);
	for (size_t i = 0; i < g->threads_n; i++)
		if (g->threads[i].of == index)
			put_gil_thread(j, &g->threads[i]);
	json_array_end(j);
	json_object_end(j);
}

static void put_function_or_null(struct json *j, const char *key, const struct function *f)
{
	json_key(j, key);
	if (f)
		put_function(j, f);
	else
		json_null(j);
}

static void put_gil_pair(struct json *j, const struct query_gil_pair *p)
{
	json_object(j);
	put_process(j, p->process);
	put_u64(j, "waiting_ns", p->waiting_ns);
	put_u64(j, "waits", p->waits);
	put_function_or_null(j, "waiter", p->waiter);
	put_function_or_null(j, "holder", p->holder);
	put_str(j, "held_by", p->name);
	json_object_end(j);
}

int json_gil(struct profile *p, const struct query_gil *g, uint64_t limit)
{
	struct json j;

	begin(&j, p, "gil");
	put_u64(&j, "duration_ns", g->duration_ns);
	put_u64(&j, "damaged_ticks", g->damaged_ticks);
	json_key(&j, "total");
	json_object(&j);
	put_gil_times(&j, &g->total);
	json_object_end(&j);
	json_key(&j, "processes");
	json_array(&j);
	for (size_t i = 0; i < g->processes_n && (!limit || i < limit); i++)
		put_gil_process(&j, g, i);
	json_array_end(&j);
	json_key(&j, "pairs");
	json_array(&j);
	for (size_t i = 0; i < g->pairs_n && (!limit || i < limit); i++)
		put_gil_pair(&j, &g->pairs[i]);
	json_array_end(&j);
	return end(&j);
}

static void put_stops(struct json *j, const struct query_result *r)
{
	json_key(j, "stops");
	json_array(j);
	for (size_t i = 0; i < r->stops_n; i++) {
		const struct query_stop *stop = &r->stops[i];

		json_object(j);
		put_str(j, "comm", stop->comm);
		put_str(j, "binary", *stop->binary ? stop->binary : NULL);
		put_str(j, "function", stop->item ? r->items[stop->item].name : NULL);
		put_str(j, "end", end_names[stop->end]);
		put_u64(j, "samples", stop->samples);
		put_u64(j, "offset", stop->offset);
		put_u64(j, "offset_samples", stop->offset_samples);
		json_object_end(j);
	}
	json_array_end(j);
}

static void put_unnamed(struct json *j, const struct query_result *r, const uint32_t *list,
			size_t n)
{
	json_key(j, "unnamed");
	json_array(j);
	for (size_t i = 0; i < n; i++) {
		const struct query_item *item = &r->items[list[i]];

		json_object(j);
		put_str(j, "function", item->name);
		put_str(j, "binary", *item->binary ? item->binary : NULL);
		put_str(j, "reason", query_unnamed_reasons[item->unnamed]);
		put_value(j, "self", &item->self);
		put_value(j, "total", &item->total);
		json_object_end(j);
	}
	json_array_end(j);
}

int json_quality(struct profile *p, const struct query_quality *q, size_t n,
		 const struct query_result *r)
{
	_cleanup_free_ uint32_t *list = NULL;
	size_t unnamed_n;
	struct json j;
	bool is_gauge;
	int error = query_unnamed_items(r, &list, &unnamed_n);

	if (error < 0) {
		log_error("%s", strerror(-error));
		return error;
	}
	begin(&j, p, "quality");
	put_selected(&j, r->ticks_n, r->duration_ns, r->damaged_ticks);
	json_key(&j, "counters");
	json_array(&j);
	for (size_t i = 0; i < n; i++) {
		const char *meaning = query_quality_meaning(q[i].counter, &is_gauge);

		json_object(&j);
		put_str(&j, "counter", q[i].counter);
		put_str(&j, "meaning", meaning);
		put_i64(&j, is_gauge ? "max" : "sum", is_gauge ? q[i].max : q[i].sum);
		put_u64(&j, "ticks", q[i].ticks);
		json_object_end(&j);
	}
	json_array_end(&j);
	json_key(&j, "stack_ends");
	json_array(&j);
	for (size_t i = 0; i < KYMO_END_MAX; i++) {
		if (!r->ends[i])
			continue;
		json_object(&j);
		put_str(&j, "end", end_names[i]);
		put_u64(&j, "samples", r->ends[i]);
		json_object_end(&j);
	}
	json_array_end(&j);
	put_stops(&j, r);
	put_unnamed(&j, r, list, unnamed_n);
	return end(&j);
}

static void put_tick(struct json *j, const struct query_result *r, const struct query_tick *q,
		     const struct profile_tick *first, const struct profile_tick *t)
{
	double value;

	json_object(j);
	put_u64(j, "at_ns", t->start_ns > first->start_ns ? t->start_ns - first->start_ns : 0);
	put_u64(j, "duration_ns", t->end_ns > t->start_ns ? t->end_ns - t->start_ns : 0);
	put_u64(j, "end_wall_ns", t->wall_ns);
	put_value(j, "total", &q->total);
	json_key(j, "hottest");
	if (q->item) {
		json_object(j);
		put_item(j, &r->items[q->item]);
		put_value(j, "self", &q->item_self);
		json_object_end(j);
	} else {
		json_null(j);
	}
	json_key(j, "health");
	json_object(j);
	for (enum metric m = 0; m < METRIC_MAX; m++)
		if (metric_value(m, t, &value))
			put_double(j, metric_names[m], value);
	json_object_end(j);
}

/* Those of the tick; *next goes on to the following one's. */
static void put_events(struct json *j, const struct query_events *e, size_t tick, size_t *next,
		       const struct profile_tick *first)
{
	char comm[KYMO_COMM_SIZE + 1] = "";

	json_key(j, "events");
	json_array(j);
	for (; *next < e->n && e->items[*next].tick <= tick; (*next)++) {
		const struct query_event *event = &e->items[*next];

		if (event->tick != tick)
			continue;
		json_object(j);
		put_str(j, "kind", query_event_names[event->kind]);
		put_u64(j, "at_ns",
			event->time_ns > first->start_ns ? event->time_ns - first->start_ns : 0);
		put_u64(j, "duration_ns", event->duration_ns);
		if (event->process) {
			memcpy(comm, event->process->comm, KYMO_COMM_SIZE);
			put_u64(j, "pid", event->process->pid);
			put_str(j, "comm", comm);
		}
		if (event->thread && event->thread->name && *event->thread->name)
			put_str(j, "thread", event->thread->name);
		put_str(j, "fields", *event->fields ? event->fields : NULL);
		json_object_end(j);
	}
	json_array_end(j);
}

int json_ticks(struct profile *p, const struct query_result *r, const struct query_events *e)
{
	const struct profile_tick *ticks;
	struct json j;
	size_t n, next = 0;

	ticks = profile_ticks(p, &n);
	begin(&j, p, "ticks");
	put_str(&j, "value", values[r->value].name);
	put_str(&j, "source", source_names[r->source]);
	put_str(&j, "unit", values[r->value].unit);
	json_key(&j, "ticks");
	json_array(&j);
	for (size_t i = 0; i < r->ticks_n; i++) {
		put_tick(&j, r, &r->ticks[i], &ticks[0], &ticks[r->ticks[i].tick]);
		put_events(&j, e, r->ticks[i].tick, &next, &ticks[0]);
		json_object_end(&j);
	}
	json_array_end(&j);
	return end(&j);
}

int json_info(struct profile *p, const struct profile_counts *counts,
	      const struct profile_size *sizes, size_t sizes_n)
{
	const struct {
		const char *key;
		uint64_t value;
	} figures[] = {
		{ "format", profile_format(p) },  { "samples", counts->samples },
		{ "rows", counts->rows },	  { "stacks", counts->stacks },
		{ "frames", counts->frames },	  { "functions", counts->functions },
		{ "binaries", counts->binaries }, { "processes", counts->processes },
		{ "threads", counts->threads },	  { "file_bytes", counts->file_bytes },
	};
	struct json j;
	size_t ticks;

	profile_ticks(p, &ticks);
	begin(&j, p, "info");
	put_str(&j, "sources", profile_meta(p, "sources"));
	put_str(&j, "selection", profile_meta(p, "selection"));
	put_u64(&j, "tick_ns", profile_meta_u64(p, "tick_ns", 0));
	put_u64(&j, "cpu_period_ns", profile_meta_u64(p, "period_ns.cpu", 0));
	put_u64(&j, "ticks", ticks);
	for (size_t i = 0; i < ARRAY_SIZE(figures); i++)
		put_u64(&j, figures[i].key, figures[i].value);
	json_key(&j, "tables");
	json_array(&j);
	for (size_t i = 0; i < sizes_n; i++) {
		json_object(&j);
		put_str(&j, "table", sizes[i].table);
		put_u64(&j, "bytes", sizes[i].bytes);
		json_object_end(&j);
	}
	json_array_end(&j);
	return end(&j);
}
