/* SPDX-License-Identifier: Apache-2.0 */
/* kymo report --gc: the collections of Python, by process, and what made it collect. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "cmd/json_views.h"
#include "cmd/report.h"
#include "cmd/summary.h"
#include "query/collections.h"

/* As report_orders has them. */
enum gc_order { BY_TOTAL, BY_MAX, BY_COUNT, BY_OBJECTS, BY_PID, BY_NAME };

static double figure_of(const struct query_collecting *q, enum gc_order order)
{
	switch (order) {
	case BY_MAX:
		return (double)q->max_ns;
	case BY_COUNT:
		return (double)q->count;
	case BY_OBJECTS:
		return (double)q->objects;
	case BY_PID:
		return -(double)q->process->pid;
	default:
		return (double)q->total_ns;
	}
}

static int compare(const void *pa, const void *pb, void *data)
{
	const struct query_collecting *a = pa, *b = pb;
	enum gc_order order = *(const enum gc_order *)data;
	double x = figure_of(a, order), y = figure_of(b, order);
	int names = strncmp(a->process->comm, b->process->comm, KYMO_COMM_SIZE);

	if (order == BY_NAME && names)
		return names;
	if (x != y)
		return x > y ? -1 : 1;
	return a->process->id < b->process->id ? -1 : a->process->id > b->process->id;
}

static void print_titles(struct screen *s)
{
	fprintf(s->out, "%s%9s%9s%8s%7s%7s%7s%9s%8s  command%s\n", screen_style(s, STYLE_DIM),
		"time", "longest", "count", "gen 0", "gen 1", "gen 2", "objects", "pid",
		screen_plain(s));
}

static int print_process(struct screen *s, const struct query_collecting *q)
{
	char total[16], longest[16], count[FORMAT_SIZE], gen[3][FORMAT_SIZE], objects[FORMAT_SIZE];
	char comm[KYMO_COMM_SIZE + 1];
	struct buf b = { 0 };
	const char *command;
	int r;

	snprintf(comm, sizeof(comm), "%.*s", KYMO_COMM_SIZE, q->process->comm);
	r = append_text(&b, comm, s->columns > 66 ? s->columns - 66 : 8, false);
	command = r == 0 ? buf_str(&b) : NULL;
	for (size_t i = 0; i < QUERY_GENERATIONS; i++)
		format_short((double)q->by_generation[i], gen[i]);
	if (command)
		fprintf(s->out, "%9s%9s%8s%7s%7s%7s%9s%8" PRIu32 "  %s%s%s\n",
			text_duration(q->total_ns, total), text_duration(q->max_ns, longest),
			format_short((double)q->count, count), gen[0], gen[1], gen[2],
			format_short((double)q->objects, objects), q->process->pid,
			screen_style(s, STYLE_BOLD), command, screen_plain(s));
	buf_release(&b);
	return command ? 0 : -ENOMEM;
}

/* "make_cycles (app.py:7) < by_hand < main": what allocated or asked, and as many of its callers as fit. */
static int describe_place(const struct query_place *place, size_t columns, struct buf *out)
{
	int r = 0;

	if (!place->callers[0])
		return buf_append_str(out, "no Python function known");
	for (size_t i = 0; i < QUERY_CALLERS && place->callers[i] && r == 0; i++) {
		const struct function *f = place->callers[i];

		if (i &&
		    (!buf_str(out) || safe_width(buf_str(out)) + 3 + safe_width(f->name) > columns))
			break;
		r = i ? buf_printf(out, " < %s", f->name)
		      : buf_printf(out, "%s (%s:%" PRIu32 ")", f->name, query_base_name(f->file),
				   f->first_line);
	}
	return r;
}

static int print_place(struct screen *s, const struct query_collecting *q,
		       const struct query_place *place)
{
	char total[16], share[FORMAT_SIZE];
	size_t columns = s->columns > 32 ? s->columns - 22 : 10;
	struct buf words = { 0 }, line = { 0 };
	const char *text = NULL;

	if (describe_place(place, columns, &words) == 0 && buf_str(&words) &&
	    append_text(&line, buf_str(&words), columns, false) == 0)
		text = buf_str(&line);
	if (text)
		fprintf(s->out, "%9s%9s%s in %s%s\n", text_duration(place->total_ns, total),
			format_percent((double)place->total_ns, (double)q->total_ns, share),
			screen_style(s, STYLE_PYTHON), text, screen_plain(s));
	buf_release(&words);
	buf_release(&line);
	return text ? 0 : -ENOMEM;
}

static int print_collections(struct screen *s, const struct query_collections *c, uint64_t limit)
{
	size_t shown = limit && limit < c->n ? limit : c->n;
	char count[FORMAT_SIZE], total[16], longest[16], objects[FORMAT_SIZE];
	int r = 0;

	print_cut(s, STYLE_PLAIN, "%s collection%s in %s, the longest %s; %s objects found",
		  text_count(c->total.count, count), c->total.count == 1 ? "" : "s",
		  text_duration(c->total.total_ns, total), text_duration(c->total.max_ns, longest),
		  text_count(c->total.objects > 0 ? (uint64_t)c->total.objects : 0, objects));
	fputc('\n', s->out);
	print_titles(s);
	for (size_t i = 0; i < shown && r == 0; i++) {
		r = print_process(s, &c->items[i]);
		for (size_t k = 0; k < c->items[i].places_n && r == 0; k++)
			r = print_place(s, &c->items[i], &c->items[i].places[k]);
	}
	if (shown < c->n)
		fprintf(s->out, "%s%zu more processes: --limit 0 shows all%s\n",
			screen_style(s, STYLE_DIM), c->n - shown, screen_plain(s));
	return r;
}

int report_gc(struct screen *s, struct profile *p, const struct query_selection *sel,
	      const struct report_options *o)
{
	_cleanup_(query_collections_release) struct query_collections c = { 0 };
	enum gc_order order = o->order;
	int r = query_collections(p, sel, &c);

	if (r < 0) {
		log_error("%s", profile_message(p));
		return r;
	}
	r = input_check_events(p, sel, KYMO_SOURCE_GC, c.n > 0);
	if (r < 0)
		return r;
	if (c.n)
		qsort_r(c.items, c.n, sizeof(*c.items), compare, &order);
	if (o->input.json)
		return json_collections(p, &c, o->limit);
	summary_head(s, p, sel);
	if (c.n == 0) {
		fputs("no collection was recorded\n", s->out);
		return 0;
	}
	r = print_collections(s, &c, o->limit);
	if (r < 0)
		log_error("%s", strerror(-r));
	return r;
}
