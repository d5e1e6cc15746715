/* SPDX-License-Identifier: Apache-2.0 */
/* A writer killed at any instant leaves a profile with every tick that it had committed. */
#include "unit/test.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "base/cleanup.h"
#include "store/sql.h"
#include "unit/store/folder.h"
#include "unit/store/world.h"

#ifdef KYMO_SANITIZED
#define ROUNDS 15
#else
#define ROUNDS 40
#endif
#define SEED		   7
#define OTHER_UID	   65534
#define TICKS_UNTIL_FINISH 4

static struct tick *next_tick(struct world *w)
{
	return world_tick(w, 20, 300);
}

/* Tells the id of every tick that is committed; ends only by being killed, or after `ticks`. */
static _Noreturn void child_record(const char *path, int told, uint32_t ticks)
{
	struct world w = { .seed = SEED };
	char *message = NULL;
	struct store *s;

	if (store_create(path, getuid(), getgid(), &s, &message) < 0)
		_exit(1);
	while (w.ticks < ticks) {
		struct tick *t = next_tick(&w);

		if (store_write_tick(s, t) < 0 || write(told, &t->id, sizeof(t->id)) < 0)
			_exit(2);
		tick_free(t);
	}
	if (store_finish(s) < 0)
		_exit(3);
	_exit(0);
}

static void sleep_us(uint32_t us)
{
	nanosleep(&(struct timespec){ .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000 },
		  NULL);
}

/* The last tick that was told before the kill; 0 = none. With wait_for the clock starts at that tick. */
static uint32_t record_and_kill(const char *path, uint32_t after_us, uint32_t ticks,
				uint32_t wait_for)
{
	uint32_t id, last = 0;
	int told[2], status;
	pid_t pid;

	assert_int_equal(pipe(told), 0);
	pid = fork();
	if (pid == 0)
		child_record(path, told[1], ticks);
	close(told[1]);
	while (last < wait_for && read(told[0], &id, sizeof(id)) == sizeof(id))
		last = id;
	sleep_us(after_us);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
	while (read(told[0], &id, sizeof(id)) == sizeof(id))
		last = id;
	close(told[0]);
	return last;
}

/* Reads all of it; the number of ticks, or -1. Without assertions: also for a child. */
static int read_whole(const char *path, bool *ret_ended)
{
	struct world w = { .seed = SEED };
	_cleanup_free_ struct store_tick *ticks = NULL;
	struct store_tables tables = { 0 };
	struct store_block block = { 0 };
	struct store_reader *r = NULL;
	char *message = NULL;
	size_t n = 0, names = 0;
	int bad = 0;

	if (store_open(path, &r, &message) < 0) {
		fprintf(stderr, "%s\n", message);
		return -1;
	}
	bad |= store_read_ticks(r, &ticks, &n) < 0 || store_read_tables(r, &tables) < 0;
	for (size_t i = 0; i < n && !bad; i++) {
		struct tick *t = next_tick(&w);

		bad |= ticks[i].id != t->id || store_read_block(r, t->id, &block) < 0 ||
		       block.rows_n != t->rows_n ||
		       memcmp(block.offsets_us, t->offsets_us, t->offsets_n * 4) != 0;
		names += t->stacks_n;
		tick_free(t);
	}
	bad |= tables.stacks_n != names;
	*ret_ended = store_ended(r);
	store_tables_release(&tables);
	store_block_release(&block);
	store_reader_close(r);
	return bad ? -1 : (int)n;
}

/* Another user reads the same from a folder in which nothing can be written. */
static void check_other_user(const struct folder *f, int ticks)
{
	char copy[128], profile[160];
	uint64_t before;
	int status;
	pid_t pid;

	if (getuid() != 0)
		return;
	snprintf(copy, sizeof(copy), "%s/copy", f->path);
	snprintf(profile, sizeof(profile), "%s/a.kymo", copy);
	folder_run(
		f,
		"mkdir copy && cp a.kymo copy/ && { [ ! -e a.kymo-wal ] || cp a.kymo-wal copy/; } "
		"&& chmod 644 copy/* && chmod 555 copy");
	before = folder_digest(copy);
	pid = fork();
	if (pid == 0) {
		bool ended;

		if (setgid(OTHER_UID) < 0 || setuid(OTHER_UID) < 0)
			_exit(1);
		_exit(read_whole(profile, &ended) == ticks ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(folder_digest(copy) == before);
	folder_run(f, "chmod 755 copy && rm -rf copy");
}

static void check_integrity(const struct folder *f)
{
	_cleanup_(sqlite3_closep) sqlite3 *db = NULL;
	_cleanup_(sqlite3_finalizep) sqlite3_stmt *stmt = NULL;

	assert_int_equal(sqlite3_open(f->profile, &db), SQLITE_OK);
	assert_int_equal(sql_prepare(db, "PRAGMA integrity_check", &stmt), 0);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	assert_string_equal((const char *)sqlite3_column_text(stmt, 0), "ok");
}

static void check_left(const struct folder *f, uint32_t told)
{
	uint64_t before = folder_digest(f->path);
	bool ended = false;
	int n = read_whole(f->profile, &ended);

	assert_true(n >= (int)told);
	assert_true(folder_digest(f->path) == before);
	check_other_user(f, n);
	check_integrity(f);
}

static void test_killed_while_writing(void **state)
{
	const struct folder *f = *state;
	struct world w = { .seed = (uint64_t)time(NULL) };
	uint32_t rounds_with_ticks = 0;

	for (int i = 0; i < ROUNDS; i++) {
		uint32_t told = record_and_kill(f->profile, world_below(&w, 150000), UINT32_MAX, 1);
		bool ended;

		rounds_with_ticks += told > 0;
		assert_int_not_equal(read_whole(f->profile, &ended), -1);
		assert_false(ended);
		check_left(f, told);
	}
	assert_int_equal(rounds_with_ticks, ROUNDS);
}

static void test_killed_while_beginning(void **state)
{
	const struct folder *f = *state;
	struct world w = { .seed = (uint64_t)time(NULL) };

	for (int i = 0; i < ROUNDS; i++) {
		uint32_t told = record_and_kill(f->profile, world_below(&w, 20000), UINT32_MAX, 0);

		/* The name is either not there, or a whole profile's. */
		if (told || folder_has(f, "a.kymo"))
			check_left(f, told);
	}
}

static void test_killed_while_ending(void **state)
{
	const struct folder *f = *state;
	struct world w = { .seed = (uint64_t)time(NULL) };

	for (int i = 0; i < ROUNDS; i++) {
		uint32_t told = record_and_kill(f->profile, world_below(&w, 20000),
						TICKS_UNTIL_FINISH, TICKS_UNTIL_FINISH);

		assert_int_equal(told, TICKS_UNTIL_FINISH);
		check_left(f, told);
	}
}

static void test_left_open(void **state)
{
	const struct folder *f = *state;
	struct world w = { .seed = SEED };
	struct store *s = folder_create(f->profile);
	struct tick *t = next_tick(&w);
	bool ended = true;

	assert_int_equal(store_write_tick(s, t), 0);
	tick_free(t);
	store_close(s);
	assert_false(folder_has(f, "a.kymo-wal"));
	assert_int_equal(read_whole(f->profile, &ended), 1);
	assert_false(ended);
	check_left(f, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_killed_while_writing, folder_setup,
						folder_teardown),
		cmocka_unit_test_setup_teardown(test_killed_while_beginning, folder_setup,
						folder_teardown),
		cmocka_unit_test_setup_teardown(test_killed_while_ending, folder_setup,
						folder_teardown),
		cmocka_unit_test_setup_teardown(test_left_open, folder_setup, folder_teardown),
	};

	return cmocka_run_group_tests_name("store: killed", tests, NULL, NULL);
}
