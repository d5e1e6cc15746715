/* SPDX-License-Identifier: Apache-2.0 */
/* Nested {name, value, children}, as d3-flame-graph and its relatives read it. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "export/formats.h"

/* Readers recurse: deeper levels count in their ancestor's value. */
#define DEPTH_MAX 1000

static void release_buf(struct buf *b)
{
	buf_release(b);
}

static int write_node(FILE *out, const struct query_result *r, uint32_t node, struct buf *label,
		      struct buf *quoted)
{
	const struct query_node *n = &r->nodes[node];
	int error = 0;

	buf_clear(label);
	buf_clear(quoted);
	if (node)
		error = frame_label(label, &r->items[n->item]);
	else
		error = buf_append_str(label, "all");
	if (error == 0)
		error = buf_str(label) ? text_append_json(quoted, buf_str(label)) : -ENOMEM;
	if (error < 0)
		return error;
	fputs("{\"name\":", out);
	fwrite(quoted->data, 1, quoted->size, out);
	fprintf(out, ",\"value\":%" PRIu64, n->total.weight);
	if (node)
		fprintf(out, ",\"kind\":\"%s\"", query_item_kind_names[r->items[n->item].kind]);
	return 0;
}

int export_d3(FILE *out, struct profile *p, const struct query_selection *s,
	      const struct query_result *r, const struct export_options *options)
{
	_cleanup_(release_buf) struct buf label = { 0 }, quoted = { 0 };
	uint32_t i = 0;
	size_t depth = 0;

	(void)p, (void)s, (void)options;
	for (;;) {
		int error = write_node(out, r, i, &label, &quoted);

		if (error < 0)
			return error;
		if (r->nodes[i].first_child && depth < DEPTH_MAX) {
			fputs(",\"children\":[\n", out);
			i = r->nodes[i].first_child;
			depth++;
			continue;
		}
		fputc('}', out);
		while (i && !r->nodes[i].next_sibling) {
			fputs("]}", out);
			i = r->nodes[i].parent;
			depth--;
		}
		if (!i)
			break;
		fputs(",\n", out);
		i = r->nodes[i].next_sibling;
	}
	fputc('\n', out);
	return 0;
}
