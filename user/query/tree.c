/* SPDX-License-Identifier: Apache-2.0 */
#include "query/aggregate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"

/* ---- cells -> nodes ---- */

#define NODE_FAILED UINT32_MAX

static struct node_slot *find_slot(const struct aggregate *a, uint32_t parent, uint32_t item)
{
	uint64_t hash = ((uint64_t)parent << 32 | item) * 0x9e3779b97f4a7c15ULL;
	size_t mask = a->node_slots_n - 1, i = (hash ^ hash >> 32) & mask;

	for (;; i = (i + 1) & mask) {
		struct node_slot *s = &a->node_slots[i];

		if (!s->node || (s->parent == parent && s->item == item))
			return s;
	}
}

/* At most half full, so that a search is short. A map of our own: this is the query's inner loop. */
static int grow_node_slots(struct aggregate *a)
{
	struct node_slot *old = a->node_slots;
	size_t old_n = a->node_slots_n;

	if (a->nodes_n * 2 < old_n)
		return 0;
	a->node_slots = calloc(old_n ? old_n * 4 : 65536, sizeof(*a->node_slots));
	if (!a->node_slots) {
		a->node_slots = old;
		return -ENOMEM;
	}
	a->node_slots_n = old_n ? old_n * 4 : 65536;
	for (size_t i = 0; i < old_n; i++)
		if (old[i].node)
			*find_slot(a, old[i].parent, old[i].item) = old[i];
	free(old);
	return 0;
}

static uint32_t node_intern(struct aggregate *a, uint32_t parent, uint32_t item)
{
	struct node_slot *slot;

	if (parent == NODE_FAILED || !item || grow_node_slots(a) < 0 ||
	    array_reserve(&a->nodes, &a->nodes_cap, a->nodes_n + 1) < 0)
		return NODE_FAILED;
	slot = find_slot(a, parent, item);
	if (slot->node)
		return slot->node;
	if (a->selection->with_seen) {
		if (array_reserve(&a->node_seen, &a->node_seen_cap, a->nodes_n + 1) < 0)
			return NODE_FAILED;
		a->node_seen[a->nodes_n] = (struct seen){ 0 };
	}
	*slot = (struct node_slot){ parent, item, (uint32_t)a->nodes_n };
	a->nodes[a->nodes_n++] = (struct query_node){ .parent = parent, .item = item };
	return slot->node;
}

static int add_root(struct aggregate *a)
{
	int r = array_reserve(&a->nodes, &a->nodes_cap, 1);

	if (r == 0 && a->selection->with_seen)
		r = array_reserve(&a->node_seen, &a->node_seen_cap, 1);
	if (r < 0)
		return r;
	if (a->selection->with_seen)
		a->node_seen[0] = (struct seen){ 0 };
	a->nodes[a->nodes_n++] = (struct query_node){ 0 };
	return 0;
}

/* Nodes of one comm's stacks, remembered per stack while that comm is at hand. */
struct memo {
	struct memo_entry {
		uint32_t turn, node;
	} * entries;	/* by stack index + 1 */
	uint32_t turn;	/* counts the comms, from 1 */
	uint32_t *path; /* stacks from the leaf to the first that is remembered */
};

static void memo_release(struct memo *m)
{
	free(m->entries);
	free(m->path);
}

/* The node of (comm, stack): up to what is known, then down again. Parents have lower ids, so it ends. */
static uint32_t node_of_stack(struct aggregate *a, struct memo *m, uint32_t comm, uint32_t stack)
{
	size_t n = 0;
	uint32_t node;

	while (stack && m->entries[stack].turn != m->turn) {
		m->path[n++] = stack;
		stack = idmap_find(&a->segment->stacks,
				   a->segment->tables.stacks[stack - 1].parent);
	}
	if (stack)
		node = m->entries[stack].node;
	else
		node = comm ? node_intern(a, 0, comm) : 0;
	while (n && node != NODE_FAILED) {
		stack = m->path[--n];
		for (uint32_t k = 0; k < aggregate_frame_levels(a, stack); k++)
			node = node_intern(a, node, aggregate_frame_item(a, stack, k));
		m->entries[stack] = (struct memo_entry){ m->turn, node };
	}
	return node;
}

static int compare_cells(const void *pa, const void *pb, void *data)
{
	const struct cell *cells = data;
	const struct cell *a = &cells[*(const uint32_t *)pa], *b = &cells[*(const uint32_t *)pb];

	if (a->comm != b->comm)
		return a->comm < b->comm ? -1 : 1;
	return a->stack < b->stack ? -1 : a->stack > b->stack;
}

int tree_add_cells(struct aggregate *a)
{
	_cleanup_(memo_release) struct memo memo = { 0 };
	size_t stacks_n = a->segment->tables.stacks_n;
	_cleanup_free_ uint32_t *order = calloc(a->cells_n + 1, sizeof(*order));

	memo.entries = calloc(stacks_n + 1, sizeof(*memo.entries));
	memo.path = calloc(stacks_n + 1, sizeof(*memo.path));
	if (!order || !memo.entries || !memo.path || (a->nodes_n == 0 && add_root(a) < 0))
		return -ENOMEM;
	for (size_t i = 0; i < a->cells_n; i++)
		order[i] = (uint32_t)i;
	qsort_r(order, a->cells_n, sizeof(*order), compare_cells, a->cells);

	for (size_t i = 0; i < a->cells_n; i++) {
		const struct cell *c = &a->cells[order[i]];
		uint32_t node;

		if (i == 0 || c->comm != a->cells[order[i - 1]].comm)
			memo.turn++;
		node = node_of_stack(a, &memo, c->comm, c->stack);
		if (!c->stack)
			node = node_intern(a, node, item_of_no_stack(&a->items));
		if (node == NODE_FAILED)
			return -ENOMEM;
		query_value_add(&a->nodes[node].self, &c->value);
		if (a->selection->with_seen)
			seen_add(&a->node_seen[node], &a->seen[order[i]]);
	}
	return 0;
}

/* ---- totals ---- */

static void add_up(struct aggregate *a)
{
	for (size_t i = a->nodes_n; i-- > 1;) {
		struct query_node *n = &a->nodes[i], *parent = &a->nodes[n->parent];

		query_value_add(&n->total, &n->self);
		query_value_add(&parent->total, &n->total);
		n->next_sibling = parent->first_child;
		parent->first_child = (uint32_t)i;
	}
	query_value_add(&a->nodes[0].total, &a->nodes[0].self);
}

/*
 * A function's total counts a sample once, however often the function is on its stack: only
 * the outermost of its nodes on a path counts. One walk over the tree, whatever its depth.
 */
static int add_item_totals(struct aggregate *a)
{
	_cleanup_free_ uint32_t *on_path = calloc(a->items.items_n, sizeof(*on_path));
	const struct query_node *nodes = a->nodes;
	uint32_t i = nodes[0].first_child;

	if (!on_path)
		return -ENOMEM;
	while (i) {
		struct query_item *item = &a->items.items[nodes[i].item];

		query_value_add(&item->self, &nodes[i].self);
		if (on_path[nodes[i].item]++ == 0)
			query_value_add(&item->total, &nodes[i].total);
		if (nodes[i].first_child) {
			i = nodes[i].first_child;
			continue;
		}
		for (; i; i = nodes[i].parent) {
			on_path[nodes[i].item]--;
			if (nodes[i].next_sibling)
				break;
		}
		i = nodes[i].next_sibling;
	}
	return 0;
}

/* ---- order ---- */

static int compare_nodes(const void *pa, const void *pb, void *data)
{
	const struct aggregate *a = data;
	uint32_t ia = *(const uint32_t *)pa, ib = *(const uint32_t *)pb;
	const struct query_node *na = &a->nodes[ia], *nb = &a->nodes[ib];
	int r;

	if (na->total.weight != nb->total.weight)
		return na->total.weight > nb->total.weight ? -1 : 1;
	r = strcmp(a->items.items[na->item].name, a->items.items[nb->item].name);
	if (r)
		return r;
	return ia < ib ? -1 : ia > ib;
}

static int order_children(struct aggregate *a)
{
	_cleanup_free_ uint32_t *children = calloc(a->nodes_n, sizeof(*children));

	if (!children)
		return -ENOMEM;
	for (size_t i = 0; i < a->nodes_n; i++) {
		size_t n = 0;

		for (uint32_t c = a->nodes[i].first_child; c; c = a->nodes[c].next_sibling)
			children[n++] = c;
		if (n < 2)
			continue;
		qsort_r(children, n, sizeof(*children), compare_nodes, a);
		a->nodes[i].first_child = children[0];
		for (size_t k = 0; k < n; k++)
			a->nodes[children[k]].next_sibling = k + 1 < n ? children[k + 1] : 0;
	}
	return 0;
}

int tree_finish(struct aggregate *a)
{
	int r = 0;

	if (a->nodes_n == 0)
		r = add_root(a);
	if (r < 0)
		return r;
	add_up(a);
	r = add_item_totals(a);
	return r < 0 ? r : order_children(a);
}
