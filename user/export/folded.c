/* SPDX-License-Identifier: Apache-2.0 */
/* Folded stacks: "comm;outermost;...;innermost weight", the text that flame graph tools share. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "export/formats.h"

/* The line so far, and where each level of it begins: siblings share all but their last frame. */
struct line {
	struct buf text;
	size_t *level_end; /* by depth */
	struct buf label;
};

static void line_release(struct line *l)
{
	buf_release(&l->text);
	buf_release(&l->label);
	free(l->level_end);
}

static int line_set(struct line *l, size_t depth, const struct query_item *item)
{
	const char *label;
	int r;

	l->text.size = depth ? l->level_end[depth - 1] : 0;
	if (depth) {
		r = buf_append_str(&l->text, ";");
		if (r < 0)
			return r;
	}
	buf_clear(&l->label);
	r = frame_label(&l->label, item);
	if (r < 0)
		return r;
	label = buf_str(&l->label);
	if (!label)
		return -ENOMEM;
	r = text_append_folded(&l->text, label);
	if (r < 0)
		return r;
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
	if (!line.level_end)
		return -ENOMEM;
	while (i) {
		const struct query_node *n = &r->nodes[i];
		int error = line_set(&line, depth, &r->items[n->item]);

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
