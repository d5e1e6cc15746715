/* SPDX-License-Identifier: Apache-2.0 */
/* Profiles made by an enemy, or by a bad disk: refused with one line, never followed, never changed. */
#include "unit/test.h"

#include <sys/resource.h>
#include <sys/wait.h>

#include <sqlite3.h>

#include "base/cleanup.h"
#include "store/schema.h"
#include "unit/store/folder.h"
#include "unit/store/world.h"

#define SEED	     17
#define HANG_SECONDS 60

static void record(const char *path)
{
	struct world w = { .seed = SEED };
	struct store *s = folder_create(path);

	assert_int_equal(store_set_meta(s, "host", "here"), 0);
	for (int i = 0; i < 6; i++) {
		struct tick *t = world_tick(&w, 10, 50);

		assert_int_equal(store_write_tick(s, t), 0);
		tick_free(t);
	}
	assert_int_equal(store_finish(s), 0);
	store_close(s);
}

static int setup(void **state)
{
	const struct folder *f;

	if (folder_setup(state) < 0)
		return -1;
	f = *state;
	record(f->profile);
	folder_run(f, "cp a.kymo good");
	alarm(HANG_SECONDS);
	return 0;
}

static int teardown(void **state)
{
	alarm(0);
	return folder_teardown(state);
}

/* Changes the profile with everything allowed, as its maker could. */
static void change(const struct folder *f, const char *sql)
{
	char *error = NULL;
	sqlite3 *db;

	folder_run(f, "cp good a.kymo");
	assert_int_equal(sqlite3_open(f->profile, &db), SQLITE_OK);
	sqlite3_exec(db, "PRAGMA writable_schema=ON", NULL, NULL, NULL);
	if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
		fail_msg("%s: %s", sql, error);
	sqlite3_close(db);
}

/* A table without STRICT for as long as it takes to put `sql` into it. */
static void change_unchecked(const struct folder *f, const char *table, const char *sql)
{
	char text[1024];

	snprintf(text, sizeof(text),
		 "CREATE TEMP TABLE was AS SELECT sql FROM sqlite_schema WHERE name = '%s';"
		 "UPDATE sqlite_schema SET sql = replace(replace(replace(sql, 'STRICT, ', ''), "
		 "'STRICT', ''), ' NOT NULL', '') WHERE name = '%s' AND name NOT IN ('meta');",
		 table, table);
	change(f, text);
	sqlite3 *db;
	char *error = NULL;

	assert_int_equal(sqlite3_open(f->profile, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
		fail_msg("%s: %s", sql, error);
	snprintf(text, sizeof(text),
		 "ATTACH '%s/good' AS good; PRAGMA writable_schema=ON;"
		 "UPDATE main.sqlite_schema SET sql = (SELECT sql FROM good.sqlite_schema AS g "
		 "WHERE g.name = '%s') WHERE name = '%s'",
		 f->path, table, table);
	if (sqlite3_exec(db, text, NULL, NULL, &error) != SQLITE_OK)
		fail_msg("%s: %s", text, error);
	sqlite3_close(db);
}

static int ignore_quality(void *data, const struct store_quality *q)
{
	return *(int *)data += q->counter[0] != 0, 0;
}

static int ignore_label(void *data, const struct store_label *l)
{
	return *(int *)data += l->metric[0] && l->labels[0], 0;
}

static int ignore_account(void *data, uint32_t tick, const struct process_tick *p)
{
	return *(int *)data += tick + p->process != 0, 0;
}

static int ignore_event(void *data, uint32_t tick, const struct event *e)
{
	return *(int *)data += tick + e->kind != 0, 0;
}

/* Everything that can be read of it; the first error, with its line in message. */
static int read_everything(const char *path, char message[512])
{
	_cleanup_free_ char *why = NULL;
	_cleanup_free_ struct store_tick *ticks = NULL;
	struct store_tables tables = { 0 };
	struct store_block block = { 0 };
	struct store_reader *r = NULL;
	int e = store_open(path, &r, &why), first, seen = 0;
	size_t n = 0;

	message[0] = '\0';
	if (e < 0) {
		assert_null(r);
		assert_non_null(why);
		assert_null(strchr(why + strlen(path), '\n'));
		snprintf(message, 512, "%s", why);
		return e;
	}
#define READ(call)                                                             \
	do {                                                                   \
		e = (call);                                                    \
		if (e < 0 && first == 0) {                                     \
			first = e;                                             \
			snprintf(message, 512, "%s", store_reader_message(r)); \
		}                                                              \
	} while (0)
	first = 0;
	READ(store_read_tables(r, &tables));
	READ(store_read_ticks(r, &ticks, &n));
	for (size_t i = 0; i < n && i < 100; i++)
		READ(store_read_block(r, ticks[i].id, &block));
	READ(store_read_quality(r, ignore_quality, &seen));
	READ(store_read_labels(r, ignore_label, &seen));
	READ(store_read_process_ticks(r, ignore_account, &seen));
	READ(store_sum_process_ticks(r, STORE_SUM_CPU, ignore_account, &seen));
	READ(store_sum_process_ticks(r, STORE_SUM_FAULTS, ignore_account, &seen));
	READ(store_read_events(r, ignore_event, &seen));
	store_tables_release(&tables);
	store_block_release(&block);
	store_reader_close(r);
	assert_true(first == 0 || message[0]);
	return first;
}

static void expect(const struct folder *f, int error, const char *words)
{
	uint64_t before = folder_digest(f->path);
	char message[512];
	int e = read_everything(f->profile, message);

	if (e != error || !strstr(message, words))
		fail_msg("%d (expected %d): '%s' (expected '%s')", e, error, message, words);
	assert_true(folder_digest(f->path) == before);
}

static void test_good(void **state)
{
	expect(*state, 0, "");
}

static void test_foreign_schema(void **state)
{
	static const char *const changes[] = {
		"CREATE TABLE more(a)",
		"CREATE VIEW v AS SELECT 1",
		"CREATE INDEX i ON stack(parent)",
		"CREATE TRIGGER t AFTER INSERT ON stack BEGIN DELETE FROM tick; END",
		"CREATE VIRTUAL TABLE f USING fts5(a)",
		"DROP TABLE inline",
		"ALTER TABLE stack ADD COLUMN more INTEGER",
		"ALTER TABLE frame RENAME COLUMN line TO lines",
		"DROP TABLE stack; CREATE TABLE stack(id INTEGER PRIMARY KEY, parent, frame, hash)",
		/* An endless view in the place of a table. */
		"DROP TABLE stack; CREATE VIEW stack AS WITH RECURSIVE x(id) AS (SELECT 1 UNION "
		"ALL "
		"SELECT id + 1 FROM x) SELECT id, 0 AS parent, 1 AS frame, 0 AS hash FROM x",
		/* The same behind the words of the table. */
		"UPDATE sqlite_schema SET type = 'view' WHERE name = 'stack'",
		"UPDATE sqlite_schema SET tbl_name = 'tick' WHERE name = 'stack'",
		"DELETE FROM sqlite_schema WHERE name = 'stack'; "
		"UPDATE sqlite_schema SET name = 'stack', tbl_name = 'stack' WHERE name = 'frame'",
		"ALTER TABLE tick ADD COLUMN more TEXT",
		"ALTER TABLE tick ADD COLUMN \"a b\" INTEGER",
		"ALTER TABLE tick ADD COLUMN computed INTEGER AS (randomblob(1e9))",
		"UPDATE sqlite_schema SET sql = 'rubbish' WHERE name = 'meta'",
		"UPDATE sqlite_schema SET sql = NULL WHERE name = 'meta'",
		"UPDATE sqlite_schema SET rootpage = 1 WHERE name = 'stack'",
		"UPDATE sqlite_schema SET rootpage = 1000000 WHERE name = 'stack'",
		"INSERT INTO sqlite_schema SELECT * FROM sqlite_schema WHERE name = 'stack'",
	};
	const struct folder *f = *state;
	char message[512];

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		change(f, changes[i]);
		if (read_everything(f->profile, message) != -EBADMSG)
			fail_msg("%s: %s", changes[i], message);
	}
}

/* Columns of health come and go between versions of kymo: the rest stays readable. */
static void test_other_health_columns(void **state)
{
	const struct folder *f = *state;
	struct store_reader *r;
	struct store_tick *ticks = NULL;
	size_t n = 0, present = 0;

	change(f, "ALTER TABLE tick ADD COLUMN of_the_future INTEGER; ALTER TABLE tick DROP COLUMN "
		  "faults");
	expect(f, 0, "");
	r = folder_open(f->profile);
	assert_int_equal(store_read_ticks(r, &ticks, &n), 0);
	assert_int_equal(n, 6);
	for (size_t i = 0; i < n; i++) {
		assert_false(ticks[i].health.present[HEALTH_faults]);
		present += ticks[i].health.present[HEALTH_cpu_user_ns];
	}
	assert_true(present > 0);
	free(ticks);
	store_reader_close(r);
}

static void test_bad_values(void **state)
{
	static const struct {
		const char *sql, *words;
	} changes[] = {
		{ "UPDATE stack SET parent = id WHERE id = 9", "stack" },
		{ "UPDATE stack SET parent = 20 WHERE id = 9", "stack" },
		{ "UPDATE stack SET parent = -1 WHERE id = 9", "stack" },
		{ "UPDATE stack SET parent = 4294967297 WHERE id = 9", "stack" },
		{ "UPDATE stack SET frame = 100000 WHERE id = 9", "frame is missing" },
		{ "UPDATE stack SET frame = 0 WHERE id = 9", "frame is missing" },
		{ "DELETE FROM stack WHERE id = (SELECT max(parent) FROM stack)",
		  "parent or frame" },
		{ "UPDATE stack SET id = -5 WHERE id = 9", "stack" },
		{ "UPDATE stack SET id = 1 << 40 WHERE id = 60", "stack" },
		{ "DELETE FROM frame WHERE id = (SELECT max(frame) FROM stack)",
		  "frame is missing" },
		{ "DELETE FROM process WHERE id = (SELECT max(process) FROM thread)",
		  "process is missing" },
		{ "DELETE FROM function WHERE id = (SELECT max(function) FROM frame)",
		  "function is missing" },
		{ "UPDATE frame SET kind = 99 WHERE id = 3", "frame" },
		{ "UPDATE frame SET by_fp = 2 WHERE id = 3", "frame" },
		{ "UPDATE binary SET kind = -1 WHERE id = 3", "binary" },
		{ "UPDATE binary SET build_id = zeroblob(65) WHERE id = 3", "binary" },
		{ "UPDATE process SET pid = -1 WHERE id = 3", "process" },
		{ "UPDATE process SET comm = printf('%.*c', 1000, 'x') WHERE id = 3", "process" },
		{ "UPDATE function SET name = 'a' || char(0) || 'b' WHERE id = 3", "function" },
		{ "UPDATE function SET name = printf('%.*c', 100000, 'x') WHERE id = 3",
		  "function" },
		{ "UPDATE function SET name = printf('%.*c', 20000000, 'x') WHERE id = 3",
		  "too big" },
		{ "UPDATE sample_block SET block = zeroblob(20000000) WHERE tick = 3", "too big" },
		{ "UPDATE sample_block SET block = x'' WHERE tick = 3", "sample_block" },
		{ "UPDATE sample_block SET block = randomblob(1000) WHERE tick = 3",
		  "sample_block" },
		{ "UPDATE sample_block SET block = substr(block, 1, 100) WHERE tick = 3",
		  "sample_block" },
		{ "UPDATE sample_block SET block = CAST(block || x'00' AS BLOB) WHERE tick = 3",
		  "sample_block" },
		{ "UPDATE sample_block SET rows = rows + 1 WHERE tick = 3", "sample_block" },
		{ "UPDATE sample_block SET samples = 0 WHERE tick = 3", "sample_block" },
		{ "UPDATE sample_block SET rows = 1 << 40 WHERE tick = 3", "tick" },
		{ "UPDATE tick SET id = 0 WHERE id = 1", "tick" },
		{ "UPDATE event SET kind = 100", "event" },
		{ "UPDATE quality SET counter = printf('%.*c', 300, 'x') WHERE tick = 3 AND "
		  "value = (SELECT max(value) FROM quality WHERE tick = 3)",
		  "quality" },
		{ "UPDATE quality SET tick = -1 WHERE tick = 3", "quality" },
		{ "UPDATE metric SET unit = printf('%.*c', 100000, 'x')", "health_label" },
		{ "UPDATE process_tick SET ended = 7 WHERE tick = 3", "process_tick" },
		{ "UPDATE meta SET key = printf('%.*c', 300, 'x') WHERE key = 'host'", "meta" },
		{ "WITH RECURSIVE x(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM x LIMIT 2000) "
		  "INSERT INTO meta SELECT 'k' || i, '' FROM x",
		  "meta" },
	};
	const struct folder *f = *state;

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		change(f, changes[i].sql);
		expect(f, -EBADMSG, changes[i].words);
	}
}

/* SQLite keeps to STRICT only when it writes. */
static void test_wrong_types(void **state)
{
	static const struct {
		const char *table, *sql;
	} changes[] = {
		{ "stack", "UPDATE stack SET parent = 'one' WHERE id = 9" },
		{ "stack", "UPDATE stack SET parent = NULL WHERE id = 9" },
		{ "stack", "UPDATE stack SET parent = 0.5 WHERE id = 9" },
		{ "frame", "UPDATE frame SET offset = x'01' WHERE id = 9" },
		{ "function", "UPDATE function SET name = NULL WHERE id = 9" },
		{ "function", "UPDATE function SET name = x'616263' WHERE id = 9" },
		{ "binary", "UPDATE binary SET build_id = 'text' WHERE id = 9" },
		{ "binary", "UPDATE binary SET path = NULL WHERE id = 9" },
		{ "tick", "UPDATE tick SET cpu_user_ns = 'much' WHERE id = 3" },
		{ "tick", "UPDATE tick SET start_ns = NULL WHERE id = 3" },
		{ "thread", "UPDATE thread SET comm = x'00' WHERE id = 9" },
		{ "event", "UPDATE event SET fields = x'00'" },
		{ "sample_block", "UPDATE sample_block SET block = 'text' WHERE tick = 3" },
		{ "sample_block", "UPDATE sample_block SET block = NULL WHERE tick = 3" },
		{ "quality", "UPDATE quality SET value = 'x'" },
		{ "process_tick", "UPDATE process_tick SET cpu_ns = NULL" },
	};
	const struct folder *f = *state;

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		change_unchecked(f, changes[i].table, changes[i].sql);
		expect(f, -EBADMSG, changes[i].table);
	}
}

static void test_other_files(void **state)
{
	const struct folder *f = *state;
	char message[512];

	folder_run(f, "rm a.kymo");
	expect(f, -ENOENT, "no such file");
	folder_run(f, ": > a.kymo");
	expect(f, -EBADMSG, "not a kymo profile");
	folder_run(f, "head -c 99 good > a.kymo");
	expect(f, -EBADMSG, "not a kymo profile");
	folder_run(f, "head -c 100000 /dev/urandom > a.kymo");
	expect(f, -EBADMSG, "not a kymo profile");
	folder_run(f, "{ head -c 100 good; head -c 100000 /dev/urandom; } > a.kymo");
	assert_true(read_everything(f->profile, message) < 0);
	change(f, "PRAGMA application_id = 5");
	expect(f, -EBADMSG, "an SQLite database, but not a kymo profile");
	change(f, "PRAGMA user_version = 4");
	expect(f, -EPROTONOSUPPORT, "newer kymo (format 4, this one reads 3)");
	change(f, "PRAGMA user_version = 1");
	expect(f, -EPROTONOSUPPORT, "older kymo (format 1, this one reads 3)");
	/* a table that its format does not have */
	change(f, "PRAGMA user_version = 2");
	expect(f, -EBADMSG, "tables, views or triggers");
	change(f, "PRAGMA user_version = 0");
	expect(f, -EBADMSG, "damaged");
	change(f, "PRAGMA page_size = 512; VACUUM");
	expect(f, -EBADMSG, "damaged");
	folder_run(f, "rm a.kymo && mkdir a.kymo");
	expect(f, -EISDIR, "is a directory");
	folder_run(f, "rmdir a.kymo && mkfifo a.kymo");
	expect(f, -ENOTSUP, "not a regular file");
	assert_int_equal(read_everything("/dev/zero", message), -ENOTSUP);
	assert_int_equal(read_everything("/dev/null", message), -ENOTSUP);
	assert_int_equal(read_everything("", message), -ENOENT);
	/* A link leads to the file, and to the WAL beside that. */
	folder_run(f, "rm a.kymo && ln -s good a.kymo && echo x > a.kymo-journal");
	expect(f, 0, "");
	folder_run(f, "rm a.kymo && ln -s a.kymo a.kymo");
	expect(f, -ELOOP, "not a regular file");
}

static void test_foreign_journals(void **state)
{
	const struct folder *f = *state;

	folder_run(f, "echo x > a.kymo-journal");
	expect(f, -EBUSY, "a.kymo-journal");
	folder_run(f, ": > a.kymo-journal");
	expect(f, 0, "");
	folder_run(f, "rm a.kymo-journal && mkfifo a.kymo-journal");
	expect(f, -EBUSY, "a.kymo-journal");
	folder_run(f, "rm a.kymo-journal && echo x > a.kymo-wal");
	expect(f, -EBADMSG, "a.kymo-wal beside it does not belong");
	folder_run(f, "rm a.kymo-wal && mkfifo a.kymo-wal");
	expect(f, -ENOTSUP, "a.kymo-wal");
	folder_run(f, "rm a.kymo-wal && ln -s good a.kymo-wal");
	expect(f, -ELOOP, "a.kymo-wal");
	folder_run(f, "rm a.kymo-wal && mkdir a.kymo-wal");
	expect(f, -EISDIR, "a.kymo-wal");
	folder_run(f, "rmdir a.kymo-wal && : > a.kymo-wal");
	expect(f, 0, "");
}

static uint32_t root_page(const char *path, const char *table)
{
	sqlite3_stmt *stmt = NULL;
	sqlite3 *db = NULL;
	uint32_t page;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	sqlite3_prepare_v2(db, "SELECT rootpage FROM sqlite_schema WHERE name = ?", -1, &stmt,
			   NULL);
	sqlite3_bind_text(stmt, 1, table, -1, SQLITE_STATIC);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	page = (uint32_t)sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return page;
}

/* A tree whose root leads to the same leaf again and again: rows without end, were they believed. */
static void test_tree_in_circles(void **state)
{
	static const char *const tables[] = { "stack", "frame", "quality", "process_tick" };
	const struct folder *f = *state;
	struct world w = { .seed = SEED };
	struct store *s;

	folder_run(f, "rm a.kymo");
	s = folder_create(f->profile);
	for (int i = 0; i < 300; i++) {
		struct tick *t = world_tick(&w, i < 40 ? 20 : 0, 1);

		t->process_ticks_n = t->process_ticks_n < 5 ? t->process_ticks_n : 5;
		assert_int_equal(store_write_tick(s, t), 0);
		tick_free(t);
	}
	assert_int_equal(store_finish(s), 0);
	store_close(s);
	folder_run(f, "cp a.kymo good");
	expect(f, 0, "");
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		uint8_t page[4096];
		off_t at;
		int fd, cells;

		folder_run(f, "cp good a.kymo");
		at = (off_t)(root_page(f->profile, tables[i]) - 1) * 4096;
		fd = open(f->profile, O_RDWR | O_CLOEXEC);
		assert_int_equal(pread(fd, page, sizeof(page), at), sizeof(page));
		/* An interior page (SQLite's file format, 1.6): each cell begins with its child. */
		assert_true(page[0] == 5 || page[0] == 2);
		cells = page[3] << 8 | page[4];
		assert_true(cells >= 2);
		for (int c = 1; c < cells; c++)
			memcpy(page + (page[12 + 2 * c] << 8 | page[13 + 2 * c]),
			       page + (page[12] << 8 | page[13]), 4);
		assert_int_equal(pwrite(fd, page, sizeof(page), at), sizeof(page));
		close(fd);
		expect(f, -EBADMSG, tables[i]);
	}
}

/* A profile that did not end, with a WAL. */
static void leave_wal(const struct folder *f)
{
	folder_run(f, "rm -f a.kymo*");
	if (fork() == 0) {
		struct world w = { .seed = SEED };
		struct store *s = folder_create(f->profile);

		for (int i = 0; i < 6; i++)
			store_write_tick(s, world_tick(&w, 10, 50));
		_exit(0);
	}
	int status;

	wait(&status);
	assert_int_equal(status, 0);
	assert_true(folder_has(f, "a.kymo-wal"));
	folder_run(f, "rm -f a.kymo-shm; cp a.kymo good; cp a.kymo-wal good-wal");
}

static void test_wal_of_another_user(void **state)
{
	const struct folder *f = *state;

	leave_wal(f);
	expect(f, 0, "");
	if (getuid() != 0) {
		print_message("skip: needs root, to give files away\n");
		skip();
	}
	folder_run(f, "chown 1001 a.kymo-wal");
	expect(f, -EPERM, "belongs to another user");
	folder_run(f, "chown 1001 a.kymo");
	expect(f, 0, "");
	folder_run(f, "chown 0 a.kymo-wal");
	expect(f, 0, "");
}

/* Cut anywhere: an error, or (in the WAL) the ticks before the cut. */
static void test_truncated(void **state)
{
	const struct folder *f = *state;
	struct world w = { .seed = SEED };
	char command[128], message[512];
	struct stat st;

	assert_int_equal(stat(f->profile, &st), 0);
	for (int i = 0; i < 100; i++) {
		uint32_t size = i == 0 ? (uint32_t)st.st_size - 1
				       : world_below(&w, (uint32_t)st.st_size);

		snprintf(command, sizeof(command), "head -c %u good > a.kymo", size);
		folder_run(f, command);
		expect(f, -EBADMSG, size < 100 ? "not a kymo profile" : "truncated");
	}
	leave_wal(f);
	snprintf(message, sizeof(message), "%s-wal", f->profile);
	assert_int_equal(stat(message, &st), 0);
	for (int i = 0; i < 100; i++) {
		snprintf(command, sizeof(command), "head -c %u good-wal > a.kymo-wal",
			 world_below(&w, (uint32_t)st.st_size));
		folder_run(f, command);
		expect(f, 0, "");
	}
	for (int i = 0; i < 50; i++) {
		snprintf(command, sizeof(command),
			 "cp good-wal a.kymo-wal && head -c %u good > a.kymo",
			 world_below(&w, 4096 * 3));
		folder_run(f, command);
		read_everything(f->profile, message);
	}
}

static void flip(const char *path, struct world *w, uint32_t size)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint32_t n = 1 + world_below(w, 8);

	assert_true(fd >= 0);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = world_below(w, size);
		uint8_t byte;

		assert_int_equal(pread(fd, &byte, 1, at), 1);
		byte ^= (uint8_t)(1 << world_below(w, 8));
		if (world_below(w, 2))
			byte = (uint8_t)world_random(w);
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	}
	close(fd);
}

/* Whatever is flipped: no crash, no hang, no write. */
static void test_flipped(void **state)
{
	const struct folder *f = *state;
	struct world w = { .seed = SEED };
	char message[512], wal[128];
	int noticed = 0;
	struct stat st;

	assert_int_equal(stat(f->profile, &st), 0);
	for (int i = 0; i < 400; i++) {
		folder_run(f, "cp good a.kymo");
		flip(f->profile, &w, i % 4 ? (uint32_t)st.st_size : 4096);
		noticed += read_everything(f->profile, message) < 0;
	}
	/* The rest lies in unused space, or made one number of another. */
	assert_true(noticed > 100);
	leave_wal(f);
	snprintf(wal, sizeof(wal), "%s-wal", f->profile);
	assert_int_equal(stat(wal, &st), 0);
	for (int i = 0; i < 100; i++) {
		folder_run(f, "cp good-wal a.kymo-wal");
		flip(wal, &w, (uint32_t)st.st_size);
		/* SQLite's checksums end the WAL there. */
		expect(f, 0, "");
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_good),
		TEST(test_foreign_schema),
		TEST(test_other_health_columns),
		TEST(test_bad_values),
		TEST(test_wrong_types),
		TEST(test_other_files),
		TEST(test_tree_in_circles),
		TEST(test_foreign_journals),
		TEST(test_wal_of_another_user),
		TEST(test_truncated),
		TEST(test_flipped),
	};

	return cmocka_run_group_tests_name("store: hostile files", tests, NULL, NULL);
}
