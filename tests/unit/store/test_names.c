/* SPDX-License-Identifier: Apache-2.0 */
/* Names that come late, and content hashes: the same stack has the same hash in every recording. */
#include "unit/test.h"

#include <sqlite3.h>

#include "base/cleanup.h"
#include "unit/store/folder.h"

static struct tick *tick_new(uint32_t id)
{
	struct tick *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	t->id = id;
	return t;
}

#define ADD(t, array, ...)                                                                    \
	do {                                                                                  \
		(t)->array = realloc((t)->array, ((t)->array##_n + 1) * sizeof(*(t)->array)); \
		assert_non_null((t)->array);                                                  \
		(t)->array[(t)->array##_n++] = __VA_ARGS__;                                   \
	} while (0)

static const struct build_id first_id = { .size = 3, .bytes = { 1, 2, 3 } };
static const struct build_id other_id = { .size = 3, .bytes = { 1, 2, 4 } };

/* main in /bin/a, called by start in the same; then a Python function. Ids and arrival as asked. */
struct way {
	bool id_at_once, reversed;
	const struct build_id *id;
	const char *python_name;
	uint32_t line;
};

static void record(const char *path, const struct way *w)
{
	struct store *s = folder_create(path);
	struct tick *t = tick_new(1);
	uint32_t a = w->reversed ? 2 : 1, b = w->reversed ? 1 : 2;

	for (uint32_t id = 1; id <= 2; id++)
		ADD(t, binaries,
		    (struct binary){ .id = id,
				     .kind = BINARY_FILE,
				     .path = strdup(id == a ? "/bin/a" : "/bin/b"),
				     .build_id = id == a && w->id_at_once
							 ? *w->id
							 : (struct build_id){ 0 } });
	ADD(t, functions,
	    (struct function){ .id = 1,
			       .kind = FRAME_PYTHON,
			       .name = strdup(w->python_name),
			       .file = strdup("x.py"),
			       .first_line = 4 });
	for (uint32_t id = 1; id <= 2; id++)
		ADD(t, frames,
		    (struct frame){ .id = id,
				    .kind = FRAME_NATIVE,
				    .binary = a,
				    .offset = id == a ? 0x1000 : 0x2000 });
	ADD(t, frames,
	    (struct frame){ .id = 3, .kind = FRAME_PYTHON, .function = 1, .line = w->line });
	ADD(t, stacks, (struct stack){ 1, 0, a });
	ADD(t, stacks, (struct stack){ 2, 1, b });
	ADD(t, stacks, (struct stack){ 3, 2, 3 });
	assert_int_equal(store_write_tick(s, t), 0);
	tick_free(t);
	if (!w->id_at_once) {
		struct binary late = { .id = a, .build_id = *w->id };
		struct late_names names = { .binaries = &late, .binaries_n = 1 };

		assert_int_equal(store_write_names(s, &names), 0);
	}
	assert_int_equal(store_finish(s), 0);
	store_close(s);
}

/* Of stack 3. */
static int64_t leaf_hash(const char *path)
{
	sqlite3_stmt *stmt = NULL;
	sqlite3 *db = NULL;
	int64_t hash;

	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	sqlite3_prepare_v2(db, "SELECT hash FROM stack WHERE id = 3", -1, &stmt, NULL);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	hash = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return hash;
}

static int64_t hash_of(const struct folder *f, struct way w)
{
	record(f->profile, &w);
	return leaf_hash(f->profile);
}

static void test_hashes(void **state)
{
	const struct folder *f = *state;
	const struct way way = {
		.id_at_once = true, .id = &first_id, .python_name = "f", .line = 5
	};
	struct way other = way;
	int64_t hash = hash_of(f, way);

	/* A build-id that came late, other local ids: the same stack. */
	other.id_at_once = false;
	assert_true(hash_of(f, other) == hash);
	other.reversed = true;
	assert_true(hash_of(f, other) == hash);
	/* Another build, another function, another line: another stack. */
	other.id = &other_id;
	assert_false(hash_of(f, other) == hash);
	other = way;
	other.python_name = "g";
	assert_false(hash_of(f, other) == hash);
	other = way;
	other.line = 6;
	assert_false(hash_of(f, other) == hash);
	/* Worked out from docs/formats/profile.md, not by this code: it may never change. */
	assert_true((uint64_t)hash == 0xc299536fcb0d19b1ULL);
}

static void test_late_names(void **state)
{
	const struct folder *f = *state;
	struct store *s = folder_create(f->profile);
	struct tick *t = tick_new(1);
	struct function fn = {
		.id = 1, .kind = FRAME_NATIVE, .binary = 1, .name = "run", .file = "r.c"
	};
	struct frame_name name = { .frame = 2, .function = 1, .line = 77 };
	struct binary binary = { .id = 1, .build_id = first_id };
	struct frame_inline inlines[] = { { .frame = 2, .depth = 1, .function = 1, .line = 5 },
					  { .frame = 2, .depth = 2, .function = 1, .line = 6 } };
	struct late_names names = { .functions = &fn,
				    .functions_n = 1,
				    .names = &name,
				    .names_n = 1,
				    .inlines = inlines,
				    .inlines_n = 2,
				    .binaries = &binary,
				    .binaries_n = 1 };
	struct store_tables tables = { 0 };
	struct store_reader *r;

	ADD(t, binaries, (struct binary){ .id = 1, .kind = BINARY_FILE, .path = strdup("/bin/a") });
	ADD(t, frames, (struct frame){ .id = 1, .kind = FRAME_NATIVE, .binary = 1, .offset = 16 });
	ADD(t, frames, (struct frame){ .id = 2, .kind = FRAME_NATIVE, .binary = 1, .offset = 32 });
	assert_int_equal(store_write_tick(s, t), 0);
	assert_int_equal(store_write_names(s, &names), 0);
	assert_int_equal(store_finish(s), 0);
	store_close(s);
	tick_free(t);
	r = folder_open(f->profile);
	assert_int_equal(store_read_tables(r, &tables), 0);
	assert_int_equal(tables.frames[0].function, 0);
	assert_int_equal(tables.frames[1].function, 1);
	assert_int_equal(tables.frames[1].line, 77);
	assert_string_equal(tables.functions[0].name, "run");
	assert_memory_equal(&tables.binaries[0].build_id, &first_id, sizeof(first_id));
	assert_string_equal(tables.binaries[0].path, "/bin/a");
	assert_int_equal(tables.inlines_n, 2);
	assert_memory_equal(tables.inlines, inlines, sizeof(inlines));
	store_tables_release(&tables);
	store_reader_close(r);
}

/* Text of any bytes is stored as UTF-8, and cut between characters. */
static void test_text(void **state)
{
	const struct folder *f = *state;
	struct store *s = folder_create(f->profile);
	struct tick *t = tick_new(1), *again;
	struct store_tables tables = { 0 };
	struct store_reader *r;
	char *longest = malloc(200001);
	const struct process bad = { .id = 1,
				     .comm = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
					     "\xff\xff\xff\xff",
				     .exe = longest };

	memset(longest, 0xfe, 200000);
	longest[200000] = '\0';
	ADD(t, processes, bad);
	ADD(t, processes,
	    (struct process){
		    .id = 2, .comm = "fifteen bytes!!", .cmdline = strdup("a\n\x1b[2J;b") });
	ADD(t, processes, (struct process){ .id = 3, .comm = "", .cmdline = strdup("a") });
	assert_int_equal(store_write_tick(s, t), 0);
	/* Told again with the same id: changed. */
	again = tick_new(2);
	ADD(again, processes, (struct process){ .id = 3, .comm = "new", .cmdline = strdup("b") });
	assert_int_equal(store_write_tick(s, again), 0);
	tick_free(t);
	tick_free(again);
	assert_int_equal(store_finish(s), 0);
	store_close(s);
	r = folder_open(f->profile);
	assert_int_equal(store_read_tables(r, &tables), 0);
	assert_int_equal(tables.processes_n, 3);
	assert_string_equal(tables.processes[0].comm, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
						      "\xef\xbf\xbd\xef\xbf\xbd");
	assert_int_equal(strlen(tables.processes[0].exe), 65535);
	assert_string_equal(tables.processes[1].comm, "fifteen bytes!!");
	assert_string_equal(tables.processes[1].exe, "");
	assert_string_equal(tables.processes[1].cmdline, "a\n\x1b[2J;b");
	assert_string_equal(tables.processes[2].comm, "new");
	assert_string_equal(tables.processes[2].cmdline, "b");
	store_tables_release(&tables);
	store_reader_close(r);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_setup, folder_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(test_hashes), TEST(test_late_names),
					    TEST(test_text) };

	return cmocka_run_group_tests_name("store: names", tests, NULL, NULL);
}
