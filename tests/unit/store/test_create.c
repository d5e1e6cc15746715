/* SPDX-License-Identifier: Apache-2.0 */
/* Where a profile may be made, what happens to what was there, and who it belongs to. */
#include "unit/test.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <sqlite3.h>

#include "base/cleanup.h"
#include "unit/store/folder.h"
#include "unit/store/world.h"

#define USER  1000
#define OTHER 1001

static void record(const char *path, uint64_t seed)
{
	struct world w = { .seed = seed };
	struct store *s = folder_create(path);
	struct tick *t = world_tick(&w, 3, 20);

	assert_int_equal(store_write_tick(s, t), 0);
	assert_int_equal(store_finish(s), 0);
	store_close(s);
	tick_free(t);
}

static void expect_refused_for(const char *path, uid_t uid, int error, const char *words)
{
	_cleanup_free_ char *message = NULL;
	struct store *s = NULL;
	int r = store_create(path, uid, uid, &s, &message);

	assert_int_equal(r, error);
	assert_null(s);
	assert_non_null(message);
	if (!strstr(message, words) || !strstr(message, path))
		fail_msg("'%s' does not say '%s' and '%s'", message, words, path);
	assert_null(strchr(message, '\n'));
}

static void expect_refused(const char *path, int error, const char *words)
{
	expect_refused_for(path, getuid(), error, words);
}

static void child_plain_sqlite(const char *path)
{
	sqlite3_stmt *stmt = NULL;
	sqlite3 *db = NULL;

	if (getuid() == 0 && (setgid(OTHER) < 0 || setuid(OTHER) < 0))
		_exit(1);
	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK ||
	    sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &stmt, NULL) != SQLITE_OK ||
	    sqlite3_step(stmt) != SQLITE_ROW ||
	    strcmp((const char *)sqlite3_column_text(stmt, 0), "ok") != 0)
		_exit(2);
	sqlite3_finalize(stmt);
	sqlite3_prepare_v2(db, "PRAGMA journal_mode", -1, &stmt, NULL);
	_exit(sqlite3_step(stmt) == SQLITE_ROW &&
			      strcmp((const char *)sqlite3_column_text(stmt, 0), "delete") == 0
		      ? 0
		      : 3);
}

/* It opens in any SQLite, for a user who may only read, where nothing can be written. */
static void check_plain_sqlite(const struct folder *f)
{
	int status;
	pid_t pid;

	folder_run(f, "chmod 644 a.kymo && chmod 555 .");
	pid = fork();
	if (pid == 0)
		child_plain_sqlite(f->profile);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	folder_run(f, "chmod 755 .");
}

static void test_one_ordinary_file(void **state)
{
	const struct folder *f = *state;
	struct stat st;

	record(f->profile, 1);
	assert_int_equal(stat(f->profile, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	assert_int_equal(st.st_nlink, 1);
	folder_run(f, "[ \"$(ls -A)\" = a.kymo ]");
	check_plain_sqlite(f);
}

static void test_keeps_the_old(void **state)
{
	const struct folder *f = *state;

	record(f->profile, 1);
	folder_run(f, "cp a.kymo first");
	record(f->profile, 2);
	folder_run(f, "cmp a.kymo.old first && ! cmp -s a.kymo first && rm first");
	record(f->profile, 3);
	folder_run(f, "[ \"$(ls -A | tr '\\n' ' ')\" = 'a.kymo a.kymo.old ' ]");
	folder_run(f, ": > a.kymo");
	record(f->profile, 5);
	folder_run(f, "[ -f a.kymo.old -a ! -s a.kymo.old ]");
}

/* What a killed writer left moves with its WAL, and still opens. */
static void test_keeps_the_old_wal(void **state)
{
	const struct folder *f = *state;
	struct store_tick *ticks = NULL;
	struct store_reader *r;
	char old[128];
	size_t n = 0;
	pid_t pid;

	for (int round = 0; round < 2; round++) {
		pid = fork();
		if (pid == 0) {
			struct world w = { .seed = 9 };
			struct store *s = folder_create(f->profile);

			for (int i = 0; i < 5; i++)
				store_write_tick(s, world_tick(&w, 3, 20));
			raise(SIGKILL);
		}
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		assert_true(folder_has(f, "a.kymo-wal"));
		record(f->profile, 2);
		assert_false(folder_has(f, "a.kymo-wal"));
		assert_true(folder_has(f, "a.kymo.old-wal"));
		snprintf(old, sizeof(old), "%s.old", f->profile);
		r = folder_open(old);
		assert_int_equal(store_read_ticks(r, &ticks, &n), 0);
		assert_int_equal(n, 5);
		assert_false(store_ended(r));
		free(ticks);
		store_reader_close(r);
	}
	/* The WAL of an older .old must not be taken for the newer one's. */
	record(f->profile, 3);
	assert_false(folder_has(f, "a.kymo.old-wal"));
	assert_false(folder_has(f, "a.kymo.old-shm"));
}

/* It might be anything: a typing mistake must not cost it, the second one neither. */
static void test_refuses_other_files(void **state)
{
	const struct folder *f = *state;

	folder_run(f, "echo precious > a.kymo && touch -d @0 a.kymo");
	for (int i = 0; i < 2; i++)
		expect_refused(f->profile, -EEXIST,
			       "a.kymo is not a kymo profile: choose another name or remove it");
	folder_run(f, "[ \"$(ls -A)\" = a.kymo -a \"$(cat a.kymo)\" = precious ]");
	folder_run(f, "[ \"$(stat -c %Y a.kymo)\" = 0 ]");
	folder_run(f, "head -c 100000 /dev/zero > a.kymo");
	expect_refused(f->profile, -EEXIST, "not a kymo profile");
	/* Another program's database; and what stands where ours would be moved to. */
	folder_run(f, "rm a.kymo");
	record(f->profile, 1);
	folder_run(f, "printf '\\0\\0\\0\\5' | dd of=a.kymo bs=1 seek=68 conv=notrunc status=none");
	expect_refused(f->profile, -EEXIST, "not a kymo profile");
	folder_run(f, "rm a.kymo && echo precious > a.kymo.old");
	expect_refused(f->profile, -EEXIST, "a.kymo.old is not a kymo profile");
	folder_run(f, "[ \"$(ls -A)\" = a.kymo.old -a \"$(cat a.kymo.old)\" = precious ]");
}

/* Whoever ends a recording learns that nobody will find it. */
static void test_removed_while_recording(void **state)
{
	static const char *const ways[] = { "rm a.kymo", "mv a.kymo b.kymo",
					    "cp a.kymo b && mv b a.kymo", ": > b && mv b a.kymo" };
	const struct folder *f = *state;

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct world w = { .seed = i };
		struct store *s = folder_create(f->profile);
		struct tick *t = world_tick(&w, 3, 20);

		assert_int_equal(store_write_tick(s, t), 0);
		folder_run(f, ways[i]);
		assert_int_equal(store_finish(s), -ESTALE);
		store_close(s);
		tick_free(t);
		folder_run(f, "rm -f a.kymo* b.kymo*");
	}
}

/* A recorder whose file was removed ends beside another that has the name by now: that one's WAL stays. */
static void test_removed_leaves_the_successor_alone(void **state)
{
	const struct folder *f = *state;
	_cleanup_free_ char *message = NULL;
	struct world w = { .seed = 7 };
	struct tick *t = world_tick(&w, 1, 20);
	struct store *first = NULL, *second = NULL;
	struct store_reader *r = NULL;
	struct store_tick *ticks = NULL;
	size_t n = 0;

	assert_int_equal(store_create(f->profile, getuid(), getgid(), &first, &message), 0);
	assert_int_equal(store_write_tick(first, t), 0);
	assert_int_equal(unlink(f->profile), 0);
	assert_int_equal(store_create(f->profile, getuid(), getgid(), &second, &message), 0);
	assert_int_equal(store_write_tick(second, t), 0);
	assert_int_equal(store_finish(first), -ESTALE);
	store_close(first);
	/* Killed here, the second has its tick in the WAL alone. */
	folder_run(f, "mkdir copy && cp a.kymo a.kymo-wal copy/ && test -s copy/a.kymo-wal");
	folder_run(f, "mv copy/a.kymo b.kymo && mv copy/a.kymo-wal b.kymo-wal && rmdir copy");
	assert_int_equal(store_finish(second), 0);
	store_close(second);
	assert_int_equal(store_open(f->profile, &r, &message), 0);
	assert_int_equal(store_read_ticks(r, &ticks, &n), 0);
	assert_int_equal(n, 1);
	free(ticks);
	store_reader_close(r);
	tick_free(t);
	folder_run(f, "rm -f a.kymo* b.kymo*");
}

/* The file is named once, as it was given. */
static void test_messages_name_once(void **state)
{
	_cleanup_free_ char *folder = NULL, *device = NULL;
	struct store *s = NULL;

	(void)state;
	assert_int_equal(store_create("/tmp", 0, 0, &s, &folder), -EISDIR);
	assert_string_equal(folder, "/tmp: is a directory");
	assert_int_equal(store_create("/dev/null", 0, 0, &s, &device), -EEXIST);
	assert_string_equal(device, "/dev/null: is not a regular file");
}

static void test_stray_wal(void **state)
{
	const struct folder *f = *state;

	folder_run(f,
		   "echo rubbish > a.kymo-wal; echo rubbish > a.kymo-shm; echo x > a.kymo-journal");
	record(f->profile, 1);
	folder_run(f, "[ \"$(ls -A)\" = a.kymo ]");
	/* Left of two that were killed while they began. */
	folder_run(f, "rm a.kymo; echo x > .a.kymo.new; echo x > .a.kymo.ballast");
	record(f->profile, 1);
	folder_run(f, "[ \"$(ls -A)\" = a.kymo ]");
}

static void test_refuses_what_is_no_file(void **state)
{
	const struct folder *f = *state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	folder_run(f, "echo precious > target; ln -s target a.kymo");
	expect_refused(f->profile, -ELOOP, "symbolic link");
	folder_run(f, "[ \"$(cat target)\" = precious ] && rm a.kymo && ln -s nowhere a.kymo");
	expect_refused(f->profile, -ELOOP, "symbolic link");
	folder_run(f, "[ ! -e nowhere ] && rm a.kymo && mkdir a.kymo");
	expect_refused(f->profile, -EISDIR, "is a directory");
	folder_run(f, "rmdir a.kymo && mkfifo a.kymo");
	expect_refused(f->profile, -EEXIST, "not a regular file");
	folder_run(f, "rm a.kymo");
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	strcpy(address.sun_path, f->profile);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	expect_refused(f->profile, -EEXIST, "not a regular file");
	close(fd);
	folder_run(f, "rm a.kymo && echo x > a.kymo && mkdir a.kymo.old");
	expect_refused(f->profile, -EISDIR, "is a directory");
	folder_run(f, "rmdir a.kymo.old && ln -s target a.kymo.old");
	expect_refused(f->profile, -ELOOP, "symbolic link");
	folder_run(f, "[ \"$(cat target)\" = precious ] && [ \"$(cat a.kymo)\" = x ]");
	folder_run(f, "[ ! -e .a.kymo.new -a ! -e a.kymo-wal -a ! -e .a.kymo.ballast ]");
}

static void test_bad_names(void **state)
{
	const struct folder *f = *state;
	char path[512], name[300];

	snprintf(path, sizeof(path), "%s/", f->path);
	expect_refused(path, -EISDIR, "not the name of a file");
	snprintf(path, sizeof(path), "%s/..", f->path);
	expect_refused(path, -EISDIR, "not the name of a file");
	expect_refused("", -EISDIR, "not the name of a file");
	snprintf(path, sizeof(path), "%s/none/a.kymo", f->path);
	expect_refused(path, -ENOENT, "folder");
	folder_run(f, "echo > file");
	snprintf(path, sizeof(path), "%s/file/a.kymo", f->path);
	expect_refused(path, -ENOTDIR, "folder");
	memset(name, 'n', 250);
	name[250] = '\0';
	snprintf(path, sizeof(path), "%s/%s", f->path, name);
	expect_refused(path, -ENAMETOOLONG, "too long");
	/* Anything else is a name. */
	snprintf(path, sizeof(path), "%s/a b?c#d%%41'\n", f->path);
	record(path, 1);
	store_reader_close(folder_open(path));
}

static void test_two_recorders(void **state)
{
	const struct folder *f = *state;
	struct store *s = folder_create(f->profile);
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		char *message = NULL;
		struct store *second = NULL;

		if (store_create(f->profile, getuid(), getgid(), &second, &message) != -EBUSY ||
		    !strstr(message, "another kymo is recording"))
			_exit(1);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_false(folder_has(f, "a.kymo.old"));
	assert_false(folder_has(f, ".a.kymo.new"));
	assert_int_equal(store_finish(s), 0);
	store_close(s);
	/* Its end frees the name. */
	record(f->profile, 2);
}

/* Many start at once: every name's file is one recorder's alone, whatever the rest are told. */
static void test_many_at_once(void **state)
{
	const struct folder *f = *state;
	int status, begun = 0;

	for (int i = 0; i < 12; i++) {
		if (fork() == 0) {
			struct world w = { .seed = 5 };
			char *message = NULL;
			struct store *s = NULL;

			if (store_create(f->profile, getuid(), getgid(), &s, &message) < 0)
				_exit(1);
			for (int k = 0; k < 20; k++)
				if (store_write_tick(s, world_tick(&w, 2, 10)) < 0)
					_exit(2);
			_exit(store_finish(s) < 0 ? 3 : 0);
		}
	}
	while (wait(&status) > 0) {
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
		begun += WEXITSTATUS(status) == 0;
	}
	assert_true(begun >= 1);
	store_reader_close(folder_open(f->profile));
}

static void check_owner(const struct folder *f, const char *name, uid_t uid)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", f->path, name);
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_uid, uid);
	assert_int_equal(st.st_gid, uid);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_belongs_to_the_user(void **state)
{
	const struct folder *f = *state;
	char *message = NULL;
	struct store *s = NULL;

	if (getuid() != 0) {
		print_message("skip: needs root, to give files away\n");
		skip();
	}
	assert_int_equal(store_create(f->profile, USER, USER, &s, &message), 0);
	assert_int_equal(store_set_meta(s, "a", "b"), 0);
	check_owner(f, "a.kymo", USER);
	check_owner(f, "a.kymo-wal", USER);
	check_owner(f, "a.kymo-shm", USER);
	assert_int_equal(store_finish(s), 0);
	store_close(s);
	check_owner(f, "a.kymo", USER);
	/* An ordinary user cannot make it another's. */
	if (fork() == 0) {
		if (chmod(f->path, 0777) < 0 || setgid(USER) < 0 || setuid(USER) < 0)
			_exit(1);
		_exit(store_create(f->profile, OTHER, OTHER, &s, &message) == -EPERM ? 0 : 2);
	}
	int status;

	wait(&status);
	assert_int_equal(status, 0);
}

static void test_shared_folder(void **state)
{
	const struct folder *f = *state;
	char *message = NULL;
	struct store *s = NULL;

	if (getuid() != 0) {
		print_message("skip: needs root, to give files away\n");
		skip();
	}
	folder_run(f, "chmod 1777 . && echo x > a.kymo && chown 1001:1001 a.kymo");
	expect_refused_for(f->profile, USER, -EPERM, "another user");
	folder_run(f, "[ \"$(cat a.kymo)\" = x ] && mv a.kymo a.kymo.old");
	expect_refused_for(f->profile, USER, -EPERM, "another user");
	/* The user's own is moved; a WAL that a stranger has laid there is not taken. */
	folder_run(f, "rm a.kymo.old && : > a.kymo && chown 1000 a.kymo && "
		      "echo evil > a.kymo-wal && chown 1001 a.kymo-wal");
	assert_int_equal(store_create(f->profile, USER, USER, &s, &message), 0);
	check_owner(f, "a.kymo-wal", USER);
	assert_int_equal(store_set_meta(s, "a", "b"), 0);
	assert_int_equal(store_finish(s), 0);
	store_close(s);
	folder_run(f, "[ -f a.kymo.old -a ! -s a.kymo.old ]");
}

static void test_misuse_after_finish(void **state)
{
	const struct folder *f = *state;
	struct world w = { .seed = 1 };
	struct store *s = folder_create(f->profile);
	struct tick *t = world_tick(&w, 1, 1);
	uint64_t bytes;

	assert_int_equal(store_finish(s), 0);
	bytes = store_bytes(s);
	assert_int_equal(store_write_tick(s, t), -EBADF);
	assert_int_equal(store_set_meta(s, "a", "b"), -EBADF);
	assert_int_equal(store_finish(s), -EBADF);
	assert_int_equal(store_bytes(s), bytes);
	store_close(s);
	store_close(NULL);
	tick_free(t);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_setup, folder_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_one_ordinary_file),
		TEST(test_keeps_the_old),
		TEST(test_keeps_the_old_wal),
		TEST(test_stray_wal),
		TEST(test_refuses_what_is_no_file),
		TEST(test_bad_names),
		TEST(test_two_recorders),
		TEST(test_many_at_once),
		TEST(test_belongs_to_the_user),
		TEST(test_shared_folder),
		TEST(test_misuse_after_finish),
		TEST(test_refuses_other_files),
		TEST(test_removed_while_recording),
		TEST(test_messages_name_once),
		TEST(test_removed_leaves_the_successor_alone),
	};

	return cmocka_run_group_tests_name("store: creating", tests, NULL, NULL);
}
