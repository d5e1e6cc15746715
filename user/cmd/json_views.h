/* SPDX-License-Identifier: Apache-2.0 */
/* What the reading commands show, for programs: docs/formats/json.md says which keys there are. */
#ifndef KYMO_CMD_JSON_VIEWS_H
#define KYMO_CMD_JSON_VIEWS_H

#include "query/accounts.h"
#include "query/collections.h"
#include "query/gil.h"
#include "query/events.h"
#include "query/fold.h"
#include "query/imports.h"
#include "query/query.h"

/* Each prints one object to standard output. 0, or -errno with the reason told. */
int json_functions(struct profile *p, const struct query_result *r, enum query_order order,
		   uint64_t limit);
/* The tree's shown nodes (by index), in its order. */
int json_tree(struct profile *p, const struct query_result *r, const struct query_fold *f,
	      const bool *shown);
int json_processes(struct profile *p, const struct query_accounts *a, uint64_t limit);
int json_gil(struct profile *p, const struct query_gil *g, uint64_t limit);
int json_collections(struct profile *p, const struct query_collections *c, uint64_t limit);
int json_imports(struct profile *p, const struct query_imports *i, uint64_t limit);
int json_quality(struct profile *p, const struct query_quality *q, size_t n,
		 const struct query_result *r);
int json_ticks(struct profile *p, const struct query_result *r, const struct query_events *e);
int json_info(struct profile *p, const struct profile_counts *counts,
	      const struct profile_size *sizes, size_t sizes_n);

#endif
