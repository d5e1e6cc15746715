/* SPDX-License-Identifier: Apache-2.0 */
/* The formats that other tools read, one small file each behind one table. */
#ifndef KYMO_EXPORT_EXPORT_H
#define KYMO_EXPORT_EXPORT_H

#include <stddef.h>
#include <stdio.h>

#include "query/query.h"

struct export_options {
	const char *title; /* NULL = made of what the profile says of itself */
};

struct exporter {
	const char *name;
	const char *endings; /* of file names, separated by spaces: ".folded .collapsed" */
	const char *help;    /* one line */
	/*
	 * Writes the whole result. 0 or -errno; a failed write is left in the stream (ferror),
	 * where the caller finds it when it flushes.
	 */
	int (*write)(FILE *out, struct profile *p, const struct query_selection *s,
		     const struct query_result *r, const struct export_options *options);
};

/* Ends with one whose name is NULL. */
extern const struct exporter exporters[];

/* NULL = none of that name, none for that ending. */
const struct exporter *exporter_by_name(const char *name);
const struct exporter *exporter_by_ending(const char *path);

#endif
