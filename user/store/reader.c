/* SPDX-License-Identifier: Apache-2.0 */
#include "store/reader.h"

#include <errno.h>
#include <string.h>

#include "base/array.h"
#include "store/create.h"
#include "store/message.h"
#include "store/writer.h"

#define META_MAX 1000
#define KEY_MAX	 256 /* bytes of a key of meta, the name of a counter */

int reader_fail(struct store_reader *r, int error, const char *table)
{
	const char *why = r->db ? sqlite3_errmsg(r->db) : "";

	if (error == -ENOMEM)
		return message_fail(&r->message, error, "%s: out of memory", r->path);
	if (r->db && sqlite3_errcode(r->db) != SQLITE_OK && sqlite3_errcode(r->db) != SQLITE_DONE &&
	    sqlite3_errcode(r->db) != SQLITE_ROW)
		return message_fail(&r->message, error, "%s: damaged in %s: %s", r->path, table,
				    why);
	return message_fail(&r->message, error, "%s: damaged in %s", r->path, table);
}

int reader_each(struct store_reader *r, const char *table, const char *sql, reader_row_fn each,
		void *data)
{
	_cleanup_(sqlite3_finalizep) sqlite3_stmt *stmt = NULL;
	int e = sql_prepare(r->db, sql, &stmt), rc;

	if (e < 0)
		return reader_fail(r, e, table);
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct sql_row row = { .stmt = stmt };

		e = each(data, &row);
		if (e == 0 && row.bad)
			e = -EBADMSG;
		if (e == -EBADMSG || e == -ENOMEM)
			return reader_fail(r, e, table);
		if (e < 0)
			return e; /* the caller's own */
	}
	return rc == SQLITE_DONE ? 0 : reader_fail(r, sql_error(r->db, rc), table);
}

static int take_meta(void *data, struct sql_row *row)
{
	struct store_reader *r = data;
	const char *key = sql_text(row, KEY_MAX);
	const char *value = sql_text(row, SCHEMA_TEXT_MAX);
	struct meta *m;

	if (row->bad || r->meta_n == META_MAX)
		return -EBADMSG;
	if (array_reserve(&r->meta, &r->meta_cap, r->meta_n + 1) < 0)
		return -ENOMEM;
	m = &r->meta[r->meta_n++];
	m->key = strdup(key);
	m->value = strdup(value);
	return m->key && m->value ? 0 : -ENOMEM;
}

static int check_contents(struct store_reader *r, char **ret_message)
{
	const char *what;
	int e = schema_check(r->db, r->format, r->health, &what);

	if (e < 0)
		return message_fail(ret_message, e, "%s: not a kymo profile, or damaged: %s",
				    r->path, what);
	e = reader_each(r, "meta", "SELECT key, value FROM meta ORDER BY key", take_meta, r);
	if (e == 0)
		e = sql_prepare(r->db,
				"SELECT rows, samples, block FROM sample_block WHERE tick = ?",
				&r->block_stmt);
	if (e < 0)
		return message_fail(ret_message, e, "%s",
				    r->message ? r->message : sqlite3_errmsg(r->db));
	return 0;
}

DEFINE_CLEANUP(struct store_reader *, store_reader_close);

int store_open(const char *path, struct store_reader **ret, char **ret_message)
{
	_cleanup_(store_reader_closep) struct store_reader *r = calloc(1, sizeof(*r));
	int e;

	*ret_message = NULL;
	if (!r)
		return message_fail(ret_message, -ENOMEM, "%s: out of memory", path);
	r->dir_fd = r->fd = r->wal_fd = -1;
	r->hold = HOLD_NONE;
	r->path = strdup(path);
	if (!r->path || block_codec_new(&r->codec) < 0)
		return message_fail(ret_message, -ENOMEM, "%s: out of memory", path);
	e = reader_connect(r, ret_message);
	if (e == 0)
		e = check_contents(r, ret_message);
	if (e == 0)
		*ret = TAKE_PTR(r);
	return e;
}

void store_reader_close(struct store_reader *r)
{
	if (!r)
		return;
	sqlite3_finalize(r->block_stmt);
	if (r->db)
		sqlite3_close(r->db);
	vfs_free(r->vfs);
	hold_release(&r->hold);
	closep(&r->wal_fd);
	closep(&r->fd);
	closep(&r->dir_fd);
	block_codec_free(r->codec);
	for (size_t i = 0; i < r->meta_n; i++) {
		free(r->meta[i].key);
		free(r->meta[i].value);
	}
	free(r->meta);
	free(r->path);
	free(r->message);
	free(r);
}

unsigned store_format(const struct store_reader *r)
{
	return r->format;
}

const char *store_meta(struct store_reader *r, const char *key)
{
	for (size_t i = 0; i < r->meta_n; i++)
		if (strcmp(r->meta[i].key, key) == 0)
			return r->meta[i].value;
	return NULL;
}

bool store_meta_at(struct store_reader *r, size_t i, const char **ret_key, const char **ret_value)
{
	if (i >= r->meta_n)
		return false;
	*ret_key = r->meta[i].key;
	*ret_value = r->meta[i].value;
	return true;
}

bool store_is_recorded(struct store_reader *r)
{
	return create_is_recording(r->fd);
}

bool store_ended(struct store_reader *r)
{
	return store_meta(r, STORE_META_ENDED) != NULL;
}

const char *store_reader_message(struct store_reader *r)
{
	return r->message ? r->message : "";
}

/* ---- what belongs to ticks ---- */

struct read_ticks {
	const bool *health; /* columns that the query has */
	struct store_tick *ticks;
	size_t n, cap;
};

static int take_tick(void *data, struct sql_row *row)
{
	struct read_ticks *t = data;
	struct store_tick *tick;

	if (array_reserve(&t->ticks, &t->cap, t->n + 1) < 0)
		return -ENOMEM;
	tick = &t->ticks[t->n];
	*tick = (struct store_tick){ .id = sql_u32(row, UINT32_MAX) };
	tick->start_ns = sql_u64(row);
	tick->end_ns = sql_u64(row);
	tick->wall_ns = sql_u64(row);
	tick->health.read_errors = sql_u32(row, UINT32_MAX);
	if (!sql_is_null(row))
		tick->rows = sql_u32(row, BLOCK_ROWS_MAX);
	for (size_t i = 0; i < HEALTH_MAX; i++) {
		if (!t->health[i] || sql_is_null(row))
			continue;
		tick->health.value[i] = sql_i64(row);
		tick->health.present[i] = true;
	}
	/* Ascending: a damaged tree may lead round in a circle. */
	if (row->bad || tick->id == 0 || (t->n && tick->id <= t->ticks[t->n - 1].id))
		return -EBADMSG;
	t->n++;
	return 0;
}

int store_read_ticks(struct store_reader *r, struct store_tick **ret, size_t *ret_n)
{
	struct read_ticks t = { .health = r->health };
	struct buf sql = { 0 };
	int e = buf_append_str(
		&sql, "SELECT t.id, t.start_ns, t.end_ns, t.wall_ns, t.read_errors, b.rows");

	for (size_t i = 0; i < HEALTH_MAX && e == 0; i++)
		if (r->health[i])
			e = buf_printf(&sql, ", t.%s", health_columns[i].column);
	if (e == 0)
		e = buf_append_str(&sql,
				   " FROM tick AS t LEFT JOIN sample_block AS b ON b.tick = t.id "
				   "ORDER BY t.id");
	if (e == 0)
		e = buf_str(&sql) ? 0 : -ENOMEM;
	e = e < 0 ? reader_fail(r, e, "tick")
		  : reader_each(r, "tick", (char *)sql.data, take_tick, &t);
	buf_release(&sql);
	if (e < 0) {
		free(t.ticks);
		return e;
	}
	*ret = t.ticks;
	*ret_n = t.n;
	return 0;
}

static int decode_block(struct store_reader *r, struct store_block *block)
{
	struct sql_row row = { .stmt = r->block_stmt };
	uint32_t rows = sql_u32(&row, BLOCK_ROWS_MAX);
	uint32_t samples = sql_u32(&row, BLOCK_SAMPLES_MAX);
	size_t size;
	const void *data = sql_blob(&row, BLOCK_SIZE_MAX, &size);
	int e;

	if (row.bad || !data)
		return -EBADMSG;
	e = block_decode(r->codec, data, size, block);
	if (e == 0 && (block->rows_n != rows || block->offsets_n != samples))
		e = -EBADMSG;
	return e;
}

int store_read_block(struct store_reader *r, uint32_t tick, struct store_block *block)
{
	int rc, e = 0;

	block->rows_n = block->offsets_n = 0;
	sqlite3_bind_int64(r->block_stmt, 1, tick);
	rc = sqlite3_step(r->block_stmt);
	if (rc == SQLITE_ROW)
		e = decode_block(r, block);
	else if (rc != SQLITE_DONE) /* DONE: a tick without samples has no block */
		e = sql_error(r->db, rc);
	if (e < 0) {
		block->rows_n = block->offsets_n = 0;
		reader_fail(r, e, "sample_block");
	}
	sqlite3_reset(r->block_stmt);
	return e;
}

/* Rows come in the order of their key (tick, key), each greater than the one before. */
struct key_order {
	uint32_t tick;
	char key[KEY_MAX + 1];
	uint64_t number;
	bool started;
};

static bool in_order(struct key_order *o, uint32_t tick, const char *key, uint64_t number)
{
	int c = !o->started	     ? 1
		: tick != o->tick    ? (tick > o->tick ? 1 : -1)
		: key		     ? strcmp(key, o->key)
		: number > o->number ? 1
				     : -1;

	o->started = true;
	o->tick = tick;
	o->number = number;
	if (key)
		strcpy(o->key, key);
	return c > 0;
}

#define QUALITY_SQL   "SELECT tick, counter, value FROM quality "
#define QUALITY_ORDER "ORDER BY tick, counter"
/* CROSS: the labels lead, in the order of their key. */
#define LABEL_SQL                                                     \
	"SELECT l.tick, l.metric, l.value, m.name, m.labels, m.unit " \
	"FROM health_label AS l CROSS JOIN metric AS m ON m.id = l.metric "
#define LABEL_ORDER "ORDER BY l.tick, l.metric"
#define PROCESS_TICK_SQL                                                        \
	"SELECT tick, process, ended, cpu_ns, rss_anon_pages, rss_file_pages, " \
	"rss_shmem_pages, swap_pages, minor_faults, major_faults, read_bytes, " \
	"write_bytes, voluntary_switches, involuntary_switches FROM process_tick "
#define PROCESS_TICK_ORDER "ORDER BY tick, process"

struct read_quality {
	struct key_order order;
	int (*each)(void *data, const struct store_quality *q);
	void *data;
};

static int take_quality(void *data, struct sql_row *row)
{
	struct read_quality *t = data;
	struct store_quality q = { .tick = sql_u32(row, UINT32_MAX) };

	q.counter = sql_text(row, KEY_MAX);
	q.value = sql_i64(row);
	if (row->bad || !in_order(&t->order, q.tick, q.counter, 0))
		return -EBADMSG;
	return t->each(t->data, &q);
}

int store_read_quality(struct store_reader *r,
		       int (*each)(void *data, const struct store_quality *q), void *data)
{
	struct read_quality t = { .each = each, .data = data };

	return reader_each(r, "quality", QUALITY_SQL QUALITY_ORDER, take_quality, &t);
}

struct read_labels {
	struct key_order order;
	int (*each)(void *data, const struct store_label *l);
	void *data;
};

static int take_label(void *data, struct sql_row *row)
{
	struct read_labels *t = data;
	struct store_label l = { .tick = sql_u32(row, UINT32_MAX) };

	l.id = sql_u32(row, UINT32_MAX);
	l.value = sql_i64(row);
	l.metric = sql_text(row, SCHEMA_TEXT_MAX);
	l.labels = sql_text(row, SCHEMA_TEXT_MAX);
	l.unit = sql_text(row, SCHEMA_TEXT_MAX);
	if (row->bad || !in_order(&t->order, l.tick, NULL, l.id))
		return -EBADMSG;
	return t->each(t->data, &l);
}

int store_read_labels(struct store_reader *r, int (*each)(void *data, const struct store_label *l),
		      void *data)
{
	struct read_labels t = { .each = each, .data = data };

	return reader_each(r, "health_label", LABEL_SQL LABEL_ORDER, take_label, &t);
}

struct read_process_ticks {
	struct key_order order;
	int (*each)(void *data, uint32_t tick, const struct process_tick *p);
	void *data;
};

static int take_process_tick(void *data, struct sql_row *row)
{
	struct read_process_ticks *t = data;
	uint32_t tick = sql_u32(row, UINT32_MAX);
	struct process_tick p = { .process = sql_u32(row, UINT32_MAX) };

	p.ended = (uint8_t)sql_u32(row, 1);
	p.change.cpu_ns = sql_i64(row);
	p.change.rss_anon_pages = sql_i64(row);
	p.change.rss_file_pages = sql_i64(row);
	p.change.rss_shmem_pages = sql_i64(row);
	p.change.swap_pages = sql_i64(row);
	p.change.minor_faults = sql_i64(row);
	p.change.major_faults = sql_i64(row);
	p.change.read_bytes = sql_i64(row);
	p.change.write_bytes = sql_i64(row);
	p.change.voluntary_switches = sql_i64(row);
	p.change.involuntary_switches = sql_i64(row);
	if (row->bad || !in_order(&t->order, tick, NULL, p.process))
		return -EBADMSG;
	return t->each(t->data, tick, &p);
}

int store_read_process_ticks(struct store_reader *r,
			     int (*each)(void *data, uint32_t tick, const struct process_tick *p),
			     void *data)
{
	struct read_process_ticks t = { .each = each, .data = data };

	return reader_each(r, "process_tick", PROCESS_TICK_SQL PROCESS_TICK_ORDER,
			   take_process_tick, &t);
}

struct read_sums {
	struct read_process_ticks ticks;
	enum store_sum what;
};

static int take_process_sum(void *data, struct sql_row *row)
{
	struct read_sums *s = data;
	uint32_t tick = sql_u32(row, UINT32_MAX);
	int64_t first = sql_i64(row), second = sql_i64(row);
	struct process_tick p = { 0 };

	if (s->what == STORE_SUM_CPU)
		p.change.cpu_ns = first;
	else
		p.change.minor_faults = first, p.change.major_faults = second;
	if (row->bad || !in_order(&s->ticks.order, tick, NULL, 0))
		return -EBADMSG;
	return s->ticks.each(s->ticks.data, tick, &p);
}

/* total() adds doubles and the cast saturates: the sum of an enemy's integers would be an error. */
#define SUMS(first, second) \
	"SELECT tick, " first ", " second " FROM process_tick GROUP BY tick ORDER BY tick"
#define SUM(column) "CAST(total(" column ") AS INTEGER)"

int store_sum_process_ticks(struct store_reader *r, enum store_sum what,
			    int (*each)(void *data, uint32_t tick, const struct process_tick *p),
			    void *data)
{
	static const char *const queries[] = {
		[STORE_SUM_CPU] = SUMS(SUM("cpu_ns"), "0"),
		[STORE_SUM_FAULTS] = SUMS(SUM("minor_faults"), SUM("major_faults")),
	};
	struct read_sums s = { .ticks = { .each = each, .data = data }, .what = what };

	return reader_each(r, "process_tick", queries[what], take_process_sum, &s);
}

struct read_events {
	int64_t last;
	int (*each)(void *data, uint32_t tick, const struct event *e);
	void *data;
};

static int take_event(void *data, struct sql_row *row)
{
	struct read_events *t = data;
	int64_t id = sql_i64(row);
	uint32_t tick = sql_u32(row, UINT32_MAX);
	struct event e = { .kind = sql_u32(row, EVENT_KIND_MAX - 1) };
	const char *fields;

	e.time_ns = sql_u64(row);
	e.duration_ns = sql_u64(row);
	e.thread = sql_u32(row, UINT32_MAX);
	e.stack = sql_u32(row, UINT32_MAX);
	fields = sql_text(row, SCHEMA_TEXT_MAX);
	e.fields = *fields ? (char *)fields : NULL;
	if (row->bad || id <= t->last)
		return -EBADMSG;
	t->last = id;
	return t->each(t->data, tick, &e);
}

int store_read_events(struct store_reader *r,
		      int (*each)(void *data, uint32_t tick, const struct event *e), void *data)
{
	struct read_events t = { .each = each, .data = data };

	return reader_each(r, "event",
			   "SELECT id, tick, kind, time_ns, duration_ns, thread, stack, fields "
			   "FROM event ORDER BY id",
			   take_event, &t);
}

struct read_metrics {
	uint32_t last;
	int (*each)(void *data, const struct health_metric *m);
	void *data;
};

static int take_metric(void *data, struct sql_row *row)
{
	struct read_metrics *t = data;
	struct health_metric m = { .id = sql_u32(row, UINT32_MAX) };

	m.name = (char *)sql_text(row, SCHEMA_TEXT_MAX);
	m.labels = (char *)sql_text(row, SCHEMA_TEXT_MAX);
	m.unit = (char *)sql_text(row, SCHEMA_TEXT_MAX);
	m.kind = sql_u32(row, HEALTH_GAUGE);
	if (row->bad || m.id <= t->last)
		return -EBADMSG;
	t->last = m.id;
	return t->each(t->data, &m);
}

int store_read_metrics(struct store_reader *r,
		       int (*each)(void *data, const struct health_metric *m), void *data)
{
	struct read_metrics t = { .each = each, .data = data };

	return reader_each(r, "metric",
			   "SELECT id, name, labels, unit, kind FROM metric ORDER BY id",
			   take_metric, &t);
}

/* ---- row by row ---- */

struct store_list {
	struct store_reader *reader;
	const struct list_kind *kind;
	sqlite3_stmt *stmt;
	struct store_item *item; /* of the call at hand */
	union {
		struct read_quality quality;
		struct read_labels labels;
		struct read_process_ticks process_ticks;
	} read;
};

static int keep_quality(void *data, const struct store_quality *q)
{
	struct store_list *l = data;

	l->item->quality = *q;
	return 0;
}

static int keep_label(void *data, const struct store_label *label)
{
	struct store_list *l = data;

	l->item->label = *label;
	return 0;
}

static int keep_process_tick(void *data, uint32_t tick, const struct process_tick *p)
{
	struct store_list *l = data;

	(void)tick;
	l->item->process = *p;
	return 0;
}

static const struct list_kind {
	const char *table, *sql;
	reader_row_fn take;
} list_kinds[] = {
	[STORE_LIST_QUALITY] = { "quality", QUALITY_SQL "WHERE tick = ? " QUALITY_ORDER,
				 take_quality },
	[STORE_LIST_LABEL] = { "health_label", LABEL_SQL "WHERE l.tick = ? " LABEL_ORDER,
			       take_label },
	[STORE_LIST_PROCESS_TICK] = { "process_tick",
				      PROCESS_TICK_SQL "WHERE tick = ? " PROCESS_TICK_ORDER,
				      take_process_tick },
};

int store_list_open(struct store_reader *r, enum store_list_kind kind, struct store_list **ret)
{
	struct store_list *l = calloc(1, sizeof(*l));
	int e;

	if (!l)
		return reader_fail(r, -ENOMEM, list_kinds[kind].table);
	l->reader = r;
	l->kind = &list_kinds[kind];
	e = sql_prepare(r->db, l->kind->sql, &l->stmt);
	if (e < 0) {
		free(l);
		return reader_fail(r, e, list_kinds[kind].table);
	}
	*ret = l;
	return 0;
}

void store_list_close(struct store_list *l)
{
	if (l)
		sqlite3_finalize(l->stmt);
	free(l);
}

void store_list_start(struct store_list *l, uint32_t tick)
{
	memset(&l->read, 0, sizeof(l->read));
	if (l->kind->take == take_quality) {
		l->read.quality.each = keep_quality;
		l->read.quality.data = l;
	} else if (l->kind->take == take_label) {
		l->read.labels.each = keep_label;
		l->read.labels.data = l;
	} else {
		l->read.process_ticks.each = keep_process_tick;
		l->read.process_ticks.data = l;
	}
	sqlite3_reset(l->stmt);
	sqlite3_bind_int64(l->stmt, 1, tick);
}

int store_list_next(struct store_list *l, struct store_item *ret)
{
	int rc = sqlite3_step(l->stmt), e;

	if (rc == SQLITE_ROW) {
		struct sql_row row = { .stmt = l->stmt };

		l->item = ret;
		e = l->kind->take(&l->read, &row);
		return e < 0 ? reader_fail(l->reader, e, l->kind->table) : 1;
	}
	e = sql_error(l->reader->db, rc);
	sqlite3_reset(l->stmt);
	return rc == SQLITE_DONE ? 0 : reader_fail(l->reader, e, l->kind->table);
}
