/* SPDX-License-Identifier: Apache-2.0 */
/*
 * python_line against the interpreters' own answers (tests/fixtures/python/lines.py), for every
 * instruction: recorded for each version, and for the library of each interpreter of this machine.
 *   test_lines --stream <OUTPUT OF lines.py   judges that (tests/pythons/lines: whole libraries).
 */
#include "unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "python/python.h"
#include "unit/support/pythons.h"

#define FIXTURES  "tests/fixtures/python/"
#define TABLE_MAX (1 << 20)
#define RUNS_MAX  (1 << 20)
#ifdef KYMO_SANITIZED
#define FILES_PER_FOLDER 4
#else
#define FILES_PER_FOLDER 40
#endif

struct table {
	uint32_t version, first_line, size, runs_n, code_bytes;
};

struct run {
	uint32_t offset, line;
};

static void check_table(const struct table *t, const uint8_t *bytes, const struct run *runs)
{
	uint32_t run = 0;

	assert_int_equal(python_line((uint16_t)t->version, bytes, t->size, t->first_line, -1),
			 t->first_line);
	for (uint32_t at = 0; at < t->code_bytes; at += 2) {
		uint32_t want = t->first_line, got;

		while (run < t->runs_n && runs[run].offset <= at)
			run++;
		if (run)
			want = runs[run - 1].line;
		got = python_line((uint16_t)t->version, bytes, t->size, t->first_line, (int32_t)at);
		if (got != want)
			fail_msg("%x: code at line %u, instruction %u: line %u, not %u", t->version,
				 t->first_line, at, got, want);
	}
}

/* How many tables. */
static size_t check_stream(FILE *f)
{
	_cleanup_free_ uint8_t *bytes = malloc(TABLE_MAX);
	_cleanup_free_ struct run *runs = malloc(RUNS_MAX * sizeof(*runs));
	struct table t;
	size_t n = 0;

	assert_true(bytes && runs);
	while (fread(&t, sizeof(t), 1, f) == 1) {
		assert_true(t.size <= TABLE_MAX && t.runs_n <= RUNS_MAX);
		assert_int_equal(fread(bytes, 1, t.size, f), t.size);
		assert_int_equal(fread(runs, sizeof(*runs), t.runs_n, f), t.runs_n);
		/* Quadratic: what the kernel side would cut off is left out. */
		if (t.size <= KYMO_LINE_TABLE_MAX)
			check_table(&t, bytes, runs);
		n++;
	}
	assert_true(feof(f));
	return n;
}

static void recorded_lines_are_right(void **state)
{
	_cleanup_fclose_ FILE *f = fopen(*state, "re");

	if (!f)
		fail_msg("%s: %s", (const char *)*state, strerror(errno));
	assert_true(check_stream(f) >= 20);
}

static void library_lines_are_right(void **state)
{
	struct pythons p;

	(void)state;
	pythons_find(&p);
	if (!p.n) {
		print_message("skip: no CPython on this machine\n");
		pythons_release(&p);
		skip();
	}
	for (size_t i = 0; i < p.n; i++) {
		char command[1024];
		FILE *f;
		size_t n;

		snprintf(command, sizeof(command),
			 "%s -S -W ignore " FIXTURES "lines.py --library %d", p.paths[i],
			 FILES_PER_FOLDER);
		f = popen(command, "re");
		assert_non_null(f);
		n = check_stream(f);
		assert_int_equal(pclose(f), 0);
		print_message("%s: %zu code objects\n", p.paths[i], n);
		assert_true(n > 1000);
	}
	pythons_release(&p);
}

/* ---- tables that lie ---- */

static const uint16_t versions[] = { 0x0306, 0x0309, 0x030a, 0x030b, 0x030c, 0x030d, 0x030e };

static void an_empty_table_is_the_first_line(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		assert_int_equal(python_line(versions[i], NULL, 0, 7, 0), 7);
		assert_int_equal(python_line(versions[i], NULL, 0, 7, 100), 7);
		assert_int_equal(python_line(versions[i], (const uint8_t *)"\x80", 1, 7, -1), 7);
		assert_int_equal(python_line(versions[i], (const uint8_t *)"\xff", 1, 7, INT32_MIN),
				 7);
	}
}

/* Exactly as long an allocation as the table: a read behind it is found by ASan. */
static void random_tables_end(void **state)
{
	uint64_t seed = 1;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		size_t size = (size_t)(seed >> 33) % 65;
		_cleanup_free_ uint8_t *bytes = malloc(size ? size : 1);

		assert_non_null(bytes);
		for (size_t i = 0; i < size; i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			bytes[i] = (uint8_t)(seed >> 56);
		}
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
			python_line(versions[i], bytes, size, (uint32_t)(seed >> 32), round % 512);
			python_line(versions[i], bytes, size, UINT32_MAX, INT32_MAX);
		}
	}
}

#define VERSION(v) cmocka_unit_test_prestate(recorded_lines_are_right, FIXTURES "lines-" v ".bin")

static void stream_is_right(void **state)
{
	(void)state;
	print_message("%zu code objects\n", check_stream(stdin));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		VERSION("3.6"),
		VERSION("3.7"),
		VERSION("3.8"),
		VERSION("3.9"),
		VERSION("3.10"),
		VERSION("3.11"),
		VERSION("3.12"),
		VERSION("3.13"),
		VERSION("3.14"),
		cmocka_unit_test(library_lines_are_right),
		cmocka_unit_test(an_empty_table_is_the_first_line),
		cmocka_unit_test(random_tables_end),
	};

	const struct CMUnitTest streams[] = { cmocka_unit_test(stream_is_right) };

	if (argc == 2 && strcmp(argv[1], "--stream") == 0)
		return cmocka_run_group_tests_name("python lines", streams, NULL, NULL);
	return cmocka_run_group_tests_name("python lines", tests, NULL, NULL);
}
