/* SPDX-License-Identifier: Apache-2.0 */
/* Folded stacks: "comm;outermost;...;innermost weight", the text that flame graph tools share. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "export/formats.h"

/* The line so far, and where each level of it ends: siblings share all but their last frame. */
struct line {
	struct buf text;
	size_t *level_end; /* by depth */
	struct labels labels;
};

static void line_release(struct line *l)
{
	buf_release(&l->text);
	free(l->level_end);
	labels_release(&l->labels);
}

static int line_set(struct line *l, size_t depth, uint32_t item)
{
	const struct label *label = labels_get(&l->labels, item);

	l->text.size = depth ? l->level_end[depth - 1] : 0;
	if (!label || (depth && buf_append(&l->text, ";", 1) < 0) ||
	    buf_append(&l->text, label->text, label->size) < 0)
		return -ENOMEM;
	l->level_end[depth] = l->text.size;
	return 0;
}

int export_folded(FILE *out, struct profile *p, const struct query_selection *s,
		  const struct query_result *r, const struct export_options *options)
{
	_cleanup_(line_release) struct line line = { 0 };
	uint32_t i = r->nodes[0].first_child;
	size_t depth = 0;

	(void)p, (void)s, (void)options;
	line.level_end = calloc(r->nodes_n + 1, sizeof(*line.level_end));
	if (!line.level_end || labels_init(&line.labels, r, text_append_folded) < 0)
		return -ENOMEM;
	while (i) {
		const struct query_node *n = &r->nodes[i];
		int error = line_set(&line, depth, n->item);

		if (error < 0)
			return error;
		if (n->self.count) {
			fwrite(line.text.data, 1, line.text.size, out);
			fprintf(out, " %" PRIu64 "\n", n->self.weight);
		}
		if (n->first_child) {
			i = n->first_child;
			depth++;
			continue;
		}
		for (; i && !r->nodes[i].next_sibling; i = r->nodes[i].parent)
			depth--;
		i = r->nodes[i].next_sibling;
	}
	return 0;
}
