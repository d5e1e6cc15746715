/* SPDX-License-Identifier: Apache-2.0 */
/* A full disk: a clear error, every committed tick intact, a clean end. */
#include "unit/test.h"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include <sqlite3.h>

#include "base/cleanup.h"
#include "store/create.h"
#include "unit/store/folder.h"
#include "unit/store/world.h"

#define SEED 3

/* Mounts are this program's own, and end with it. */
static bool may_mount(void)
{
	return unshare(CLONE_NEWNS) == 0 && mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static void mount_small(const struct folder *f, const char *size)
{
	char options[64];

	if (!may_mount()) {
		print_message("needs a mount namespace\n");
		skip();
	}
	snprintf(options, sizeof(options), "size=%s,mode=0755", size);
	assert_int_equal(mount("tmpfs", f->path, "tmpfs", 0, options), 0);
}

static int teardown(void **state)
{
	const struct folder *f = *state;

	umount2(f->path, MNT_DETACH);
	return folder_teardown(state);
}

static uint64_t free_bytes(const struct folder *f)
{
	struct statvfs st;

	assert_int_equal(statvfs(f->path, &st), 0);
	return (uint64_t)st.f_bfree * st.f_frsize;
}

static int write_one(struct store *s, struct world *w)
{
	struct tick *t = world_tick(w, 100, 2000);
	int r = store_write_tick(s, t);

	tick_free(t);
	return r;
}

/* All of those ticks, and no other. */
static void check_profile(const struct folder *f, uint32_t ticks_n, bool ended)
{
	struct world w = { .seed = SEED };
	_cleanup_free_ struct store_tick *ticks = NULL;
	struct store_reader *r = folder_open(f->profile);
	struct store_tables tables = { 0 };
	struct store_block block = { 0 };
	size_t n = 0;

	assert_int_equal(store_read_ticks(r, &ticks, &n), 0);
	assert_int_equal(n, ticks_n);
	assert_int_equal(store_read_tables(r, &tables), 0);
	assert_int_equal(tables.stacks_n, ticks_n * 100);
	for (uint32_t i = 0; i < ticks_n; i++) {
		struct tick *t = world_tick(&w, 100, 2000);

		assert_int_equal(store_read_block(r, t->id, &block), 0);
		assert_int_equal(block.rows_n, t->rows_n);
		assert_memory_equal(block.offsets_us, t->offsets_us, t->offsets_n * 4);
		tick_free(t);
	}
	assert_int_equal(store_ended(r), ended);
	store_tables_release(&tables);
	store_block_release(&block);
	store_reader_close(r);
}

static void check_integrity(const struct folder *f)
{
	sqlite3_stmt *stmt = NULL;
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open_v2(f->profile, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &stmt, NULL);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	assert_string_equal((const char *)sqlite3_column_text(stmt, 0), "ok");
	sqlite3_finalize(stmt);
	sqlite3_close(db);
}

static void test_until_full(void **state)
{
	const struct folder *f = *state;

	mount_small(f, "24m");
	/* Twice: the second time the old one takes half of it. */
	for (int round = 0; round < 2; round++) {
		struct world w = { .seed = SEED };
		struct store *s;
		uint32_t ticks = 0;
		int r;

		folder_run(f, "rm -f a.kymo.old && { [ ! -e a.kymo ] || truncate -s 8M a.kymo; }");
		s = folder_create(f->profile);
		while ((r = write_one(s, &w)) == 0)
			ticks++;
		assert_int_equal(r, -ENOSPC);
		assert_true(ticks > 5);
		/* It stays so: names without their ticks must not come later. */
		assert_int_equal(write_one(s, &w), -ENOSPC);
		assert_int_equal(store_write_names(s, &(struct late_names){ 0 }), -ENOSPC);
		assert_int_equal(store_finish(s), 0);
		store_close(s);
		assert_false(folder_has(f, "a.kymo-wal"));
		check_profile(f, ticks, true);
		check_integrity(f);
	}
}

/* Somebody else fills the disk, at any time. */
static void test_filled_by_others(void **state)
{
	const struct folder *f = *state;

	mount_small(f, "32m");
	for (uint32_t before = 0; before < 12; before++) {
		struct world w = { .seed = SEED };
		struct store *s;
		uint32_t ticks = 0;
		int r = 0;

		folder_run(f, "rm -f filler a.kymo*");
		s = folder_create(f->profile);
		while (ticks < before && (r = write_one(s, &w)) == 0)
			ticks++;
		assert_int_equal(r, 0);
		folder_run(f, "{ cat /dev/zero > filler; } 2>/dev/null; true");
		assert_int_equal(free_bytes(f), 0);
		/* What the WAL has already taken may be written over. */
		while ((r = write_one(s, &w)) == 0)
			ticks++;
		assert_int_equal(r, -ENOSPC);
		assert_int_equal(store_finish(s), 0);
		store_close(s);
		assert_false(folder_has(f, "a.kymo-wal"));
		check_profile(f, ticks, true);
		check_integrity(f);
	}
}

/* Killed with the ballast held: nothing of it remains. */
static void test_ballast_goes_with_us(void **state)
{
	const struct folder *f = *state;
	uint64_t before;
	pid_t pid;

	mount_small(f, "32m");
	before = free_bytes(f);
	pid = fork();
	if (pid == 0) {
		folder_create(f->profile);
		if (free_bytes(f) + CREATE_BALLAST_BYTES > before)
			_exit(1);
		raise(SIGKILL);
	}
	waitpid(pid, NULL, 0);
	assert_true(free_bytes(f) + (1 << 20) > before);
	folder_run(f, "ls -A | grep -q ballast && exit 1; true");
}

static void test_no_room_to_begin(void **state)
{
	const struct folder *f = *state;
	_cleanup_free_ char *message = NULL;
	struct store *s = NULL;

	mount_small(f, "4m");
	folder_run(f, "touch -d @5 a.kymo");
	assert_int_equal(store_create(f->profile, getuid(), getgid(), &s, &message), -ENOSPC);
	assert_non_null(strstr(message, "the disk is full"));
	/* What was there still is. */
	folder_run(f, "[ \"$(ls -A)\" = a.kymo ] && [ \"$(stat -c %Y a.kymo)\" = 5 ]");
}

static void test_file_size_limit(void **state)
{
	const struct folder *f = *state;
	const struct rlimit limit = { 12 << 20, 12 << 20 };
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct world w = { .seed = SEED };
		struct store *s;
		uint32_t ticks = 0;
		int r;

		signal(SIGXFSZ, SIG_IGN);
		setrlimit(RLIMIT_FSIZE, &limit);
		s = folder_create(f->profile);
		while ((r = write_one(s, &w)) == 0)
			ticks++;
		if (r != -ENOSPC)
			_exit(1);
		/* The file cannot become longer, so some of it stays in its WAL. */
		r = store_finish(s);
		store_close(s);
		_exit(r == 0 || r == -ENOSPC ? 100 + (int)(ticks > 100 ? 100 : ticks) : 2);
	}
	waitpid(pid, &status, 0);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) > 105);
	struct store_reader *r = folder_open(f->profile);
	struct store_tick *ticks = NULL;
	size_t n = 0;

	assert_int_equal(store_read_ticks(r, &ticks, &n), 0);
	assert_int_equal(n > 100 ? 100 : n, WEXITSTATUS(status) - 100);
	free(ticks);
	store_reader_close(r);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_until_full),		 TEST(test_filled_by_others),
		TEST(test_ballast_goes_with_us), TEST(test_no_room_to_begin),
		TEST(test_file_size_limit),
	};

	return cmocka_run_group_tests_name("store: full disk", tests, NULL, NULL);
}
