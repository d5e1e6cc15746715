/* SPDX-License-Identifier: Apache-2.0 */
#include "query/plain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "query/plain_table.h"
#include "store/message.h"
#include "store/sql.h"

#define PAGE_BYTES_USUAL 4096
/* Of any one value: no text or blob of a profile is longer than its sample blocks. */
#define VALUE_BYTES_MAX (16 << 20)

/* ---- ids over all segments ---- */

static uint32_t count_of(const struct store_tables *t, enum plain_id kind)
{
	switch (kind) {
	case PLAIN_BINARY:
		return (uint32_t)t->binaries_n;
	case PLAIN_FUNCTION:
		return (uint32_t)t->functions_n;
	case PLAIN_FRAME:
		return (uint32_t)t->frames_n;
	case PLAIN_STACK:
		return (uint32_t)t->stacks_n;
	case PLAIN_PROCESS:
		return (uint32_t)t->processes_n;
	default:
		return (uint32_t)t->threads_n;
	}
}

int64_t plain_rows(const struct plain *q, enum plain_id kind)
{
	return (int64_t)q->bases[q->profile->segments_n].before[kind] + 1;
}

int64_t plain_id(const struct plain *q, enum plain_id kind, uint32_t segment, uint32_t index)
{
	return index ? (int64_t)q->bases[segment].before[kind] + index : 0;
}

bool plain_find(const struct plain *q, enum plain_id kind, int64_t id, uint32_t *ret_segment,
		uint32_t *ret_index)
{
	uint32_t segment = 0;

	if (id < 0 || id >= plain_rows(q, kind))
		return false;
	while (id > 0 && id > q->bases[segment + 1].before[kind])
		segment++;
	*ret_segment = segment;
	*ret_index = id ? (uint32_t)(id - q->bases[segment].before[kind]) : 0;
	return true;
}

uint32_t plain_inlines(const struct plain *q, uint32_t segment, uint32_t index)
{
	uint32_t n;

	segment_inlines(&q->profile->segments[segment], index, &n);
	return n;
}

uint32_t plain_frame_item(struct plain *q, uint32_t segment, uint32_t index, uint32_t depth)
{
	const struct segment *s = &q->profile->segments[segment];
	uint32_t n, first = segment_inlines(s, index, &n);
	uint32_t *item = &q->bases[segment].frame_items[index];

	if (depth) {
		item = &q->bases[segment].inline_items[first + depth - 1];
		if (!*item)
			*item = item_of_inline(&q->items, s,
					       s->tables.inlines[first + depth - 1].function);
	} else if (!*item) {
		*item = index ? item_of_frame(&q->items, s, &s->tables.frames[index - 1])
			      : item_of_no_stack(&q->items);
	}
	return *item;
}

int64_t plain_signed(uint64_t v)
{
	return v > INT64_MAX ? INT64_MAX : (int64_t)v;
}

static int number_rows(struct plain *q)
{
	struct profile *p = q->profile;

	q->bases = calloc(p->segments_n + 1, sizeof(*q->bases));
	if (!q->bases)
		return -ENOMEM;
	for (size_t i = 0; i < p->segments_n; i++) {
		int r = segment_load(p, &p->segments[i]);

		if (r < 0)
			return r;
		for (enum plain_id k = 0; k < PLAIN_ID_MAX; k++)
			if (__builtin_add_overflow(q->bases[i].before[k],
						   count_of(&p->segments[i].tables, k),
						   &q->bases[i + 1].before[k]))
				return -E2BIG;
		q->bases[i].frame_items =
			calloc(p->segments[i].tables.frames_n + 1, sizeof(uint32_t));
		q->bases[i].inline_items =
			calloc(p->segments[i].tables.inlines_n + 1, sizeof(uint32_t));
		if (!q->bases[i].frame_items || !q->bases[i].inline_items)
			return -ENOMEM;
	}
	return 0;
}

static int select_ticks(struct plain *q)
{
	const struct profile *p = q->profile;

	q->ticks = calloc(p->ticks_n + 1, sizeof(*q->ticks));
	q->damaged = calloc(p->ticks_n + 1, sizeof(*q->damaged));
	if (!q->ticks || !q->damaged)
		return -ENOMEM;
	for (size_t i = 0; i < p->ticks_n; i++)
		q->ticks[i] = query_selects_tick(p, &q->selection, &p->ticks[i]);
	return 0;
}

DEFINE_CLEANUP(struct plain *, plain_close);

int plain_new(struct profile *p, const struct query_selection *s, struct plain **ret,
	      char **ret_message)
{
	_cleanup_(plain_closep) struct plain *q = calloc(1, sizeof(*q));
	int r;

	*ret_message = NULL;
	if (!q)
		return message_fail(ret_message, -ENOMEM, "%s: out of memory", p->path);
	q->profile = p;
	q->selection = *s;
	q->page_bytes = profile_meta_u64(p, "page_bytes", PAGE_BYTES_USUAL);
	free(TAKE_PTR(p->message));
	r = number_rows(q);
	if (r == 0)
		r = select_ticks(q);
	if (r == 0)
		r = item_table_init(&q->items);
	if (r == 0)
		r = strings_new(0, &q->texts);
	if (r < 0)
		return p->message ? message_fail(ret_message, r, "%s", p->message)
				  : message_fail(ret_message, r, "%s: %s", p->path, strerror(-r));
	*ret = TAKE_PTR(q);
	return 0;
}

void plain_close(struct plain *q)
{
	if (!q)
		return;
	sqlite3_finalize(q->stmt);
	sqlite3_close(q->db);
	for (size_t i = 0; q->bases && i < q->profile->segments_n; i++) {
		free(q->bases[i].frame_items);
		free(q->bases[i].inline_items);
		idmap_release(&q->bases[i].metric_ids);
	}
	free(q->bases);
	free(q->ticks);
	free(q->damaged);
	item_table_release(&q->items);
	if (q->texts)
		strings_free(q->texts);
	free(q->metrics);
	free(q->events);
	free(q->message);
	free(q);
}

/* ---- the connection ---- */

int plain_create_views(sqlite3 *db, const struct plain *q, bool written)
{
	(void)q;
	for (const struct plain_view *v = plain_views; v->name; v++) {
		const char *body = v->live_sql && !written ? v->live_sql : v->sql;
		char *sql = v->written_only && !written
				    ? NULL
				    : sqlite3_mprintf("CREATE VIEW %s AS %s", v->name, body);
		int r = 0;

		if (sql)
			r = sql_exec(db, sql);
		else if (!v->written_only || written)
			r = -ENOMEM;
		sqlite3_free(sql);
		if (r < 0)
			return r;
	}
	return 0;
}

static void limit(sqlite3 *db)
{
	static const int limits[][2] = { { SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX },
					 { SQLITE_LIMIT_SQL_LENGTH, 1 << 20 },
					 { SQLITE_LIMIT_EXPR_DEPTH, 200 },
					 { SQLITE_LIMIT_COMPOUND_SELECT, 100 },
					 { SQLITE_LIMIT_VDBE_OP, 250000 },
					 { SQLITE_LIMIT_FUNCTION_ARG, 100 },
					 { SQLITE_LIMIT_ATTACHED, 0 },
					 { SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 200 },
					 { SQLITE_LIMIT_VARIABLE_NUMBER, 0 },
					 { SQLITE_LIMIT_TRIGGER_DEPTH, 0 },
					 { SQLITE_LIMIT_WORKER_THREADS, 0 } };

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		sqlite3_limit(db, limits[i][0], limits[i][1]);
	sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
	sqlite3_extended_result_codes(db, 1);
}

static bool is_forbidden_function(const char *name)
{
	static const char *const names[] = { "load_extension", "readfile", "writefile", "edit",
					     "fts3_tokenizer" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (sqlite3_stricmp(name, names[i]) == 0)
			return true;
	return false;
}

/* Reading is allowed, and nothing else: what is not on this list is new to us, too. */
static int authorize(void *data, int action, const char *a, const char *b, const char *schema,
		     const char *view)
{
	struct plain *q = data;

	(void)a, (void)schema, (void)view;
	switch (action) {
	case SQLITE_SELECT:
	case SQLITE_READ:
	case SQLITE_RECURSIVE:
		return SQLITE_OK;
	case SQLITE_FUNCTION:
		if (!is_forbidden_function(b))
			return SQLITE_OK;
		q->refused = "this function is";
		break;
	case SQLITE_ATTACH:
	case SQLITE_DETACH:
		q->refused = "ATTACH and DETACH are";
		break;
	case SQLITE_PRAGMA:
		q->refused = "PRAGMA is";
		break;
	case SQLITE_TRANSACTION:
	case SQLITE_SAVEPOINT:
		q->refused = "transactions are";
		break;
	default:
		q->refused = "whatever changes something is";
	}
	return SQLITE_DENY;
}

/* SQLite makes a table like these at its first use, by a CREATE: before there is somebody to refuse it. */
static int touch_tables(sqlite3 *db)
{
	int r = 0;

	for (const struct plain_table *t = plain_tables; t->name && r == 0; t++) {
		char sql[96];

		snprintf(sql, sizeof(sql), "SELECT 1 FROM %s LIMIT 0", t->name);
		r = sql_exec(db, sql);
	}
	return r;
}

static int connect_tables(struct plain *q)
{
	int r;

	if (sqlite3_open_v2(":memory:", &q->db,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
			    NULL) != SQLITE_OK)
		return -ENOMEM;
	limit(q->db);
	r = sql_exec(q->db, "PRAGMA temp_store=MEMORY");
	if (r == 0)
		r = plain_register(q, q->db, false);
	if (r == 0)
		r = plain_register_functions(q, q->db);
	if (r == 0)
		r = plain_create_views(q->db, q, false);
	if (r == 0)
		r = touch_tables(q->db);
	if (r == 0)
		sqlite3_set_authorizer(q->db, authorize, q);
	return r;
}

int plain_open(struct profile *p, const struct query_selection *s, struct plain **ret,
	       char **ret_message)
{
	_cleanup_(plain_closep) struct plain *q = NULL;
	int r = plain_new(p, s, &q, ret_message);

	if (r < 0)
		return r;
	r = connect_tables(q);
	if (r < 0)
		return message_fail(ret_message, r, "%s: %s", p->path,
				    q->db ? sqlite3_errmsg(q->db) : strerror(-r));
	*ret = TAKE_PTR(q);
	return 0;
}

/* ---- statements ---- */

/* Blank space, semicolons and comments: nothing more is asked. */
static bool is_empty(const char *sql)
{
	while (*sql) {
		if (strncmp(sql, "--", 2) == 0) {
			sql += strcspn(sql, "\n");
		} else if (strncmp(sql, "/*", 2) == 0) {
			const char *end = strstr(sql + 2, "*/");

			sql = end ? end + 2 : sql + strlen(sql);
		} else if (strchr(" \t\r\n\f;", *sql)) {
			sql++;
		} else {
			return false;
		}
	}
	return true;
}

static int fail_statement(struct plain *q)
{
	int code = sqlite3_errcode(q->db) & 0xff;

	if (q->refused)
		return message_fail(&q->message, -EPERM,
				    "refused: %s not allowed here, only SELECT", q->refused);
	if (code == SQLITE_NOMEM)
		return message_fail(&q->message, -ENOMEM,
				    "out of memory: the statement holds too much at a time");
	return message_fail(&q->message, -EINVAL, "%s", sqlite3_errmsg(q->db));
}

int plain_prepare(struct plain *q, const char *sql)
{
	const char *rest;
	int rc;

	sqlite3_finalize(TAKE_PTR(q->stmt));
	q->refused = NULL;
	if (is_empty(sql))
		return message_fail(&q->message, -EINVAL, "an empty statement");
	rc = sqlite3_prepare_v2(q->db, sql, -1, &q->stmt, &rest);
	if (rc != SQLITE_OK)
		return fail_statement(q);
	if (sqlite3_column_count(q->stmt) ==
	    0) /* REINDEX asks nobody where there is nothing to do */
		return message_fail(&q->message, -EPERM,
				    "refused: no SELECT, and nothing else is allowed here");
	if (!is_empty(rest))
		return message_fail(&q->message, -EINVAL, "one statement at a time");
	return 0;
}

size_t plain_columns(const struct plain *q)
{
	return (size_t)sqlite3_column_count(q->stmt);
}

const char *plain_column_name(const struct plain *q, size_t column)
{
	const char *name = sqlite3_column_name(q->stmt, (int)column);

	return name ? name : "";
}

int plain_step(struct plain *q)
{
	int rc = sqlite3_step(q->stmt);

	if (rc == SQLITE_ROW)
		return 1;
	return rc == SQLITE_DONE ? 0 : fail_statement(q);
}

struct plain_value plain_value(const struct plain *q, size_t column)
{
	int i = (int)column;
	struct plain_value v = { .data = "" };

	switch (sqlite3_column_type(q->stmt, i)) {
	case SQLITE_INTEGER:
		v.type = PLAIN_INTEGER;
		v.integer = sqlite3_column_int64(q->stmt, i);
		break;
	case SQLITE_FLOAT:
		v.type = PLAIN_REAL;
		v.real = sqlite3_column_double(q->stmt, i);
		break;
	case SQLITE_TEXT:
		v.type = PLAIN_TEXT;
		v.data = (const char *)sqlite3_column_text(q->stmt, i);
		v.size = (size_t)sqlite3_column_bytes(q->stmt, i);
		break;
	case SQLITE_BLOB:
		v.type = PLAIN_BLOB;
		v.data = sqlite3_column_blob(q->stmt, i);
		v.size = (size_t)sqlite3_column_bytes(q->stmt, i);
		break;
	default:
		break;
	}
	if (!v.data) /* no memory, or an empty blob */
		v = (struct plain_value){ .type = v.type, .data = "" };
	return v;
}

const char *plain_message(const struct plain *q)
{
	return q->message ? q->message : "out of memory";
}

uint32_t plain_damaged_ticks(const struct plain *q)
{
	return q->damaged_ticks;
}

bool plain_describe(size_t i, struct plain_description *ret)
{
	size_t tables = 0;
	struct buf b = { 0 };

	while (plain_tables[tables].name)
		tables++;
	if (i < tables) {
		*ret = (struct plain_description){ plain_tables[i].name, plain_tables[i].help,
						   NULL };
		if (plain_tables[i].columns(&b) == 0 && buf_str(&b))
			ret->columns = strdup(buf_str(&b));
		buf_release(&b);
		return true;
	}
	for (const struct plain_view *v = plain_views; v->name; v++) {
		if (v->written_only || i-- > tables)
			continue;
		*ret = (struct plain_description){ v->name, v->help, NULL };
		return true;
	}
	return false;
}
