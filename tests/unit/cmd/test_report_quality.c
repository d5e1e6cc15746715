/* SPDX-License-Identifier: Apache-2.0 */
/* kymo report --quality: every counter in words, sums and maxima, why stacks ended, what it cost. */
#include "unit/test.h"

#include <stdio.h>

#include "cmd/cmd.h"
#include "model/sample.h"
#include "unit/support/command.h"
#include "unit/support/profile_maker.h"

/* Two ticks of a second with 300 samples, 100 of them cut. */
static void make(struct maker *m)
{
	uint32_t a, stack;

	maker_init(m);
	a = maker_thread(m, 100, "a");
	stack = maker_stack(m, 0, maker_named_frame(m, FRAME_NATIVE, "f", "", 1));
	for (uint32_t i = 0; i < 2; i++) {
		maker_row_of(m, a, stack, KYMO_SOURCE_CPU, KYMO_END_WHOLE, 100, 1000);
		maker_row_of(m, a, stack, KYMO_SOURCE_CPU, KYMO_END_NO_RULE, 50, 1000);
		maker_quality(m, "bpf.ring_full", 1000 + i);
		maker_quality(m, "sideband.lost", 3);
		maker_quality(m, "of\033.tomorrow", 5);
		maker_quality(m, "kymo.cpu_ns", 50000000);
		maker_quality(m, "kymo.bpf_ns", 4000000);
		maker_quality(m, "kymo.bpf_runs", 1000);
		maker_quality(m, "kymo.rss_bytes", (2 - i) << 20);
		maker_close_tick(m);
	}
	maker_finish(m, true);
}

static void assert_has(const struct run *r, const char *text)
{
	if (!strstr(r->out, text))
		fail_msg("no '%s' in\n%s", text, r->out);
}

static void test_quality(void **state)
{
	char cut[128];
	struct maker m;
	struct run r;

	(void)state;
	make(&m);
	r = RUN(cmd_report, "120", "--quality", m.path);
	assert_int_equal(r.exit_code, 0);
	assert_string_equal(r.err, "");
	assert_has(&r,
		   "       2,001  bpf.ring_full               samples lost: the ring buffer was "
		   "full\n");
	assert_has(&r, "           6  sideband.lost");
	assert_has(&r, "          10  of\\x1b.tomorrow");
	assert_has(&r, "         200  66.7%  whole\n");
	snprintf(cut, sizeof(cut), "         100  33.3%%  %s\n", end_names[KYMO_END_NO_RULE]);
	assert_has(&r, cut);
	assert_has(&r, "5.00%  of one CPU: 100 ms in 2.00 s\n");
	assert_has(&r, "4.00 us  a run in the kernel: 8.00 ms in 2,000 runs\n");
	assert_has(&r, "2.0 MiB  of memory at most\n"); /* the larger one, not the sum */
	run_free(&r);
	maker_remove(&m);
}

static void test_selection(void **state)
{
	struct maker m;
	struct run r;

	(void)state;
	make(&m);
	r = RUN(cmd_report, "120", "--quality", "--since=1s", m.path);
	assert_has(&r, "       1,001  bpf.ring_full");
	assert_has(&r, "1.0 MiB  of memory at most\n");
	run_free(&r);
	assert_refused(RUN(cmd_report, NULL, "--quality", "--since=5s", m.path), "no tick");
	assert_refused(RUN(cmd_report, NULL, "--quality", "--processes", m.path), "one at a time");
	maker_remove(&m);
}

/*
 * nginx: 12 stacks stop in libfoo.so, 9 of them at the same place, in handler; 2 have no user frame. A binary without
 * symbols, one that was not read, code made at run time.
 */
static void make_stops(struct maker *m)
{
	uint32_t nginx, evil, foo, gone, jit, kernel, handler, first, second, at;

	maker_init(m);
	nginx = maker_thread(m, 100, "nginx");
	evil = maker_thread(m, 200, "e\033l");
	foo = maker_binary(m, BINARY_FILE, "/opt/x/libfoo.so");
	m->tick.binaries[foo - 1].build_id = (struct build_id){ .size = 2, .bytes = "ab" };
	gone = maker_binary(m, BINARY_FILE, "/opt/g\033ne\n.so");
	jit = maker_binary(m, BINARY_ANON, "//anon");
	kernel = maker_named_frame(m, FRAME_KERNEL, "do_syscall_64", "", 0);
	handler = maker_function(m, FRAME_NATIVE, foo, "handler", "", 0);
	first = maker_function(m, FRAME_NATIVE, foo, "+0x2000", "", 0);
	second = maker_function(m, FRAME_NATIVE, foo, "+0x3000", "", 0);
	at = maker_stack(m, 0, maker_frame(m, FRAME_NATIVE, foo, 0x1234, handler));
	maker_row_of(m, nginx, maker_stack(m, at, kernel), KYMO_SOURCE_CPU, KYMO_END_NO_RULE, 9, 9);
	at = maker_stack(m, 0, maker_frame(m, FRAME_NATIVE, foo, 0x777, 0));
	maker_row_of(m, nginx, at, KYMO_SOURCE_CPU, KYMO_END_NO_RULE, 3, 3);
	maker_row_of(m, nginx, at, KYMO_SOURCE_CPU, KYMO_END_WHOLE, 50, 50);
	at = maker_stack(m, 0, kernel);
	maker_row_of(m, nginx, at, KYMO_SOURCE_CPU, KYMO_END_UNREADABLE, 2, 2);
	maker_row_of(m, nginx, at, KYMO_SOURCE_CPU, KYMO_END_NONE, 20, 20);
	at = maker_stack(m, 0, maker_frame(m, FRAME_NATIVE, foo, 0x2010, first));
	maker_row_of(m, nginx, at, KYMO_SOURCE_CPU, KYMO_END_WHOLE, 7, 7);
	at = maker_stack(m, 0, maker_frame(m, FRAME_NATIVE, foo, 0x3010, second));
	maker_row_of(m, nginx, at, KYMO_SOURCE_CPU, KYMO_END_WHOLE, 6, 6);
	at = maker_stack(m, 0, maker_frame(m, FRAME_NATIVE, gone, 0x10, 0));
	maker_row_of(m, evil, at, KYMO_SOURCE_CPU, KYMO_END_FP_BROKEN, 1, 1);
	at = maker_stack(m, 0, maker_frame(m, FRAME_NATIVE, jit, 0x7f0000, 0));
	maker_row_of(m, evil, at, KYMO_SOURCE_CPU, KYMO_END_WHOLE, 4, 4);
	maker_close_tick(m);
	maker_finish(m, true);
}

/* One pid, two programs: a stack is of the one that ran. */
static void test_after_an_exec(void **state)
{
	struct maker m;
	uint32_t at;
	struct run r;

	(void)state;
	maker_init(&m);
	at = maker_stack(&m, 0, maker_named_frame(&m, FRAME_NATIVE, "f", "", 0));
	maker_row_of(&m, maker_thread(&m, 100, "sh"), at, KYMO_SOURCE_CPU, KYMO_END_WHOLE, 1, 1);
	maker_row_of(&m, maker_thread(&m, 100, "python3"), at, KYMO_SOURCE_CPU, KYMO_END_NO_RULE, 5,
		     5);
	maker_close_tick(&m);
	maker_finish(&m, true);
	r = RUN(cmd_report, "120", "--quality", m.path);
	assert_has(&r, "           5  stacks of python3 stop in f: no rule\n");
	run_free(&r);
	maker_remove(&m);
}

static void test_by_binary(void **state)
{
	struct maker m;
	struct run r;

	(void)state;
	make_stops(&m);
	r = RUN(cmd_report, "120", "--quality", m.path);
	assert_has(&r,
		   "samples  where stacks stop that are not whole\n"
		   "          12  stacks of nginx stop in libfoo.so, mostly at 0x1234 (handler): "
		   "no rule\n"
		   "           2  stacks of nginx without a user frame: stack memory "
		   "unreadable\n"
		   "           1  stack of e\\x1bl stops in g\\x1bne\\x0a.so at 0x10: frame "
		   "pointer broken\n");
	assert_has(&r, "samples  code without a name, on the stack of so many\n"
		       "          53  52.0%  /opt/x/libfoo.so: no symbol covers it\n"
		       "           7   6.9%  /opt/x/libfoo.so: stripped; its commonest function\n"
		       "           4   3.9%  [anonymous code]: made at run time: in no file\n"
		       "           1   1.0%  /opt/g\\x1bne\\x0a.so: its file could not be read");
	run_free(&r);
	r = RUN(cmd_report, "120", m.path);
	assert_has(&r, "[libfoo.so+0x2000]");
	assert_has(&r, "[libfoo.so+0x3000]");
	run_free(&r);
	r = RUN(cmd_report, "80", "--quality", "--limit=1", m.path);
	assert_has(&r, "2 more places: --limit 0 shows all\n");
	assert_true(widest(r.out) <= 80);
	run_free(&r);
	r = RUN(cmd_report, NULL, "--quality", "--json", m.path);
	assert_has(&r,
		   "\"stops\":[{\"comm\":\"nginx\",\"binary\":\"/opt/x/libfoo.so\",\"function\":"
		   "\"handler\",\"end\":\"no rule\",\"samples\":12,\"offset\":4660,"
		   "\"offset_samples\":9}");
	assert_has(&r, "\"unnamed\":[{\"function\":\"[libfoo.so]\"");
	run_free(&r);
	maker_remove(&m);
}

static void test_lines_fit(void **state)
{
	static const char *const widths[] = { "60", "80", "100", "132" };
	struct maker m;

	(void)state;
	make(&m);
	for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++) {
		struct run r = RUN(cmd_report, widths[i], "--quality", m.path);

		assert_true(widest(r.out) <= strtoul(widths[i], NULL, 10));
		run_free(&r);
	}
	maker_remove(&m);
}

static void test_nothing_kept(void **state)
{
	struct maker m;
	struct run r;

	(void)state;
	maker_init(&m);
	maker_finish(&m, true);
	r = RUN(cmd_report, NULL, "--quality", m.path);
	assert_int_equal(r.exit_code, 0);
	assert_has(&r, "no counter was kept");
	run_free(&r);
	maker_remove(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quality),	  cmocka_unit_test(test_selection),
		cmocka_unit_test(test_by_binary), cmocka_unit_test(test_after_an_exec),
		cmocka_unit_test(test_lines_fit), cmocka_unit_test(test_nothing_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
