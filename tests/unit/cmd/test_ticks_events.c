/* SPDX-License-Identifier: Apache-2.0 */
/* kymo ticks: what happened in a tick stands below its line, whoever wrote the fields. */
#include "unit/test.h"

#include "cmd/cmd.h"
#include "unit/support/command.h"
#include "unit/support/profile_maker.h"

static void make(struct maker *m)
{
	uint32_t python;

	maker_init(m);
	python = maker_thread(m, 7, "python3");
	maker_row(m, python, maker_stack(m, 0, maker_named_frame(m, FRAME_PYTHON, "f", "a.py", 1)),
		  5);
	maker_event(m, EVENT_GC, python, 40000000, "{\"generation\":2,\"collected\":9}");
	maker_event(m, EVENT_GC, python, 1000000, "{\"generation\":0}");
	maker_event(m, EVENT_IMPORT, python, 30000000,
		    "{\"name\":\"num\\u001bpy.of_a_name_that_is_much_too_long_for_the_line_it_"
		    "stands_in\","
		    "\"depth\":0}");
	maker_event(m, EVENT_IMPORT, python, 20000000, "{\"name\":\"numpy.core\",\"depth\":1}");
	maker_close_tick(m);
	maker_event(m, EVENT_OOM_KILL, 0, 0,
		    "{\"pid\":42,\"comm\":\"postgres\",\"scope\":\"cgroup\",\"cgroup\":\"/a/db\","
		    "\"rss_anon_bytes\":1073741824,\"rss_file_bytes\":0,"
		    "\"allocator\":{\"pid\":1,\"comm\":\"worker\"}}");
	maker_event(m, EVENT_EXEC_STORM, 0, MAKER_TICK_NS,
		    "{\"count\":1512,\"usual_per_s\":19.6,\"storm_ticks\":1,\"programs\":["
		    "{\"comm\":\"sh\",\"count\":300},{\"comm\":\"c\\nt\",\"count\":200},"
		    "{\"comm\":\"ls\",\"count\":2},{\"comm\":\"rm\",\"count\":1}]}");
	maker_close_tick(m);
	/* Of no writer that we know. */
	for (int i = 0; i < 7; i++)
		maker_event(m, EVENT_OOM_KILL, 0, 0, i % 2 ? "{\"pid\":\"x\",\"comm\":7" : NULL);
	maker_event(m, EVENT_EXIT_STORM, 99, UINT64_MAX / 4, "[1e400,\"count\"]");
	maker_close_tick(m);
	maker_finish(m, true);
}

static void assert_has(const struct run *r, const char *text)
{
	if (!strstr(r->out, text))
		fail_msg("no '%s' in\n%s", text, r->out);
}

static void test_lines(void **state)
{
	struct maker m;
	struct run r;

	(void)state;
	make(&m);
	r = RUN(cmd_ticks, "120", m.path);
	assert_int_equal(r.exit_code, 0);
	assert_has(&r, "% f\n"
		       "       gc: 2 in 41.0 ms, longest 40.0 ms generation 2 of python3 (7)\n"
		       "       import: 1 in 30.0 ms, longest 30.0 ms num\\x1bpy.of_a_name");
	assert_has(&r,
		   "\n       OOM kill: postgres (pid 42), 1.0 GiB, limit: cgroup /a/db; asked for "
		   "by worker\n"
		   "       exec storm: 1,512 in 1.00 s, usually 20 a second: sh 300, c\\x0at 200, "
		   "ls 2\n");
	assert_has(&r, "\n       OOM kill (pid 0)\n");
	assert_has(&r, "\n       2 more OOM kills\n");
	assert_has(&r, "\n       exit storm: 0 in ");
	run_free(&r);
	maker_remove(&m);
}

static void test_width_and_selection(void **state)
{
	static const char *const widths[] = { "60", "80", "120" };
	struct maker m;
	struct run r;

	(void)state;
	make(&m);
	for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++) {
		r = RUN(cmd_ticks, widths[i], m.path);
		assert_true(widest(r.out) <= strtoul(widths[i], NULL, 10));
		/* Names are cut, figures are not. */
		if (i > 0) {
			assert_has(&r, "OOM kill: postgres (pid 42), 1.0 GiB, limit: cgroup");
			assert_has(&r, "longest 40.0 ms generation 2 of python3 (7)\n");
			assert_has(&r, "longest 30.0 ms ");
		}
		run_free(&r);
	}
	r = RUN(cmd_ticks, "120", "--since=1s", m.path);
	assert_null(strstr(r.out, "gc:"));
	assert_has(&r, "OOM kill: postgres");
	run_free(&r);
	maker_remove(&m);
}

static void test_json(void **state)
{
	struct maker m;
	struct run r;

	(void)state;
	make(&m);
	r = RUN(cmd_ticks, NULL, "--json", m.path);
	assert_int_equal(r.exit_code, 0);
	assert_has(&r,
		   "\"events\":[{\"kind\":\"gc\",\"at_ns\":0,\"duration_ns\":40000000,\"pid\":7,"
		   "\"comm\":\"python3\",\"fields\":\"{\\\"generation\\\":2");
	assert_has(&r, "{\"kind\":\"exit storm\",\"at_ns\":2000000000,");
	assert_has(&r, "\"fields\":null");
	run_free(&r);
	maker_remove(&m);
}

/* A thread is told by the name that it gave itself. */
static void test_thread_names(void **state)
{
	uint32_t thread;
	struct maker m;
	struct run r;

	(void)state;
	maker_init(&m);
	thread = maker_thread(&m, 7, "python3");
	m.tick.threads[m.tick.threads_n - 1].name = strdup("w\xc3\xb6rker-1");
	maker_event(&m, EVENT_GC, thread, 40000000, "{\"generation\":2}");
	maker_close_tick(&m);
	maker_finish(&m, true);
	r = RUN(cmd_ticks, "80", m.path);
	assert_has(&r, "longest 40.0 ms generation 2 of python3 (7), w\xc3\xb6rker-1\n");
	run_free(&r);
	r = RUN(cmd_ticks, NULL, "--json", m.path);
	assert_has(&r, "\"comm\":\"python3\",\"thread\":\"w\xc3\xb6rker-1\",\"fields\"");
	run_free(&r);
	maker_remove(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_width_and_selection),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_thread_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
