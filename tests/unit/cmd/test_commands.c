/* SPDX-License-Identifier: Apache-2.0 */
/* The reading commands as people meet them: what they print, how wide, and how they refuse. */
#include "unit/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "model/sample.h"
#include "unit/support/command.h"
#include "unit/support/profile_maker.h"

static void make(struct maker *m, bool clean)
{
	static const char *const names[] = {
		"short",
		"a_function_with_a_name_that_is_longer_than_any_column_of_eighty_can_be_on_a_"
		"terminal_screen",
		"esc\033[31m;\nnewline",
		"\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97",
		"<b>",
		"\xff\xff",
	};
	uint32_t a, b;

	maker_init(m);
	a = maker_thread(m, 100, "alpha");
	b = maker_thread(m, 200, "be\033ta");
	for (uint32_t i = 0; i < 6; i++) {
		uint32_t frame = maker_named_frame(
			m, i % 2 ? FRAME_PYTHON : FRAME_NATIVE, names[i],
			i % 2 ? "/srv/a/very/long/path/to/some/package/module.py" : "", i * 1000);

		maker_row(m, i % 2 ? a : b, maker_stack(m, 0, frame), 10 - i);
	}
	maker_health(m, HEALTH_cpu_user_ns, 1500000000);
	maker_health(m, HEALTH_cpu_idle_ns, 500000000);
	maker_health(m, HEALTH_psi_mem_some_ns, 250000000);
	maker_health(m, HEALTH_psi_mem_full_ns, 50000000);
	maker_health(m, HEALTH_mem_total_bytes, 8LL << 30);
	maker_health(m, HEALTH_mem_available_bytes, 3LL << 30);
	maker_health(m, HEALTH_disk_read_bytes, 104857600);
	maker_health(m, HEALTH_procs_running, 3);
	maker_quality(m, "bpf.ring_full", 17);
	maker_close_tick(m);
	maker_finish(m, clean);
}

static void test_report(void **state)
{
	struct maker m;
	struct run r;

	(void)state;
	make(&m, true);
	r = RUN(cmd_report, NULL, m.path);
	assert_int_equal(r.exit_code, 0);
	assert_string_equal(r.err, "");
	assert_non_null(strstr(r.out, "testhost"));
	assert_non_null(strstr(r.out, "45 samples"));
	assert_non_null(strstr(r.out, "17 lost"));
	assert_non_null(strstr(r.out, "75.0%")); /* CPU busy */
	assert_non_null(strstr(r.out, "25.0%")); /* memory pressure */
	assert_non_null(strstr(r.out, "100 MiB/s"));
	assert_non_null(strstr(r.out, "native  short"));
	assert_null(strstr(r.out, "did not end"));
	assert_null(strstr(r.out, "\033"));
	run_free(&r);
	maker_remove(&m);
}

static void test_lines_fit(void **state)
{
	static const char *const widths[] = { "60", "80", "100", "132", "200" };
	struct maker m;

	(void)state;
	make(&m, true);
	for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++) {
		struct run report = RUN(cmd_report, widths[i], m.path);
		struct run ticks = RUN(cmd_ticks, widths[i], m.path);
		struct run info = RUN(cmd_info, widths[i], m.path);
		size_t most = strtoul(widths[i], NULL, 10);

		assert_true(widest(report.out) <= most);
		assert_true(widest(ticks.out) <= most);
		assert_true(widest(info.out) <= most);
		run_free(&report);
		run_free(&ticks);
		run_free(&info);
	}
	maker_remove(&m);
}

/* A page fits a page when nobody says how wide it is; a table of data is whole. */
static void test_into_a_pipe(void **state)
{
	struct maker m;
	struct run r;

	(void)state;
	make(&m, true);
	r = RUN(cmd_report, NULL, m.path);
	assert_true(widest(r.out) <= 80);
	run_free(&r);
	r = RUN(cmd_ticks, NULL, m.path);
	assert_true(widest(r.out) > 110);
	run_free(&r);
	maker_remove(&m);
}

static void test_selection(void **state)
{
	struct maker m;
	struct run r;

	(void)state;
	make(&m, true);
	r = RUN(cmd_report, NULL, "--pid", "100", m.path);
	assert_non_null(strstr(r.out, "21 samples"));
	run_free(&r);
	r = RUN(cmd_report, NULL, "--comm=alpha", m.path);
	assert_non_null(strstr(r.out, "21 samples"));
	run_free(&r);
	r = RUN(cmd_report, NULL, "--limit", "2", m.path);
	assert_non_null(strstr(r.out, "4 more functions"));
	run_free(&r);
	maker_remove(&m);
}

static void test_did_not_end(void **state)
{
	struct maker m;
	struct run r;

	(void)state;
	make(&m, false);
	r = RUN(cmd_report, NULL, m.path);
	assert_int_equal(r.exit_code, 0);
	assert_non_null(strstr(r.out, "did not end"));
	run_free(&r);
	r = RUN(cmd_info, NULL, m.path);
	assert_non_null(strstr(r.out, "no: it still runs, or was cut off"));
	run_free(&r);
	maker_remove(&m);
}

static void test_nothing_recorded(void **state)
{
	struct maker m;
	struct run r;

	(void)state;
	maker_init(&m);
	maker_finish(&m, true);
	r = RUN(cmd_report, NULL, m.path);
	assert_int_equal(r.exit_code, 0);
	assert_non_null(strstr(r.out, "no samples"));
	run_free(&r);
	r = RUN(cmd_ticks, NULL, m.path);
	assert_int_equal(r.exit_code, 0);
	assert_non_null(strstr(r.out, "no tick was recorded"));
	run_free(&r);
	r = RUN(cmd_info, NULL, m.path);
	assert_int_equal(r.exit_code, 0);
	run_free(&r);
	maker_remove(&m);
}

/* Why stacks are not whole is never cut: the list goes on in the next line. */
static void test_every_cause_is_told(void **state)
{
	static const char *const widths[] = { "60", "80", "100", "200" };
	char cause[128];
	struct maker m;

	(void)state;
	maker_init(&m);
	for (uint32_t end = KYMO_END_NONE; end < KYMO_END_MAX; end++) {
		uint32_t thread = maker_thread(&m, 100 + end, "ends");
		uint32_t frame = maker_named_frame(&m, FRAME_NATIVE, "f", "", end);

		maker_row_of(&m, thread, maker_stack(&m, 0, frame), KYMO_SOURCE_CPU, end, 300 + end,
			     1000);
	}
	maker_close_tick(&m);
	maker_finish(&m, true);
	for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++) {
		struct run r = RUN(cmd_report, widths[i], m.path);

		assert_true(widest(r.out) <= strtoul(widths[i], NULL, 10));
		for (uint32_t end = KYMO_END_WHOLE + 1; end < KYMO_END_MAX; end++) {
			snprintf(cause, sizeof(cause), "%s %u", end_names[end], 300 + end);
			if (end != KYMO_END_EXECVE && !strstr(r.out, cause))
				fail_msg("%s columns: no '%s' in\n%s", widths[i], cause, r.out);
		}
		run_free(&r);
	}
	maker_remove(&m);
}

/* Of the n-th line that has the name: from there to its end. */
static void copy_line(const char *text, const char *name, size_t n, char *out, size_t size)
{
	const char *at = text;

	for (size_t i = 0; i <= n; i++) {
		at = strstr(i ? at + 1 : at, name);
		assert_non_null(at);
	}
	snprintf(out, size, "%.*s", (int)strcspn(at, "\n"), at);
}

/* Functions of two files of one name: the table says which is whose. */
static void test_equal_base_names(void **state)
{
	static const char *const widths[] = { "60", "80", "132" };
	static const char *const paths[] = { "/usr/lib/x86_64-linux-gnu/libc.so.6",
					     "/srv/chroot/usr/lib/x86_64-linux-gnu/libc.so.6" };
	static const char *const names[] = { "[libc.so.6]", "memcpy" };
	char lines[2][256];
	struct maker m;

	(void)state;
	maker_init(&m);
	for (size_t i = 0; i < 4; i++) {
		uint32_t binary = maker_binary(&m, BINARY_FILE, paths[i / 2]);
		uint32_t function =
			i % 2 ? maker_function(&m, FRAME_NATIVE, binary, "memcpy", "", 0) : 0;
		uint32_t frame = maker_frame(&m, FRAME_NATIVE, binary, i, function);

		maker_row(&m, maker_thread(&m, 100, "a"), maker_stack(&m, 0, frame), 10);
	}
	maker_close_tick(&m);
	maker_finish(&m, true);
	for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++) {
		struct run r = RUN(cmd_report, widths[i], m.path);

		for (size_t k = 0; k < 2; k++) {
			copy_line(r.out, names[k], 0, lines[0], sizeof(lines[0]));
			copy_line(r.out, names[k], 1, lines[1], sizeof(lines[1]));
			assert_string_not_equal(lines[0], lines[1]);
		}
		assert_true(widest(r.out) <= strtoul(widths[i], NULL, 10));
		run_free(&r);
	}
	maker_remove(&m);
}

/* An empty table or picture would look like an idle host. */
static void test_empty_selections(void **state)
{
	static int (*const commands[])(int, char **) = { cmd_report, cmd_ticks };
	char svg[600];
	struct maker m;

	(void)state;
	make(&m, true);
	snprintf(svg, sizeof(svg), "%s/x.svg", m.folder);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		assert_refused(RUN(commands[i], NULL, "--comm=nothing", m.path), "no samples");
		assert_refused(RUN(commands[i], NULL, "--pid=77", m.path), "no samples");
		assert_refused(RUN(commands[i], NULL, "--since=5s", m.path), "no tick");
	}
	assert_refused(RUN(cmd_export, NULL, "-o", svg, "--comm=nothing", m.path), "no samples");
	assert_refused(RUN(cmd_export, NULL, "-o", svg, "--since=5s", m.path), "no tick");
	assert_int_not_equal(access(svg, F_OK), 0);
	maker_remove(&m);
	maker_init(&m);
	maker_close_tick(&m);
	maker_finish(&m, true);
	assert_refused(RUN(cmd_export, NULL, "-o", svg, m.path), "no samples");
	assert_int_not_equal(access(svg, F_OK), 0);
	maker_remove(&m);
}

static void damage(const struct maker *m, const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(m->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

/* Samples that cannot be read: a warning where others are left, else a refusal. */
static void test_damaged_samples(void **state)
{
	struct maker m;
	struct run r;

	(void)state;
	maker_init(&m);
	for (uint32_t i = 0; i < 2; i++) {
		uint32_t frame = maker_named_frame(&m, FRAME_NATIVE, "f", "", i);

		maker_row(&m, maker_thread(&m, 100, "a"), maker_stack(&m, 0, frame), 10);
		maker_close_tick(&m);
	}
	maker_finish(&m, true);
	damage(&m, "UPDATE sample_block SET block = x'00' WHERE tick = 1");
	r = RUN(cmd_report, NULL, m.path);
	assert_int_equal(r.exit_code, 0);
	assert_non_null(strstr(r.out, "10 samples"));
	assert_int_equal(lines_of(r.err), 1);
	assert_non_null(strstr(r.err, "samples of 1 ticks are damaged"));
	run_free(&r);
	damage(&m, "UPDATE sample_block SET block = x'00'");
	assert_refused(RUN(cmd_report, NULL, m.path), "damaged");
	assert_refused(RUN(cmd_ticks, NULL, m.path), "damaged");
	assert_refused(RUN(cmd_export, NULL, "-f", "svg", m.path), "damaged");
	assert_refused(RUN(cmd_report, NULL, "--comm=a", m.path), "damaged");
	maker_remove(&m);
}

static void fill_output(void)
{
	int fd = open("/dev/full", O_WRONLY);

	assert_true(fd >= 0);
	dup2(fd, STDOUT_FILENO);
	close(fd);
}

static int report_to_full(int argc, char **argv)
{
	fill_output();
	return cmd_report(argc, argv);
}

static int export_to_full(int argc, char **argv)
{
	fill_output();
	return cmd_export(argc, argv);
}

/* One wording, whoever writes. */
static void test_full_output(void **state)
{
	static const char told[] =
		"kymo: standard output: cannot be written: No space left on device\n";
	struct maker m;
	struct run r;

	(void)state;
	make(&m, true);
	r = RUN(report_to_full, NULL, m.path);
	assert_int_equal(r.exit_code, 1);
	assert_string_equal(r.err, told);
	run_free(&r);
	r = RUN(report_to_full, NULL, "--json", m.path);
	assert_int_equal(r.exit_code, 1);
	assert_string_equal(r.err, told);
	run_free(&r);
	r = RUN(report_to_full, NULL, "--help");
	assert_int_equal(r.exit_code, 1);
	assert_string_equal(r.err, told);
	run_free(&r);
	r = RUN(export_to_full, NULL, "-f", "folded", "-o", "-", m.path);
	assert_int_equal(r.exit_code, 1);
	assert_string_equal(r.err, told);
	run_free(&r);
	maker_remove(&m);
}

static void test_refusals(void **state)
{
	(void)state;
	assert_refused(RUN(cmd_report, NULL, "/no/such.kymo"), "/no/such.kymo");
	assert_refused(RUN(cmd_report, NULL, "/dev/null"), "/dev/null");
	assert_refused(RUN(cmd_report, NULL, "/etc/passwd"), "/etc/passwd");
	assert_refused(RUN(cmd_report, NULL, "/tmp"), "/tmp");
	assert_refused(RUN(cmd_report, NULL, "a", "b"), "'b'");
	assert_refused(RUN(cmd_report, NULL, "--frobnicate"), "unknown option '--frobnicate'");
	assert_refused(RUN(cmd_report, NULL, "-Z"), "unknown option '-Z'");
	assert_refused(RUN(cmd_report, NULL, "x", "--limit"), "'--limit' needs a value");
	assert_refused(RUN(cmd_report, NULL, "--limit=-1"), "--limit");
	assert_refused(RUN(cmd_report, NULL, "--limit=1x"), "1x");
	assert_refused(RUN(cmd_report, NULL, "--pid=0"), "--pid");
	assert_refused(RUN(cmd_report, NULL, "--since=soon"), "soon");
	assert_refused(RUN(cmd_report, NULL, "--sin\033[31mce=soon"), "\\x1b");
	assert_refused(RUN(cmd_export, NULL, "x.kymo"), "format");
	assert_refused(RUN(cmd_export, NULL, "--format=gif", "x.kymo"), "gif");
	assert_refused(RUN(cmd_export, NULL, "-f"), "'-f' needs a value");
	assert_refused(RUN(cmd_ticks, NULL, "--limit=3"), "--limit");
	assert_refused(RUN(cmd_info, NULL, "--pid=3"), "--pid");
}

static void test_help(void **state)
{
	static int (*const commands[])(int, char **) = { cmd_report, cmd_ticks, cmd_export,
							 cmd_info };

	(void)state;
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		struct run r = RUN(commands[i], NULL, "--help");

		assert_int_equal(r.exit_code, 0);
		assert_memory_equal(r.out, "Usage: kymo ", 12);
		assert_true(widest(r.out) <= 80);
		assert_string_equal(r.err, "");
		run_free(&r);
	}
}

/* Exports are whole or not there; a failing one leaves the older file and no other. */
static void test_export_to_a_file(void **state)
{
	char path[600], other[600];
	struct maker m;
	struct run r;

	(void)state;
	make(&m, true);
	snprintf(path, sizeof(path), "%s/x.folded", m.folder);
	r = RUN(cmd_export, NULL, "-o", path, m.path);
	assert_int_equal(r.exit_code, 0);
	assert_int_equal(access(path, R_OK), 0);
	run_free(&r);
	r = RUN(cmd_export, NULL, "-f", "folded", m.path);
	assert_int_equal(lines_of(r.out), 6);
	run_free(&r);
	assert_int_equal(unlink(path), 0);
	assert_refused(RUN(cmd_export, NULL, "-o", "/no/such/folder/x.svg", m.path),
		       "/no/such/folder/x.svg");
	assert_refused(RUN(cmd_export, NULL, "-f", "svg", "-o", "/dev/full", m.path), "/dev/full");
	snprintf(other, sizeof(other), "%s/folder.svg", m.folder);
	assert_int_equal(mkdir(other, 0700), 0);
	assert_refused(RUN(cmd_export, NULL, "-o", other, m.path), "folder.svg");
	assert_int_equal(rmdir(other), 0);
	maker_remove(&m);
	assert_int_not_equal(access(m.folder, F_OK), 0); /* nothing was left in it */
}

/* A disk that fills up half way: the reason is told, and no half file is left behind. */
static void test_export_without_room(void **state)
{
	struct rlimit before, small;
	char path[600];
	struct maker m;

	(void)state;
	make(&m, true);
	snprintf(path, sizeof(path), "%s/x.svg", m.folder);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = before;
	small.rlim_cur = 4096;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_refused(RUN(cmd_export, NULL, "-o", path, m.path), "File too large");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	maker_remove(&m);
	assert_int_not_equal(access(m.folder, F_OK), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_report),
		cmocka_unit_test(test_lines_fit),
		cmocka_unit_test(test_into_a_pipe),
		cmocka_unit_test(test_selection),
		cmocka_unit_test(test_every_cause_is_told),
		cmocka_unit_test(test_equal_base_names),
		cmocka_unit_test(test_empty_selections),
		cmocka_unit_test(test_damaged_samples),
		cmocka_unit_test(test_full_output),
		cmocka_unit_test(test_did_not_end),
		cmocka_unit_test(test_nothing_recorded),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_export_to_a_file),
		cmocka_unit_test(test_export_without_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
