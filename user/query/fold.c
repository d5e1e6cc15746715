/* SPDX-License-Identifier: Apache-2.0 */
#include "query/fold.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/hmap.h"
#include "query/aggregate.h"

/* Stand for an item in the key of what is folded. */
#define KEY_LIBRARY UINT32_MAX
#define KEY_KERNEL  (UINT32_MAX - 1)
/* kymo's own stacks have some 600 frames: deeper, recursion of a foreign profile is not looked for. */
#define DEPTH_MAX 1024

struct place {
	uint32_t node;	 /* of the fold, that stands for the tree's */
	bool is_through; /* folded frames lie between the two */
};

struct folder {
	const struct query_result *result;
	struct query_fold fold;
	bool all_frames;
	bool *library;	      /* by item */
	struct hmap nodes;    /* (parent, item or KEY_) -> node */
	struct hmap ran;      /* (node, item) -> self weight and count in what is folded there */
	struct place *places; /* by node of the tree */
};

static void folder_release(struct folder *f)
{
	free(f->library);
	free(f->places);
	hmap_release(&f->nodes);
	hmap_release(&f->ran);
	query_fold_release(&f->fold);
}

void query_fold_release(struct query_fold *f)
{
	free(f->nodes);
	*f = (struct query_fold){ 0 };
}

/* The child of that key, made when there is none. 0 = out of memory. */
static uint32_t find_node(struct folder *f, uint32_t parent, uint32_t key, enum fold_kind kind)
{
	const struct {
		uint32_t parent, key;
	} slot = { parent, key };
	uint32_t *node;

	if (array_reserve(&f->fold.nodes, &f->fold.cap, f->fold.n + 1) < 0)
		return 0;
	node = hmap_put(&f->nodes, &slot, NULL);
	if (!node)
		return 0;
	if (!*node) {
		*node = (uint32_t)f->fold.n;
		f->fold.nodes[f->fold.n++] = (struct fold_node){
			.parent = parent,
			.item = kind == FOLD_FRAME ? key : 0,
			.kind = kind,
		};
	}
	return *node;
}

/* Adds to what is folded under a node, and keeps the item that ran most. */
static int add_folded(struct folder *f, uint32_t parent, enum fold_kind kind, uint32_t item,
		      const struct query_value *v)
{
	uint32_t at = find_node(f, parent, kind == FOLD_KERNEL ? KEY_KERNEL : KEY_LIBRARY, kind);
	const struct {
		uint32_t node, item;
	} key = { at, item }, best_key = { at, f->fold.nodes[at].item };
	struct fold_node *node = &f->fold.nodes[at];
	struct query_value *sum, *best;
	bool is_new;

	sum = at ? hmap_put(&f->ran, &key, &is_new) : NULL;
	if (!sum)
		return -ENOMEM;
	node->functions += is_new;
	query_value_add(sum, v);
	query_value_add(&node->self, v);
	best = hmap_get(&f->ran, &best_key);
	if (!best || sum->weight > best->weight)
		node->item = item;
	return 0;
}

/* The node itself or the nearest above it with that item; 0 = none. */
static uint32_t find_above(const struct folder *f, uint32_t node, uint32_t item)
{
	for (unsigned n = 0; node && n < DEPTH_MAX; n++, node = f->fold.nodes[node].parent)
		if (f->fold.nodes[node].item == item)
			return node;
	return 0;
}

/*
 * It stands further up already: what it calls is shown under those that lie between, each of them once, so that
 * all keep what ran below them. What ran itself is a last line.
 */
static int place_again(struct folder *f, uint32_t i, uint32_t first)
{
	const struct query_node *n = &f->result->nodes[i];
	uint32_t last;

	f->fold.nodes[first].is_recursive = true;
	f->places[i] = f->places[n->parent];
	if (n->self.count == 0)
		return 0;
	last = find_node(f, f->places[i].node, n->item, FOLD_FRAME);
	if (!last)
		return -ENOMEM;
	f->fold.nodes[last].is_recursive = true;
	query_value_add(&f->fold.nodes[last].self, &n->self);
	return 0;
}

/* What lies between a process and its first function is the same for all. */
static bool is_process(const struct folder *f, uint32_t node)
{
	return f->result->items[f->fold.nodes[node].item].kind == QUERY_ITEM_PROCESS;
}

static int place_node(struct folder *f, uint32_t i)
{
	const struct query_node *n = &f->result->nodes[i];
	const struct query_item *item = &f->result->items[n->item];
	const struct place above = f->places[n->parent];
	bool is_kernel = item->kind == FRAME_KERNEL;
	uint32_t at;

	if (!f->all_frames && (is_kernel || f->library[n->item])) {
		f->places[i] = (struct place){ above.node, true };
		if (n->self.count == 0)
			return 0;
		return add_folded(f, above.node, is_kernel ? FOLD_KERNEL : FOLD_LIBRARY, n->item,
				  &n->self);
	}
	at = find_above(f, above.node, n->item);
	if (at && at != above.node)
		return place_again(f, i, at);
	if (at) {
		f->fold.nodes[at].is_recursive = true;
	} else {
		at = find_node(f, above.node, n->item, FOLD_FRAME);
		if (!at)
			return -ENOMEM;
		f->fold.nodes[at].is_through |= above.is_through && !is_process(f, above.node);
	}
	f->places[i].node = at;
	query_value_add(&f->fold.nodes[at].self, &n->self);
	return 0;
}

static void add_up(struct query_fold *f)
{
	for (size_t i = f->n; i-- > 1;) {
		struct fold_node *n = &f->nodes[i];

		query_value_add(&n->total, &n->self);
		query_value_add(&f->nodes[n->parent].total, &n->total);
	}
	query_value_add(&f->nodes[0].total, &f->nodes[0].self);
}

/* ---- order ---- */

struct order {
	const struct folder *folder;
	enum query_order by;
};

static int compare_u64(uint64_t a, uint64_t b)
{
	return a == b ? 0 : a > b ? -1 : 1;
}

/* By parent, then as asked. */
static int compare_nodes(const void *pa, const void *pb, void *data)
{
	const struct order *o = data;
	uint32_t ia = *(const uint32_t *)pa, ib = *(const uint32_t *)pb;
	const struct fold_node *a = &o->folder->fold.nodes[ia], *b = &o->folder->fold.nodes[ib];
	const struct query_item *items = o->folder->result->items;
	int r = 0;

	if (a->parent != b->parent)
		return a->parent < b->parent ? -1 : 1;
	if (o->by == QUERY_BY_NAME)
		r = strcmp(items[a->item].name, items[b->item].name);
	else if (o->by == QUERY_BY_SELF)
		r = compare_u64(a->self.weight, b->self.weight);
	else if (o->by == QUERY_BY_SAMPLES)
		r = compare_u64(a->total.count, b->total.count);
	r = r ?: compare_u64(a->total.weight, b->total.weight);
	r = r ?: strcmp(items[a->item].name, items[b->item].name);
	return r ?: (ia < ib ? -1 : ia > ib);
}

static int order_children(struct folder *f, enum query_order by)
{
	struct fold_node *nodes = f->fold.nodes;
	struct order o = { f, by };
	_cleanup_free_ uint32_t *list = calloc(f->fold.n, sizeof(*list));

	if (!list)
		return -ENOMEM;
	for (size_t i = 1; i < f->fold.n; i++)
		list[i - 1] = (uint32_t)i;
	qsort_r(list, f->fold.n - 1, sizeof(*list), compare_nodes, &o);
	for (size_t i = f->fold.n - 1; i-- > 0;) {
		struct fold_node *parent = &nodes[nodes[list[i]].parent];

		nodes[list[i]].next_sibling = parent->first_child;
		parent->first_child = list[i];
	}
	return 0;
}

int query_fold(const struct query_result *r, bool all_frames, enum query_order order,
	       struct query_fold *ret)
{
	_cleanup_(folder_release) struct folder f = { .result = r, .all_frames = all_frames };
	int error = array_reserve(&f.fold.nodes, &f.fold.cap, 1);

	hmap_init(&f.nodes, 2 * sizeof(uint32_t), sizeof(uint32_t), 0);
	hmap_init(&f.ran, 2 * sizeof(uint32_t), sizeof(struct query_value), 0);
	if (error < 0)
		return error;
	f.fold.nodes[f.fold.n++] = (struct fold_node){ 0 };
	f.places = calloc(r->nodes_n + 1, sizeof(*f.places));
	error = f.places ? fold_libraries(r, &f.library) : -ENOMEM;
	for (uint32_t i = 1; error == 0 && i < r->nodes_n; i++)
		error = place_node(&f, i);
	if (error < 0)
		return error;
	add_up(&f.fold);
	error = order_children(&f, order);
	if (error < 0)
		return error;
	*ret = f.fold;
	f.fold = (struct query_fold){ 0 };
	return 0;
}

uint32_t query_fold_next(const struct query_fold *f, const bool *shown, uint32_t node,
			 size_t *depth)
{
	const struct fold_node *nodes = f->nodes;
	bool down = true;

	for (;;) {
		if (down && nodes[node].first_child) {
			node = nodes[node].first_child;
			(*depth)++;
		} else {
			for (; node && !nodes[node].next_sibling; node = nodes[node].parent)
				(*depth)--;
			if (!node)
				return 0;
			node = nodes[node].next_sibling;
		}
		down = shown[node];
		if (down)
			return node;
	}
}
