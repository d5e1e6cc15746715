/* SPDX-License-Identifier: Apache-2.0 */
/* First imports of Python modules, nested as they were: what each took, with and without those within it. */
#ifndef KYMO_QUERY_IMPORTS_H
#define KYMO_QUERY_IMPORTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "query/query.h"

struct query_import {
	char *name; /* "" = unknown */
	const struct process *process;
	const struct function
		*importer; /* innermost Python function that asked; NULL = none is known */
	uint32_t line;	   /* of it; 0 = unknown */
	uint32_t depth;	   /* imports around it in its thread */
	bool failed;	   /* it raised */
	uint64_t start_ns; /* CLOCK_MONOTONIC */
	uint64_t total_ns, own_ns;
	int64_t total_bytes, own_bytes; /* growth of the process's resident memory meanwhile */
};

struct query_imports {
	struct query_import
		*items; /* in the order of their ends: those within an import before it */
	size_t n;
	uint64_t dropped; /* beyond a bound */
	/* Of all: own times and growths. */
	uint64_t total_ns;
	int64_t total_bytes;
};

/* 0 or -errno (profile_message says why). */
int query_imports(struct profile *p, const struct query_selection *s, struct query_imports *ret);
void query_imports_release(struct query_imports *i);

#endif
