/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A profile as plain tables: a row per sample, names resolved, views that join them. The same tables answer
 * `kymo sql` (virtual ones, computed from the profile as they are read) and are written out by `export
 * --format sqlite`. docs/formats/sqlite.md describes them.
 *
 * Statements never reach the profile's own file: they run in a connection in memory that holds nothing but these
 * tables, so a hostile file meets the checking reader only, and a hostile statement finds nothing to write to.
 */
#ifndef KYMO_QUERY_PLAIN_H
#define KYMO_QUERY_PLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "query/query.h"

struct plain;

/*
 * Both p and what s points to outlive it. Only what s selects is there: its ticks, its processes, and the samples of
 * both, of every source. Failures set *ret_message (one line, owned by the caller). 0 or -errno.
 */
int plain_open(struct profile *p, const struct query_selection *s, struct plain **ret,
	       char **ret_message);
void plain_close(struct plain *q); /* NULL is allowed */

/* One SELECT (or WITH, VALUES, EXPLAIN), which replaces the one before. 0, or -EINVAL: plain_message says why. */
int plain_prepare(struct plain *q, const char *sql);
size_t plain_columns(const struct plain *q);
const char *plain_column_name(const struct plain *q, size_t column);
/* 1 with a row, 0 at the end, -errno (plain_message says why). */
int plain_step(struct plain *q);

struct plain_value {
	enum { PLAIN_NULL, PLAIN_INTEGER, PLAIN_REAL, PLAIN_TEXT, PLAIN_BLOB } type;
	int64_t integer;
	double real;
	const char
		*data; /* TEXT (NUL-terminated, may hold others), BLOB; valid until the next step */
	size_t size;
};
struct plain_value plain_value(const struct plain *q, size_t column);

const char *plain_message(const struct plain *q);
/* Ticks that statements came upon and whose samples could not be read: they are in no row. */
uint32_t plain_damaged_ticks(const struct plain *q);

/* For help: the tables and views, with their columns as SQL says them. False behind the last. */
struct plain_description {
	const char *name, *help;
	char *columns; /* "tick INTEGER, ..."; malloced, NULL when memory is short */
};
bool plain_describe(size_t i, struct plain_description *ret);

/* Writes all of it into a new or empty SQLite file. 0 or -errno, *ret_message as above. */
int plain_write(struct profile *p, const struct query_selection *s, const char *path,
		char **ret_message);

#endif
