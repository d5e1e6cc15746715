/* SPDX-License-Identifier: Apache-2.0 */
/* The plain tables written out: an SQLite file that any program queries. One pass, row by row. */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "query/plain_table.h"
#include "store/message.h"
#include "store/sql.h"

/*
 * Tables that name things have only what others refer to: a selection of one process tells nothing of the
 * rest. Each stands behind those that refer to it.
 */
static const struct {
	const char *table, *condition;
} used[] = {
	{ "thread", "id IN (SELECT thread FROM sample UNION SELECT thread FROM event) "
		    "OR process IN (SELECT id FROM process)" },
	{ "stack", "id IN (WITH RECURSIVE up(id) AS (SELECT stack FROM sample UNION "
		   "SELECT stack FROM event WHERE stack IS NOT NULL UNION "
		   "SELECT k.parent FROM up JOIN kymo_stack AS k ON k.id = up.id "
		   "WHERE k.parent IS NOT NULL) SELECT id FROM up)" },
	{ "frame", "id IN (SELECT frame FROM stack)" },
	{ "frame_name", "frame IN (SELECT id FROM frame)" },
	{ "function", "id IN (SELECT function FROM frame UNION SELECT function FROM frame_name)" },
	{ "binary", "id IN (SELECT binary FROM frame UNION SELECT binary FROM function)" },
	{ "metric", "id IN (SELECT metric FROM health_label)" },
};

/* The order in which they are filled. */
/* clang-format off */
static const char *const order[] = {
	"meta", "tick", "health", "process", "sample", "process_tick", "event", "health_label",
	"quality", "thread", "stack", "frame", "frame_name", "function", "binary", "metric",
};
/* clang-format on */

static const char *condition_of(const char *table)
{
	for (size_t i = 0; i < sizeof(used) / sizeof(used[0]); i++)
		if (strcmp(used[i].table, table) == 0)
			return used[i].condition;
	return "true";
}

static const struct plain_table *find_table(const char *name)
{
	const struct plain_table *t = plain_tables;

	while (t->name && strcmp(t->name, name) != 0)
		t++;
	return t;
}

static int write_table(sqlite3 *db, const struct plain_table *t)
{
	struct buf b = { 0 };
	int r = buf_printf(&b, "CREATE TABLE %s(", t->name);

	if (r == 0)
		r = t->columns(&b);
	if (r == 0 && t->key)
		r = buf_printf(&b, ", %s) WITHOUT ROWID", t->key);
	else if (r == 0)
		r = buf_append_str(&b, ")");
	if (r == 0)
		r = buf_str(&b) ? sql_exec(db, buf_str(&b)) : -ENOMEM;
	buf_clear(&b);
	if (r == 0)
		r = buf_printf(&b, "INSERT INTO %s SELECT * FROM kymo_%s WHERE %s", t->name,
			       t->name, condition_of(t->name));
	if (r == 0)
		r = buf_str(&b) ? sql_exec(db, buf_str(&b)) : -ENOMEM;
	buf_release(&b);
	return r;
}

static int write_all(struct plain *q)
{
	/* Nobody sees the file before it is whole: no journal, and its owner syncs it or not. */
	int r = sql_exec(q->db, "PRAGMA page_size=4096; PRAGMA encoding='UTF-8';"
				"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
				"PRAGMA locking_mode=EXCLUSIVE; PRAGMA temp_store=MEMORY;"
				"PRAGMA cache_size=-8192; BEGIN");

	for (size_t i = 0; r == 0 && i < sizeof(order) / sizeof(order[0]); i++)
		r = write_table(q->db, find_table(order[i]));
	if (r == 0)
		r = plain_create_views(q->db, q, true);
	return r == 0 ? sql_exec(q->db, "COMMIT") : r;
}

DEFINE_CLEANUP(struct plain *, plain_close);

int plain_write(struct profile *p, const struct query_selection *s, const char *path,
		char **ret_message)
{
	_cleanup_(plain_closep) struct plain *q = NULL;
	int r = plain_new(p, s, &q, ret_message);

	if (r < 0)
		return r;
	r = sql_error(NULL, sqlite3_open_v2(path, &q->db,
					    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
						    SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW,
					    NULL) == SQLITE_OK
				    ? SQLITE_OK
				    : SQLITE_NOMEM);
	if (r == 0)
		r = plain_register(q, q->db, true);
	if (r == 0)
		r = write_all(q);
	if (r < 0)
		return message_fail(ret_message, r, "%s: %s", path,
				    r == -ENOSPC || !q->db ? strerror(-r) : sqlite3_errmsg(q->db));
	return 0;
}
