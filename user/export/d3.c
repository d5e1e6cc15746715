/* SPDX-License-Identifier: Apache-2.0 */
/* Nested {name, value, children}, as d3-flame-graph and its relatives read it. */
#include <errno.h>
#include <inttypes.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "export/formats.h"

/* Readers recurse: deeper levels count in their ancestor's value. */
#define DEPTH_MAX 1000

static int write_node(FILE *out, const struct query_result *r, uint32_t node, struct labels *labels)
{
	const struct query_node *n = &r->nodes[node];
	const struct label *label;

	if (!node) {
		fprintf(out, "{\"name\":\"all\",\"value\":%" PRIu64, n->total.weight);
		return 0;
	}
	label = labels_get(labels, n->item);
	if (!label)
		return -ENOMEM;
	fputs("{\"name\":", out);
	fwrite(label->text, 1, label->size, out);
	fprintf(out, ",\"value\":%" PRIu64 ",\"kind\":\"%s\"", n->total.weight,
		query_item_kind_names[r->items[n->item].kind]);
	return 0;
}

int export_d3(FILE *out, struct profile *p, const struct query_selection *s,
	      const struct query_result *r, const struct export_options *options)
{
	_cleanup_(labels_release) struct labels labels = { 0 };
	uint32_t i = 0;
	size_t depth = 0;

	(void)p, (void)s, (void)options;
	if (labels_init(&labels, r, text_append_json) < 0)
		return -ENOMEM;
	for (;;) {
		int error = write_node(out, r, i, &labels);

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
