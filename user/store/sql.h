/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite's results as 0 or -errno, and rows whose types are checked. */
#ifndef KYMO_STORE_SQL_H
#define KYMO_STORE_SQL_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

DEFINE_CLEANUP(sqlite3 *, sqlite3_close);
DEFINE_CLEANUP(sqlite3_stmt *, sqlite3_finalize);

/* The error that db is in. rc is SQLITE_OK, ROW, DONE (all 0) or a failure's code. */
int sql_error(sqlite3 *db, int rc);
int sql_exec(sqlite3 *db, const char *sql);
/* For statements that are kept. */
int sql_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret);
/* Steps a statement that gives no rows, and resets it. */
int sql_run(sqlite3 *db, sqlite3_stmt *stmt);

/*
 * A row's values, one after another. A value of another type, or out of bounds, gives 0, "" or
 * NULL and sets `bad` for good; it may be tested once per row.
 */
struct sql_row {
	sqlite3_stmt *stmt;
	int column;
	bool bad;
};

int64_t sql_i64(struct sql_row *row);
uint64_t sql_u64(struct sql_row *row); /* all 64 bits: kept in SQLite's signed integers */
uint32_t sql_u32(struct sql_row *row, uint32_t max);
bool sql_is_null(struct sql_row *row); /* and skips it if so */
/* Valid until the next step; no NUL inside. */
const char *sql_text(struct sql_row *row, size_t max_bytes);
const void *sql_blob(struct sql_row *row, size_t max_bytes, size_t *ret_size);

#endif
