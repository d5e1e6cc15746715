/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes are charged to the code that brought them in: page faults by their size, blocks by what was
 * submitted; exactly where every event is taken, within the sampling error where not.
 */
#include "bpf/session.h"

#include <fcntl.h>
#include <math.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <linux/magic.h>

#define PAGE	   4096UL
#define HUGE_BYTES (2UL << 20)
/* More than any test makes in 100 ms: nothing is thinned. */
#define UNLIMITED 100000000

/* ---- what the children do: leaves whose addresses the samples must have ---- */

#define CODE_BYTES 512 /* more than any of these functions has */

__attribute__((noipa, aligned(512))) static void touch(volatile char *memory, size_t bytes,
						       size_t step)
{
	for (size_t at = 0; at < bytes; at += step)
		memory[at] = 1;
}

/* The bare system call: the leaf is here and not in the C library. */
__attribute__((noipa, aligned(512))) static long call3(long number, long a, long b, long c)
{
	long r;

	asm volatile("syscall"
		     : "=a"(r)
		     : "a"(number), "D"(a), "S"(b), "d"(c)
		     : "rcx", "r11", "memory");
	return r;
}

static bool leaf_is(const struct kept_sample *s, const void *function)
{
	return s->head.user_frames > 0 && s->user[0].kind == KYMO_FRAME_NATIVE &&
	       s->user[0].address - (uint64_t)function < CODE_BYTES;
}

struct sum {
	size_t n;
	double bytes, squares;
};

/* What a process's samples of a source and state, with that leaf, add up to. */
static struct sum charged(const struct session *s, pid_t pid, enum kymo_source source,
			  unsigned state, const void *function)
{
	struct sum sum = { 0 };

	for (size_t i = 0; i < s->samples_n; i++) {
		const struct kept_sample *one = &s->samples[i];
		double bytes = (double)one->head.weight;

		if (one->head.who.pid != (uint32_t)pid || one->head.source != source ||
		    (one->head.state & KYMO_STATE_IO_WRITE) != state || !leaf_is(one, function))
			continue;
		sum.n++;
		sum.bytes += bytes;
		sum.squares += bytes * bytes;
	}
	return sum;
}

static void near_enough(const char *what, struct sum sum, double bytes)
{
	double sigma = sqrt(sum.squares);

	print_message("%s: %zu samples, %.1f of %.1f MiB, sigma %.1f\n", what, sum.n,
		      sum.bytes / 1048576, bytes / 1048576, sigma / 1048576);
	if (fabs(sum.bytes - bytes) > 4 * sigma)
		fail_msg("%s: %.0f bytes charged of %.0f, sigma %.0f", what, sum.bytes, bytes,
			 sigma);
}

/* Of us and what we fork: another process's storm would fill the ring. */
static void open_for_children(struct session *s, const struct kern_options *options)
{
	struct kern_options followed = *options;

	followed.filter = true;
	session_open(s, &followed);
	assert_int_equal(kern_follow(s->k, (uint32_t)getpid()), 0);
	session_start(s);
}

/* ---- faults ---- */

struct growth {
	size_t bytes, times;
	int advice;
};

/* Aligned to huge pages, so that they cover it where they are allowed. */
static char *fresh(size_t bytes, int advice)
{
	char *memory = mmap(NULL, bytes + HUGE_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		_exit(2);
	memory += -(uintptr_t)memory & (HUGE_BYTES - 1);
	if (madvise(memory, bytes, advice) < 0)
		_exit(3);
	return memory;
}

static void grow(void *argument)
{
	const struct growth *g = argument;

	for (size_t i = 0; i < g->times; i++) {
		char *memory = fresh(g->bytes, g->advice);

		touch(memory, g->bytes, PAGE);
		munmap(memory, g->bytes);
	}
}

static struct sum grown(struct session *s, const struct kern_options *options, struct growth g)
{
	pid_t pid;

	open_for_children(s, options);
	pid = child_start(grow, &g);
	child_wait(pid);
	session_stop(s);
	for (size_t i = 0; i < s->samples_n; i++)
		assert_int_equal(s->samples[i].head.source, KYMO_SOURCE_FAULT);
	session_counters_are_clean(s);
	return charged(s, pid, KYMO_SOURCE_FAULT, 0, touch);
}

static void test_every_fault(void **state)
{
	const struct kern_options options = { .sources = KERN_SOURCE(KYMO_SOURCE_FAULT),
					      .fault_period = 1,
					      .fault_max = UNLIMITED };
	struct session s;
	struct sum sum = grown(&s, &options, (struct growth){ 16UL << 20, 1, MADV_NOHUGEPAGE });

	(void)state;
	assert_int_equal(sum.n, (16UL << 20) / PAGE);
	assert_true(sum.bytes == 16UL << 20);
	session_close(&s);
}

static void test_sampled_faults(void **state)
{
	const struct kern_options options = { .sources = KERN_SOURCE(KYMO_SOURCE_FAULT),
					      .fault_max = UNLIMITED };
	struct session s;
	struct sum sum = grown(&s, &options, (struct growth){ 64UL << 20, 1, MADV_NOHUGEPAGE });

	(void)state;
	near_enough("one fault in 7", sum, 64UL << 20);
	assert_in_range(sum.n, 64UL * 256 / 9, 64UL * 256 / 5);
	session_close(&s);
}

/* Only so many samples, which stand for all. */
static void test_storm(void **state)
{
	const struct kern_options options = { .sources = KERN_SOURCE(KYMO_SOURCE_FAULT) };
	struct growth g = { 64UL << 20, 16, MADV_NOHUGEPAGE };
	uint64_t start = clock_mono_ns(), windows;
	struct session s;
	struct sum sum = grown(&s, &options, g);

	(void)state;
	windows = (clock_mono_ns() - start) / (100 * NS_PER_MSEC) + 1;
	near_enough("a storm", sum, (double)g.bytes * (double)g.times);
	/* The first windows find the threshold. */
	assert_in_range(sum.n, 20,
			2 * KERN_FAULT_MAX * (windows + 10) *
				(uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
	session_close(&s);
}

static bool huge_pages_on_demand(void)
{
	char text[64] = "";
	FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");

	if (f) {
		if (!fgets(text, sizeof(text), f))
			text[0] = 0;
		fclose(f);
	}
	return strstr(text, "[always]") || strstr(text, "[madvise]");
}

static bool kernel_is_before(unsigned major, unsigned minor)
{
	unsigned m = 0, n = 0;
	struct utsname host;

	assert_int_equal(uname(&host), 0);
	assert_int_equal(sscanf(host.release, "%u.%u", &m, &n), 2);
	return m < major || (m == major && n < minor);
}

/* Before 6.3 the page's size is told too late: such faults are counted. */
static bool size_unknown(const struct session *s)
{
	uint64_t counters[KYMO_COUNTER_MAX];

	assert_int_equal(kern_counters(s->k, counters), 0);
	return counters[KYMO_COUNTER_FAULT_SIZE_UNKNOWN] > 0;
}

/* Each byte is brought in once, whatever the size of the page: the sum is exact. */
static void test_huge_pages(void **state)
{
	const struct kern_options options = { .sources = KERN_SOURCE(KYMO_SOURCE_FAULT),
					      .fault_period = 1,
					      .fault_max = UNLIMITED };
	size_t huge = 0;
	struct session s;
	struct sum sum;

	(void)state;
	if (!huge_pages_on_demand()) {
		print_message("skip: no transparent huge pages on this host\n");
		skip();
	}
	sum = grown(&s, &options, (struct growth){ 128UL << 20, 1, MADV_HUGEPAGE });
	if (size_unknown(&s)) {
		session_close(&s);
		assert_true(kernel_is_before(6, 3));
		print_message("skip: the kernel tells the size of a page since 6.3\n");
		skip();
	}
	assert_true(sum.bytes == 128UL << 20);
	for (size_t i = 0; i < s.samples_n; i++)
		huge += leaf_is(&s.samples[i], touch) && s.samples[i].head.weight == HUGE_BYTES;
	assert_true(huge > 0);
	session_close(&s);
}

/* ---- blocks ---- */

#define BLOCK_BYTES (256UL << 10)
#define FILE_BYTES  (16UL << 20)

struct transfer {
	char path[64];
	long number; /* of the system call */
};

/* 0, or -EOPNOTSUPP where the file is not on a disk that can be told to do without the cache. */
static int make_file(struct transfer *t)
{
	static char block[BLOCK_BYTES];
	struct statfs fs;
	int fd;

	snprintf(t->path, sizeof(t->path), "/var/tmp/kymo-test-%d", getpid());
	fd = open(t->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	for (size_t done = 0; done < FILE_BYTES; done += BLOCK_BYTES)
		assert_int_equal(write(fd, block, BLOCK_BYTES), BLOCK_BYTES);
	assert_int_equal(fsync(fd), 0);
	assert_int_equal(fstatfs(fd, &fs), 0);
	close(fd);
	fd = open(t->path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (fd < 0 || fs.f_type == TMPFS_MAGIC) {
		if (fd >= 0)
			close(fd);
		return -EOPNOTSUPP;
	}
	close(fd);
	return 0;
}

static void transfer(void *argument)
{
	const struct transfer *t = argument;
	char *block = aligned_alloc(PAGE, BLOCK_BYTES);
	int fd = open(t->path, O_RDWR | O_DIRECT | O_CLOEXEC);

	if (!block || fd < 0)
		_exit(2);
	memset(block, 1, BLOCK_BYTES);
	for (size_t done = 0; done < FILE_BYTES; done += BLOCK_BYTES)
		if (call3(t->number, fd, (long)block, BLOCK_BYTES) != (long)BLOCK_BYTES)
			_exit(3);
}

static void check_device(const struct session *s, const struct transfer *t, pid_t pid)
{
	struct stat st;

	assert_int_equal(stat(t->path, &st), 0);
	if (major(st.st_dev) == 0)
		return; /* a file system of many devices */
	for (size_t i = 0; i < s->samples_n; i++) {
		const struct kymo_sample *head = &s->samples[i].head;

		if (head->who.pid == (uint32_t)pid && leaf_is(&s->samples[i], call3))
			assert_int_equal(head->aux, major(st.st_dev) << 20 | minor(st.st_dev));
	}
}

static void transferred(long number, unsigned io_state)
{
	const struct kern_options options = { .sources = KERN_SOURCE(KYMO_SOURCE_IO),
					      .io_max = UNLIMITED };
	struct transfer t = { .number = number };
	struct session s;
	struct sum sum;
	pid_t pid;

	if (make_file(&t) < 0) {
		unlink(t.path);
		print_message("skip: no direct I/O in /var/tmp\n");
		skip();
	}
	open_for_children(&s, &options);
	pid = child_start(transfer, &t);
	child_wait(pid);
	session_stop(&s);
	sum = charged(&s, pid, KYMO_SOURCE_IO, io_state, call3);
	check_device(&s, &t, pid);
	unlink(t.path);
	assert_true(sum.bytes == FILE_BYTES);
	for (size_t i = 0; i < s.samples_n; i++) {
		assert_int_equal(s.samples[i].head.source, KYMO_SOURCE_IO);
		assert_true(s.samples[i].head.state & KYMO_STATE_KERNEL);
		assert_true(s.samples[i].head.kernel_frames > 0);
	}
	session_counters_are_clean(&s);
	session_close(&s);
}

static void test_reads(void **state)
{
	(void)state;
	transferred(SYS_read, 0);
}

static void test_writes(void **state)
{
	(void)state;
	transferred(SYS_write, KYMO_STATE_IO_WRITE);
}

/* ---- together ---- */

/* All sources at once: each sample says what made it, and the clock is not disturbed. */
static void test_all_sources(void **state)
{
	const struct kern_options options = { .cpu_period_ns = NS_PER_SEC / 499,
					      .sources = KERN_SOURCES };
	struct growth g = { 32UL << 20, 8, MADV_NOHUGEPAGE };
	size_t by_source[KYMO_SOURCE_MAX] = { 0 };
	double expected;
	struct session s;
	uint64_t cpu_ns;
	pid_t pid;

	(void)state;
	open_for_children(&s, &options);
	pid = child_start(grow, &g);
	cpu_ns = child_wait(pid);
	session_stop(&s);
	for (size_t i = 0; i < s.samples_n; i++)
		if (s.samples[i].head.who.pid == (uint32_t)pid)
			by_source[s.samples[i].head.source]++;
	expected = (double)cpu_ns * 499 / NS_PER_SEC;
	assert_true(by_source[KYMO_SOURCE_FAULT] > 0);
	if (fabs((double)by_source[KYMO_SOURCE_CPU] - expected) > 4 * sqrt(expected))
		fail_msg("%zu cpu samples of %.0f", by_source[KYMO_SOURCE_CPU], expected);
	session_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_fault), cmocka_unit_test(test_sampled_faults),
		cmocka_unit_test(test_storm),	    cmocka_unit_test(test_huge_pages),
		cmocka_unit_test(test_reads),	    cmocka_unit_test(test_writes),
		cmocka_unit_test(test_all_sources),
	};

	return cmocka_run_group_tests_name("bpf/causes", tests, NULL, NULL);
}
