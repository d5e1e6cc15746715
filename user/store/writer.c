/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "store/message.h"
#include "store/writer.h"

static const char *const statements[STATEMENT_MAX] = {
	[STATEMENT_META] = "INSERT INTO meta VALUES(?, ?) "
			   "ON CONFLICT(key) DO UPDATE SET value = excluded.value",
	[STATEMENT_TICK] = NULL, /* its columns come from health.def */
	[STATEMENT_METRIC] = "INSERT OR REPLACE INTO metric VALUES(?, ?, ?, ?, ?)",
	[STATEMENT_LABEL] = "INSERT OR REPLACE INTO health_label VALUES(?, ?, ?)",
	[STATEMENT_PROCESS] = "INSERT OR REPLACE INTO process VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
	[STATEMENT_THREAD] = "INSERT OR REPLACE INTO thread VALUES(?, ?, ?, ?, ?)",
	[STATEMENT_THREAD_NAME] = "INSERT OR REPLACE INTO thread_name VALUES(?, ?)",
	[STATEMENT_PROCESS_TICK] = "INSERT OR REPLACE INTO process_tick "
				   "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	[STATEMENT_BINARY] = "INSERT INTO binary VALUES(?, ?, ?, ?, ?, ?)",
	[STATEMENT_FUNCTION] = "INSERT INTO function VALUES(?, ?, ?, ?, ?, ?, ?)",
	[STATEMENT_FRAME] = "INSERT INTO frame VALUES(?, ?, ?, ?, ?, ?, ?)",
	[STATEMENT_STACK] = "INSERT INTO stack VALUES(?, ?, ?, ?)",
	[STATEMENT_EVENT] = "INSERT INTO event(tick, kind, time_ns, duration_ns, thread, stack, "
			    "fields) VALUES(?, ?, ?, ?, ?, ?, ?)",
	[STATEMENT_QUALITY] = "INSERT INTO quality VALUES(?, ?, ?) "
			      "ON CONFLICT DO UPDATE SET value = value + excluded.value",
	[STATEMENT_BLOCK] = "INSERT INTO sample_block VALUES(?, ?, ?, ?)",
	[STATEMENT_NAME] = "UPDATE frame SET function = ?, line = ? WHERE id = ?",
	[STATEMENT_INLINE] = "INSERT OR REPLACE INTO inline VALUES(?, ?, ?, ?)",
	[STATEMENT_BUILD_ID] = "UPDATE binary SET build_id = ? WHERE id = ?",
};

/* Pages of WAL after which they are written into the file. */
#define CHECKPOINT_PAGES 1000

static int prepare_tick(struct store *s)
{
	struct buf names = { 0 }, marks = { 0 }, sql = { 0 };
	int r = schema_health_columns(&names, &marks);

	if (r == 0)
		r = buf_str(&names) && buf_str(&marks) ? 0 : -ENOMEM;
	if (r == 0)
		r = buf_printf(&sql,
			       "INSERT INTO tick(id, start_ns, end_ns, wall_ns, read_errors%s) "
			       "VALUES(?, ?, ?, ?, ?%s)",
			       (char *)names.data, (char *)marks.data);
	if (r == 0)
		r = sql_prepare(s->db, (char *)sql.data, &s->statements[STATEMENT_TICK]);
	buf_release(&names);
	buf_release(&marks);
	buf_release(&sql);
	return r;
}

static int prepare_all(struct store *s)
{
	int r = prepare_tick(s);

	for (size_t i = 0; i < STATEMENT_MAX && r == 0; i++)
		if (statements[i])
			r = sql_prepare(s->db, statements[i], &s->statements[i]);
	return r;
}

static int on_commit(void *data, sqlite3 *db, const char *name, int pages)
{
	struct store *s = data;

	(void)db, (void)name;
	s->wal_pages = pages;
	return SQLITE_OK;
}

/*
 * NORMAL: a power cut may take the last ticks, never the file (measured, with OFF it did). The
 * automatic checkpoint is ours, because SQLite's hides that the disk is full.
 */
static int configure(struct store *s)
{
	sqlite3_busy_timeout(s->db, 5000);
	sqlite3_wal_hook(s->db, on_commit, s);
	return sql_exec(s->db, "PRAGMA synchronous=NORMAL; PRAGMA secure_delete=OFF;"
			       "PRAGMA journal_size_limit=8388608; PRAGMA temp_store=MEMORY;"
			       "PRAGMA cache_size=-4096; PRAGMA mmap_size=0;"
			       "PRAGMA trusted_schema=OFF; PRAGMA foreign_keys=OFF");
}

static int open_database(struct store *s)
{
	char path[VFS_PATH_MAX];
	int r = vfs_new_writer(&s->vfs), rc;

	if (r < 0)
		return r;
	rc = sqlite3_open_v2(vfs_path(s->file.dir_fd, s->file.name, path), &s->db,
			     SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, vfs_name(s->vfs));
	if (rc != SQLITE_OK)
		return s->db ? sql_error(s->db, rc) : -ENOMEM;
	r = configure(s);
	return r == 0 ? prepare_all(s) : r;
}

DEFINE_CLEANUP(struct store *, store_close);

int store_create_at(int folder_fd, const char *path, uid_t uid, gid_t gid, struct store **ret,
		    char **ret_message)
{
	_cleanup_(store_closep) struct store *s = calloc(1, sizeof(*s));
	struct buf image = { 0 };
	int r;

	*ret_message = NULL;
	if (!s)
		return message_fail(ret_message, -ENOMEM, "%s: out of memory", path);
	s->file = CREATE_NONE;
	hmap_init(&s->gauges, sizeof(uint32_t), sizeof(struct gauges), GAUGES_MAX);
	r = hashes_new(&s->hashes);
	if (r == 0)
		r = block_codec_new(&s->codec);
	if (r == 0)
		r = schema_image(&image);
	if (r < 0)
		return message_fail(ret_message, r, "%s: %s", path, strerror(-r));
	r = create_profile(folder_fd, path, uid, gid, &image, &s->file, ret_message);
	buf_release(&image);
	if (r < 0)
		return r;
	r = open_database(s);
	if (r < 0)
		return message_fail(ret_message, r, "%s: SQLite cannot open it: %s", path,
				    s->db ? sqlite3_errmsg(s->db) : strerror(-r));
	*ret = TAKE_PTR(s);
	return 0;
}

int store_create(const char *path, uid_t uid, gid_t gid, struct store **ret, char **ret_message)
{
	return store_create_at(-1, path, uid, gid, ret, ret_message);
}

static void close_database(struct store *s)
{
	for (size_t i = 0; i < STATEMENT_MAX; i++) {
		sqlite3_finalize(s->statements[i]);
		s->statements[i] = NULL;
	}
	if (s->db)
		sqlite3_close(s->db);
	s->db = NULL;
	vfs_free(s->vfs);
	s->vfs = NULL;
	/* Only now: closing any descriptor of a file drops SQLite's locks on it. */
	create_release(&s->file);
}

void store_close(struct store *s)
{
	if (!s)
		return;
	close_database(s);
	hmap_release(&s->gauges);
	hashes_free(s->hashes);
	block_codec_free(s->codec);
	buf_release(&s->block);
	buf_release(&s->text);
	free(s);
}

uint64_t store_bytes(const struct store *s)
{
	char wal[NAME_MAX + 8];
	struct stat st;
	uint64_t bytes = 0;

	if (s->file.fd < 0)
		return s->final_bytes;
	if (fstat(s->file.fd, &st) == 0)
		bytes = (uint64_t)st.st_size;
	snprintf(wal, sizeof(wal), "%s-wal", s->file.name);
	if (fstatat(s->file.dir_fd, wal, &st, AT_SYMLINK_NOFOLLOW) == 0)
		bytes += (uint64_t)st.st_size;
	return bytes;
}

/* After a failure: SQLite may have rolled back already, and then errs when told to. */
static int roll_back(struct store *s, int error)
{
	if (!sqlite3_get_autocommit(s->db))
		(void)sql_exec(s->db, "ROLLBACK");
	if (error == -ENOSPC) {
		create_free_ballast(&s->file);
		s->full = true;
	}
	return error;
}

/* The tick is safe in the WAL whatever happens here; that the disk is full stops the next one. */
static void checkpoint(struct store *s)
{
	int r;

	if (s->wal_pages < CHECKPOINT_PAGES)
		return;
	r = sql_error(s->db, sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL,
						       NULL));
	if (r != -ENOSPC)
		return;
	create_free_ballast(&s->file);
	s->full = true;
	sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

static int commit(struct store *s, int r)
{
	if (r == 0)
		r = sql_exec(s->db, "COMMIT");
	if (r < 0)
		return roll_back(s, r);
	checkpoint(s);
	return 0;
}

static int begin(struct store *s)
{
	int r;

	if (!s->db)
		return -EBADF;
	if (s->full)
		return -ENOSPC;
	r = sql_exec(s->db, "BEGIN IMMEDIATE");
	return r < 0 ? roll_back(s, r) : 0;
}

int store_set_meta(struct store *s, const char *key, const char *value)
{
	struct bind b;
	int r = begin(s);

	if (r < 0)
		return r;
	b = bind_start(s, STATEMENT_META);
	bind_text(&b, key);
	bind_text(&b, value);
	return commit(s, bind_run(&b));
}

int store_write_tick(struct store *s, const struct tick *tick)
{
	int r = begin(s);

	return r == 0 ? commit(s, rows_write_tick(s, tick)) : r;
}

int store_write_names(struct store *s, const struct late_names *names)
{
	int r = begin(s);

	return r == 0 ? commit(s, rows_write_names(s, names)) : r;
}

/* ---- the end ---- */

#define REHASH_BATCH	  20000
#define LEAVE_WAL_TRIES	  500
#define LEAVE_WAL_WAIT_MS 10

/* The stacks from `from` on whose hash is not the one of what is known by now. */
static int rehash_batch(struct store *s, sqlite3_stmt *select, sqlite3_stmt *update, int64_t *from)
{
	int rc, r = 0;

	sqlite3_bind_int64(select, 1, *from);
	for (int n = 0; n < REHASH_BATCH && r == 0; n++) {
		struct stack stack;
		uint64_t hash = 0;

		rc = sqlite3_step(select);
		if (rc == SQLITE_DONE)
			*from = 0;
		if (rc != SQLITE_ROW) {
			r = sql_error(s->db, rc);
			break;
		}
		stack = (struct stack){ (uint32_t)sqlite3_column_int64(select, 0),
					(uint32_t)sqlite3_column_int64(select, 1),
					(uint32_t)sqlite3_column_int64(select, 2) };
		*from = (int64_t)stack.id + 1;
		r = hashes_stack(s->hashes, &stack, &hash);
		if (r < 0 || hash == (uint64_t)sqlite3_column_int64(select, 3))
			continue;
		sqlite3_bind_int64(update, 1, (int64_t)hash);
		sqlite3_bind_int64(update, 2, stack.id);
		r = sql_run(s->db, update);
	}
	sqlite3_reset(select);
	return r;
}

/* Build-ids come after the stacks that have them. Of the same size as before: the file does not grow. */
static int rehash(struct store *s)
{
	_cleanup_(sqlite3_finalizep) sqlite3_stmt *select = NULL;
	_cleanup_(sqlite3_finalizep) sqlite3_stmt *update = NULL;
	int64_t from = 1;
	int r = 0;

	if (!hashes_changed(s->hashes))
		return 0;
	r = sql_prepare(s->db,
			"SELECT id, parent, frame, hash FROM stack WHERE id >= ? ORDER BY id",
			&select);
	if (r == 0)
		r = sql_prepare(s->db, "UPDATE stack SET hash = ? WHERE id = ?", &update);
	while (r == 0 && from) {
		r = begin(s);
		if (r == 0)
			r = commit(s, rehash_batch(s, select, update, &from));
	}
	return r;
}

static int leave_wal(struct store *s)
{
	_cleanup_(sqlite3_finalizep) sqlite3_stmt *stmt = NULL;
	int r;

	/*
	 * MEMORY rather than DELETE, which would lay a journal beside the file for an instant: killed
	 * then, the profile could only be read by those who may write. In the file they are the same.
	 */
	r = sql_prepare(s->db, "PRAGMA journal_mode=MEMORY", &stmt);
	if (r < 0)
		return r;
	if (sqlite3_step(stmt) == SQLITE_ROW &&
	    strcmp((const char *)sqlite3_column_text(stmt, 0), "memory") == 0)
		return 0;
	r = sql_error(s->db, sqlite3_extended_errcode(s->db));
	return r < 0 ? r : -EBUSY;
}

/* A reader holds the WAL while it reads: for seconds, not for good. */
static int leave_wal_patiently(struct store *s)
{
	const struct timespec wait = { .tv_nsec = LEAVE_WAL_WAIT_MS * (long)NS_PER_MSEC };
	int r = -EBUSY;

	sqlite3_busy_timeout(s->db, 0);
	for (int i = 0; i < LEAVE_WAL_TRIES; i++) {
		r = leave_wal(s);
		if (r != -EBUSY)
			break;
		nanosleep(&wait, NULL);
	}
	return r;
}

static int mark_ended(struct store *s)
{
	char now[24];

	snprintf(now, sizeof(now), "%" PRIu64, clock_wall_ns());
	return store_set_meta(s, STORE_META_ENDED, now);
}

int store_finish(struct store *s)
{
	enum create_place place;
	int r = 0;

	if (!s->db)
		return -EBADF;
	if (!s->full)
		r = rehash(s);
	/* What is full now is full of our own WAL: empty it into the file, then write over it. */
	create_free_ballast(&s->file);
	if (s->full) {
		sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
		s->full = false;
		r = 0;
	}
	if (r == 0)
		r = mark_ended(s);
	place = create_place(&s->file);
	/* SQLite removes the WAL by its name, under which another recorder's may lie by now. */
	if (place == CREATE_TAKEN)
		sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	else if (r == 0)
		r = leave_wal_patiently(s);
	if (r == 0 && place != CREATE_IN_PLACE)
		r = -ESTALE;
	s->final_bytes = store_bytes(s);
	close_database(s);
	return r;
}
