/* SPDX-License-Identifier: Apache-2.0 */
/* The views of kymo report, one file each. */
#ifndef KYMO_CMD_REPORT_H
#define KYMO_CMD_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "cmd/open.h"
#include "cmd/screen.h"
#include "query/query.h"

struct report_options {
	struct input_options input; /* first: input_begin takes it */
	enum report_view {
		VIEW_FUNCTIONS,
		VIEW_TREE,
		VIEW_PROCESSES,
		VIEW_QUALITY,
		VIEW_GC,
		VIEW_IMPORTS,
		VIEW_GIL,
		VIEW_MAX
	} view;
	uint64_t limit;	  /* lines; 0 = all */
	const char *sort; /* as given; NULL = not */
	unsigned order;	  /* the view's own: its index in report_orders[view] */
	bool all_frames;  /* the tree: libraries and the kernel, too */
};

#define ORDERS_MAX 10
/* What --sort takes, by view; the first is the default. Of functions and trees: enum query_order. */
extern const char *const report_orders[VIEW_MAX][ORDERS_MAX];

/* Whether the value is of what the kernel did for others, or had them wait for: self is theirs in the table of functions. */
static inline bool report_charges(enum value_id value)
{
	return value == VALUE_FAULT || value == VALUE_IO || value == VALUE_GIL ||
	       value == VALUE_HELD;
}

/* Host, health, samples and their exact counterpart. 0, or -errno with the reason told. */
int report_head(struct screen *s, struct profile *p, const struct query_selection *sel,
		const struct query_result *r);

/* Each: 0, or -errno with the reason told. */
typedef int report_view_fn(struct screen *s, struct profile *p, const struct query_selection *sel,
			   const struct report_options *o);
report_view_fn report_functions; /* by self weight */
report_view_fn report_tree;	 /* who called whom */
report_view_fn report_processes; /* the kernel's own account */
report_view_fn report_gc;	 /* collections of Python, by process */
report_view_fn report_imports;	 /* first imports of Python modules */
report_view_fn report_gil;	 /* who held Python's lock, who waited for it */
report_view_fn report_quality;	 /* what went wrong, why stacks ended, what recording cost */

#endif
