/* SPDX-License-Identifier: Apache-2.0 */
/* The folder of answers: whatever happens to it, an answer is right or absent. */
#include "unit/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "worker/disk_cache.h"

struct fixture {
	char parent[64], path[96];
	struct disk_cache c;
	struct buf got;
};

static const struct file_identity key = { 1, 2, 3, 4, 5, .fs = 6 };
#define ENTRY "7-6-1-2-3-4-5"

static const char answer[] = "what the parser said of the file";

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->parent, "/tmp/kymo-unwind-XXXXXX");
	if (!mkdtemp(f->parent))
		return -1;
	snprintf(f->path, sizeof(f->path), "%s/rows", f->parent);
	assert_int_equal(disk_cache_open(&f->c, f->path, 1 << 20), 0);
	f->c.maker = 7;
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

	disk_cache_close(&f->c);
	buf_release(&f->got);
	empty_folder(f->path);
	empty_folder(f->parent);
	free(f);
	return 0;
}

/* The one answer's path. */
static void entry_path(const struct fixture *f, char path[256])
{
	snprintf(path, 256, "%s/" ENTRY ".rows", f->path);
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

static int store(struct fixture *f, const struct file_identity *k)
{
	return disk_cache_store(&f->c, k, WORKER_UNWIND, answer, sizeof(answer));
}

static int load(struct fixture *f, const struct file_identity *k)
{
	return disk_cache_load(&f->c, k, WORKER_UNWIND, &f->got);
}

static void assert_absent(struct fixture *f)
{
	assert_int_equal(load(f, &key), -ENOENT);
}

static void assert_there(struct fixture *f)
{
	assert_int_equal(load(f, &key), 0);
	assert_int_equal(f->got.size, sizeof(answer));
	assert_memory_equal(f->got.data, answer, sizeof(answer));
}

static void test_stored_and_loaded(void **state)
{
	struct fixture *f = *state;
	struct file_identity other = key;

	assert_absent(f);
	assert_int_equal(store(f, &key), 0);
	assert_there(f);
	assert_int_equal(store(f, &key), 0);
	assert_int_equal(count_files(f), 1);
	/* Anything of the identity differs: another file. */
	other.ctime_ns++;
	assert_int_equal(load(f, &other), -ENOENT);
	disk_cache_close(&f->c);
	assert_int_equal(disk_cache_open(&f->c, f->path, 1 << 20), 0);
	f->c.maker = 7;
	assert_there(f);
}

/* What differs makes it another file, another question, or another program's answer. */
static void test_other_keys(void **state)
{
	struct fixture *f = *state;
	struct file_identity others[] = { key, key, key, key, key, key };
	char path[256], other[256];

	others[0].dev++, others[1].inode++, others[2].size++;
	others[3].mtime_ns++, others[4].ctime_ns++, others[5].fs++;
	assert_int_equal(store(f, &key), 0);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_int_equal(load(f, &others[i]), -ENOENT);
	assert_int_equal(disk_cache_load(&f->c, &key, WORKER_INSPECT, &f->got), -ENOENT);
	/* Its name alone does not make it another one's. */
	entry_path(f, path);
	snprintf(other, sizeof(other), "%s/7-6-1-2-3-4-6.rows", f->path);
	assert_int_equal(rename(path, other), 0);
	assert_int_equal(load(f, &others[4]), -ENOENT);
	assert_int_equal(f->c.wrong, 1);
	assert_int_equal(store(f, &key), 0);
	f->c.maker++;
	assert_absent(f);
	f->c.maker--;
	assert_there(f);
}

/* A file system that cannot be believed, and questions whose answers change. */
static void test_not_kept(void **state)
{
	struct fixture *f = *state;
	struct file_identity k = key;

	k.fs = 0;
	assert_int_equal(store(f, &k), 0);
	assert_int_equal(load(f, &k), -ENOENT);
	assert_int_equal(disk_cache_store(&f->c, &key, WORKER_NAME, answer, 5), 0);
	assert_int_equal(count_files(f), 0);
	disk_cache_close(&f->c);
	assert_int_equal(store(f, &key), 0);
	assert_absent(f);
}

/* Bytes that were kept but are not what they should be: gone, and counted. */
static void test_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(store(f, &key), 0);
	assert_there(f);
	disk_cache_refuse(&f->c, &key, WORKER_UNWIND);
	assert_absent(f);
	assert_int_equal(f->c.wrong, 1);
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
		assert_int_equal(pwrite(fd, "\xff", 1, 4), 1); /* of another kind */
}

static void test_damaged(void **state)
{
	struct fixture *f = *state;
	char path[256];

	entry_path(f, path);
	for (int how = 0; how < 6; how++) {
		assert_int_equal(store(f, &key), 0);
		damage(path, how);
		assert_absent(f);
		assert_int_equal(f->c.wrong, how + 1);
		assert_int_equal(count_files(f), 0);
	}
	assert_int_equal(store(f, &key), 0);
	assert_there(f);
}

/* Something else in the answer's place: a link to a good one, a pipe, a folder. */
static void test_other_things(void **state)
{
	struct fixture *f = *state;
	char path[256], other[256];

	entry_path(f, path);
	snprintf(other, sizeof(other), "%s/other", f->path);
	assert_int_equal(store(f, &key), 0);
	assert_int_equal(rename(path, other), 0);
	assert_int_equal(symlink(other, path), 0);
	assert_absent(f);
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_absent(f);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_absent(f);
	assert_true(store(f, &key) < 0);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(store(f, &key), 0);
	assert_there(f);
}

static void test_folder_is_ours_alone(void **state)
{
	struct fixture *f = *state;
	struct disk_cache c;
	char link[256];

	assert_int_equal(chmod(f->path, 0750), 0);
	assert_int_equal(disk_cache_open(&c, f->path, 1 << 20), -EPERM);
	assert_int_equal(chmod(f->path, 0700), 0);
	snprintf(link, sizeof(link), "%s/link", f->parent);
	assert_int_equal(symlink(f->path, link), 0);
	assert_true(disk_cache_open(&c, link, 1 << 20) < 0);
	unlink(link);
	if (geteuid() == 0) {
		assert_int_equal(chown(f->path, 1, 1), 0);
		assert_int_equal(disk_cache_open(&c, f->path, 1 << 20), -EPERM);
		assert_int_equal(chown(f->path, 0, 0), 0);
	}
	assert_int_equal(disk_cache_open(&c, "/nowhere/at/all", 1 << 20), -ENOENT);
	assert_int_equal(disk_cache_open(&c, "/dev/null", 1 << 20), -ENOTDIR);
}

static void test_folder_is_deleted(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(store(f, &key), 0);
	empty_folder(f->path);
	assert_absent(f);
	assert_int_equal(store(f, &key), -ENOENT);
}

static void set_used(const struct fixture *f, uint64_t inode, time_t when)
{
	const struct timespec times[] = { { when, 0 }, { when, 0 } };
	char name[64];

	snprintf(name, sizeof(name), "7-6-1-%llx-3-4-5.rows", (unsigned long long)inode);
	assert_int_equal(utimensat(f->c.dir, name, times, 0), 0);
}

/* The folder stays within its bound; what was used last stays. */
static void test_eviction(void **state)
{
	struct fixture *f = *state;
	struct file_identity k = key;
	uint64_t one;

	assert_int_equal(store(f, &key), 0);
	one = f->c.bytes;
	disk_cache_close(&f->c);
	assert_int_equal(disk_cache_open(&f->c, f->path, one * 8), 0);
	f->c.maker = 7;
	for (k.inode = 2; k.inode < 10; k.inode++) {
		assert_int_equal(store(f, &k), 0);
		set_used(f, k.inode, (time_t)(1000 + k.inode));
	}
	k.inode = 2;
	assert_int_equal(load(f, &k), 0); /* the oldest is used again */
	k.inode = 10;
	assert_int_equal(store(f, &k), 0); /* full: a quarter goes */
	assert_int_equal(count_files(f), 6);
	assert_int_equal(f->c.bytes, one * 6);
	for (k.inode = 3; k.inode < 6; k.inode++)
		assert_int_equal(load(f, &k), -ENOENT);
	k.inode = 2;
	assert_int_equal(load(f, &k), 0);
	f->c.bytes_max = one - 1;
	assert_int_equal(store(f, &k), -EFBIG);
}

/* Thousands of small answers: neither more of them than is worth looking at, nor a look for each that comes. */
static void test_a_full_folder_is_cheap(void **state)
{
	struct fixture *f = *state;
	struct file_identity k = key;

	f->c.bytes_max = 1ULL << 40;
	for (k.inode = 1; k.inode <= 12000; k.inode++)
		assert_int_equal(store(f, &k), 0);
	assert_in_range(count_files(f), 6000, 8192);
	assert_in_range(f->c.looks, 2, 5);
	assert_true(f->c.evicted >= 12000 - 8192);
	disk_cache_close(&f->c);
	/* One that has all its answers there does not look at all. */
	assert_int_equal(disk_cache_open(&f->c, f->path, 1ULL << 40), 0);
	f->c.maker = 7;
	k.inode--;
	assert_int_equal(load(f, &k), 0);
	assert_int_equal(f->c.looks, 0);
}

/* Nothing is left of a write that failed, nor of a writer that died. */
static void test_writes_that_fail(void **state)
{
	struct fixture *f = *state;
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/" ENTRY ".tmp", f->path);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, "half", 4), 4);
	close(fd);
	assert_int_equal(store(f, &key), 0);
	assert_there(f);
	assert_int_equal(count_files(f), 1);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	close(fd);
	disk_cache_close(&f->c);
	assert_int_equal(disk_cache_open(&f->c, f->path, 1 << 20), 0);
	f->c.maker = 7;
	assert_int_equal(store(f, &key), 0); /* the first that it keeps: it looks */
	assert_int_equal(count_files(f), 1);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_stored_and_loaded),
		TEST(test_other_keys),
		TEST(test_not_kept),
		TEST(test_refused),
		TEST(test_damaged),
		TEST(test_other_things),
		TEST(test_folder_is_ours_alone),
		TEST(test_folder_is_deleted),
		TEST(test_eviction),
		TEST(test_a_full_folder_is_cheap),
		TEST(test_writes_that_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
