/* SPDX-License-Identifier: Apache-2.0 */
/* Inside query: what the plain tables are made of. */
#ifndef KYMO_QUERY_PLAIN_TABLE_H
#define KYMO_QUERY_PLAIN_TABLE_H

#include <sqlite3.h>

#include "base/buf.h"
#include "query/item.h"
#include "query/plain.h"
#include "query/segment.h"

/* What has an id of its own: those of all segments in one sequence from 1; 0 is a row, too: "unknown", "none". */
enum plain_id {
	PLAIN_BINARY,
	PLAIN_FUNCTION,
	PLAIN_FRAME,
	PLAIN_STACK,
	PLAIN_PROCESS,
	PLAIN_THREAD,
	PLAIN_ID_MAX,
};

/* Where each segment's rows begin. */
struct plain_base {
	uint32_t before[PLAIN_ID_MAX];
	uint32_t metrics;	/* before those of this segment */
	uint32_t *frame_items;	/* by index + 1; 0 = not asked yet */
	uint32_t *inline_items; /* by index in tables.inlines */
	struct idmap metric_ids;
};

struct plain_event {
	size_t tick;
	uint32_t segment;
	uint32_t fields; /* of texts */
	struct event event;
};

struct plain_metric {
	uint32_t id; /* within its segment */
	uint32_t name, labels, unit;
	enum health_kind kind;
};

struct plain {
	struct profile *profile;
	struct query_selection selection;
	uint64_t page_bytes;
	sqlite3 *db;
	sqlite3_stmt *stmt;
	const char *refused;	  /* what the authorizer said no to */
	struct plain_base *bases; /* segments_n + 1: the last has the sums */
	bool *ticks;		  /* selected; by index */
	struct item_table items;
	struct strings *texts;
	struct plain_metric *metrics; /* of all segments, in their order */
	size_t metrics_n, metrics_cap;
	struct plain_event *events;
	size_t events_n, events_cap;
	bool has_events, has_metrics; /* have been read */
	uint32_t damaged_ticks;
	bool *damaged; /* by tick */
	char *message;
};

/* A place in a table. */
struct plain_cursor {
	sqlite3_vtab_cursor base; /* first: SQLite's */
	struct plain *plain;
	const struct plain_table *table;
	/* By id: the row; by tick: the tick's index; nested: the stack or frame. */
	int64_t at, end;
	int64_t rowid;
	/* Of the row at hand. */
	uint32_t segment, index; /* of an id: index + 1 within its segment, 0 = the row "unknown" */
	/* By tick. */
	struct store_block block;
	size_t row;	 /* of the block */
	uint32_t sample; /* of the row */
	uint32_t n;	 /* of the tick's rows, from 0 */
	struct store_list *list;
	uint32_t list_segment;
	struct store_item item;
	/* stack_frame; depth of frame_name, too. */
	uint32_t level, stack, depth;
};

enum plain_shape {
	PLAIN_BY_ID,   /* rows 0..n: the first column */
	PLAIN_BY_TICK, /* the first column is the tick */
	PLAIN_NESTED,  /* each row 0..n of another table has one row or more: the first column */
};

struct plain_table {
	const char *name, *help;
	enum plain_shape shape;
	int (*columns)(struct buf *b); /* "id INTEGER PRIMARY KEY, ..." */
	/* BY_ID, NESTED: rows; -errno. They are looked at one by one: */
	int64_t (*count)(struct plain *q);
	bool (*select)(struct plain_cursor *c); /* NULL = every row */
	/* BY_TICK: begins the tick; then rows until 0. NESTED: start has the first row already. -errno. */
	int (*start)(struct plain_cursor *c);
	int (*next)(struct plain_cursor *c);
	void (*value)(struct plain_cursor *c, sqlite3_context *to, int column);
	const char *key; /* of the table when it is written out: "PRIMARY KEY(tick, n)" */
};

/* Ends with one whose name is NULL. */
extern const struct plain_table plain_tables[];

/* A view over them; its text names the tables without a schema. */
struct plain_view {
	const char *name, *help, *sql; /* what stands behind AS */
	const char *live_sql; /* for kymo sql, where it can do better; NULL = sql is for both */
	bool written_only;    /* kymo sql has a table of that name */
};
extern const struct plain_view plain_views[];

/* Segment and index of the row `id`; false when there is none. id 0 has index 0. */
bool plain_find(const struct plain *q, enum plain_id kind, int64_t id, uint32_t *ret_segment,
		uint32_t *ret_index);
/* The id over all segments of an index + 1 of one; 0 stays 0. */
int64_t plain_id(const struct plain *q, enum plain_id kind, uint32_t segment, uint32_t index);
int64_t plain_rows(const struct plain *q, enum plain_id kind); /* with row 0 */
/* How many functions are inlined at a frame (index + 1). */
uint32_t plain_inlines(const struct plain *q, uint32_t segment, uint32_t index);
/* The item of a frame, or of what is inlined there: depth 1 is the outermost. 0 = out of memory. */
uint32_t plain_frame_item(struct plain *q, uint32_t segment, uint32_t index, uint32_t depth);
/* Saturated: SQL's integers have a sign. */
int64_t plain_signed(uint64_t v);

/* Columns of samples and accounts: plain_ticked.c. */
int plain_sample_columns(struct buf *b);
int plain_sample_start(struct plain_cursor *c);
int plain_sample_next(struct plain_cursor *c);
void plain_sample_value(struct plain_cursor *c, sqlite3_context *to, int column);
int plain_account_columns(struct buf *b);
int plain_account_start(struct plain_cursor *c);
int plain_account_next(struct plain_cursor *c);
void plain_account_value(struct plain_cursor *c, sqlite3_context *to, int column);
int plain_label_columns(struct buf *b);
int plain_label_start(struct plain_cursor *c);
int plain_label_next(struct plain_cursor *c);
void plain_label_value(struct plain_cursor *c, sqlite3_context *to, int column);
int plain_quality_columns(struct buf *b);
int plain_quality_start(struct plain_cursor *c);
int plain_quality_next(struct plain_cursor *c);
void plain_quality_value(struct plain_cursor *c, sqlite3_context *to, int column);
int64_t plain_metric_count(struct plain *q);
int64_t plain_event_count(struct plain *q);

/* Makes every table known to the connection, as "kymo_" NAME when `prefixed`. SQLite's code. */
int plain_register(struct plain *q, sqlite3 *db, bool prefixed);
/* stack_text(stack): its names as a folded line has them. */
int plain_register_functions(struct plain *q, sqlite3 *db);
/* Takes what needs no connection: ids, ticks. */
int plain_new(struct profile *p, const struct query_selection *s, struct plain **ret,
	      char **ret_message);
int plain_create_views(sqlite3 *db, const struct plain *q, bool written);

#endif
