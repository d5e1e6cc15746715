/* SPDX-License-Identifier: Apache-2.0 */
#include "store/schema.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/file.h"
#include "store/sql.h"
#include "store/store.h"

/*
 * Every number is NOT NULL, 0 is "none"; NULL is left to health that a host does not have.
 * No table has an index of its own: sqlite_schema is these rows and no other.
 */
#define TICK_HEAD                                                               \
	"CREATE TABLE tick(id INTEGER PRIMARY KEY, start_ns INTEGER NOT NULL, " \
	"end_ns INTEGER NOT NULL, wall_ns INTEGER NOT NULL, read_errors INTEGER NOT NULL"
#define TICK_HEALTH_BEFORE ", "
#define TICK_HEALTH_AFTER  " INTEGER"
#define TICK_TAIL	   ") STRICT"

static const struct schema_table {
	const char *name;
	const char *sql; /* NULL: tick, whose columns come from health.def */
} tables[] = {
	{ "meta", "CREATE TABLE meta(key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) "
		  "STRICT, WITHOUT ROWID" },
	{ "tick", NULL },
	{ "metric", "CREATE TABLE metric(id INTEGER PRIMARY KEY, name TEXT NOT NULL, "
		    "labels TEXT NOT NULL, unit TEXT NOT NULL, kind INTEGER NOT NULL) STRICT" },
	{ "health_label",
	  "CREATE TABLE health_label(tick INTEGER NOT NULL, metric INTEGER NOT NULL, "
	  "value INTEGER NOT NULL, PRIMARY KEY(tick, metric)) STRICT, WITHOUT ROWID" },
	{ "process",
	  "CREATE TABLE process(id INTEGER PRIMARY KEY, pid INTEGER NOT NULL, "
	  "parent_pid INTEGER NOT NULL, uid INTEGER NOT NULL, start_ns INTEGER NOT NULL, "
	  "cgroup_id INTEGER NOT NULL, comm TEXT NOT NULL, exe TEXT NOT NULL, "
	  "cmdline TEXT NOT NULL) STRICT" },
	{ "thread", "CREATE TABLE thread(id INTEGER PRIMARY KEY, process INTEGER NOT NULL, "
		    "tid INTEGER NOT NULL, start_ns INTEGER NOT NULL, comm TEXT NOT NULL) STRICT" },
	{ "thread_name", "CREATE TABLE thread_name(thread INTEGER PRIMARY KEY, name TEXT NOT NULL) "
			 "STRICT" },
	{ "process_tick",
	  "CREATE TABLE process_tick(tick INTEGER NOT NULL, process INTEGER NOT NULL, "
	  "ended INTEGER NOT NULL, cpu_ns INTEGER NOT NULL, rss_anon_pages INTEGER NOT NULL, "
	  "rss_file_pages INTEGER NOT NULL, rss_shmem_pages INTEGER NOT NULL, "
	  "swap_pages INTEGER NOT NULL, minor_faults INTEGER NOT NULL, "
	  "major_faults INTEGER NOT NULL, read_bytes INTEGER NOT NULL, "
	  "write_bytes INTEGER NOT NULL, voluntary_switches INTEGER NOT NULL, "
	  "involuntary_switches INTEGER NOT NULL, PRIMARY KEY(tick, process)) "
	  "STRICT, WITHOUT ROWID" },
	{ "binary", "CREATE TABLE binary(id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, "
		    "path TEXT NOT NULL, inode INTEGER NOT NULL, dev INTEGER NOT NULL, "
		    "build_id BLOB NOT NULL) STRICT" },
	{ "function", "CREATE TABLE function(id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, "
		      "binary INTEGER NOT NULL, name TEXT NOT NULL, file TEXT NOT NULL, "
		      "first_line INTEGER NOT NULL, hash INTEGER NOT NULL) STRICT" },
	{ "frame", "CREATE TABLE frame(id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, "
		   "binary INTEGER NOT NULL, offset INTEGER NOT NULL, function INTEGER NOT NULL, "
		   "line INTEGER NOT NULL, by_fp INTEGER NOT NULL) STRICT" },
	{ "inline", "CREATE TABLE inline(frame INTEGER NOT NULL, depth INTEGER NOT NULL, "
		    "function INTEGER NOT NULL, line INTEGER NOT NULL, PRIMARY KEY(frame, depth)) "
		    "STRICT, WITHOUT ROWID" },
	{ "stack", "CREATE TABLE stack(id INTEGER PRIMARY KEY, parent INTEGER NOT NULL, "
		   "frame INTEGER NOT NULL, hash INTEGER NOT NULL) STRICT" },
	{ "event", "CREATE TABLE event(id INTEGER PRIMARY KEY, tick INTEGER NOT NULL, "
		   "kind INTEGER NOT NULL, time_ns INTEGER NOT NULL, "
		   "duration_ns INTEGER NOT NULL, thread INTEGER NOT NULL, "
		   "stack INTEGER NOT NULL, fields TEXT NOT NULL) STRICT" },
	{ "quality", "CREATE TABLE quality(tick INTEGER NOT NULL, counter TEXT NOT NULL, "
		     "value INTEGER NOT NULL, PRIMARY KEY(tick, counter)) STRICT, WITHOUT ROWID" },
	{ "sample_block",
	  "CREATE TABLE sample_block(tick INTEGER PRIMARY KEY, rows INTEGER NOT NULL, "
	  "samples INTEGER NOT NULL, block BLOB NOT NULL) STRICT" },
};

#define TABLES_N ARRAY_SIZE(tables)

/* The format that brought the table. */
static uint32_t since(size_t table)
{
	return strcmp(tables[table].name, "thread_name") == 0 ? 3 : STORE_FORMAT_OLDEST;
}

static int tick_sql(struct buf *sql)
{
	int r = buf_append_str(sql, TICK_HEAD);

	for (size_t i = 0; i < HEALTH_MAX && r == 0; i++)
		r = buf_printf(sql, TICK_HEALTH_BEFORE "%s" TICK_HEALTH_AFTER,
			       health_columns[i].column);
	return r == 0 ? buf_append_str(sql, TICK_TAIL) : r;
}

int schema_health_columns(struct buf *names, struct buf *marks)
{
	int r = 0;

	for (size_t i = 0; i < HEALTH_MAX && r == 0; i++) {
		r = buf_printf(names, ", %s", health_columns[i].column);
		if (r == 0)
			r = buf_append_str(marks, ", ?");
	}
	return r;
}

static int create_tables(sqlite3 *db)
{
	struct buf sql = { 0 };
	int r = 0;

	for (size_t i = 0; i < TABLES_N && r == 0; i++) {
		buf_clear(&sql);
		r = tables[i].sql ? buf_append_str(&sql, tables[i].sql) : tick_sql(&sql);
		if (r == 0)
			r = buf_str(&sql) ? sql_exec(db, (const char *)sql.data) : -ENOMEM;
	}
	buf_release(&sql);
	return r;
}

/* SQLite's file format, "1.3. The database header" */
#define HEADER_WRITE_VERSION 18
#define HEADER_READ_VERSION  19
#define HEADER_WAL	     2

int schema_image(struct buf *ret)
{
	_cleanup_(sqlite3_closep) sqlite3 *db = NULL;
	unsigned char *image;
	sqlite3_int64 size;
	char *pragmas;
	int r;

	if (sqlite3_open(":memory:", &db) != SQLITE_OK)
		return -ENOMEM;
	pragmas = sqlite3_mprintf("PRAGMA page_size=%d; PRAGMA encoding='UTF-8';"
				  "PRAGMA application_id=%d; PRAGMA user_version=%d; BEGIN",
				  SCHEMA_PAGE_BYTES, SCHEMA_APPLICATION_ID, STORE_FORMAT_VERSION);
	r = pragmas ? sql_exec(db, pragmas) : -ENOMEM;
	sqlite3_free(pragmas);
	if (r == 0)
		r = create_tables(db);
	if (r == 0)
		r = sql_exec(db, "COMMIT");
	if (r < 0)
		return r;
	image = sqlite3_serialize(db, "main", &size, 0);
	if (!image)
		return -ENOMEM;
	image[HEADER_WRITE_VERSION] = image[HEADER_READ_VERSION] = HEADER_WAL;
	buf_clear(ret);
	r = buf_append(ret, image, (size_t)size);
	sqlite3_free(image);
	return r;
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

void schema_parse_header(const uint8_t bytes[SCHEMA_HEADER_BYTES], struct schema_header *ret)
{
	uint32_t page = (uint32_t)bytes[16] << 8 | bytes[17];

	*ret = (struct schema_header){
		.is_sqlite = memcmp(bytes, "SQLite format 3", 16) == 0,
		.is_wal = bytes[HEADER_READ_VERSION] == HEADER_WAL,
		.page_bytes = page == 1 ? 65536 : page,
		.pages = be32(bytes + 28),
		.user_version = be32(bytes + 60),
		.application_id = be32(bytes + 68),
	};
}

bool schema_is_profile(int fd)
{
	uint8_t bytes[SCHEMA_HEADER_BYTES];
	struct schema_header header;
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    file_pread_all(fd, bytes, sizeof(bytes), 0) < 0)
		return false;
	schema_parse_header(bytes, &header);
	return header.is_sqlite && header.application_id == SCHEMA_APPLICATION_ID;
}

static bool skip(const char **p, const char *what)
{
	size_t n = strlen(what);

	if (strncmp(*p, what, n) != 0)
		return false;
	*p += n;
	return true;
}

#define COLUMN_NAME_MAX 64

/* Our tick with any list of health columns: what a newer or older build of this format writes. */
static bool check_tick(const char *sql, bool ret_health[HEALTH_MAX])
{
	memset(ret_health, 0, HEALTH_MAX * sizeof(bool));
	if (!skip(&sql, TICK_HEAD))
		return false;
	while (skip(&sql, TICK_HEALTH_BEFORE)) {
		const char *name = sql;
		size_t n = 0;

		while (islower((unsigned char)name[n]) || isdigit((unsigned char)name[n]) ||
		       name[n] == '_')
			n++;
		sql += n;
		if (n == 0 || n > COLUMN_NAME_MAX || isdigit((unsigned char)name[0]) ||
		    !skip(&sql, TICK_HEALTH_AFTER))
			return false;
		for (size_t i = 0; i < HEALTH_MAX; i++)
			if (strlen(health_columns[i].column) == n &&
			    memcmp(health_columns[i].column, name, n) == 0)
				ret_health[i] = true;
	}
	return strcmp(sql, TICK_TAIL) == 0;
}

static bool check_row(struct sql_row *row, uint32_t format, bool present[TABLES_N],
		      bool ret_health[HEALTH_MAX])
{
	const char *type = sql_text(row, SCHEMA_TEXT_MAX);
	const char *name = sql_text(row, SCHEMA_TEXT_MAX);
	const char *table = sql_text(row, SCHEMA_TEXT_MAX);
	const char *sql = sql_text(row, SCHEMA_TEXT_MAX);

	if (row->bad || strcmp(type, "table") != 0 || strcmp(name, table) != 0)
		return false;
	for (size_t i = 0; i < TABLES_N; i++) {
		if (strcmp(name, tables[i].name) != 0)
			continue;
		if (present[i] || since(i) > format)
			return false;
		present[i] = true;
		return tables[i].sql ? strcmp(sql, tables[i].sql) == 0
				     : check_tick(sql, ret_health);
	}
	return false;
}

int schema_check(sqlite3 *db, uint32_t format, bool ret_health[HEALTH_MAX], const char **ret_what)
{
	_cleanup_(sqlite3_finalizep) sqlite3_stmt *stmt = NULL;
	bool present[TABLES_N] = { false };
	int rc, r;

	*ret_what = "its tables cannot be read";
	r = sql_prepare(db, "SELECT type, name, tbl_name, sql FROM sqlite_schema", &stmt);
	if (r < 0)
		return r;
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct sql_row row = { .stmt = stmt };

		if (!check_row(&row, format, present, ret_health)) {
			*ret_what = "it has tables, views or triggers that are not a profile's";
			return -EBADMSG;
		}
	}
	if (rc != SQLITE_DONE)
		return sql_error(db, rc);
	for (size_t i = 0; i < TABLES_N; i++)
		if (!present[i] && since(i) <= format) {
			*ret_what = "a table of a profile is missing";
			return -EBADMSG;
		}
	return 0;
}
