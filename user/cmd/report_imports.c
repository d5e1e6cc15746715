/* SPDX-License-Identifier: Apache-2.0 */
/* kymo report --imports: what first imports of Python modules took, in time and memory. */
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
#include "query/imports.h"

/* As report_orders has them. BY_END: as they ended, indented by depth, as -X importtime shows them. */
enum import_order { BY_TOTAL, BY_OWN, BY_RSS, BY_NAME, BY_END };

#define INDENT_MAX 10

static double figure_of(const struct query_import *i, enum import_order order)
{
	switch (order) {
	case BY_OWN:
		return (double)i->own_ns;
	case BY_RSS:
		return (double)i->own_bytes;
	default:
		return (double)i->total_ns;
	}
}

static int compare(const void *pa, const void *pb, void *data)
{
	const struct query_import *a = pa, *b = pb;
	enum import_order order = *(const enum import_order *)data;
	double x = figure_of(a, order), y = figure_of(b, order);
	int names = strcmp(a->name, b->name);

	if (order == BY_NAME && names)
		return names;
	if (x != y)
		return x > y ? -1 : 1;
	return a->start_ns < b->start_ns ? -1 : a->start_ns > b->start_ns;
}

/* It may shrink. */
static const char *format_growth(int64_t bytes, char out[FORMAT_SIZE])
{
	char text[FORMAT_SIZE];

	if (bytes == 0)
		return strcpy(out, "-");
	format_short_bytes(bytes < 0 ? -(double)bytes : (double)bytes, text);
	snprintf(out, FORMAT_SIZE, "%s%.20s", bytes < 0 ? "-" : "", text);
	return out;
}

static int describe_importer(const struct query_import *i, struct buf *out)
{
	if (!i->importer)
		return 0;
	return buf_printf(out, "%s:%" PRIu32, query_short_path(i->importer->file),
			  i->line ? i->line : i->importer->first_line);
}

struct layout {
	size_t name, where;
	bool nested;
};

static int print_import(struct screen *s, const struct query_import *i, const struct layout *l)
{
	size_t indent = l->nested ? 2 * (i->depth < INDENT_MAX ? i->depth : INDENT_MAX) : 0;
	char total[16], own[16], rss[FORMAT_SIZE];
	struct buf name = { 0 }, words = { 0 }, where = { 0 };
	bool followed = i->failed || i->importer;
	int r;

	if (indent + 8 > l->name)
		indent = l->name > 8 ? l->name - 8 : 0;
	r = append_text(&name, *i->name ? i->name : "?", l->name - indent, followed);
	if (r == 0)
		r = describe_importer(i, &words);
	if (r == 0 && words.size && buf_str(&words))
		r = append_text(&where, buf_str(&words), l->where, false);
	if (r == 0 && (!buf_str(&name) || !buf_str(&where)))
		r = -ENOMEM;
	if (r == 0)
		fprintf(s->out, "%9s%9s%7s  %*s%s%s%s%s%s\n", text_duration(i->total_ns, total),
			text_duration(i->own_ns, own), format_growth(i->own_bytes, rss),
			(int)indent, "", screen_style(s, i->failed ? STYLE_WARNING : STYLE_PYTHON),
			buf_str(&name), screen_plain(s), followed ? "  " : "",
			i->failed ? "(failed)" : buf_str(&where));
	buf_release(&name);
	buf_release(&words);
	buf_release(&where);
	return r;
}

static struct layout lay_out(const struct screen *s, const struct query_imports *i, size_t shown,
			     bool nested)
{
	size_t room = s->columns > 50 ? s->columns - 29 : 21;
	struct layout l = { .name = 6, .nested = nested };

	for (size_t k = 0; k < shown; k++) {
		size_t indent = nested ? 2 * (size_t)i->items[k].depth : 0;
		size_t need = safe_width(i->items[k].name) + indent;

		l.name = need > l.name ? need : l.name;
	}
	if (l.name > room * 3 / 5)
		l.name = room * 3 / 5;
	l.where = room - l.name;
	return l;
}

static int print_imports(struct screen *s, const struct query_imports *i,
			 const struct report_options *o)
{
	size_t shown = o->limit && o->limit < i->n ? o->limit : i->n;
	struct layout l = lay_out(s, i, shown, o->order == BY_END);
	char count[FORMAT_SIZE], total[16], rss[FORMAT_SIZE];
	int r = 0;

	print_cut(s, STYLE_PLAIN, "%s import%s in %s; memory grew by %s", text_count(i->n, count),
		  i->n == 1 ? "" : "s", text_duration(i->total_ns, total),
		  format_growth(i->total_bytes, rss));
	fprintf(s->out, "\n%s%9s%9s%7s  %-*s  imported at%s\n", screen_style(s, STYLE_DIM), "total",
		"own", "memory", (int)l.name, "module", screen_plain(s));
	for (size_t k = 0; k < shown && r == 0; k++)
		r = print_import(s, &i->items[k], &l);
	if (shown < i->n)
		fprintf(s->out, "%s%zu more imports: --limit 0 shows all%s\n",
			screen_style(s, STYLE_DIM), i->n - shown, screen_plain(s));
	if (i->dropped)
		log_warning("%" PRIu64 " imports are left out: too many or nested too deep",
			    i->dropped);
	return r;
}

int report_imports(struct screen *s, struct profile *p, const struct query_selection *sel,
		   const struct report_options *o)
{
	_cleanup_(query_imports_release) struct query_imports i = { 0 };
	enum import_order order = o->order;
	int r = query_imports(p, sel, &i);

	if (r < 0) {
		log_error("%s", profile_message(p));
		return r;
	}
	r = input_check_events(p, sel, KYMO_SOURCE_IMPORT, i.n > 0);
	if (r < 0)
		return r;
	if (i.n && order != BY_END)
		qsort_r(i.items, i.n, sizeof(*i.items), compare, &order);
	if (o->input.json)
		return json_imports(p, &i, o->limit);
	summary_head(s, p, sel);
	if (i.n == 0) {
		fputs("no import was recorded\n", s->out);
		return 0;
	}
	r = print_imports(s, &i, o);
	if (r < 0)
		log_error("%s", strerror(-r));
	return r;
}
