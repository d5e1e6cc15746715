/* SPDX-License-Identifier: Apache-2.0 */
/* kymo report --tree: who called whom, as lines indented by depth, the heaviest part of it. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "cmd/json_views.h"
#include "cmd/report.h"
#include "query/fold.h"

/* "100.0% 100.0%  " */
#define SHARES_WIDTH 15
#define WEIGHT_WIDTH 11
/* Of what is left, what indentation may take, and what a name and a place want. */
#define INDENT_SHARE 3
#define NAME_MIN     16
/* "300: ": kymo's own stacks have some 600 frames */
#define DEPTH_WIDTH 8
#define PLACE_MIN   10
/* From here on the weight has a column of its own. */
#define WEIGHT_COLUMNS 100

#define ELLIPSIS       "\xe2\x80\xa6"

DEFINE_CLEANUP(struct query_result *, query_free);

struct tree {
	struct screen *screen;
	const struct query_result *result;
	struct query_fold fold;
	bool *shown;	  /* by node */
	size_t step;	  /* columns a level */
	uint32_t process; /* item: whose branch is at hand */
	size_t levels;	  /* that are indented; deeper ones say how deep */
	bool any_through, any_recursive;
};

static void tree_release(struct tree *t)
{
	query_fold_release(&t->fold);
	free(t->shown);
}

/* ---- which lines ---- */

static int compare_weights(const void *pa, const void *pb, void *data)
{
	const struct fold_node *nodes = data;
	uint32_t ia = *(const uint32_t *)pa, ib = *(const uint32_t *)pb;
	const struct query_value *a = &nodes[ia].total, *b = &nodes[ib].total;

	if (a->weight != b->weight)
		return a->weight > b->weight ? -1 : 1;
	return ia < ib ? -1 : ia > ib;
}

/* The heaviest: a caller is no lighter than whom it calls and stands before them, so this is a tree, too. */
static int choose(struct tree *t, uint64_t limit, size_t *ret_left, uint64_t *ret_heaviest_left)
{
	const struct fold_node *nodes = t->fold.nodes;
	_cleanup_free_ uint32_t *list = calloc(t->fold.n, sizeof(*list));
	size_t n = 0, shown;

	t->shown = calloc(t->fold.n, sizeof(*t->shown));
	if (!list || !t->shown)
		return -ENOMEM;
	for (size_t i = 1; i < t->fold.n; i++)
		if (nodes[i].total.weight)
			list[n++] = (uint32_t)i;
	if (n)
		qsort_r(list, n, sizeof(*list), compare_weights, (void *)nodes);
	shown = limit && limit < n ? limit : n;
	for (size_t i = 0; i < shown; i++) {
		t->shown[list[i]] = true;
		t->any_through |= nodes[list[i]].is_through;
		t->any_recursive |= nodes[list[i]].is_recursive;
	}
	*ret_left = n - shown;
	*ret_heaviest_left = shown < n ? nodes[list[shown]].total.weight : 0;
	return 0;
}

/* ---- how a line looks ---- */

/* "[library] 12 functions, mostly memcpy" */
static int append_folded(const struct fold_node *n, const char *item, size_t room, struct buf *name)
{
	const char *what = n->kind == FOLD_KERNEL ? "kernel" : "library";
	char count[FORMAT_SIZE];
	int r;

	if (n->functions == 1)
		r = buf_printf(name, "[%s] ", what);
	else
		r = buf_printf(name, "[%s] %s functions, mostly ", what,
			       text_count(n->functions, count));
	if (r < 0)
		return r;
	return append_name(name, item, room > name->size + 4 ? room - name->size : 4, false);
}

/* The process's name has said so. */
static bool is_own_binary(const struct tree *t, const struct query_item *item)
{
	const char *comm = t->result->items[t->process].name;

	return item->kind == FRAME_NATIVE && !*item->file &&
	       strncmp(query_base_name(item->binary), comm, KYMO_COMM_SIZE - 1) == 0;
}

/* Names have what they need, places what is left. */
static int append_label(struct tree *t, const struct fold_node *n, size_t room, struct buf *name,
			struct buf *place)
{
	const struct query_item *item = &t->result->items[n->item];
	_cleanup_(buf_release) struct buf text = { 0 };
	size_t used;
	int r;

	if (n->kind != FOLD_FRAME)
		return append_folded(n, item->name, room, name);
	if (n->is_through && buf_append_str(&text, ELLIPSIS " ") < 0)
		return -ENOMEM;
	used = (n->is_through ? 2 : 0) + (n->is_recursive ? strlen(" (recursive)") : 0);
	r = append_name(&text, item->name, room > used + NAME_MIN ? room - used : NAME_MIN, false);
	if (r == 0 && n->is_recursive)
		r = buf_append_str(&text, " (recursive)");
	if (r < 0 || !buf_str(&text))
		return -ENOMEM;
	used = text_width(buf_str(&text));
	if (buf_append_str(name, buf_str(&text)) < 0)
		return -ENOMEM;
	if (item->kind == QUERY_ITEM_PROCESS || is_own_binary(t, item) ||
	    room < used + 2 + PLACE_MIN)
		return 0;
	return append_where(place, item, query_base_name(item->binary), room - used - 2);
}

static int print_node(struct tree *t, const struct fold_node *n, size_t depth)
{
	struct screen *s = t->screen;
	const struct query_item *item = &t->result->items[n->item];
	double whole = (double)t->result->total.weight;
	char total[FORMAT_SIZE], self[FORMAT_SIZE], weight[FORMAT_SIZE], deep[FORMAT_SIZE] = "";
	size_t level = depth < t->levels ? depth : t->levels, indent = level * t->step, fixed;
	_cleanup_(buf_release) struct buf name = { 0 };
	_cleanup_(buf_release) struct buf place = { 0 };
	bool dim = n->kind != FOLD_FRAME;
	int r;

	if (depth == 0)
		t->process = n->item;
	if (depth > t->levels)
		snprintf(deep, sizeof(deep), "%zu: ", depth);
	fixed = SHARES_WIDTH + (s->columns >= WEIGHT_COLUMNS ? WEIGHT_WIDTH : 0) + indent +
		strlen(deep);
	r = append_label(t, n, s->columns > fixed + NAME_MIN ? s->columns - fixed : NAME_MIN, &name,
			 &place);
	if (r < 0 || !buf_str(&name) || !buf_str(&place))
		return -ENOMEM;
	fprintf(s->out, "%6s %6s", format_percent((double)n->total.weight, whole, total),
		format_percent((double)n->self.weight, whole, self));
	if (s->columns >= WEIGHT_COLUMNS)
		fprintf(s->out, " %*s", WEIGHT_WIDTH - 1,
			format_weight(n->total.weight, t->result->value, weight));
	fprintf(s->out, "  %*s%s%s%s%s", (int)indent, "", deep,
		dim ? screen_style(s, STYLE_DIM)
		    : screen_style(s, item->kind == QUERY_ITEM_PROCESS ? STYLE_BOLD
								       : style_of_kind(item->kind)),
		buf_str(&name), screen_plain(s));
	if (place.size)
		fprintf(s->out, "  %s%s%s", screen_style(s, STYLE_DIM), buf_str(&place),
			screen_plain(s));
	fputc('\n', s->out);
	return 0;
}

/* Two columns a level where the deepest shown has room for it, else one; what is deeper still says so. */
static void choose_indentation(struct tree *t)
{
	size_t room = t->screen->columns - SHARES_WIDTH - 1, deepest = 0, depth = 0;
	uint32_t i = 0;

	if (t->screen->columns >= WEIGHT_COLUMNS)
		room -= WEIGHT_WIDTH;
	room -= room / INDENT_SHARE > NAME_MIN + DEPTH_WIDTH ? room / INDENT_SHARE
							     : NAME_MIN + DEPTH_WIDTH;
	while ((i = query_fold_next(&t->fold, t->shown, i, &depth)))
		deepest = depth - 1 > deepest ? depth - 1 : deepest;
	t->step = deepest * 2 <= room ? 2 : 1;
	t->levels = deepest * t->step <= room ? deepest : room / t->step;
}

static int print_tree(struct tree *t, size_t left, uint64_t heaviest_left)
{
	struct screen *s = t->screen;
	char share[FORMAT_SIZE], count[FORMAT_SIZE];
	size_t depth = 0;
	uint32_t i = 0;

	choose_indentation(t);
	fprintf(s->out, "%s total   self", screen_style(s, STYLE_DIM));
	if (s->columns >= WEIGHT_COLUMNS)
		fprintf(s->out, " %*s", WEIGHT_WIDTH - 1, weight_title(t->result->value));
	fprintf(s->out, "  process, functions%s\n", screen_plain(s));
	while ((i = query_fold_next(&t->fold, t->shown, i, &depth))) {
		int r = print_node(t, &t->fold.nodes[i], depth - 1);

		if (r < 0)
			return r;
	}
	if (left)
		print_cut(s, STYLE_DIM, "%s more lines, none above %s: --limit 0 shows all",
			  text_count(left, count),
			  format_percent((double)heaviest_left, (double)t->result->total.weight,
					 share));
	if (t->any_through)
		print_cut(s, STYLE_DIM,
			  ELLIPSIS " called through library frames, which --all-frames shows");
	return 0;
}

int report_tree(struct screen *s, struct profile *p, const struct query_selection *sel,
		const struct report_options *o)
{
	static const enum query_order orders[] = { QUERY_BY_TOTAL, QUERY_BY_SELF, QUERY_BY_SAMPLES,
						   QUERY_BY_NAME };
	_cleanup_(query_freep) struct query_result *r = NULL;
	_cleanup_(tree_release) struct tree t = { .screen = s };
	uint64_t heaviest_left = 0;
	size_t left = 0;
	int error = input_query(p, sel, &r);

	if (error < 0)
		return error;
	t.result = r;
	error = query_fold(r, o->all_frames, orders[o->order], &t.fold);
	if (error == 0)
		error = choose(&t, o->limit, &left, &heaviest_left);
	if (error < 0) {
		log_error("%s", strerror(-error));
		return error;
	}
	if (o->input.json)
		return json_tree(p, r, &t.fold, t.shown);
	error = report_head(s, p, sel, r);
	if (error < 0)
		return error;
	if (r->total.count == 0) {
		fprintf(s->out, "no samples%s\n", r->ticks_n ? " in this selection" : "");
		return 0;
	}
	error = print_tree(&t, left, heaviest_left);
	if (error < 0)
		log_error("%s", strerror(-error));
	return error;
}
