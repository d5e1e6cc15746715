/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the writer share. */
#ifndef KYMO_STORE_WRITER_H
#define KYMO_STORE_WRITER_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/buf.h"
#include "base/hmap.h"
#include "model/tick.h"
#include "store/block.h"
#include "store/create.h"
#include "store/hash.h"
#include "store/schema.h"
#include "store/sql.h"
#include "store/store.h"
#include "store/vfs.h"

#define STORE_META_ENDED "ended"

enum statement {
	STATEMENT_META,
	STATEMENT_TICK,
	STATEMENT_METRIC,
	STATEMENT_LABEL,
	STATEMENT_PROCESS,
	STATEMENT_THREAD,
	STATEMENT_THREAD_NAME,
	STATEMENT_PROCESS_TICK,
	STATEMENT_BINARY,
	STATEMENT_FUNCTION,
	STATEMENT_FRAME,
	STATEMENT_STACK,
	STATEMENT_EVENT,
	STATEMENT_QUALITY,
	STATEMENT_BLOCK,
	STATEMENT_NAME,
	STATEMENT_INLINE,
	STATEMENT_BUILD_ID,
	STATEMENT_MAX,
};

#define GAUGES_MAX (1u << 18) /* processes; of more, each tick is written whether changed or not */

/* The last ones written of a process: told again only when they change. */
struct gauges {
	int64_t rss_anon_pages, rss_file_pages, rss_shmem_pages, swap_pages;
};

struct store {
	struct create file;
	struct vfs *vfs;
	sqlite3 *db; /* NULL after store_finish */
	sqlite3_stmt *statements[STATEMENT_MAX];
	struct block_codec *codec;
	struct hashes *hashes;
	struct hmap gauges; /* process -> struct gauges */
	struct buf block, text;
	int wal_pages;
	bool full; /* the disk was: nothing but the end is written any more */
	uint64_t final_bytes;
};

/* Values of a statement, one after another; the first error stays. */
struct bind {
	struct store *store;
	sqlite3_stmt *stmt;
	int column;
	int error;
};

struct bind bind_start(struct store *s, enum statement which);
void bind_i64(struct bind *b, int64_t v);
void bind_u64(struct bind *b, uint64_t v);
void bind_null(struct bind *b);
void bind_text(struct bind *b,
	       const char *text); /* as valid UTF-8, cut at SCHEMA_TEXT_MAX; NULL is "" */
void bind_blob(struct bind *b, const void *data, size_t size); /* stays until bind_run */
int bind_run(struct bind *b);

/* Every row of a tick, of late names; within the caller's transaction. */
int rows_write_tick(struct store *s, const struct tick *tick);
int rows_write_names(struct store *s, const struct late_names *names);

#endif
