/* SPDX-License-Identifier: Apache-2.0 */
/* kymo report: which functions ran, as a table. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "cmd/json_views.h"
#include "cmd/report.h"
#include "cmd/summary.h"

/* What names may take of an unlimited line. */
#define NAME_COLUMNS_MAX 120

DEFINE_CLEANUP(struct query_result *, query_free);

struct layout {
	size_t kind, name, where;
	bool samples; /* room for the number of samples, too */
};

/* A line of the table. */
struct line {
	const struct query_item *item;
	const char *tail; /* of its binary's path */
};

static size_t at_least(size_t width, size_t need)
{
	return need > width ? need : width;
}

static struct layout lay_out(const struct screen *s, const struct line *lines, size_t n)
{
	struct layout l = { .kind = 4, .name = 8, .where = 5, .samples = s->columns >= 100 };
	size_t fixed, room;

	for (size_t i = 0; i < n; i++) {
		const struct query_item *item = lines[i].item;

		l.kind = at_least(l.kind, strlen(query_item_kind_names[item->kind]));
		l.name = at_least(l.name, safe_width(item->name));
		l.where = at_least(l.where, where_width(item, lines[i].tail));
	}
	if (l.name > NAME_COLUMNS_MAX && s->columns >= SCREEN_UNLIMITED)
		l.name = NAME_COLUMNS_MAX;
	fixed = strlen("100.0% 100.0% 123.45 ms") + (l.samples ? 10 : 0) + 2 + l.kind + 2 + 2;
	room = s->columns > fixed + 10 ? s->columns - fixed : 10;
	if (l.name + l.where > room) {
		/* Names first: three fifths of the room, more when the places need less. */
		size_t where = l.where < room * 2 / 5 ? l.where : room * 2 / 5;

		l.name = l.name < room - where ? l.name : room - where;
	}
	/* Nothing stands behind it. */
	l.where = room - l.name;
	return l;
}

static void print_title(struct screen *s, const struct query_result *r, const struct layout *l)
{
	fprintf(s->out, "%s  self  total %9s%s  %-*s  %-*s  %s%s\n", screen_style(s, STYLE_DIM),
		weight_title(r->value), l->samples ? "   samples" : "", (int)l->kind, "kind",
		(int)l->name, "function", "where", screen_plain(s));
}

static const char *strip_right(struct buf *b)
{
	while (b->size && b->data[b->size - 1] == ' ')
		b->size--;
	return buf_str(b);
}

static int print_function(struct screen *s, const struct query_result *r, const struct line *line,
			  const struct layout *l)
{
	const struct query_item *item = line->item;
	char self[FORMAT_SIZE], total[FORMAT_SIZE], weight[FORMAT_SIZE] = "-", count[FORMAT_SIZE];
	struct buf name = { 0 }, where = { 0 };
	int error = append_name(&name, item->name, l->name, true);
	const char *name_text, *where_text;

	if (error == 0)
		error = append_where(&where, item, line->tail, l->where);
	name_text = buf_str(&name);
	where_text = buf_str(&where);
	if (where_text && !*where_text) /* nothing behind it to be padded for */
		name_text = name_text ? strip_right(&name) : NULL;
	if (error == 0 && name_text && where_text) {
		fprintf(s->out, "%6s %6s %9s",
			format_percent((double)item->self.weight, (double)r->total.weight, self),
			format_percent((double)item->total.weight, (double)r->total.weight, total),
			item->self.weight ? format_weight(item->self.weight, r->value, weight)
					  : weight);
		if (l->samples)
			fprintf(s->out, " %9s", text_count(item->self.count, count));
		fprintf(s->out, "  %s%-*s%s  %s", screen_style(s, style_of_kind(item->kind)),
			(int)l->kind, query_item_kind_names[item->kind], screen_plain(s),
			name_text);
		if (*where_text)
			fprintf(s->out, "  %s%s%s", screen_style(s, STYLE_DIM), where_text,
				screen_plain(s));
		fputc('\n', s->out);
	}
	buf_release(&name);
	buf_release(&where);
	return error;
}

static enum query_order function_order(const struct report_options *o)
{
	static const enum query_order orders[] = { QUERY_BY_SELF, QUERY_BY_TOTAL, QUERY_BY_SAMPLES,
						   QUERY_BY_NAME };

	return orders[o->order];
}

/* Of the functions in the list; *ret is malloced. */
static int make_lines(const struct query_result *r, const uint32_t *list, size_t n,
		      struct line **ret)
{
	_cleanup_free_ struct line *lines = calloc(n + 1, sizeof(*lines));
	_cleanup_free_ const char **tails = calloc(n + 1, sizeof(*tails));
	size_t tails_n = 0;

	if (!lines || !tails)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		lines[i] = (struct line){ &r->items[list[i]], "" };
		if (item_shows_binary(lines[i].item))
			tails[tails_n++] = lines[i].item->binary;
	}
	if (path_tails(tails, tails_n) < 0)
		return -ENOMEM;
	for (size_t i = n; i-- > 0;)
		if (item_shows_binary(lines[i].item))
			lines[i].tail = tails[--tails_n];
	*ret = TAKE_PTR(lines);
	return 0;
}

static int print_functions(struct screen *s, const struct query_result *r,
			   const struct report_options *o)
{
	_cleanup_free_ uint32_t *list = NULL;
	_cleanup_free_ struct line *lines = NULL;
	struct layout layout;
	size_t n, shown;
	int error = query_functions(r, function_order(o), &list, &n);

	if (error < 0)
		return error;
	shown = o->limit && o->limit < n ? o->limit : n;
	if (n == 0) {
		fprintf(s->out, "no samples%s\n", r->ticks_n ? " in this selection" : "");
		return 0;
	}
	error = make_lines(r, list, shown, &lines);
	if (error < 0)
		return error;
	layout = lay_out(s, lines, shown);
	print_title(s, r, &layout);
	for (size_t i = 0; error == 0 && i < shown; i++)
		error = print_function(s, r, &lines[i], &layout);
	if (shown < n)
		fprintf(s->out, "%s%zu more functions: --limit 0 shows all%s\n",
			screen_style(s, STYLE_DIM), n - shown, screen_plain(s));
	return error;
}

static int print_charged(struct screen *s, const struct query_result *r,
			 const struct report_options *o)
{
	_cleanup_free_ struct query_item *items = NULL;
	struct query_result charged = *r;
	int error = query_charge(r, &items, &charged.items_n);

	if (error < 0)
		return error;
	charged.items = items;
	if (r->total.count)
		print_cut(s, STYLE_PLAIN,
			  "self is charged past kernel and libraries; --all-frames: where it "
			  "happened");
	return print_functions(s, &charged, o);
}

int report_functions(struct screen *s, struct profile *p, const struct query_selection *sel,
		     const struct report_options *o)
{
	_cleanup_(query_freep) struct query_result *r = NULL;
	int error = input_query(p, sel, &r);

	if (error < 0)
		return error;
	if (o->input.json)
		return json_functions(p, r, function_order(o), o->limit);
	error = report_head(s, p, sel, r);
	if (error < 0)
		return error;
	error = report_charges(r->value) && !o->all_frames ? print_charged(s, r, o)
							   : print_functions(s, r, o);
	if (error < 0)
		log_error("%s", strerror(-error));
	return error;
}
