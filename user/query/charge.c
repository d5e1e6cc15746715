/* SPDX-License-Identifier: Apache-2.0 */
/* Events in the kernel, charged to what it worked for. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "query/aggregate.h"
#include "query/fold.h"
#include "query/query.h"

/* How near to a program's author a function is. */
enum rank { RANK_KERNEL, RANK_NATIVE_LIBRARY, RANK_PYTHON_LIBRARY, RANK_OWN };

static enum rank rank_of(const struct query_item *item, bool is_library)
{
	switch (item->kind) {
	case FRAME_NATIVE:
		return is_library ? RANK_NATIVE_LIBRARY : RANK_OWN;
	case FRAME_PYTHON:
		return is_library ? RANK_PYTHON_LIBRARY : RANK_OWN;
	case FRAME_SYNTHETIC:
		return RANK_NATIVE_LIBRARY;
	default:
		return RANK_KERNEL;
	}
}

/* Per node the item that is charged: of its stack the nearest to the author, of equal ones the innermost. */
static void charge_nodes(const struct query_result *r, const bool *library,
			 struct query_item *items, uint32_t *charged)
{
	const uint32_t kernel_alone = (uint32_t)r->items_n;

	charged[0] = kernel_alone;
	for (size_t i = 1; i < r->nodes_n; i++) {
		const struct query_node *n = &r->nodes[i];
		uint32_t above = charged[n->parent];
		enum rank rank = rank_of(&r->items[n->item], library[n->item]), best = RANK_KERNEL;

		if (above != kernel_alone)
			best = rank_of(&r->items[above], library[above]);
		charged[i] = rank != RANK_KERNEL && rank >= best ? n->item : above;
		query_value_add(&items[charged[i]].self, &n->self);
	}
}

int query_charge(const struct query_result *r, struct query_item **ret, size_t *ret_n)
{
	_cleanup_free_ struct query_item *items = calloc(r->items_n + 1, sizeof(*items));
	_cleanup_free_ uint32_t *charged = calloc(r->nodes_n + 1, sizeof(*charged));
	_cleanup_free_ bool *library = NULL;

	if (!items || !charged || fold_libraries(r, &library) < 0)
		return -ENOMEM;
	for (size_t i = 1; i < r->items_n; i++) {
		items[i] = r->items[i];
		items[i].self = (struct query_value){ 0 };
		if (items[i].kind == FRAME_KERNEL)
			items[i].total = (struct query_value){ 0 };
	}
	items[r->items_n] = (struct query_item){
		.kind = FRAME_KERNEL, .name = "[kernel alone]", .file = "", .binary = ""
	};
	charge_nodes(r, library, items, charged);
	items[r->items_n].total = items[r->items_n].self;
	*ret = TAKE_PTR(items);
	*ret_n = r->items_n + 1;
	return 0;
}
