/* SPDX-License-Identifier: Apache-2.0 */
/* The tables whose rows have an id of their own, and the list of all tables and views. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "model/sample.h"
#include "query/metric.h"
#include "query/plain_table.h"

static void put_text(sqlite3_context *to, const char *text)
{
	sqlite3_result_text(to, text ? text : "", -1, SQLITE_STATIC);
}

/* None of a table's rows is NULL, not 0: it joins nothing. */
static void put_reference(sqlite3_context *to, int64_t id)
{
	if (id)
		sqlite3_result_int64(to, id);
}

static int append(struct buf *b, const char *text)
{
	return buf_append_str(b, text);
}

#define COLUMNS(name, text)                      \
	static int name##_columns(struct buf *b) \
	{                                        \
		return append(b, text);          \
	}

/* ---- meta ---- */

static int64_t meta_count(struct plain *q)
{
	const char *key, *value;
	int64_t n = 0;

	for (size_t i = 0; i < q->profile->segments_n; i++)
		for (size_t k = 0; store_meta_at(q->profile->segments[i].reader, k, &key, &value);
		     k++)
			n++;
	return n;
}

static void meta_value(struct plain_cursor *c, sqlite3_context *to, int column)
{
	struct profile *p = c->plain->profile;
	const char *key = "", *value = "";
	size_t at = (size_t)c->at, i = 0;

	for (; i < p->segments_n; i++) {
		size_t n = 0;

		while (n <= at && store_meta_at(p->segments[i].reader, n, &key, &value))
			n++;
		if (n > at)
			break;
		at -= n;
	}
	if (column == 0)
		sqlite3_result_int64(to, c->at);
	else if (column == 1)
		sqlite3_result_int64(to, (int64_t)i + 1);
	else
		put_text(to, column == 2 ? key : value);
}

COLUMNS(meta, "id INTEGER PRIMARY KEY, segment INTEGER, key TEXT, value TEXT")

/* ---- ticks: the id counts over all segments, from 1 ---- */

static int64_t tick_count(struct plain *q)
{
	return (int64_t)q->profile->ticks_n + 1;
}

static bool tick_select(struct plain_cursor *c)
{
	return c->at > 0 && c->plain->ticks[c->at - 1];
}

static double seconds(const struct plain *q, uint64_t ns)
{
	uint64_t start = q->profile->ticks[0].start_ns;

	return ns >= start ? (double)(ns - start) / 1e9 : -(double)(start - ns) / 1e9;
}

enum { TICK_FIXED = 8 };

static int tick_columns(struct buf *b)
{
	int r = append(b, "id INTEGER PRIMARY KEY, segment INTEGER, start_s REAL, end_s REAL, "
			  "start_ns INTEGER, end_ns INTEGER, wall_ns INTEGER, read_errors INTEGER");

	for (size_t i = 0; i < HEALTH_MAX && r == 0; i++)
		r = buf_printf(b, ", %s INTEGER", health_columns[i].column);
	return r;
}

static void tick_value(struct plain_cursor *c, sqlite3_context *to, int column)
{
	const struct profile_tick *t = &c->plain->profile->ticks[c->at - 1];
	const struct health *h = &t->health;

	if (column >= TICK_FIXED) {
		if (h->present[column - TICK_FIXED])
			sqlite3_result_int64(to, h->value[column - TICK_FIXED]);
		return;
	}
	if (column == 2 || column == 3) {
		sqlite3_result_double(to, seconds(c->plain, column == 2 ? t->start_ns : t->end_ns));
		return;
	}
	sqlite3_result_int64(to, column == 0   ? c->at
				 : column == 1 ? (int64_t)t->segment + 1
				 : column == 4 ? (int64_t)t->start_ns
				 : column == 5 ? (int64_t)t->end_ns
				 : column == 6 ? (int64_t)t->wall_ns
					       : (int64_t)h->read_errors);
}

/* The same as rates and shares, as report shows them. */
static int health_table_columns(struct buf *b)
{
	int r = append(b, "tick INTEGER PRIMARY KEY");

	for (size_t i = 0; i < METRIC_MAX && r == 0; i++)
		r = buf_printf(b, ", %s REAL", metric_names[i]);
	return r;
}

static void health_value(struct plain_cursor *c, sqlite3_context *to, int column)
{
	double value;

	if (column == 0)
		sqlite3_result_int64(to, c->at);
	else if (metric_value((enum metric)(column - 1), &c->plain->profile->ticks[c->at - 1],
			      &value))
		sqlite3_result_double(to, value);
}

/* ---- who ---- */

#define ROWS(name, kind)                             \
	static int64_t name##_count(struct plain *q) \
	{                                            \
		return plain_rows(q, kind);          \
	}

static const struct segment *segment_of(const struct plain_cursor *c)
{
	return &c->plain->profile->segments[c->segment];
}

static const struct process unknown_process = { .comm = "[unknown]" };

static const struct process *process_at(const struct plain_cursor *c)
{
	return c->index ? &segment_of(c)->tables.processes[c->index - 1] : &unknown_process;
}

static bool process_select(struct plain_cursor *c)
{
	return plain_find(c->plain, PLAIN_PROCESS, c->at, &c->segment, &c->index) &&
	       query_selects_process(&c->plain->selection, process_at(c));
}

static void process_value(struct plain_cursor *c, sqlite3_context *to, int column)
{
	const struct process *p = process_at(c);

	switch (column) {
	case 0:
		sqlite3_result_int64(to, c->at);
		break;
	case 1:
		sqlite3_result_int64(to, p->pid);
		break;
	case 2:
		sqlite3_result_int64(to, p->parent_pid);
		break;
	case 3:
		sqlite3_result_int64(to, p->uid);
		break;
	case 4:
		sqlite3_result_int64(to, (int64_t)p->start_ns);
		break;
	case 5:
		sqlite3_result_int64(to, (int64_t)p->cgroup_id);
		break;
	case 6:
		put_text(to, p->comm);
		break;
	default:
		put_text(to, column == 7 ? p->exe : p->cmdline);
	}
}

ROWS(process, PLAIN_PROCESS)
COLUMNS(process, "id INTEGER PRIMARY KEY, pid INTEGER, parent_pid INTEGER, uid INTEGER, "
		 "start_ns INTEGER, cgroup_id INTEGER, comm TEXT, exe TEXT, cmdline TEXT")

static uint32_t process_of_thread(const struct plain_cursor *c)
{
	const struct segment *s = segment_of(c);

	return c->index ? idmap_find(&s->processes, s->tables.threads[c->index - 1].process) : 0;
}

static bool thread_select(struct plain_cursor *c)
{
	uint32_t process;

	if (!plain_find(c->plain, PLAIN_THREAD, c->at, &c->segment, &c->index))
		return false;
	process = process_of_thread(c);
	return query_selects_process(&c->plain->selection,
				     process ? &segment_of(c)->tables.processes[process - 1]
					     : &unknown_process);
}

static void thread_value(struct plain_cursor *c, sqlite3_context *to, int column)
{
	static const struct thread unknown = { .comm = "[unknown]" };
	const struct thread *t = c->index ? &segment_of(c)->tables.threads[c->index - 1] : &unknown;

	switch (column) {
	case 0:
		sqlite3_result_int64(to, c->at);
		break;
	case 1:
		sqlite3_result_int64(to, plain_id(c->plain, PLAIN_PROCESS, c->segment,
						  process_of_thread(c)));
		break;
	case 2:
		sqlite3_result_int64(to, t->tid);
		break;
	case 3:
		sqlite3_result_int64(to, (int64_t)t->start_ns);
		break;
	case 4:
		put_text(to, t->comm);
		break;
	default:
		put_text(to, t->name ? t->name : "");
	}
}

ROWS(thread, PLAIN_THREAD)
COLUMNS(thread,
	"id INTEGER PRIMARY KEY, process INTEGER, tid INTEGER, start_ns INTEGER, comm TEXT, "
	"name TEXT")

/* ---- where ---- */

static bool binary_select(struct plain_cursor *c)
{
	return plain_find(c->plain, PLAIN_BINARY, c->at, &c->segment, &c->index) && c->index;
}

static void put_build_id(sqlite3_context *to, const struct build_id *id)
{
	char text[2 * BUILD_ID_MAX + 1] = "";
	size_t n = id->size < BUILD_ID_MAX ? id->size : BUILD_ID_MAX;

	for (size_t i = 0; i < n; i++)
		snprintf(text + 2 * i, 3, "%02x", id->bytes[i]);
	sqlite3_result_text(to, text, -1, SQLITE_TRANSIENT);
}

static void binary_value(struct plain_cursor *c, sqlite3_context *to, int column)
{
	static const char *const kinds[BINARY_KIND_MAX] = {
		[BINARY_FILE] = "file",	     [BINARY_KERNEL] = "kernel",   [BINARY_VDSO] = "vdso",
		[BINARY_ANON] = "anonymous", [BINARY_UNKNOWN] = "unknown",
	};
	const struct binary *b = &segment_of(c)->tables.binaries[c->index - 1];

	if (column == 0)
		sqlite3_result_int64(to, c->at);
	else if (column == 1)
		put_text(to, b->kind < BINARY_KIND_MAX ? kinds[b->kind] : "");
	else if (column == 2)
		put_text(to, b->path);
	else
		put_build_id(to, &b->build_id);
}

ROWS(binary, PLAIN_BINARY)
COLUMNS(binary, "id INTEGER PRIMARY KEY, kind TEXT, path TEXT, build_id TEXT")

static bool function_select(struct plain_cursor *c)
{
	return plain_find(c->plain, PLAIN_FUNCTION, c->at, &c->segment, &c->index) && c->index;
}

static const char *kind_name(unsigned kind)
{
	return kind && kind < FRAME_KIND_MAX ? frame_kind_names[kind] : "synthetic";
}

static void function_value(struct plain_cursor *c, sqlite3_context *to, int column)
{
	const struct segment *s = segment_of(c);
	const struct function *f = &s->tables.functions[c->index - 1];

	switch (column) {
	case 0:
		sqlite3_result_int64(to, c->at);
		break;
	case 1:
		put_text(to, kind_name(f->kind));
		break;
	case 2:
		put_reference(to, plain_id(c->plain, PLAIN_BINARY, c->segment,
					   idmap_find(&s->binaries, f->binary)));
		break;
	case 3:
		put_text(to, f->name);
		break;
	case 4:
		put_text(to, f->file);
		break;
	default:
		sqlite3_result_int64(to, f->first_line);
	}
}

ROWS(function, PLAIN_FUNCTION)
COLUMNS(function, "id INTEGER PRIMARY KEY, kind TEXT, binary INTEGER, name TEXT, file TEXT, "
		  "first_line INTEGER")

static bool frame_select(struct plain_cursor *c)
{
	return plain_find(c->plain, PLAIN_FRAME, c->at, &c->segment, &c->index);
}

static void put_item_name(struct plain_cursor *c, sqlite3_context *to, uint32_t frame,
			  uint32_t depth)
{
	uint32_t item = plain_frame_item(c->plain, c->segment, frame, depth);

	if (!item)
		sqlite3_result_error_nomem(to);
	else
		put_text(to, c->plain->items.items[item].name);
}

static void frame_value(struct plain_cursor *c, sqlite3_context *to, int column)
{
	static const struct frame none = { .kind = FRAME_SYNTHETIC };
	const struct segment *s = segment_of(c);
	const struct frame *f = c->index ? &s->tables.frames[c->index - 1] : &none;

	switch (column) {
	case 0:
		sqlite3_result_int64(to, c->at);
		break;
	case 1:
		put_text(to, kind_name(f->kind));
		break;
	case 2:
		put_reference(to, plain_id(c->plain, PLAIN_BINARY, c->segment,
					   idmap_find(&s->binaries, f->binary)));
		break;
	case 3:
		sqlite3_result_int64(to, (int64_t)f->offset);
		break;
	case 4:
		put_reference(to, plain_id(c->plain, PLAIN_FUNCTION, c->segment,
					   idmap_find(&s->functions, f->function)));
		break;
	case 5:
		sqlite3_result_int64(to, f->line);
		break;
	case 6:
		sqlite3_result_int64(to, f->by_fp);
		break;
	default: /* what ran there: the innermost */
		put_item_name(c, to, c->index, plain_inlines(c->plain, c->segment, c->index));
	}
}

ROWS(frame, PLAIN_FRAME)
COLUMNS(frame, "id INTEGER PRIMARY KEY, kind TEXT, binary INTEGER, offset INTEGER, "
	       "function INTEGER, line INTEGER, by_fp INTEGER, name TEXT")

static bool stack_select(struct plain_cursor *c)
{
	return plain_find(c->plain, PLAIN_STACK, c->at, &c->segment, &c->index);
}

static uint32_t frame_of_stack(const struct segment *s, uint32_t stack)
{
	return stack ? idmap_find(&s->frames, s->tables.stacks[stack - 1].frame) : 0;
}

static uint32_t parent_of_stack(const struct segment *s, uint32_t stack)
{
	return stack ? idmap_find(&s->stacks, s->tables.stacks[stack - 1].parent) : 0;
}

static void stack_value(struct plain_cursor *c, sqlite3_context *to, int column)
{
	const struct segment *s = segment_of(c);

	if (column == 0)
		sqlite3_result_int64(to, c->at);
	else if (column == 1)
		put_reference(to, plain_id(c->plain, PLAIN_STACK, c->segment,
					   parent_of_stack(s, c->index)));
	else
		sqlite3_result_int64(to, plain_id(c->plain, PLAIN_FRAME, c->segment,
						  frame_of_stack(s, c->index)));
}

ROWS(stack, PLAIN_STACK)
COLUMNS(stack, "id INTEGER PRIMARY KEY, parent INTEGER, frame INTEGER")

/* The functions of a frame: itself (depth 0), then what is inlined in it. */
static int frame_name_start(struct plain_cursor *c)
{
	c->depth = 0;
	return plain_find(c->plain, PLAIN_FRAME, c->at, &c->segment, &c->index) ? 0 : -EINVAL;
}

static int frame_name_next(struct plain_cursor *c)
{
	return ++c->depth <= plain_inlines(c->plain, c->segment, c->index);
}

static void frame_name_value(struct plain_cursor *c, sqlite3_context *to, int column)
{
	const struct segment *s = segment_of(c);
	uint32_t n, at = segment_inlines(s, c->index, &n) + c->depth - 1;
	uint32_t function = c->depth   ? s->tables.inlines[at].function
			    : c->index ? s->tables.frames[c->index - 1].function
				       : 0;

	if (column < 2)
		sqlite3_result_int64(to, column ? c->depth : c->at);
	else if (column == 2)
		put_reference(to, plain_id(c->plain, PLAIN_FUNCTION, c->segment,
					   idmap_find(&s->functions, function)));
	else if (column == 3)
		sqlite3_result_int64(to, c->depth   ? s->tables.inlines[at].line
					 : c->index ? s->tables.frames[c->index - 1].line
						    : 0);
	else
		put_item_name(c, to, c->index, c->depth);
}

COLUMNS(frame_name, "frame INTEGER, depth INTEGER, function INTEGER, line INTEGER, name TEXT")

/* The frames of every stack, the one that ran first (level 0), inlined functions before those that have them. */
static int stack_frame_start(struct plain_cursor *c)
{
	if (!plain_find(c->plain, PLAIN_STACK, c->at, &c->segment, &c->index))
		return -EINVAL;
	c->stack = c->index;
	c->level = 0;
	c->depth = plain_inlines(c->plain, c->segment, frame_of_stack(segment_of(c), c->stack));
	return 0;
}

static int stack_frame_next(struct plain_cursor *c)
{
	uint32_t parent;

	if (c->depth) {
		c->depth--;
		return 1;
	}
	parent = parent_of_stack(segment_of(c), c->stack);
	if (!parent)
		return 0;
	c->stack = parent;
	c->level++;
	c->depth = plain_inlines(c->plain, c->segment, frame_of_stack(segment_of(c), c->stack));
	return 1;
}

static void stack_frame_value(struct plain_cursor *c, sqlite3_context *to, int column)
{
	uint32_t frame = frame_of_stack(segment_of(c), c->stack);
	const int64_t columns[] = { c->at, c->level, c->depth,
				    plain_id(c->plain, PLAIN_FRAME, c->segment, frame) };

	if (column < 4)
		sqlite3_result_int64(to, columns[column]);
	else if (column == 4)
		put_text(to, kind_name(frame ? segment_of(c)->tables.frames[frame - 1].kind : 0));
	else
		put_item_name(c, to, frame, c->depth);
}

COLUMNS(stack_frame, "stack INTEGER, level INTEGER, depth INTEGER, frame INTEGER, kind TEXT, "
		     "name TEXT")

/* ---- what happened ---- */

static bool event_select(struct plain_cursor *c)
{
	return c->at > 0;
}

static const char *const event_kinds[EVENT_KIND_MAX] = {
	[EVENT_GC] = "gc",
	[EVENT_IMPORT] = "import",
	[EVENT_OOM_KILL] = "oom_kill",
	[EVENT_EXEC_STORM] = "exec_storm",
	[EVENT_EXIT_STORM] = "exit_storm",
};

static void event_value(struct plain_cursor *c, sqlite3_context *to, int column)
{
	const struct plain_event *e = &c->plain->events[c->at - 1];
	const struct segment *s = &c->plain->profile->segments[e->segment];
	const int64_t shift = c->plain->profile->ticks[e->tick].shift_ns;

	switch (column) {
	case 0:
		sqlite3_result_int64(to, c->at);
		break;
	case 1:
		sqlite3_result_int64(to, (int64_t)e->tick + 1);
		break;
	case 2:
		put_text(to, event_kinds[e->event.kind]);
		break;
	case 3:
		sqlite3_result_int64(to, (int64_t)(e->event.time_ns + (uint64_t)shift));
		break;
	case 4:
		sqlite3_result_int64(to, (int64_t)e->event.duration_ns);
		break;
	case 5:
		put_reference(to, plain_id(c->plain, PLAIN_THREAD, e->segment,
					   idmap_find(&s->threads, e->event.thread)));
		break;
	case 6:
		put_reference(to, plain_id(c->plain, PLAIN_STACK, e->segment,
					   idmap_find(&s->stacks, e->event.stack)));
		break;
	default:
		put_text(to, strings_get(c->plain->texts, e->fields));
	}
}

COLUMNS(event, "id INTEGER PRIMARY KEY, tick INTEGER, kind TEXT, time_ns INTEGER, "
	       "duration_ns INTEGER, thread INTEGER, stack INTEGER, fields TEXT")

static bool metric_select(struct plain_cursor *c)
{
	return c->at > 0;
}

static void metric_row_value(struct plain_cursor *c, sqlite3_context *to, int column)
{
	const struct plain_metric *m = &c->plain->metrics[c->at - 1];

	if (column == 0)
		sqlite3_result_int64(to, c->at);
	else if (column == 4)
		put_text(to, m->kind == HEALTH_GAUGE ? "gauge" : "counter");
	else
		put_text(to, strings_get(c->plain->texts, column == 1	? m->name
							  : column == 2 ? m->labels
									: m->unit));
}

COLUMNS(metric, "id INTEGER PRIMARY KEY, name TEXT, labels TEXT, unit TEXT, kind TEXT")

/* ---- the list ---- */

#define BY_ID(name, help, select)                                                           \
	{                                                                                   \
#name, help, PLAIN_BY_ID, name##_columns, name##_count, select, NULL, NULL, \
			name##_value, NULL                                                  \
	}
#define BY_TICK(table, name, help, key)                                                      \
	{                                                                                    \
		table, help, PLAIN_BY_TICK, plain_##name##_columns, NULL, NULL,              \
			plain_##name##_start, plain_##name##_next, plain_##name##_value, key \
	}

const struct plain_table plain_tables[] = {
	BY_ID(meta, "facts about the recording", NULL),
	BY_ID(tick, "slices of time, with the host's health in them as counted", tick_select),
	{ "health", "the same health as rates and shares, as report shows it", PLAIN_BY_ID,
	  health_table_columns, tick_count, tick_select, NULL, NULL, health_value, NULL },
	{ "metric", "what is measured per CPU, device, cgroup", PLAIN_BY_ID, metric_columns,
	  plain_metric_count, metric_select, NULL, NULL, metric_row_value, NULL },
	BY_TICK("health_label", label, "its values, those that are not 0",
		"PRIMARY KEY(tick, metric)"),
	BY_ID(process, "every process that was seen", process_select),
	BY_ID(thread, "every thread", thread_select),
	BY_TICK("process_tick", account, "the kernel's own account of each process",
		"PRIMARY KEY(tick, process)"),
	BY_TICK("sample", sample, "a row per sample: who, when, on which stack, what for",
		"PRIMARY KEY(tick, n)"),
	BY_ID(stack, "stacks as a tree: parent is the caller", stack_select),
	{ "frame_name", "a frame's function (depth 0) and what is inlined in it", PLAIN_NESTED,
	  frame_name_columns, frame_count, NULL, frame_name_start, frame_name_next,
	  frame_name_value, "PRIMARY KEY(frame, depth)" },
	{ "stack_frame", "each stack's frames; level 0 is what ran", PLAIN_NESTED,
	  stack_frame_columns, stack_count, NULL, stack_frame_start, stack_frame_next,
	  stack_frame_value, NULL },
	BY_ID(frame, "frames, named as report names them", frame_select),
	BY_ID(function, "functions", function_select),
	BY_ID(binary, "files and other places that code lies in", binary_select),
	{ "event", "collections, OOM kills, storms", PLAIN_BY_ID, event_columns, plain_event_count,
	  event_select, NULL, NULL, event_value, NULL },
	BY_TICK("quality", quality, "what went wrong, and what recording cost",
		"PRIMARY KEY(tick, counter)"),
	{ 0 },
};

/* A cross join, to SQLite, is one whose order it keeps: the samples first, the rest by id. */
#define SAMPLE_NAMED(join)                                                                       \
	"SELECT s.tick, s.n, s.time_ns, p.pid, p.comm, t.tid, t.comm AS thread_comm, s.source, " \
	"s.weight, f.name AS function, f.kind, s.stack, s.state, s.stack_end, s.thread, "        \
	"t.process FROM sample AS s " join " thread AS t ON t.id = s.thread " join               \
	" process AS p ON p.id = t.process " join " stack AS k ON k.id = s.stack " join          \
	" frame AS f ON f.id = k.frame"

const struct plain_view plain_views[] = {
	{ "sample_named", "samples with process, thread and function", SAMPLE_NAMED("JOIN"),
	  SAMPLE_NAMED("CROSS JOIN"), false },
	{ "stack_frame", "each stack's frames; level 0 is what ran",
	  "WITH RECURSIVE up(stack, level, at) AS (SELECT id, 0, id FROM stack UNION ALL "
	  "SELECT up.stack, up.level + 1, k.parent FROM up JOIN stack AS k ON k.id = up.at "
	  "WHERE k.parent IS NOT NULL) "
	  "SELECT up.stack, up.level, n.depth, k.frame, f.kind, n.name FROM up "
	  "JOIN stack AS k ON k.id = up.at JOIN frame AS f ON f.id = k.frame "
	  "JOIN frame_name AS n ON n.frame = k.frame",
	  NULL, true },
	{ "stack_text", "each stack in one text, root first, separated by ;",
	  "SELECT stack, group_concat(replace(name, ';', ','), ';') AS text FROM "
	  "(SELECT stack, name FROM stack_frame ORDER BY stack, level DESC, depth) GROUP BY stack",
	  /* made for the stacks that a statement comes to, not for all */
	  "SELECT id AS stack, stack_text(id) AS text FROM stack", false },
	{ 0 },
};
