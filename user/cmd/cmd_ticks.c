/* SPDX-License-Identifier: Apache-2.0 */
/* kymo ticks: a line per tick, as vmstat prints it, with the function that ran most. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/json_views.h"
#include "cmd/open.h"
#include "cmd/options.h"
#include "cmd/screen.h"
#include "cmd/tick_events.h"
#include "query/metric.h"

/* The hottest function wants this much before columns of low rank may stay. */
#define HOTTEST_COLUMNS 22
/* From here on it is said where it is, too. */
#define PLACE_COLUMNS 36

DEFINE_CLEANUP(struct profile *, profile_close);
DEFINE_CLEANUP(struct query_result *, query_free);

enum form { FORM_NUMBER, FORM_BYTES, FORM_PAGES };

struct column {
	const char *group, *title;
	enum metric metric;
	enum form form;
	unsigned width; /* with the space before it */
	unsigned rank;	/* on a narrow screen the highest go first */
};

static const struct column columns[] = {
	{ "procs", "r", METRIC_RUNNING, FORM_NUMBER, 4, 0 },
	{ "procs", "b", METRIC_BLOCKED, FORM_NUMBER, 3, 4 },
	{ "memory", "free", METRIC_MEM_FREE, FORM_BYTES, 6, 10 },
	{ "memory", "avail", METRIC_MEM_AVAILABLE, FORM_BYTES, 6, 0 },
	{ "swap", "si", METRIC_SWAP_IN, FORM_PAGES, 6, 6 },
	{ "swap", "so", METRIC_SWAP_OUT, FORM_PAGES, 6, 5 },
	{ "disk", "bi", METRIC_DISK_READ, FORM_BYTES, 6, 3 },
	{ "disk", "bo", METRIC_DISK_WRITE, FORM_BYTES, 6, 2 },
	{ "system", "in", METRIC_INTERRUPTS, FORM_NUMBER, 6, 11 },
	{ "system", "cs", METRIC_SWITCHES, FORM_NUMBER, 6, 8 },
	{ "cpu %", "us", METRIC_CPU_USER, FORM_NUMBER, 4, 0 },
	{ "cpu %", "sy", METRIC_CPU_SYSTEM, FORM_NUMBER, 4, 0 },
	{ "cpu %", "id", METRIC_CPU_IDLE, FORM_NUMBER, 4, 7 },
	{ "cpu %", "wa", METRIC_CPU_IOWAIT, FORM_NUMBER, 4, 1 },
	{ "cpu %", "st", METRIC_CPU_STEAL, FORM_NUMBER, 4, 9 },
	{ "pressure %", "cpu", METRIC_PSI_CPU_SOME, FORM_NUMBER, 4, 0 },
	{ "pressure %", "mem", METRIC_PSI_MEM_SOME, FORM_NUMBER, 4, 0 },
	{ "pressure %", "io", METRIC_PSI_IO_SOME, FORM_NUMBER, 4, 0 },
};
#define COLUMNS_N     (sizeof(columns) / sizeof(columns[0]))
#define RANK_MAX      11

#define TIME_WIDTH    7
#define SAMPLES_WIDTH 8

struct table {
	struct screen *screen;
	struct profile *profile;
	const struct query_result *result;
	const struct query_events *events;
	size_t next_event; /* those before it belong to ticks that are printed */
	bool shown[COLUMNS_N];
	size_t hottest; /* columns left for it */
	double page_bytes;
};

static size_t fixed_width(const struct table *t)
{
	size_t width = TIME_WIDTH + SAMPLES_WIDTH + 2;

	for (size_t i = 0; i < COLUMNS_N; i++)
		width += t->shown[i] ? columns[i].width : 0;
	return width;
}

static void choose_columns(struct table *t)
{
	size_t all = t->screen->columns;

	for (size_t i = 0; i < COLUMNS_N; i++)
		t->shown[i] = true;
	for (unsigned rank = RANK_MAX; rank > 0 && fixed_width(t) + HOTTEST_COLUMNS > all; rank--)
		for (size_t i = 0; i < COLUMNS_N; i++)
			if (columns[i].rank == rank)
				t->shown[i] = false;
	t->hottest = all > fixed_width(t) + 8 ? all - fixed_width(t) : 8;
}

/* "--memory---" over its columns. */
static void print_group(FILE *out, const char *group, size_t width)
{
	size_t name = strlen(group) < width ? strlen(group) : 0, dashes = width - 1 - name;

	fputc(' ', out);
	for (size_t i = 0; i < dashes / 2; i++)
		fputc('-', out);
	fwrite(group, 1, name, out);
	for (size_t i = 0; i < dashes - dashes / 2; i++)
		fputc('-', out);
}

static void print_header(const struct table *t)
{
	struct screen *s = t->screen;
	size_t width = 0;

	fprintf(s->out, "%s%*s", screen_style(s, STYLE_DIM), TIME_WIDTH, "");
	for (size_t i = 0; i < COLUMNS_N; i++) {
		width += t->shown[i] ? columns[i].width : 0;
		if (i + 1 < COLUMNS_N && strcmp(columns[i].group, columns[i + 1].group) == 0)
			continue;
		if (width)
			print_group(s->out, columns[i].group, width);
		width = 0;
	}
	fprintf(s->out, "%s\n%s%*s", screen_plain(s), screen_style(s, STYLE_DIM), TIME_WIDTH,
		"time");
	for (size_t i = 0; i < COLUMNS_N; i++)
		if (t->shown[i])
			fprintf(s->out, "%*s", (int)columns[i].width, columns[i].title);
	fprintf(s->out, "%*s  %s%s\n", SAMPLES_WIDTH, "samples", "hottest", screen_plain(s));
}

static void print_cell(const struct table *t, const struct column *c,
		       const struct profile_tick *tick)
{
	char text[FORMAT_SIZE] = "-"; /* absent is not zero */
	double value;

	if (metric_value(c->metric, tick, &value)) {
		if (value < 0)
			value = 0;
		if (c->form == FORM_PAGES)
			value *= t->page_bytes;
		if (c->form == FORM_NUMBER)
			format_short(value, text);
		else
			format_short_bytes(value, text);
	}
	fprintf(t->screen->out, "%*s", (int)c->width, text);
}

/* "38% burn_cpu (demo.py)" */
static int append_hottest(const struct table *t, const struct query_tick *q, struct buf *b)
{
	const struct query_item *item = &t->result->items[q->item];
	char share[FORMAT_SIZE];
	const char *place;
	struct buf text = { 0 };
	bool with_place;
	int r;

	if (!q->item)
		return 0;
	place = *item->file ? query_base_name(item->file) : query_base_name(item->binary);
	with_place = *place && item->kind != FRAME_SYNTHETIC && t->hottest >= PLACE_COLUMNS;
	format_percent((double)q->item_self.weight, (double)q->total.weight, share);
	r = buf_printf(&text, with_place ? "%6s %s (%s)" : "%6s %s", share, item->name, place);
	if (r == 0)
		r = buf_str(&text) ? append_text(b, buf_str(&text), t->hottest, false) : -ENOMEM;
	buf_release(&text);
	return r;
}

static int print_tick(const struct table *t, const struct query_tick *q)
{
	const struct profile_tick *ticks, *tick;
	struct screen *s = t->screen;
	char count[FORMAT_SIZE];
	struct buf hottest = { 0 };
	const char *text;
	size_t n;
	int r = append_hottest(t, q, &hottest);

	ticks = profile_ticks(t->profile, &n);
	tick = &ticks[q->tick];
	fprintf(s->out, "%*.1f", TIME_WIDTH,
		tick->start_ns > ticks[0].start_ns
			? (double)(tick->start_ns - ticks[0].start_ns) / 1e9
			: 0.0);
	for (size_t i = 0; i < COLUMNS_N; i++)
		if (t->shown[i])
			print_cell(t, &columns[i], tick);
	text = buf_str(&hottest);
	fprintf(s->out, "%*s", SAMPLES_WIDTH, text_count(q->total.count, count));
	fprintf(s->out, text && *text ? "  %s%s%s\n" : "%s%s%s\n",
		q->item ? screen_style(s, style_of_kind(t->result->items[q->item].kind)) : "",
		text ? text : "", q->item ? screen_plain(s) : "");
	buf_release(&hottest);
	return r;
}

/* Below the tick's line. */
static int print_events(struct table *t, size_t tick)
{
	const struct query_events *e = t->events;
	size_t first;

	while (t->next_event < e->n && e->items[t->next_event].tick < tick)
		t->next_event++;
	first = t->next_event;
	while (t->next_event < e->n && e->items[t->next_event].tick == tick)
		t->next_event++;
	return print_tick_events(t->screen, &e->items[first], t->next_event - first, TIME_WIDTH);
}

static int print_ticks(struct table *t)
{
	const struct query_result *r = t->result;
	/* As vmstat: the titles come again before they scroll away. */
	size_t page = t->screen->lines > 6 ? t->screen->lines - 3 : 0;

	choose_columns(t);
	if (r->ticks_n == 0)
		fputs("no tick was recorded\n", t->screen->out);
	for (size_t i = 0; i < r->ticks_n; i++) {
		int error;

		if (i == 0 || (page && i % page == 0))
			print_header(t);
		error = print_tick(t, &r->ticks[i]);
		if (error == 0)
			error = print_events(t, r->ticks[i].tick);
		if (error < 0)
			return error;
	}
	return 0;
}

static const struct argp_child ticks_children[] = { { .argp = &input_selection_argp },
						    { .argp = &json_argp },
						    { 0 } };

static const struct argp ticks_argp = {
	.parser = input_parse_command,
	.children = ticks_children,
	.args_doc = "[FILE]",
	.doc = "Shows a line per tick of a recording (default: profile.kymo), as vmstat prints it, "
	       "with the "
	       "function that ran most.\v"
	       "time: seconds from the start. r, b: threads running, blocked. bi, bo, si, so: "
	       "bytes per second from "
	       "and to disk and swap. in, cs: interrupts and context switches per second. us sy id "
	       "wa st: percent of "
	       "all CPUs. pressure: percent of the tick in which some task waited. A dash: this "
	       "host does not have it. "
	       "A narrow screen shows fewer columns. Below a tick stands what happened in it: "
	       "processes that the "
	       "kernel killed for want of memory, storms of starting or ending processes, "
	       "collections and "
	       "imports of Python.",
};

int cmd_ticks(int argc, char **argv)
{
	_cleanup_(profile_closep) struct profile *p = NULL;
	_cleanup_(query_freep) struct query_result *result = NULL;
	_cleanup_(query_events_release) struct query_events events = { 0 };
	struct input_options o = { 0 };
	struct query_selection sel;
	struct screen screen;
	struct table table;
	int r = input_begin(&ticks_argp, "ticks", argc, argv, &o, &p, &sel);

	if (r)
		return r < 0;
	screen_init(&screen, stdout, SCREEN_UNLIMITED);
	sel.merge_processes = true;
	if (input_query(p, &sel, &result) < 0)
		return 1;
	if (query_events(p, &sel, &events) < 0) {
		log_error("%s", profile_message(p));
		return 1;
	}
	if (o.json)
		return json_ticks(p, result, &events) < 0;
	table = (struct table){ .screen = &screen,
				.profile = p,
				.result = result,
				.events = &events,
				.page_bytes = (double)profile_meta_u64(p, "page_bytes", 4096) };
	r = print_ticks(&table);
	if (r < 0) {
		log_error("%s", strerror(-r));
		return 1;
	}
	if (!profile_ended(p))
		log_warning("%s: the recording did not end", profile_path(p));
	return screen_finish(&screen);
}
