/* SPDX-License-Identifier: Apache-2.0 */
/* The folder of tables: whatever happens to it, a table is right or absent. */
#include "unit/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "unit/unwind/image.h"
#include "unwind/cache.h"

struct fixture {
	char parent[64], path[96];
	struct unwind_table *t;
	struct unwind_cache c;
};

static const struct unwind_cache_key key = { 1, 2, 3, 4, 5 };

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct image im;

	strcpy(f->parent, "/tmp/kymo-unwind-XXXXXX");
	if (!mkdtemp(f->parent))
		return -1;
	snprintf(f->path, sizeof(f->path), "%s/rows", f->parent);
	image_init(&im, EM_X86_64, 64);
	image_fde(&im, image_cie(&im), 0, 64, NO_CODE);
	assert_int_equal(image_build(&im, &f->t), 0);
	image_release(&im);
	assert_int_equal(unwind_cache_open(&f->c, f->path, 1 << 20), 0);
	*state = f;
	return 0;
}

static void empty_folder(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *d;

	while (dir && (d = readdir(dir)))
		if (d->d_name[0] != '.')
			unlinkat(dirfd(dir), d->d_name, 0);
	if (dir)
		closedir(dir);
	rmdir(path);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	unwind_cache_close(&f->c);
	unwind_table_free(f->t);
	empty_folder(f->path);
	empty_folder(f->parent);
	free(f);
	return 0;
}

/* The one table's path. */
static void entry_path(const struct fixture *f, char path[256])
{
	snprintf(path, 256, "%s/1-2-3-4-5.rows", f->path);
}

static size_t count_files(const struct fixture *f)
{
	DIR *dir = opendir(f->path);
	struct dirent *d;
	size_t n = 0;

	while ((d = readdir(dir)))
		n += d->d_name[0] != '.';
	closedir(dir);
	return n;
}

static void assert_absent(struct fixture *f)
{
	struct unwind_table *t = NULL;

	assert_int_equal(unwind_cache_load(&f->c, &key, &t), -ENOENT);
	assert_null(t);
}

static void assert_there(struct fixture *f)
{
	struct unwind_table *t;

	assert_int_equal(unwind_cache_load(&f->c, &key, &t), 0);
	assert_int_equal(t->rows_n, f->t->rows_n);
	assert_memory_equal(t->rows, f->t->rows, t->rows_n * sizeof(*t->rows));
	unwind_table_free(t);
}

static void test_stored_and_loaded(void **state)
{
	struct fixture *f = *state;
	struct unwind_cache_key other = key;
	struct unwind_table *t;

	assert_absent(f);
	assert_int_equal(unwind_cache_store(&f->c, &key, f->t), 0);
	assert_there(f);
	assert_int_equal(unwind_cache_store(&f->c, &key, f->t), 0);
	assert_int_equal(count_files(f), 1);
	/* Anything of the identity differs: another file. */
	other.ctime_ns++;
	assert_int_equal(unwind_cache_load(&f->c, &other, &t), -ENOENT);
	unwind_cache_close(&f->c);
	assert_int_equal(unwind_cache_open(&f->c, f->path, 1 << 20), 0);
	assert_there(f);
	assert_true(f->c.bytes > 0);
}

static void test_key_of_a_file(void **state)
{
	struct fixture *f = *state;
	struct unwind_cache_key a, b;
	char path[256];
	struct stat st;

	assert_int_equal(unwind_cache_store(&f->c, &key, f->t), 0);
	entry_path(f, path);
	assert_int_equal(stat(path, &st), 0);
	a = unwind_cache_key(&st);
	/* A file can be given another one's times but not its change time. */
	assert_int_equal(
		utimensat(AT_FDCWD, path, (struct timespec[]){ st.st_atim, st.st_mtim }, 0), 0);
	assert_int_equal(stat(path, &st), 0);
	b = unwind_cache_key(&st);
	assert_int_equal(a.mtime_ns, b.mtime_ns);
	assert_int_equal(a.inode, b.inode);
	assert_int_not_equal(a.ctime_ns, b.ctime_ns);
}

static void damage(const char *path, int how)
{
	_cleanup_close_ int fd = open(path, O_RDWR);
	struct stat st;

	fstat(fd, &st);
	if (how == 0)
		assert_int_equal(ftruncate(fd, st.st_size - 1), 0);
	else if (how == 1)
		assert_int_equal(ftruncate(fd, 0), 0);
	else if (how == 2)
		assert_int_equal(pwrite(fd, "x", 1, st.st_size / 2), 1);
	else if (how == 3)
		assert_int_equal(pwrite(fd, "x", 1, st.st_size), 1);
	else if (how == 4)
		assert_int_equal(ftruncate(fd, 1LL << 40), 0);
	else if (how == 5)
		assert_int_equal(pwrite(fd, "\xff", 1, 4), 1); /* another version of the layout */
}

static void test_damaged(void **state)
{
	struct fixture *f = *state;
	char path[256];

	entry_path(f, path);
	for (int how = 0; how < 6; how++) {
		assert_int_equal(unwind_cache_store(&f->c, &key, f->t), 0);
		damage(path, how);
		assert_absent(f);
		assert_int_equal(f->c.wrong, how + 1);
		assert_int_equal(count_files(f), 0);
	}
	assert_int_equal(unwind_cache_store(&f->c, &key, f->t), 0);
	assert_there(f);
}

/* Something else in the table's place: a link to a good one, a pipe, a folder. */
static void test_other_things(void **state)
{
	struct fixture *f = *state;
	char path[256], other[256];

	entry_path(f, path);
	snprintf(other, sizeof(other), "%s/other", f->path);
	assert_int_equal(unwind_cache_store(&f->c, &key, f->t), 0);
	assert_int_equal(rename(path, other), 0);
	assert_int_equal(symlink(other, path), 0);
	assert_absent(f);
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_absent(f);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_absent(f);
	assert_true(unwind_cache_store(&f->c, &key, f->t) < 0);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(unwind_cache_store(&f->c, &key, f->t), 0);
	assert_there(f);
}

static void test_folder_is_ours_alone(void **state)
{
	struct fixture *f = *state;
	struct unwind_cache c;
	char link[256];

	assert_int_equal(chmod(f->path, 0750), 0);
	assert_int_equal(unwind_cache_open(&c, f->path, 1 << 20), -EPERM);
	assert_int_equal(chmod(f->path, 0700), 0);
	snprintf(link, sizeof(link), "%s/link", f->parent);
	assert_int_equal(symlink(f->path, link), 0);
	assert_true(unwind_cache_open(&c, link, 1 << 20) < 0);
	unlink(link);
	if (geteuid() == 0) {
		assert_int_equal(chown(f->path, 1, 1), 0);
		assert_int_equal(unwind_cache_open(&c, f->path, 1 << 20), -EPERM);
		assert_int_equal(chown(f->path, 0, 0), 0);
	}
	assert_int_equal(unwind_cache_open(&c, "/nowhere/at/all", 1 << 20), -ENOENT);
	assert_int_equal(unwind_cache_open(&c, "/dev/null", 1 << 20), -ENOTDIR);
}

static void test_folder_is_deleted(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(unwind_cache_store(&f->c, &key, f->t), 0);
	empty_folder(f->path);
	assert_absent(f);
	assert_int_equal(unwind_cache_store(&f->c, &key, f->t), -ENOENT);
}

static void set_used(const struct fixture *f, uint64_t inode, time_t when)
{
	const struct timespec times[] = { { when, 0 }, { when, 0 } };
	char name[64];

	snprintf(name, sizeof(name), "1-%llx-3-4-5.rows", (unsigned long long)inode);
	assert_int_equal(utimensat(f->c.dir, name, times, 0), 0);
}

/* The folder stays within its bound; what was used last stays. */
static void test_eviction(void **state)
{
	struct fixture *f = *state;
	struct unwind_cache_key k = key;
	struct unwind_table *t;
	uint64_t one;

	assert_int_equal(unwind_cache_store(&f->c, &key, f->t), 0);
	one = f->c.bytes;
	unwind_cache_close(&f->c);
	assert_int_equal(unwind_cache_open(&f->c, f->path, one * 4), 0);
	for (k.inode = 2; k.inode < 6; k.inode++) {
		assert_int_equal(unwind_cache_store(&f->c, &k, f->t), 0);
		set_used(f, k.inode, (time_t)(1000 + k.inode));
	}
	k.inode = 2;
	assert_int_equal(unwind_cache_load(&f->c, &k, &t), 0); /* the oldest is used again */
	unwind_table_free(t);
	k.inode = 6;
	assert_int_equal(unwind_cache_store(&f->c, &k, f->t), 0);
	assert_int_equal(count_files(f), 4);
	assert_int_equal(f->c.bytes, one * 4);
	k.inode = 3;
	assert_int_equal(unwind_cache_load(&f->c, &k, &t), -ENOENT);
	k.inode = 2;
	assert_int_equal(unwind_cache_load(&f->c, &k, &t), 0);
	unwind_table_free(t);
	f->c.bytes_max = one - 1;
	assert_int_equal(unwind_cache_store(&f->c, &k, f->t), -EFBIG);
}

/* Nothing is left of a write that failed, nor of a writer that died. */
static void test_writes_that_fail(void **state)
{
	struct fixture *f = *state;
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/1-2-3-4-5.tmp", f->path);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, "half", 4), 4);
	close(fd);
	assert_int_equal(unwind_cache_store(&f->c, &key, f->t), 0);
	assert_there(f);
	assert_int_equal(count_files(f), 1);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	close(fd);
	unwind_cache_close(&f->c);
	assert_int_equal(unwind_cache_open(&f->c, f->path, 1 << 20), 0);
	assert_int_equal(count_files(f), 1);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_stored_and_loaded),
		TEST(test_key_of_a_file),
		TEST(test_damaged),
		TEST(test_other_things),
		TEST(test_folder_is_ours_alone),
		TEST(test_folder_is_deleted),
		TEST(test_eviction),
		TEST(test_writes_that_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
