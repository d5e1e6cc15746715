/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A flame graph as one SVG file, root on top. The frames stand in it as a picture that needs no
 * script; the same tree stands beside them as data, from which flame.js draws what a zoom
 * reveals. Whatever is too narrow for the data is dropped, and counted.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hmap.h"
#include "base/text.h"
#include "export/assets.h"
#include "export/formats.h"
#include "model/sample.h"

#define WIDTH  1200
#define MARGIN 16
#define TOP    96
#define ROW    18
#define CHAR   6.63 /* an 11 px monospaced letter */
#define SHADES 3
/* In the picture: half a pixel. In the data: what a zoom to a fiftieth of the width still shows. */
#define PICTURE_PIXELS 0.5
#define DATA_SHARE     50000
#define DATA_NODES_MAX 100000
#define DEPTH_MAX      1000

/* A node as it is written: preorder, with its depth. */
struct placed {
	uint32_t node;
	uint32_t depth;
	double x; /* share of the width, 0..1 */
};

struct flame {
	FILE *out;
	const struct query_result *result;
	struct placed *placed;
	size_t placed_n, placed_cap;
	size_t dropped;
	uint64_t threshold;   /* weight below which nodes are dropped */
	uint32_t *item_index; /* item -> index in the data + 1 */
	uint32_t *items;      /* index in the data -> item */
	size_t items_n;
	struct buf a, b; /* for escaping */
};

static void flame_release(struct flame *f)
{
	free(f->placed);
	free(f->item_index);
	free(f->items);
	buf_release(&f->a);
	buf_release(&f->b);
}

/* ---- which frames ---- */

/* A threshold that leaves at most DATA_NODES_MAX nodes. */
static uint64_t choose_threshold(const struct query_result *r)
{
	uint64_t threshold = r->total.weight / DATA_SHARE;

	if (threshold == 0)
		threshold = 1;
	for (;; threshold *= 2) {
		size_t n = 0;

		for (size_t i = 0; i < r->nodes_n; i++)
			n += r->nodes[i].total.weight >= threshold;
		if (n <= DATA_NODES_MAX || threshold > UINT64_MAX / 2)
			return threshold;
	}
}

/* Preorder over what is wide enough; what is not is skipped with all that is below it. */
static int place_nodes(struct flame *f)
{
	const struct query_result *r = f->result;
	double whole = r->total.weight ? (double)r->total.weight : 1;
	_cleanup_free_ double *next = calloc(DEPTH_MAX + 2, sizeof(*next));
	uint32_t i = 0, depth = 0;

	if (!next)
		return -ENOMEM;
	for (;;) {
		const struct query_node *n = &r->nodes[i];
		bool kept = i == 0 || (n->total.weight >= f->threshold && depth <= DEPTH_MAX);

		if (kept) {
			if (array_reserve(&f->placed, &f->placed_cap, f->placed_n + 1) < 0)
				return -ENOMEM;
			f->placed[f->placed_n++] = (struct placed){ i, depth, next[depth] };
			next[depth + 1] = next[depth];
			next[depth] += (double)n->total.weight / whole;
			if (n->first_child) {
				i = n->first_child;
				depth++;
				continue;
			}
		}
		for (; i && !r->nodes[i].next_sibling; i = r->nodes[i].parent)
			depth--;
		if (i == 0)
			break;
		i = r->nodes[i].next_sibling;
	}
	f->dropped = r->nodes_n - f->placed_n;
	return 0;
}

/* ---- text ---- */

/* Escaped for XML; "" when memory is short. Valid until the next call. */
static const char *xml(struct flame *f, const char *text)
{
	buf_clear(&f->b);
	if (text_append_xml(&f->b, text) < 0)
		return "";
	return buf_str(&f->b) ?: "";
}

/* As a JSON string inside XML. */
static const char *json_xml(struct flame *f, const char *text)
{
	buf_clear(&f->a);
	if (text_append_json(&f->a, text) < 0 || !buf_str(&f->a))
		return "\"\"";
	return xml(f, buf_str(&f->a));
}

/* Name with control characters made visible: a tab or an escape in a label is no layout. */
static const char *visible_json(struct flame *f, const char *text)
{
	struct buf visible = { 0 };
	const char *result = "\"\"";

	if (text_append_terminal(&visible, text) == 0 && buf_str(&visible))
		result = json_xml(f, buf_str(&visible));
	buf_release(&visible);
	return result;
}

static const char *kind_class(unsigned kind)
{
	return kind && kind < QUERY_ITEM_KIND_MAX ? query_item_kind_names[kind] : "synthetic";
}

static unsigned shade_of(const struct query_item *item)
{
	return (unsigned)(hash_bytes(item->name, strlen(item->name), 0) % SHADES);
}

static const char *where_of(const struct query_item *item, struct buf *b)
{
	int r = 0;

	buf_clear(b);
	if (*item->file && item->line)
		r = buf_printf(b, "%s:%" PRIu32, item->file, item->line);
	else if (*item->file)
		r = buf_append_str(b, item->file);
	else
		r = buf_append_str(b, item->binary);
	return r == 0 ? buf_str(b) ?: "" : "";
}

/* ---- the picture ---- */

/* The name as far as it fits, cut between characters of UTF-8. */
static int fit_label(struct buf *label, const char *name, double pixels)
{
	double room = (pixels - 7) / CHAR;
	struct buf visible = { 0 };
	int r = 0;

	buf_clear(label);
	if (room >= 2) {
		r = text_append_terminal(&visible, name);
		if (r == 0 && buf_str(&visible)) {
			const char *text = buf_str(&visible);
			size_t columns = (size_t)room, bytes = 0, n = 0;

			if (text_width(text) <= columns) {
				r = buf_append_str(label, text);
			} else {
				for (; text[bytes] && n + 1 < columns; n++)
					for (bytes++; (text[bytes] & 0xc0) == 0x80; bytes++)
						;
				r = buf_append(label, text, bytes)
					    ?: buf_append_str(label, "\xe2\x80\xa6");
			}
		}
	}
	buf_release(&visible);
	return r;
}

static int write_frame(struct flame *f, const struct placed *at, struct buf *label)
{
	const struct query_result *r = f->result;
	const struct query_node *n = &r->nodes[at->node];
	const struct query_item *item = &r->items[n->item];
	double room = WIDTH - 2 * MARGIN, whole = r->total.weight ? (double)r->total.weight : 1;
	double x = MARGIN + at->x * room,
	       w = at->node ? (double)n->total.weight / whole * room : room;
	int y = TOP + (int)at->depth * ROW;
	char shade[4] = "";
	const char *name = at->node ? item->name : "all";
	int error;

	if (w < PICTURE_PIXELS)
		return 0;
	if (at->node)
		snprintf(shade, sizeof(shade), "%u", shade_of(item));
	error = fit_label(label, name, w);
	if (error < 0)
		return error;
	fprintf(f->out, "<g class=\"frame\"><title>%s", xml(f, name));
	fprintf(f->out, " (%.2f %%)</title>", (double)n->total.weight * 100 / whole);
	fprintf(f->out, "<rect x=\"%.2f\" y=\"%d\" width=\"%.2f\" height=\"%d\" class=\"%s%s\"/>",
		x, y, w > 1 ? w - 0.6 : w, ROW - 1, at->node ? kind_class(item->kind) : "all",
		shade);
	if (label->size && buf_str(label))
		fprintf(f->out, "<text x=\"%.2f\" y=\"%.1f\">%s</text>", x + 4, y + 12.5,
			xml(f, buf_str(label)));
	fputs("</g>\n", f->out);
	return 0;
}

static int write_picture(struct flame *f)
{
	struct buf label = { 0 };
	int r = 0;

	fputs("<g id=\"frames\">\n", f->out);
	for (size_t i = 0; r == 0 && i < f->placed_n; i++)
		r = write_frame(f, &f->placed[i], &label);
	fputs("</g>\n", f->out);
	buf_release(&label);
	return r;
}

static uint32_t picture_depth(const struct flame *f)
{
	const struct query_result *r = f->result;
	double room = WIDTH - 2 * MARGIN;
	uint32_t depth = 0;

	for (size_t i = 0; i < f->placed_n; i++)
		if (f->placed[i].depth > depth &&
		    (double)r->nodes[f->placed[i].node].total.weight * room >=
			    PICTURE_PIXELS * (double)r->total.weight)
			depth = f->placed[i].depth;
	return depth;
}

/* ---- the data ---- */

static int index_items(struct flame *f)
{
	const struct query_result *r = f->result;

	f->item_index = calloc(r->items_n, sizeof(*f->item_index));
	f->items = calloc(r->items_n, sizeof(*f->items));
	if (!f->item_index || !f->items)
		return -ENOMEM;
	for (size_t i = 0; i < f->placed_n; i++) {
		uint32_t item = r->nodes[f->placed[i].node].item;

		if (f->item_index[item])
			continue;
		f->items[f->items_n++] = item;
		f->item_index[item] = (uint32_t)f->items_n;
	}
	return 0;
}

static void write_items(struct flame *f)
{
	struct buf where = { 0 };

	for (size_t i = 0; i < f->items_n; i++) {
		const struct query_item *item = &f->result->items[f->items[i]];

		fprintf(f->out, "%s[%s", i ? ",\n" : "\n",
			visible_json(f, f->items[i] ? item->name : "all"));
		fprintf(f->out, ",%u,%s,%u]", f->items[i] ? item->kind : 0,
			visible_json(f, where_of(item, &where)), shade_of(item));
	}
	buf_release(&where);
}

/* What cannot be seen, in words. */
static const char *describe_dropped(const struct flame *f, bool picture, char *out, size_t size)
{
	size_t dropped = f->dropped;
	char count[32];
	double whole = f->result->total.weight ? (double)f->result->total.weight : 1;

	if (picture)
		for (size_t i = 0; i < f->placed_n; i++)
			dropped += (double)f->result->nodes[f->placed[i].node].total.weight /
					   whole * (WIDTH - 2 * MARGIN) <
				   PICTURE_PIXELS;
	*out = '\0';
	if (dropped && picture)
		snprintf(out, size, "%s frames narrower than half a pixel are not drawn.",
			 text_count(dropped, count));
	else if (dropped)
		snprintf(out, size, "%s frames narrower than %.4f %% of the whole are left out.",
			 text_count(dropped, count), (double)f->threshold * 100 / whole);
	return out;
}

static void write_data(struct flame *f)
{
	const struct query_result *r = f->result;
	char note[128];

	fprintf(f->out, "<metadata id=\"data\">{&quot;top&quot;:%d,&quot;unit&quot;:%s,", TOP,
		json_xml(f, values[r->value].unit));
	fprintf(f->out, "&quot;note&quot;:%s,\n&quot;items&quot;:[",
		json_xml(f, describe_dropped(f, false, note, sizeof(note))));
	write_items(f);
	fputs("],\n&quot;nodes&quot;:[", f->out);
	for (size_t i = 0; i < f->placed_n; i++) {
		const struct query_node *n = &r->nodes[f->placed[i].node];

		fprintf(f->out, "%s%" PRIu32 ",%" PRIu32 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64,
			i ? ",\n" : "\n", f->item_index[n->item] - 1, f->placed[i].depth,
			n->total.weight, n->total.count, n->self.weight);
	}
	fputs("]}</metadata>\n", f->out);
}

/* ---- the page ---- */

static char *make_title(const struct profile *p, const struct export_options *options)
{
	const char *host = profile_meta(p, "host");
	char *title = NULL;

	if (options->title)
		return strdup(options->title);
	if (asprintf(&title, "%s: which code ran", host && *host ? host : "kymo") < 0)
		return NULL;
	return title;
}

static char *make_subtitle(const struct profile *p, const struct query_result *r)
{
	time_t seconds = (time_t)(profile_start_wall_ns(p) / NS_PER_SEC);
	char wall[64] = "", count[32], length[16], weight[32], *subtitle = NULL;
	const char *unit = values[r->value].unit;
	struct tm tm;

	if (localtime_r(&seconds, &tm))
		strftime(wall, sizeof(wall), "%Y-%m-%d %H:%M:%S %Z", &tm);
	if (strcmp(unit, "bytes") == 0)
		text_bytes(r->total.weight, weight);
	else if (strcmp(unit, "count") == 0)
		snprintf(weight, sizeof(weight), "%" PRIu64, r->total.weight);
	else
		text_duration(r->total.weight, weight);
	if (asprintf(&subtitle, "%s \xc2\xb7 %s \xc2\xb7 %s of %s in %s samples%s", wall,
		     text_duration(r->duration_ns, length), weight, values[r->value].charges,
		     text_count(r->total.count, count),
		     profile_ended(p) ? "" : " \xc2\xb7 the recording did not end") < 0)
		return NULL;
	return subtitle;
}

static void write_legend(struct flame *f)
{
	static const struct {
		const char *kind;
		int width;
	} entries[] = { { "process", 72 },
			{ "python", 68 },
			{ "native", 64 },
			{ "kernel", 64 },
			{ "synthetic", 80 } };
	int x = MARGIN;

	fputs("<g class=\"legend\">", f->out);
	for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
		fprintf(f->out,
			"<rect x=\"%d\" y=\"68\" width=\"12\" height=\"12\" rx=\"2\" "
			"class=\"%s0\"/>"
			"<text x=\"%d\" y=\"78\">%s</text>",
			x, entries[i].kind, x + 17, entries[i].kind);
		x += entries[i].width;
	}
	fputs("</g>\n", f->out);
}

static int write_head(struct flame *f, const struct profile *p,
		      const struct export_options *options)
{
	_cleanup_free_ char *title = make_title(p, options),
			    *subtitle = make_subtitle(p, f->result);
	unsigned height = TOP + (picture_depth(f) + 1) * ROW + 40;

	if (!title || !subtitle)
		return -ENOMEM;
	fprintf(f->out,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<svg xmlns=\"http://www.w3.org/2000/svg\" id=\"kymo\" width=\"%d\" height=\"%u\" "
		"viewBox=\"0 0 %d %u\">\n",
		WIDTH, height, WIDTH, height);
	fprintf(f->out, "<title>%s</title>\n<style>\n%s</style>\n", xml(f, title), asset_flame_css);
	fputs("<rect id=\"page\" width=\"100%\" height=\"100%\"/>\n", f->out);
	fprintf(f->out, "<text id=\"title\" x=\"%d\" y=\"32\">%s</text>\n", MARGIN, xml(f, title));
	fprintf(f->out, "<text id=\"subtitle\" x=\"%d\" y=\"54\">%s</text>\n", MARGIN,
		xml(f, subtitle));
	return 0;
}

static int write_flame(struct flame *f, const struct profile *p,
		       const struct export_options *options)
{
	char note[128];
	int r = write_head(f, p, options);

	if (r < 0)
		return r;
	write_legend(f);
	r = write_picture(f);
	if (r < 0)
		return r;
	fprintf(f->out, "<text id=\"note\" x=\"%d\" y=\"%u\">%s</text>\n", MARGIN,
		TOP + (picture_depth(f) + 1) * ROW + 22,
		describe_dropped(f, true, note, sizeof(note)));
	write_data(f);
	fprintf(f->out, "<script><![CDATA[\n%s]]></script>\n</svg>\n", asset_flame_js);
	return 0;
}

int export_svg(FILE *out, struct profile *p, const struct query_selection *s,
	       const struct query_result *r, const struct export_options *options)
{
	_cleanup_(flame_release) struct flame f = { .out = out,
						    .result = r,
						    .threshold = choose_threshold(r) };
	int error = place_nodes(&f);

	(void)s;
	if (error == 0)
		error = index_items(&f);
	return error < 0 ? error : write_flame(&f, p, options);
}
