/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree of stacks as people read it: what a program did not bring along is folded away, recursion is
 * shown once.
 */
#ifndef KYMO_QUERY_FOLD_H
#define KYMO_QUERY_FOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "query/query.h"

enum fold_kind {
	FOLD_FRAME,   /* a function, or a process */
	FOLD_LIBRARY, /* all that ran in libraries under its parent */
	FOLD_KERNEL,  /* all that ran in the kernel under its parent */
};

struct fold_node {
	uint32_t parent; /* parents come before their children; node 0 is the common root */
	uint32_t first_child, next_sibling; /* 0 = none; in the order asked for */
	uint32_t item;			    /* FOLD_FRAME: it; else that which ran most */
	enum fold_kind kind;
	bool is_through;    /* a stack leads to it from its parent through folded frames */
	bool is_recursive;  /* it is on a stack below itself: also by way of others */
	uint32_t functions; /* not FOLD_FRAME: how many ran */
	struct query_value self, total;
};

struct query_fold {
	struct fold_node *nodes;
	size_t n, cap;
};

/* all_frames: libraries and kernel are frames like others. 0 or -ENOMEM. */
int query_fold(const struct query_result *r, bool all_frames, enum query_order order,
	       struct query_fold *ret);
void query_fold_release(struct query_fold *f);

/*
 * A walk from callers to called over the shown nodes (by index): starts with node 0 at *depth 0; returns the next and
 * sets its depth (processes have 1); 0 = the end. What is shown has a parent that is shown.
 */
uint32_t query_fold_next(const struct query_fold *f, const bool *shown, uint32_t node,
			 size_t *depth);

/* What is a library. `exes`: texts of the result, by address. */
struct hmap;
bool fold_is_library(const struct query_item *item, const struct hmap *exes);
/* Of all items, by index; *ret is malloced. 0 or -ENOMEM. */
int fold_libraries(const struct query_result *r, bool **ret);

#endif
