/* SPDX-License-Identifier: Apache-2.0 */
/* What cannot be opened says so in one line; what is closed leaves nothing behind. */
#include "bpf/session.h"

#include <bpf/bpf.h>
#include <dirent.h>

static const struct kern_options options = { .cpu_period_ns = NS_PER_SEC / 99 };

/* In a child of its own: 0 when kern_open refuses with a line about sudo. */
static void open_as_nobody(void *unused)
{
	struct kern *k = NULL;
	char *message = NULL;

	(void)unused;
	if (setgid(65534) < 0 || setuid(65534) < 0)
		_exit(2);
	if (kern_open(&options, &k, &message) != -EPERM || k)
		_exit(3);
	_exit(message && strstr(message, "sudo") && !strchr(message, '\n') ? 0 : 4);
}

static void test_not_root(void **state)
{
	(void)state;
	(void)child_wait(child_start(open_as_nobody, NULL));
}

static size_t open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void test_close_leaves_nothing(void **state)
{
	struct session s;
	size_t before;

	(void)state;
	session_open(&s, &options); /* the first time libbpf opens what it keeps */
	session_close(&s);
	before = open_descriptors();
	for (int i = 0; i < 3; i++) {
		session_open(&s, &options);
		session_start(&s);
		session_close(&s); /* while it runs */
	}
	assert_int_equal(open_descriptors(), before);
	kern_close(NULL);
}

/* What the verifier takes, of all that a recording loads by itself; by CPU time, as others run, too. */
static void test_loads_soon(void **state)
{
	const struct kern_options all = { .cpu_period_ns = NS_PER_SEC / 99,
					  .sources = KERN_SOURCES };
	uint64_t best = UINT64_MAX;

	(void)state;
	for (int i = 0; i < 3; i++) {
		uint64_t begun = clock_thread_cpu_ns(), took;
		struct session s;

		session_open(&s, &all);
		took = clock_thread_cpu_ns() - begun;
		best = took < best ? took : best;
		session_close(&s);
	}
	print_message("loaded in %.0f ms of CPU\n", (double)best / 1e6);
	assert_in_range(best, 0, NS_PER_SEC / 2);
}

/* Two recordings at once see the same process, each for itself. */
static void test_two_at_once(void **state)
{
	struct session a, b;
	pid_t pid;

	(void)state;
	session_open(&a, &options);
	session_open(&b, &options);
	session_start(&a);
	session_start(&b);
	pid = child_start(burn_forever, NULL);
	session_await(&a, pid, 20);
	session_await(&b, pid, 20);
	child_kill(pid);
	session_counters_are_clean(&a);
	session_close(&a);
	session_close(&b);
}

static void test_stats(void **state)
{
	struct kern_stats stats;
	struct session s;
	pid_t pid;

	(void)state;
	session_open(&s, &options);
	session_start(&s);
	pid = child_start(burn_forever, NULL);
	session_await(&s, pid, 20);
	child_kill(pid);
	assert_int_equal(kern_stats(s.k, &stats), 0);
	assert_true(stats.bpf_stats);
	assert_true(stats.bpf_runs >= 20);
	assert_true(stats.bpf_run_ns / stats.bpf_runs > 100);
	assert_true(stats.bpf_run_ns / stats.bpf_runs < 1000000);
	session_close(&s);
}

/* A layout's index is bounded by the kernel side's table. */
static void test_tables_are_bounded(void **state)
{
	struct kymo_python_layout layout = { 0 };
	struct kymo_python_binary binary = { 0 };
	struct kymo_file_key key = { 0 };
	struct session s;
	int r = 0;

	(void)state;
	session_open(&s, &options);
	assert_int_equal(kern_set_python_layout(s.k, KYMO_PYTHON_LAYOUTS_MAX - 1, &layout), 0);
	assert_true(kern_set_python_layout(s.k, KYMO_PYTHON_LAYOUTS_MAX, &layout) < 0);
	for (key.inode = 1; key.inode <= 2 * KYMO_PYTHON_BINARIES_MAX && r == 0; key.inode++)
		r = kern_set_python_binary(s.k, &key, &binary);
	assert_int_equal(r, -ENOSPC);
	session_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_not_root),
		cmocka_unit_test(test_loads_soon),
		cmocka_unit_test(test_close_leaves_nothing),
		cmocka_unit_test(test_two_at_once),
		cmocka_unit_test(test_stats),
		cmocka_unit_test(test_tables_are_bounded),
	};

	return cmocka_run_group_tests_name("bpf/open", tests, NULL, NULL);
}
