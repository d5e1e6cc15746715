/* SPDX-License-Identifier: Apache-2.0 */
#include "export/export.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "export/formats.h"

const struct exporter exporters[] = {
	{ "folded", ".folded .collapsed .txt",
	  "a line per stack, root first: flamegraph.pl, inferno", export_folded, NULL },
	{ "svg", ".svg", "a flame graph in one file: hover, zoom and search in any browser",
	  export_svg, NULL },
	{ "pprof", ".pb.gz .pprof", "for pprof, with labels for process, thread and pressure",
	  export_pprof, NULL },
	{ "speedscope", ".speedscope.json .speedscope", "for speedscope.app", export_speedscope,
	  NULL },
	{ "d3", ".d3.json .d3", "nested name, value, children: d3-flame-graph", export_d3, NULL },
	{ "sqlite", ".sqlite .sqlite3 .db", "plain rows and views for any SQL: sqlite3, Python",
	  NULL, export_sqlite },
	{ 0 },
};

const struct exporter *exporter_by_name(const char *name)
{
	for (const struct exporter *e = exporters; e->name; e++)
		if (strcmp(e->name, name) == 0)
			return e;
	return NULL;
}

static bool ends_with(const char *path, const char *ending, size_t size)
{
	size_t path_size = strlen(path);

	return path_size > size && strncasecmp(path + path_size - size, ending, size) == 0;
}

const struct exporter *exporter_by_ending(const char *path)
{
	for (const struct exporter *e = exporters; e->name; e++)
		for (const char *at = e->endings; *at;) {
			size_t size = strcspn(at, " ");

			if (ends_with(path, at, size))
				return e;
			at += size + strspn(at + size, " ");
		}
	return NULL;
}

/* "folded (.folded .collapsed .txt), svg (.svg), ..." */
static int append_choices(struct buf *b)
{
	int r = 0;

	for (const struct exporter *e = exporters; e->name && r == 0; e++)
		r = buf_printf(b, "%s%s (%s)", e == exporters ? "" : ", ", e->name, e->endings);
	return r;
}

const struct exporter *exporter_choose(const char *name, const char *path, char **ret_message)
{
	const struct exporter *e = name	  ? exporter_by_name(name)
				   : path ? exporter_by_ending(path)
					  : NULL;
	struct buf b = { 0 };
	int r;

	*ret_message = NULL;
	if (e)
		return e;
	if (name)
		r = buf_printf(&b, "no format '%s'; there are: ", name);
	else if (path)
		r = buf_printf(&b, "the ending of '%s' tells no format; there are: ", path);
	else
		r = buf_append_str(&b, "which format? there are: ");
	if (r == 0 && append_choices(&b) == 0 && buf_str(&b))
		*ret_message = (char *)b.data;
	else
		buf_release(&b);
	return NULL;
}

int frame_label(struct buf *b, const struct query_item *item)
{
	int r = buf_append_str(b, item->name);

	if (r < 0 || item->kind != FRAME_PYTHON || !*item->file)
		return r;
	return buf_printf(b, " (%s:%u)", query_short_path(item->file), item->line);
}

int labels_init(struct labels *l, const struct query_result *r,
		int (*escape)(struct buf *b, const char *text))
{
	*l = (struct labels){ .result = r, .escape = escape };
	l->items = calloc(r->items_n, sizeof(*l->items));
	return l->items ? 0 : -ENOMEM;
}

void labels_release(struct labels *l)
{
	for (size_t i = 0; l->items && i < l->result->items_n; i++)
		free(l->items[i].text);
	free(l->items);
}

const struct label *labels_get(struct labels *l, uint32_t item)
{
	struct label *label = &l->items[item];
	struct buf plain = { 0 }, escaped = { 0 };

	if (label->text)
		return label;
	if (frame_label(&plain, &l->result->items[item]) == 0 && buf_str(&plain) &&
	    l->escape(&escaped, buf_str(&plain)) == 0 && buf_str(&escaped)) {
		label->size = escaped.size;
		label->text = (char *)escaped.data;
		escaped = (struct buf){ 0 };
	}
	buf_release(&plain);
	buf_release(&escaped);
	return label->text ? label : NULL;
}
