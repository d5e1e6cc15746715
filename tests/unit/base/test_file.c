/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"

/* The program's own write and pread stand before libc's: a kernel that takes a few bytes at a time. */
static size_t step_bytes;
static bool interrupt;

static bool interrupted(void)
{
	interrupt = !interrupt && step_bytes;
	if (interrupt)
		errno = EINTR;
	return interrupt;
}

ssize_t write(int fd, const void *data, size_t size)
{
	if (interrupted())
		return -1;
	return syscall(SYS_write, fd, data, step_bytes && size > step_bytes ? step_bytes : size);
}

ssize_t pread(int fd, void *data, size_t size, off_t offset)
{
	if (interrupted())
		return -1;
	return syscall(SYS_pread64, fd, data, step_bytes && size > step_bytes ? step_bytes : size,
		       offset);
}

static void short_steps_make_the_whole(void **state)
{
	_cleanup_close_ int fd = memfd_create("test", MFD_CLOEXEC);
	struct buf b = { 0 };
	uint8_t data[1000], back[1000];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	step_bytes = 33;
	assert_int_equal(file_write_all(fd, data, sizeof(data)), 0);
	assert_int_equal(file_pread_all(fd, back, sizeof(back), 0), 0);
	assert_memory_equal(data, back, sizeof(data));
	assert_int_equal(file_pread_all(fd, back, 10, 990), 0);
	assert_memory_equal(data + 990, back, 10);
	assert_int_equal(file_pread_all(fd, back, 11, 990), -ENODATA);
	assert_int_equal(file_reread(fd, sizeof(data), &b), 0);
	assert_int_equal(b.size, sizeof(data));
	assert_memory_equal(b.data, data, sizeof(data));
	step_bytes = 0;
	buf_release(&b);
}

static void the_bound_is_exact(void **state)
{
	_cleanup_close_ int fd = memfd_create("test", MFD_CLOEXEC);
	struct buf b = { 0 };

	(void)state;
	assert_int_equal(file_reread(fd, 0, &b), 0);
	assert_string_equal((char *)b.data, "");
	for (off_t size = 1; size < 20000; size += 1237) {
		assert_int_equal(ftruncate(fd, size), 0);
		assert_int_equal(file_reread(fd, (size_t)size, &b), 0);
		assert_int_equal(b.size, size);
		assert_int_equal(b.data[size], 0);
		assert_int_equal(file_reread(fd, (size_t)size - 1, &b), -EFBIG);
	}
	buf_release(&b);
}

static void what_is_no_file_is_refused(void **state)
{
	char fifo[] = "/tmp/kymo-test-XXXXXX";
	struct buf b = { 0 };

	(void)state;
	assert_non_null(mkdtemp(fifo));
	assert_int_equal(rmdir(fifo), 0);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	alarm(20); /* a blocking open of a pipe without a writer never returns */
	assert_int_equal(file_read(AT_FDCWD, fifo, 10, &b), -ESPIPE);
	alarm(0);
	unlink(fifo);
	assert_int_equal(file_read(-1, "/tmp", 10, &b), -EISDIR);
	assert_int_equal(file_write_all(-1, "x", 1), -EBADF);
	assert_int_equal(file_write_all(-1, "", 0), 0);
	buf_release(&b);
}

static void a_full_disk_is_told(void **state)
{
	_cleanup_close_ int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(file_write_all(fd, "x", 1), -ENOSPC);
}

static void files_are_bounded(void **state)
{
	struct buf b = { 0 };

	(void)state;
	assert_int_equal(file_read(-1, "/proc/self/stat", 65536, &b), 0);
	assert_true(b.size > 10);
	assert_int_equal(strlen((char *)b.data), b.size);
	assert_int_equal(file_read(-1, "/dev/zero", 100000, &b), -EFBIG);
	assert_int_equal(file_read(-1, "/no/such", 10, &b), -ENOENT);
	buf_release(&b);
}

static void a_folder_has_its_own_position(void **state)
{
	_cleanup_close_ int fd = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(closedirp) DIR *a = NULL, *none = NULL;
	_cleanup_(closedirp) DIR *b = NULL;
	size_t n_a = 0, n_b = 0;

	(void)state;
	assert_int_equal(file_open_folder(fd, ".", &a), 0);
	assert_int_equal(file_open_folder(fd, ".", &b), 0);
	while (readdir(a))
		n_a++;
	while (readdir(b))
		n_b++;
	assert_true(n_a > 10);
	assert_int_equal(n_a, n_b);
	assert_int_equal(file_open_folder(fd, "no such", &none), -ENOENT);
	assert_int_equal(file_open_folder(fd, "stat", &none), -ENOTDIR);
	assert_null(none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_are_bounded),
		cmocka_unit_test(the_bound_is_exact),
		cmocka_unit_test(short_steps_make_the_whole),
		cmocka_unit_test(what_is_no_file_is_refused),
		cmocka_unit_test(a_full_disk_is_told),
		cmocka_unit_test(a_folder_has_its_own_position),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
