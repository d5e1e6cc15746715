/* SPDX-License-Identifier: Apache-2.0 */
/* kymo report --processes: its sums, its estimate with the error, its order, its width. */
#include "unit/test.h"

#include "unit/support/command.h"
#include "unit/support/profile_maker.h"

#include "cmd/cmd.h"

/* Two ticks: "worker" computes and is corrected as it ends, "disk" writes, "idle" only is. */
static void make(struct maker *m)
{
	struct seen worker = { .cpu_ns = 1500000000,
			       .rss_anon_pages = 256,
			       .minor_faults = 1500,
			       .major_faults = 10,
			       .involuntary_switches = 5 };
	struct seen last = { .cpu_ns = 500000000, .rss_anon_pages = 512, .minor_faults = -10 };
	struct seen disk = { .cpu_ns = 100000000,
			     .rss_file_pages = 3,
			     .read_bytes = 3 << 20,
			     .write_bytes = 5 << 20,
			     .voluntary_switches = 7 };
	struct seen idle = { .rss_shmem_pages = 1 };
	uint32_t a, b, c, stack;

	maker_init(m);
	a = maker_thread(m, 100, "worker");
	b = maker_thread(m, 4000000, "di\033sk");
	c = maker_thread(m, 300, "idle");
	stack = maker_stack(m, 0, maker_named_frame(m, FRAME_NATIVE, "f", "", 1));
	maker_row(m, a, stack, 144); /* 1.44 s of 2 s, in 144 samples of 10 ms: +- 120 ms */
	maker_account(m, a, false, &worker);
	maker_account(m, c, false, &idle);
	maker_close_tick(m);
	maker_account(m, a, true, &last);
	maker_account(m, b, false, &disk);
	maker_close_tick(m);
	maker_finish(m, true);
}

/* The line that ends in the word, its columns apart by one space. */
static void assert_line(const char *out, const char *last, const char *expected)
{
	char line[256] = "";
	const char *end = strstr(out, last), *c;
	size_t n = 0;

	assert_non_null(end);
	for (c = end; c > out && c[-1] != '\n'; c--)
		;
	for (; *c && *c != '\n'; c++)
		if (*c != ' ' || (n && line[n - 1] != ' '))
			line[n++] = *c;
	assert_string_equal(line, expected);
}

static void test_sums(void **state)
{
	struct maker m;
	struct run r;

	(void)state;
	make(&m);
	r = RUN(cmd_report, "120", "--processes", m.path);
	assert_int_equal(r.exit_code, 0);
	assert_string_equal(r.err, "");
	assert_non_null(strstr(r.out, "3 processes, 2.10 s of CPU time, sampled 1.44 s +- 120 ms"));
	assert_line(r.out, "worker", "2.00 s 1.44 s 120 ms 2.0M 1500 10 0 0 5 5 100 worker");
	assert_line(r.out, "di\\x1bsk", "100 ms - - 12.0K 0 0 3.0M 5.0M 7 0 4000000 di\\x1bsk");
	assert_true(strstr(r.out, "worker") < strstr(r.out, "di\\x1bsk"));
	assert_true(strstr(r.out, "di\\x1bsk") < strstr(r.out, "idle"));
	run_free(&r);
	maker_remove(&m);
}

static void test_selection(void **state)
{
	struct maker m;
	struct run r;

	(void)state;
	make(&m);
	r = RUN(cmd_report, "120", "--processes", "--until=1s", m.path);
	assert_non_null(strstr(r.out, "2 processes, 1.50 s of CPU time, sampled 1.44 s"));
	assert_null(strstr(r.out, "di\\x1bsk"));
	run_free(&r);
	r = RUN(cmd_report, "120", "--processes", "--since=1s", m.path);
	assert_non_null(strstr(r.out, "2 processes, 600 ms of CPU time, sampled 0 ns"));
	run_free(&r);
	r = RUN(cmd_report, NULL, "--processes", "--pid=100", m.path);
	assert_non_null(strstr(r.out, "1 process, 2.00 s"));
	run_free(&r);
	r = RUN(cmd_report, NULL, "--processes", "--comm=idle", m.path);
	assert_non_null(strstr(r.out, "1 process, 0 ns"));
	run_free(&r);
	r = RUN(cmd_report, NULL, "--processes", "--limit=1", m.path);
	assert_non_null(strstr(r.out, "2 more processes: --limit 0 shows all"));
	assert_null(strstr(r.out, "idle"));
	run_free(&r);
	assert_refused(RUN(cmd_report, NULL, "--processes", "--pid=77", m.path), "no process");
	assert_refused(RUN(cmd_report, NULL, "--processes", "--since=5s", m.path), "no tick");
	maker_remove(&m);
}

static void test_order(void **state)
{
	struct maker m;
	struct run r;

	(void)state;
	make(&m);
	r = RUN(cmd_report, "120", "--processes", "--sort=write", m.path);
	assert_true(strstr(r.out, "di\\x1bsk") < strstr(r.out, "worker"));
	run_free(&r);
	r = RUN(cmd_report, "120", "--processes", "--sort=pid", m.path);
	assert_true(strstr(r.out, "worker") < strstr(r.out, "idle"));
	assert_true(strstr(r.out, "idle") < strstr(r.out, "di\\x1bsk"));
	run_free(&r);
	r = RUN(cmd_report, "120", "--processes", "--sort=name", "--limit=1", m.path);
	assert_non_null(strstr(r.out, "di\\x1bsk"));
	run_free(&r);
	assert_refused(RUN(cmd_report, NULL, "--processes", "--sort=self", m.path), "--sort takes");
	maker_remove(&m);
}

/* The report's head has the same sum, of the same selection. */
static void test_exact_beside_sampled(void **state)
{
	struct maker m;
	struct run r;

	(void)state;
	make(&m);
	r = RUN(cmd_report, "80", m.path);
	assert_non_null(strstr(
		r.out,
		"= 1.44 s +- 120 ms of CPU time; none lost\n"
		"The kernel's own account of the same: 2.10 s; the clock missed 660 ms of it\n"));
	run_free(&r);
	r = RUN(cmd_report, "80", "--pid=100", m.path);
	assert_non_null(strstr(r.out, "account of the same: 2.00 s\n"));
	run_free(&r);
	r = RUN(cmd_report, "80", "--until=1s", m.path);
	assert_non_null(strstr(r.out, "account of the same: 1.50 s\n"));
	run_free(&r);
	r = RUN(cmd_report, "80", "--value=fault", m.path);
	assert_non_null(strstr(r.out, "1,500 page faults, 10 of them major\n"));
	run_free(&r);
	maker_remove(&m);
}

static void test_lines_fit(void **state)
{
	static const char *const widths[] = { "60", "80", "100", "132", "200" };
	struct maker m;

	(void)state;
	make(&m);
	for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++) {
		struct run r = RUN(cmd_report, widths[i], "--processes", m.path);

		assert_true(widest(r.out) <= strtoul(widths[i], NULL, 10));
		assert_non_null(strstr(r.out, "worker"));
		run_free(&r);
	}
	maker_remove(&m);
}

/* Values that no recorder writes: nothing wraps to something that looks right. */
static void test_absurd_values(void **state)
{
	const struct seen huge = { .cpu_ns = INT64_MAX,
				   .rss_anon_pages = INT64_MAX,
				   .rss_file_pages = INT64_MAX,
				   .minor_faults = INT64_MAX,
				   .read_bytes = INT64_MIN };
	struct maker m;
	struct run r;

	(void)state;
	maker_init(&m);
	maker_account(&m, maker_thread(&m, 100, "huge"), false, &huge);
	maker_account(&m, 77, false, &huge); /* of a process that there is not */
	maker_close_tick(&m);
	maker_account(&m, 1, false, &huge);
	maker_close_tick(&m);
	maker_finish(&m, true);
	r = RUN(cmd_report, "120", "--processes", m.path);
	assert_int_equal(r.exit_code, 0);
	assert_non_null(strstr(r.out, "1 process, 9223372037 s"));
	assert_true(widest(r.out) <= 140);
	run_free(&r);
	maker_remove(&m);
}

static void test_nothing_accounted(void **state)
{
	struct maker m;
	struct run r;

	(void)state;
	maker_init(&m);
	maker_finish(&m, true);
	r = RUN(cmd_report, NULL, "--processes", m.path);
	assert_int_equal(r.exit_code, 0);
	assert_non_null(strstr(r.out, "no process was accounted"));
	run_free(&r);
	maker_remove(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_selection),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_exact_beside_sampled),
		cmocka_unit_test(test_lines_fit),
		cmocka_unit_test(test_absurd_values),
		cmocka_unit_test(test_nothing_accounted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
