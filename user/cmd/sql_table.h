/* SPDX-License-Identifier: Apache-2.0 */
/* A statement's rows as an aligned table. */
#ifndef KYMO_CMD_SQL_TABLE_H
#define KYMO_CMD_SQL_TABLE_H

#include "cmd/screen.h"
#include "query/plain.h"

/* Runs the prepared statement to its end. 0, or the statement's error (plain_message says why). */
int sql_print_table(struct screen *s, struct plain *q);

/* "id INTEGER PRIMARY KEY, name TEXT" as names alone, indented, over as many lines as they need. */
void sql_print_columns(struct screen *s, const char *columns);

#endif
