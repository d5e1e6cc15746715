/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/sql_table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/text.h"

/* By these the widths are chosen; rows behind them take what there is. */
#define ROWS_MEASURED 500
/* Of one value, before it is cut to its column: more is never shown. */
#define CELL_BYTES_MAX 4096
/* A text is not cut below this. */
#define TEXT_MIN 12

struct cells {
	size_t columns;
	size_t *widths;
	bool *numeric;	       /* right-aligned: nothing but numbers and NULL so far */
	char **names, **texts; /* of columns; rows x columns; safe for a terminal */
	size_t n, cap;
	size_t name_width; /* the widest */
	bool started, as_records;
	size_t records; /* printed */
};

static void cells_release(struct cells *c)
{
	for (size_t i = 0; i < c->n; i++)
		free(c->texts[i]);
	for (size_t i = 0; c->names && i < c->columns; i++)
		free(c->names[i]);
	free(c->texts);
	free(c->names);
	free(c->widths);
	free(c->numeric);
}

static char *format_value(const struct plain_value *v)
{
	struct buf plain = { 0 }, safe = { 0 };
	int r = 0;

	switch (v->type) {
	case PLAIN_NULL:
		break;
	case PLAIN_INTEGER:
		r = buf_printf(&plain, "%" PRId64, v->integer);
		break;
	case PLAIN_REAL:
		r = buf_printf(&plain, "%.10g", v->real);
		break;
	case PLAIN_TEXT:
		r = text_append_utf8(&plain, v->data,
				     v->size < CELL_BYTES_MAX ? v->size : CELL_BYTES_MAX);
		break;
	case PLAIN_BLOB:
		for (size_t i = 0; i < v->size && i < CELL_BYTES_MAX / 2 && r == 0; i++)
			r = buf_printf(&plain, "%02x", (unsigned char)v->data[i]);
	}
	if (r == 0)
		r = buf_str(&plain) ? text_append_terminal(&safe, buf_str(&plain)) : -ENOMEM;
	buf_release(&plain);
	if (r < 0 || !buf_str(&safe)) {
		buf_release(&safe);
		return NULL;
	}
	return (char *)safe.data;
}

static int add_row(struct cells *c, struct plain *q)
{
	if (array_reserve(&c->texts, &c->cap, c->n + c->columns) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < c->columns; i++) {
		struct plain_value v = plain_value(q, i);
		char *text = format_value(&v);
		size_t width;

		if (!text)
			return -ENOMEM;
		c->texts[c->n++] = text;
		width = text_width(text);
		c->widths[i] = width > c->widths[i] ? width : c->widths[i];
		if (v.type == PLAIN_TEXT || v.type == PLAIN_BLOB)
			c->numeric[i] = false;
	}
	return 0;
}

/*
 * Texts give way, the widest first, until the line fits; numbers are never cut. False: it cannot fit, each row
 * becomes a list of its values.
 */
static bool fit(struct cells *c, size_t columns)
{
	size_t sum = c->columns ? 2 * (c->columns - 1) : 0;

	for (size_t i = 0; i < c->columns; i++)
		sum += c->widths[i];
	while (sum > columns) {
		size_t widest = c->columns;

		for (size_t i = 0; i < c->columns; i++)
			if (!c->numeric[i] && c->widths[i] > TEXT_MIN &&
			    (widest == c->columns || c->widths[i] > c->widths[widest]))
				widest = i;
		if (widest == c->columns)
			return false;
		c->widths[widest]--;
		sum--;
	}
	return true;
}

static int append_cell(struct buf *line, const struct cells *c, size_t column, const char *text,
		       bool right)
{
	size_t width = text_width(text), room = c->widths[column];
	int r = 0;

	if (column)
		r = buf_append_str(line, "  ");
	for (size_t i = width; right && i < room && r == 0; i++)
		r = buf_append(line, " ", 1);
	if (r == 0)
		r = append_text(line, text, room, !right && column + 1 < c->columns);
	return r;
}

static int print_row(struct screen *s, const struct cells *c, char *const *texts,
		     enum screen_style style)
{
	struct buf line = { 0 };
	int r = 0;

	for (size_t i = 0; i < c->columns && r == 0; i++)
		r = append_cell(&line, c, i, texts[i], c->numeric[i]);
	while (line.size && line.data[line.size - 1] == ' ')
		line.size--;
	if (r == 0 && buf_str(&line))
		print_cut(s, style, "%s", buf_str(&line));
	buf_release(&line);
	return r;
}

static int format_names(struct cells *c, struct plain *q)
{
	c->names = calloc(c->columns, sizeof(*c->names));
	if (!c->names)
		return -ENOMEM;
	for (size_t i = 0; i < c->columns; i++) {
		const char *name = plain_column_name(q, i);
		struct plain_value v = { .type = PLAIN_TEXT, .data = name, .size = strlen(name) };
		size_t width;

		c->names[i] = format_value(&v);
		if (!c->names[i])
			return -ENOMEM;
		width = text_width(c->names[i]);
		c->widths[i] = width;
		c->name_width = width > c->name_width ? width : c->name_width;
	}
	return 0;
}

/* A line per value. */
static int print_record(struct screen *s, struct cells *c, char *const *texts)
{
	size_t room = s->columns > c->name_width + 2 ? s->columns - c->name_width - 2 : 1;
	int r = 0;

	if (c->records++)
		fputc('\n', s->out);
	for (size_t i = 0; i < c->columns && r == 0; i++) {
		struct buf line = { 0 };

		r = append_text(&line, c->names[i], c->name_width, *texts[i]);
		if (r == 0 && *texts[i])
			r = buf_append_str(&line, "  ");
		if (r == 0)
			r = append_text(&line, texts[i], room, false);
		if (r == 0 && buf_str(&line))
			print_cut(s, STYLE_PLAIN, "%s", buf_str(&line));
		buf_release(&line);
	}
	return r;
}

static int cells_init(struct cells *c, struct plain *q)
{
	c->columns = plain_columns(q);
	c->widths = calloc(c->columns, sizeof(*c->widths));
	c->numeric = calloc(c->columns, sizeof(*c->numeric));
	if (!c->widths || !c->numeric)
		return -ENOMEM;
	for (size_t i = 0; i < c->columns; i++)
		c->numeric[i] = true;
	return format_names(c, q);
}

/* Those at hand; before the first of all, what they are. */
static int print_rows(struct screen *s, struct cells *c)
{
	int r = 0;

	if (!c->started) {
		c->started = true;
		c->as_records = !fit(c, s->columns);
		if (!c->as_records)
			r = print_row(s, c, c->names, STYLE_BOLD);
	}
	for (size_t i = 0; i < c->n && r == 0; i += c->columns)
		r = c->as_records ? print_record(s, c, c->texts + i)
				  : print_row(s, c, c->texts + i, STYLE_PLAIN);
	for (size_t i = 0; i < c->n; i++)
		free(c->texts[i]);
	c->n = 0;
	return r;
}

int sql_print_table(struct screen *s, struct plain *q)
{
	_cleanup_(cells_release) struct cells c = { 0 };
	int step, r = cells_init(&c, q);

	while (r == 0 && (step = plain_step(q)) != 0) {
		if (step < 0)
			return step;
		r = add_row(&c, q);
		if (r == 0 && (c.started || c.n == ROWS_MEASURED * c.columns))
			r = print_rows(s, &c);
	}
	return r == 0 ? print_rows(s, &c) : r;
}

void sql_print_columns(struct screen *s, const char *columns)
{
	size_t at = 0;

	while (*columns) {
		size_t name = strcspn(columns, " ,"), all = strcspn(columns, ",");
		bool last = !columns[all];

		if (at && at + 1 + name + !last > s->columns) {
			fputc('\n', s->out);
			at = 0;
		}
		fprintf(s->out, "%s%.*s%s", at ? " " : "    ", (int)name, columns,
			last ? "\n" : ",");
		at += (at ? 1 : 4) + name + !last;
		columns += all;
		columns += strspn(columns, ", ");
	}
}
