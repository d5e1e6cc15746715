/* SPDX-License-Identifier: Apache-2.0 */
/* kymo report --tree: what is folded and what is not, recursion, pruning, order, width. */
#include "unit/test.h"

#include <stdio.h>

#include "cmd/cmd.h"
#include "unit/support/command.h"
#include "unit/support/profile_maker.h"

#define PYTHON_FILE "/usr/lib/python3.11/json/decoder.py"

static uint32_t native(struct maker *m, uint32_t binary, const char *name)
{
	return maker_frame(m, FRAME_NATIVE, binary, m->frames * 16,
			   maker_function(m, FRAME_NATIVE, binary, name, "", 0));
}

static uint32_t kernel(struct maker *m, const char *name)
{
	return maker_named_frame(m, FRAME_KERNEL, name, "", 0);
}

/*
 * web (70 of 100 samples): main -> {serve -> json (a library) -> hook -> memcpy 30, serve -> memcpy 10, serve ->
 * syscall -> copy 8, serve -> syscall -> lock 2, main itself 20}; db (30): its executable lies in a lib folder, and
 * descend -> walk -> descend -> walk -> leaf.
 */
static void make(struct maker *m)
{
	uint32_t web, db, postgres, libc, main_, serve, hook, copy, descend, walk, at;

	maker_init(m);
	web = maker_thread(m, 100, "we\033b");
	db = maker_thread(m, 200, "postgres");
	free(m->tick.processes[1].exe);
	m->tick.processes[1].exe = strdup("/usr/lib/postgresql/15/bin/postgres");
	postgres = maker_binary(m, BINARY_FILE, "/usr/lib/postgresql/15/bin/postgres");
	libc = maker_binary(m, BINARY_FILE, "/usr/lib/x86_64-linux-gnu/libc.so.6");
	main_ = maker_stack(m, 0, maker_named_frame(m, FRAME_PYTHON, "main", "/srv/app.py", 3));
	serve = maker_stack(m, main_,
			    maker_named_frame(m, FRAME_PYTHON, "serve", "/srv/app.py", 9));
	at = maker_stack(m, serve, maker_named_frame(m, FRAME_PYTHON, "decode", PYTHON_FILE, 332));
	hook = maker_stack(m, at, maker_named_frame(m, FRAME_PYTHON, "hook", "/srv/app.py", 20));
	copy = native(m, libc, "memcpy");
	maker_row(m, web, maker_stack(m, hook, copy), 30);
	maker_row(m, web, maker_stack(m, serve, copy), 10);
	maker_row(m, web, main_, 20);
	at = maker_stack(m, serve, kernel(m, "do_syscall_64"));
	maker_row(m, web, maker_stack(m, at, kernel(m, "copy_to_user")), 8);
	maker_row(m, web, maker_stack(m, at, kernel(m, "mutex_lock")), 2);

	descend = native(m, postgres, "descend");
	walk = native(m, postgres, "walk");
	at = maker_stack(m, 0, descend);
	for (int i = 0; i < 20; i++)
		at = maker_stack(m, maker_stack(m, at, walk), descend);
	maker_row(m, db, maker_stack(m, at, native(m, postgres, "leaf")), 30);
	maker_close_tick(m);
	maker_finish(m, true);
}

static void assert_tree(const struct run *r, const char *expected)
{
	const char *tree = strstr(r->out, " total   self");

	assert_int_equal(r->exit_code, 0);
	assert_string_equal(r->err, "");
	assert_non_null(tree);
	assert_string_equal(tree, expected);
}

static void test_folded(void **state)
{
	struct maker m;
	struct run r;

	(void)state;
	make(&m);
	r = RUN(cmd_report, "80", "--tree", m.path);
	assert_tree(&r, " total   self  process, functions\n"
			" 70.0%   0.0%  we\\x1bb\n"
			" 70.0%  20.0%    main  /srv/app.py:3\n"
			" 50.0%   0.0%      serve  /srv/app.py:9\n"
			" 30.0%   0.0%        \xe2\x80\xa6 hook  /srv/app.py:20\n"
			" 30.0%  30.0%          [library] memcpy\n"
			" 10.0%  10.0%        [kernel] 2 functions, mostly copy_to_user\n"
			" 10.0%  10.0%        [library] memcpy\n"
			" 30.0%   0.0%  postgres\n"
			" 30.0%   0.0%    descend (recursive)\n"
			" 30.0%   0.0%      walk (recursive)\n"
			" 30.0%  30.0%        leaf\n"
			"\xe2\x80\xa6 called through library frames, which --all-frames shows\n");
	run_free(&r);
	maker_remove(&m);
}

static void test_all_frames(void **state)
{
	struct maker m;
	struct run r;

	(void)state;
	make(&m);
	r = RUN(cmd_report, "120", "--tree", "--all-frames", "--comm=we\033b", m.path);
	assert_tree(&r, " total   self       time  process, functions\n"
			"100.0%   0.0%     700 ms  we\\x1bb\n"
			"100.0%  28.6%     700 ms    main  /srv/app.py:3\n"
			" 71.4%   0.0%     500 ms      serve  /srv/app.py:9\n"
			" 42.9%   0.0%     300 ms        decode  json/decoder.py:332\n"
			" 42.9%   0.0%     300 ms          hook  /srv/app.py:20\n"
			" 42.9%  42.9%     300 ms            memcpy  libc.so.6\n"
			" 14.3%   0.0%     100 ms        do_syscall_64\n"
			" 11.4%  11.4%    80.0 ms          copy_to_user\n"
			"  2.9%   2.9%    20.0 ms          mutex_lock\n"
			" 14.3%  14.3%     100 ms        memcpy  libc.so.6\n");
	run_free(&r);
	maker_remove(&m);
}

/* The heaviest lines with their callers; the rest is told. */
static void test_limit_and_order(void **state)
{
	struct maker m;
	struct run r;

	(void)state;
	make(&m);
	r = RUN(cmd_report, "80", "--tree", "--limit=3", m.path);
	assert_tree(&r, " total   self  process, functions\n"
			" 70.0%   0.0%  we\\x1bb\n"
			" 70.0%  20.0%    main  /srv/app.py:3\n"
			" 50.0%   0.0%      serve  /srv/app.py:9\n"
			"8 more lines, none above 30.0%: --limit 0 shows all\n");
	run_free(&r);
	r = RUN(cmd_report, "80", "--tree", "--sort=name", m.path);
	assert_true(strstr(r.out, " postgres\n") < strstr(r.out, " we\\x1bb\n"));
	assert_true(strstr(r.out, "]") < strstr(r.out, "hook"));
	run_free(&r);
	assert_refused(RUN(cmd_report, NULL, "--tree", "--sort=cpu", m.path), "--sort takes total");
	assert_refused(RUN(cmd_report, NULL, "--tree", "--quality", m.path), "one at a time");
	assert_refused(RUN(cmd_report, NULL, "--all-frames", m.path), "--tree");
	assert_refused(RUN(cmd_report, NULL, "--tree", "--pid=7", m.path), "no samples");
	maker_remove(&m);
}

/* Deeper than a screen is wide: it says how deep instead of going on to the right. */
static void test_deep(void **state)
{
	static const char *const widths[] = { "60", "80", "100", "120", "200" };
	uint32_t thread, at = 0;
	char name[200];
	struct maker m;

	(void)state;
	maker_init(&m);
	thread = maker_thread(&m, 100, "deep");
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "function_%d::of<a::quite<long>, name>(int, char*)",
			 i);
		at = maker_stack(&m, at,
				 maker_named_frame(&m, FRAME_NATIVE, name,
						   i % 2 ? "/a/folder/with/file.cc" : "", i));
	}
	maker_row(&m, thread, at, 10);
	maker_close_tick(&m);
	maker_finish(&m, true);
	for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++) {
		struct run r = RUN(cmd_report, widths[i], "--tree", "--limit=0", m.path);

		assert_int_equal(r.exit_code, 0);
		assert_true(widest(r.out) <= strtoul(widths[i], NULL, 10));
		assert_non_null(strstr(r.out, "300: function"));
		run_free(&r);
	}
	maker_remove(&m);
}

/* Correlation says so. */
static void test_seen(void **state)
{
	struct maker m;
	struct run r;
	uint32_t thread, stack;

	(void)state;
	maker_init(&m);
	thread = maker_thread(&m, 100, "a");
	stack = maker_stack(&m, 0, maker_named_frame(&m, FRAME_NATIVE, "grow", "", 1));
	maker_row_seen(&m, thread, stack, 2, &(struct seen){ .rss_anon_pages = 512 });
	maker_close_tick(&m);
	maker_row_seen(&m, thread, stack, 1, &(struct seen){ .rss_anon_pages = -256 });
	maker_close_tick(&m);
	maker_finish(&m, true);
	r = RUN(cmd_report, "80", "--tree", "--value=seen:rss", m.path);
	assert_non_null(strstr(r.out, "3 samples at 100 Hz = 2.0 MiB of growth of memory;"));
	assert_non_null(strstr(r.out, "1.0 MiB was given back"));
	assert_non_null(strstr(r.out, "correlation, not cause"));
	assert_non_null(strstr(r.out, "100.0% 100.0%    grow\n"));
	run_free(&r);
	assert_refused(RUN(cmd_report, NULL, "--value=rss", m.path), "seen:rss");
	maker_remove(&m);
}

static void test_json(void **state)
{
	struct maker m;
	struct run r;

	(void)state;
	make(&m);
	r = RUN(cmd_report, NULL, "--tree", "--json", "--limit=8", m.path);
	assert_int_equal(r.exit_code, 0);
	assert_int_equal(lines_of(r.out), 1);
	assert_non_null(strstr(r.out, "\"view\":\"tree\""));
	assert_non_null(strstr(r.out, "{\"parent\":null,\"folded\":null,\"kind\":\"process\""));
	assert_non_null(strstr(r.out, "{\"parent\":2,\"folded\":null,\"kind\":\"python\","
				      "\"function\":\"hook\""));
	assert_non_null(strstr(r.out, "\"recursive\":true"));
	assert_non_null(strstr(r.out, "\"through_library\":true"));
	run_free(&r);
	maker_remove(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_folded),
		cmocka_unit_test(test_all_frames),
		cmocka_unit_test(test_limit_and_order),
		cmocka_unit_test(test_deep),
		cmocka_unit_test(test_seen),
		cmocka_unit_test(test_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
