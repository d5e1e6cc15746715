/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a profile while it is written, to its end and through it. */
#include "unit/test.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "base/cleanup.h"
#include "unit/store/folder.h"
#include "unit/store/world.h"

#define SEED 11

static struct tick *next_tick(struct world *w)
{
	/* Many pages a tick: checkpoints come soon. */
	return world_tick(w, 60, 900);
}

static _Noreturn void child_record(const char *path, uint32_t ticks, int told)
{
	struct world w = { .seed = SEED };
	struct store *s = folder_create(path);

	while (w.ticks < ticks) {
		struct tick *t = next_tick(&w);

		if (store_write_tick(s, t) < 0 || write(told, &t->id, sizeof(t->id)) < 0)
			_exit(1);
		tick_free(t);
	}
	_exit(-store_finish(s));
}

/* What the reader has is one instant's: as many blocks, names and accounts as ticks. */
static size_t check_instant(struct store_reader *r)
{
	struct world w = { .seed = SEED };
	_cleanup_free_ struct store_tick *ticks = NULL;
	struct store_tables tables = { 0 };
	struct store_block block = { 0 };
	size_t n = 0, stacks = 0;

	if (store_read_ticks(r, &ticks, &n) < 0 || store_read_tables(r, &tables) < 0)
		fail_msg("%s", store_reader_message(r));
	for (size_t i = 0; i < n; i++) {
		struct tick *t = next_tick(&w);

		if (store_read_block(r, ticks[i].id, &block) < 0)
			fail_msg("%s", store_reader_message(r));
		assert_int_equal(block.rows_n, t->rows_n);
		assert_memory_equal(block.offsets_us, t->offsets_us, t->offsets_n * 4);
		stacks += t->stacks_n;
		tick_free(t);
	}
	assert_int_equal(tables.stacks_n, stacks);
	store_tables_release(&tables);
	store_block_release(&block);
	return n;
}

static void test_read_while_written(void **state)
{
	const struct folder *f = *state;
	uint32_t id, last = 0, reads = 0;
	int told[2], status;
	pid_t pid;

	assert_int_equal(pipe2(told, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0)
		child_record(f->profile, 150, told[1]);
	close(told[1]);
	while (read(told[0], &id, sizeof(id)) == sizeof(id)) {
		struct store_reader *r;

		last = id;
		/* Not at the end, which waits for a reader, but not for a slow machine. */
		if (id % 10 || id > 100)
			continue;
		r = folder_open(f->profile);
		assert_true(check_instant(r) >= last);
		store_reader_close(r);
		reads++;
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(last, 150);
	assert_int_equal(reads, 10);
	/* A reader leaves nothing behind, and did not keep the writer from its end. */
	folder_run(f, "[ \"$(ls -A)\" = a.kymo ]");
}

/* A reader that stays: the writer goes on, ends, and the reader keeps its instant. */
static void test_reader_that_stays(void **state)
{
	const struct folder *f = *state;
	struct store_reader *r = NULL;
	int told[2], status;
	size_t before;
	uint32_t id;
	pid_t pid;

	assert_int_equal(pipe2(told, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0)
		child_record(f->profile, 60, told[1]);
	close(told[1]);
	while (read(told[0], &id, sizeof(id)) == sizeof(id) && id < 10)
		;
	r = folder_open(f->profile);
	before = check_instant(r);
	while (id < 60 && read(told[0], &id, sizeof(id)) == sizeof(id))
		;
	assert_int_equal(check_instant(r), before);
	assert_false(store_ended(r));
	store_reader_close(r);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(told[0]);
	folder_run(f, "[ \"$(ls -A)\" = a.kymo ]");
	r = folder_open(f->profile);
	assert_int_equal(check_instant(r), 60);
	assert_true(store_ended(r));
	store_reader_close(r);
}

/* One that never lets go: the profile is whole and ended, in two files. */
static void test_reader_that_never_goes(void **state)
{
	const struct folder *f = *state;
	struct store_reader *r = NULL;
	int told[2], status;
	uint32_t id;
	pid_t pid;

	assert_int_equal(pipe2(told, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0)
		child_record(f->profile, 20, told[1]);
	close(told[1]);
	assert_int_equal(read(told[0], &id, sizeof(id)), sizeof(id));
	r = folder_open(f->profile);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), EBUSY);
	close(told[0]);
	store_reader_close(r);
	r = folder_open(f->profile);
	assert_int_equal(check_instant(r), 20);
	assert_true(store_ended(r));
	store_reader_close(r);
}

/* Again and again across the end, which switches from the WAL to one file. */
static void test_open_across_the_end(void **state)
{
	const struct folder *f = *state;

	for (int round = 0; round < 10; round++) {
		int told[2], status;
		bool ended = false;
		uint32_t id = 0;
		pid_t pid;

		assert_int_equal(pipe2(told, O_CLOEXEC), 0);
		pid = fork();
		if (pid == 0)
			child_record(f->profile, 3, told[1]);
		close(told[1]);
		while (id < 3 && read(told[0], &id, sizeof(id)) == sizeof(id))
			;
		while (!ended) {
			struct store_reader *r = folder_open(f->profile);

			assert_int_equal(check_instant(r), 3);
			ended = store_ended(r);
			store_reader_close(r);
		}
		close(told[0]);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
}

/* The writer is killed under a reader that stays. */
static void test_killed_under_a_reader(void **state)
{
	const struct folder *f = *state;
	struct store_reader *r;
	size_t before;
	int told[2];
	uint32_t id = 0;
	pid_t pid;

	assert_int_equal(pipe2(told, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0)
		child_record(f->profile, UINT32_MAX, told[1]);
	close(told[1]);
	while (id < 10 && read(told[0], &id, sizeof(id)) == sizeof(id))
		;
	r = folder_open(f->profile);
	before = check_instant(r);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(told[0]);
	assert_int_equal(check_instant(r), before);
	store_reader_close(r);
	r = folder_open(f->profile);
	assert_true(check_instant(r) >= before);
	store_reader_close(r);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_setup, folder_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_read_while_written),	   TEST(test_reader_that_stays),
		TEST(test_reader_that_never_goes), TEST(test_open_across_the_end),
		TEST(test_killed_under_a_reader),
	};

	return cmocka_run_group_tests_name("store: live", tests, NULL, NULL);
}
