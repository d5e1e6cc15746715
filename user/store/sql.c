/* SPDX-License-Identifier: Apache-2.0 */
#include "store/sql.h"

#include <errno.h>
#include <string.h>

static int io_error(sqlite3 *db, int extended)
{
	int error = sqlite3_system_errno(db);

	if (extended == SQLITE_IOERR_NOMEM)
		return -ENOMEM;
	if (extended == SQLITE_IOERR_SHORT_READ)
		return -EBADMSG;
	/* SQLite calls only ENOSPC "full": a quota and a file size limit are as final. */
	if (error == EDQUOT || error == EFBIG || error == ENOSPC)
		return -ENOSPC;
	return error > 0 ? -error : -EIO;
}

int sql_error(sqlite3 *db, int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_CONSTRAINT:
		return -EEXIST;
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
		return io_error(db, sqlite3_extended_errcode(db));
	case SQLITE_MISUSE:
		return -EINVAL;
	default: /* CORRUPT, NOTADB, TOOBIG, ERROR (no such table): what is read is not ours */
		return -EBADMSG;
	}
}

int sql_exec(sqlite3 *db, const char *sql)
{
	return sql_error(db, sqlite3_exec(db, sql, NULL, NULL, NULL));
}

int sql_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret)
{
	return sql_error(db, sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL));
}

int sql_run(sqlite3 *db, sqlite3_stmt *stmt)
{
	int r = sql_error(db, sqlite3_step(stmt));

	sqlite3_reset(stmt);
	return r;
}

int64_t sql_i64(struct sql_row *row)
{
	int column = row->column++;

	if (sqlite3_column_type(row->stmt, column) == SQLITE_INTEGER)
		return sqlite3_column_int64(row->stmt, column);
	row->bad = true;
	return 0;
}

uint64_t sql_u64(struct sql_row *row)
{
	return (uint64_t)sql_i64(row);
}

uint32_t sql_u32(struct sql_row *row, uint32_t max)
{
	int64_t v = sql_i64(row);

	if (v >= 0 && v <= (int64_t)max)
		return (uint32_t)v;
	row->bad = true;
	return 0;
}

bool sql_is_null(struct sql_row *row)
{
	if (sqlite3_column_type(row->stmt, row->column) != SQLITE_NULL)
		return false;
	row->column++;
	return true;
}

const char *sql_text(struct sql_row *row, size_t max_bytes)
{
	int column = row->column++;
	const char *text;
	size_t size;

	if (sqlite3_column_type(row->stmt, column) == SQLITE_TEXT) {
		text = (const char *)sqlite3_column_text(row->stmt, column);
		size = (size_t)sqlite3_column_bytes(row->stmt, column);
		if (text && size <= max_bytes && !memchr(text, '\0', size))
			return text;
	}
	row->bad = true;
	return "";
}

const void *sql_blob(struct sql_row *row, size_t max_bytes, size_t *ret_size)
{
	int column = row->column++;

	*ret_size = 0;
	if (sqlite3_column_type(row->stmt, column) == SQLITE_BLOB) {
		size_t size = (size_t)sqlite3_column_bytes(row->stmt, column);

		if (size <= max_bytes) {
			*ret_size = size;
			return sqlite3_column_blob(row->stmt, column);
		}
	}
	row->bad = true;
	return NULL;
}
