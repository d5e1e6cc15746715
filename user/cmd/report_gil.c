/* SPDX-License-Identifier: Apache-2.0 */
/* kymo report --gil: who held the lock of Python interpreters, who waited for it, and for whom. */
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
#include "query/gil.h"

/* As report_orders has them. */
enum gil_order { BY_WAITING, BY_HOLDING, BY_WITHOUT, BY_TID, BY_NAME };

static uint64_t held_in_all(const struct query_gil_times *t)
{
	return t->holding_ns + t->held_ns < t->held_ns ? UINT64_MAX : t->holding_ns + t->held_ns;
}

static uint64_t figure_of(const struct query_gil_thread *t, enum gil_order order)
{
	switch (order) {
	case BY_HOLDING:
		return held_in_all(&t->times);
	case BY_WITHOUT:
		return t->times.without_ns;
	case BY_TID:
		return UINT64_MAX - t->thread->tid;
	case BY_NAME:
		return 0;
	default:
		return t->times.waiting_ns;
	}
}

static int compare(const void *pa, const void *pb, void *data)
{
	const struct query_gil_thread *a = pa, *b = pb;
	enum gil_order order = *(const enum gil_order *)data;
	uint64_t x = figure_of(a, order), y = figure_of(b, order);
	int names = strcmp(thread_shown(a->thread), thread_shown(b->thread));

	if (order == BY_NAME && names)
		return names;
	if (x != y)
		return x > y ? -1 : 1;
	x = held_in_all(&a->times);
	y = held_in_all(&b->times);
	if (x != y)
		return x > y ? -1 : 1;
	return (a->thread->tid > b->thread->tid) - (a->thread->tid < b->thread->tid);
}

static void print_titles(struct screen *s)
{
	fprintf(s->out, "%s%9s%9s%9s%9s%9s%9s  thread%s\n", screen_style(s, STYLE_DIM), "holding",
		"off CPU", "waiting", "without", "waits", "tid", screen_plain(s));
}

static int print_thread(struct screen *s, const struct query_gil_thread *t, uint64_t duration_ns)
{
	double all = (double)duration_ns;
	const struct query_gil_times *v = &t->times;
	char holding[FORMAT_SIZE], held[FORMAT_SIZE], waiting[FORMAT_SIZE], without[FORMAT_SIZE];
	char waits[FORMAT_SIZE];
	struct buf b = { 0 };
	const char *name;

	name = append_text(&b, thread_shown(t->thread), s->columns > 64 ? s->columns - 56 : 8,
			   false) == 0
		       ? buf_str(&b)
		       : NULL;
	if (name)
		fprintf(s->out, "%9s%9s%9s%9s%9s%9" PRIu32 "  %s%s%s\n",
			format_percent((double)held_in_all(v), all, holding),
			format_percent((double)v->held_ns, all, held),
			format_percent((double)v->waiting_ns, all, waiting),
			format_percent((double)v->without_ns, all, without),
			format_short((double)v->waits, waits), t->thread->tid,
			screen_style(s, STYLE_BOLD), name, screen_plain(s));
	buf_release(&b);
	return name ? 0 : -ENOMEM;
}

static int print_process(struct screen *s, const struct query_gil *g, size_t index, uint64_t limit)
{
	const struct query_gil_process *p = &g->processes[index];
	char held[FORMAT_SIZE], off[FORMAT_SIZE], waited[16], duration[16];
	double all = (double)g->duration_ns;
	size_t shown = 0;
	int r = 0;

	print_cut(s, STYLE_PLAIN, "%.*s (PID %" PRIu32 "): GIL held %s of %s, %s off the CPU",
		  KYMO_COMM_SIZE, p->process->comm, p->process->pid,
		  format_percent((double)held_in_all(&p->times), all, held),
		  text_duration(g->duration_ns, duration),
		  format_percent((double)p->times.held_ns, all, off));
	fprintf(s->out, "%" PRIu32 " thread%s waited %s for it\n\n", p->threads,
		p->threads == 1 ? "" : "s", text_duration(p->times.waiting_ns, waited));
	print_titles(s);
	for (size_t i = 0; i < g->threads_n && r == 0; i++) {
		if (g->threads[i].of != index)
			continue;
		if (limit && shown == limit)
			break;
		r = print_thread(s, &g->threads[i], g->duration_ns);
		shown++;
	}
	if (shown < p->threads)
		fprintf(s->out, "%s%zu more threads: --limit 0 shows all%s\n",
			screen_style(s, STYLE_DIM), p->threads - shown, screen_plain(s));
	fputc('\n', s->out);
	return r;
}

/* "crunch (app.py:12)" */
static int describe(const struct function *f, struct buf *out)
{
	if (!f)
		return buf_append_str(out, "no Python function known");
	return buf_printf(out, "%s (%s:%" PRIu32 ")", f->name, query_base_name(f->file),
			  f->first_line);
}

/* "[GIL held by NAME]" -> " in NAME" */
static int describe_thread(const char *frame, struct buf *out)
{
	size_t skip = strlen(GIL_HELD_BY), size = strlen(frame);

	return size > skip + 1 ? buf_printf(out, " in %.*s", (int)(size - skip - 1), frame + skip)
			       : 0;
}

static int print_pair_line(struct screen *s, const struct buf *words, const char *before,
			   enum screen_style style)
{
	struct buf line = { 0 };
	const char *text = NULL;
	size_t columns = s->columns > 40 ? s->columns - 22 : 18;

	if (append_text(&line, (const char *)words->data, columns, false) == 0)
		text = buf_str(&line);
	if (text)
		fprintf(s->out, "%s%s%s%s\n", before, screen_style(s, style), text,
			screen_plain(s));
	buf_release(&line);
	return text ? 0 : -ENOMEM;
}

static int print_pair(struct screen *s, const struct query_gil_pair *p, uint64_t all_ns)
{
	struct buf waiter = { 0 }, holder = { 0 };
	char waited[16], share[FORMAT_SIZE], before[48];
	int r = describe(p->waiter, &waiter);

	if (r == 0 && p->name)
		r = describe(p->holder, &holder);
	if (r == 0)
		r = p->name ? describe_thread(p->name, &holder)
			    : buf_append_str(&holder, "somebody who was not met with it");
	if (r == 0 && (!buf_str(&waiter) || !buf_str(&holder)))
		r = -ENOMEM;
	snprintf(before, sizeof(before), "%9s%9s  ", text_duration(p->waiting_ns, waited),
		 format_percent((double)p->waiting_ns, (double)all_ns, share));
	if (r == 0)
		r = print_pair_line(s, &waiter, before, STYLE_PYTHON);
	if (r == 0)
		r = print_pair_line(s, &holder, "                for ",
				    p->name ? STYLE_PYTHON : STYLE_DIM);
	buf_release(&waiter);
	buf_release(&holder);
	return r;
}

static int print_gil(struct screen *s, const struct query_gil *g, uint64_t limit)
{
	size_t processes = limit && limit < g->processes_n ? limit : g->processes_n;
	size_t pairs = limit && limit < g->pairs_n ? limit : g->pairs_n;
	int r = 0;

	fputc('\n', s->out);
	for (size_t i = 0; i < processes && r == 0; i++)
		r = print_process(s, g, i, limit);
	if (processes < g->processes_n)
		fprintf(s->out, "%s%zu more processes: --limit 0 shows all%s\n",
			screen_style(s, STYLE_DIM), g->processes_n - processes, screen_plain(s));
	if (pairs)
		fprintf(s->out, "%s%9s%9s  who waited, and for whom%s\n",
			screen_style(s, STYLE_DIM), "waited", "share", screen_plain(s));
	for (size_t i = 0; i < pairs && r == 0; i++)
		r = print_pair(s, &g->pairs[i], g->total.waiting_ns);
	if (pairs < g->pairs_n)
		fprintf(s->out, "%s%zu more pairs: --limit 0 shows all%s\n",
			screen_style(s, STYLE_DIM), g->pairs_n - pairs, screen_plain(s));
	return r;
}

int report_gil(struct screen *s, struct profile *p, const struct query_selection *sel,
	       const struct report_options *o)
{
	_cleanup_(query_gil_release) struct query_gil g = { 0 };
	enum gil_order order = o->order;
	int r = query_gil(p, sel, &g);

	if (r < 0) {
		log_error("%s", profile_message(p));
		return r;
	}
	/* The clock's samples alone tell who held it, not who waited. */
	r = input_check_events(p, sel, KYMO_SOURCE_GIL,
			       g.threads_n > 0 && input_has_source(p, KYMO_SOURCE_GIL));
	if (r < 0)
		return r;
	if (g.threads_n)
		qsort_r(g.threads, g.threads_n, sizeof(*g.threads), compare, &order);
	if (g.damaged_ticks)
		log_warning("%s: the samples of %u ticks are damaged and left out", profile_path(p),
			    g.damaged_ticks);
	if (o->input.json)
		return json_gil(p, &g, o->limit);
	summary_head(s, p, sel);
	if (g.threads_n == 0) {
		fputs("no Python thread was recorded\n", s->out);
		return 0;
	}
	r = print_gil(s, &g, o->limit);
	if (r < 0)
		log_error("%s", strerror(-r));
	return r;
}
