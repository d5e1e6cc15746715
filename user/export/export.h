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
	/* Of file names, separated by spaces: ".folded .txt". No two exporters share one. */
	const char *endings;
	const char *help; /* one line */
	/*
	 * Writes the whole result. 0 or -errno; a failed write is left in the stream (ferror),
	 * where the caller finds it when it flushes.
	 */
	int (*write)(FILE *out, struct profile *p, const struct query_selection *s,
		     const struct query_result *r, const struct export_options *options);
	/*
	 * Instead of write, for formats that are no stream: into the new or empty file of that name.
	 * 0 or -errno, with *ret_message (one line, owned by the caller) when more is to be said.
	 */
	int (*write_file)(const char *path, struct profile *p, const struct query_selection *s,
			  char **ret_message);
};

/* Ends with one whose name is NULL. */
extern const struct exporter exporters[];

/* NULL = none of that name, none for that ending. */
const struct exporter *exporter_by_name(const char *name);
const struct exporter *exporter_by_ending(const char *path);
/*
 * By name, else by the ending of path (either may be NULL). NULL: *ret_message (owned by the caller) says in
 * one line why not, and which there are.
 */
const struct exporter *exporter_choose(const char *name, const char *path, char **ret_message);

#endif
