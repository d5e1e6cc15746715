/* SPDX-License-Identifier: Apache-2.0 */
/* What exports write: every sample once, in lines and files that names cannot break. */
#include "unit/test.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "export/export.h"
#include "unit/support/profile_maker.h"

/* The whole output of an exporter; freed by the caller. */
static char *export_as(const char *format, const struct maker *m, struct query_selection s,
		       uint64_t *ret_weight)
{
	const struct exporter *e = exporter_by_name(format);
	const struct export_options options = { 0 };
	struct query_result *r = NULL;
	struct profile *p = NULL;
	char *message = NULL, *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(e);
	assert_non_null(out);
	assert_int_equal(profile_open(m->path, &p, &message), 0);
	assert_int_equal(query_run(p, &s, &r), 0);
	assert_int_equal(e->write(out, p, &s, r, &options), 0);
	fclose(out);
	if (ret_weight)
		*ret_weight = r->total.weight;
	query_free(r);
	profile_close(p);
	return text;
}

static void test_folded_lines(void **state)
{
	_cleanup_free_ char *text = NULL;
	struct maker m;
	uint32_t main_, leaf, s_main, s_leaf, thread;

	(void)state;
	maker_init(&m);
	main_ = maker_named_frame(&m, FRAME_PYTHON, "main", "/usr/lib/python3.11/json/tool.py", 12);
	leaf = maker_named_frame(&m, FRAME_NATIVE, "leaf", "", 0);
	s_main = maker_stack(&m, 0, main_);
	s_leaf = maker_stack(&m, s_main, leaf);
	thread = maker_thread(&m, 7, "tool");
	maker_row(&m, thread, s_main, 1);
	maker_row(&m, thread, s_leaf, 3);
	maker_row(&m, thread, 0, 2);
	maker_close_tick(&m);
	maker_finish(&m, true);
	text = export_as("folded", &m, (struct query_selection){ 0 }, NULL);
	assert_string_equal(text, "tool;main (json/tool.py:12) 10000000\n"
				  "tool;main (json/tool.py:12);leaf 30000000\n"
				  "tool;[no stack] 20000000\n");
	maker_remove(&m);
}

/* The sum of the lines is the query's total, under a selection too. */
static void test_folded_adds_up(void **state)
{
	static const struct query_selection selections[] = {
		{ 0 }, { .pid = 11 }, { .comm = "a" }, { .since_ns = MAKER_TICK_NS }
	};
	struct maker m;
	uint32_t threads[2], stack = 0;

	(void)state;
	maker_init(&m);
	threads[0] = maker_thread(&m, 10, "a");
	threads[1] = maker_thread(&m, 11, "b");
	for (uint32_t i = 0; i < 200; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%u", i % 17);
		stack = maker_stack(&m, i % 5 ? stack : 0,
				    maker_named_frame(&m, FRAME_NATIVE, name, "", 0));
		maker_row_of(&m, threads[i % 2], stack, KYMO_SOURCE_CPU, KYMO_END_WHOLE, 1,
			     i * 977);
		if (i == 120)
			maker_close_tick(&m);
	}
	maker_close_tick(&m);
	maker_finish(&m, true);
	for (size_t i = 0; i < 4; i++) {
		uint64_t total, sum = 0;
		char *save, *text = export_as("folded", &m, selections[i], &total);

		assert_true(total > 0);
		for (char *line = strtok_r(text, "\n", &save); line;
		     line = strtok_r(NULL, "\n", &save))
			sum += strtoull(strrchr(line, ' '), NULL, 10);
		assert_int_equal(sum, total);
		free(text);
	}
	maker_remove(&m);
}

static const char *const hostile[] = {
	"a;b",
	"line\nbreak",
	"tab\tescape\033[31m",
	"trailing 12",
	"<script>alert(1)</script>",
	"]]></script>",
	"\xff\xfe broken",
	"&quot;",
	"\"'",
	"\xe2\x80\xae"
	"flip",
};
#define HOSTILE_N (sizeof(hostile) / sizeof(hostile[0]))

static void make_hostile(struct maker *m)
{
	uint32_t thread;

	maker_init(m);
	thread = maker_thread(m, 1, ";\n<x>");
	for (size_t i = 0; i < HOSTILE_N; i++)
		maker_row(
			m, thread,
			maker_stack(m, 0,
				    maker_named_frame(m, FRAME_PYTHON, hostile[i], hostile[i], 1)),
			1);
	maker_close_tick(m);
	maker_finish(m, true);
}

/* One line per stack, one semicolon per level, whatever the names. */
static void test_folded_hostile_names(void **state)
{
	_cleanup_free_ char *text = NULL;
	size_t lines = 0, separators = 0;
	struct maker m;

	(void)state;
	make_hostile(&m);
	text = export_as("folded", &m, (struct query_selection){ 0 }, NULL);
	for (const char *c = text; *c; c++) {
		lines += *c == '\n';
		separators += *c == ';';
		assert_true(*c == '\n' || (unsigned char)*c >= 0x20);
	}
	assert_int_equal(lines, HOSTILE_N);
	assert_int_equal(separators, HOSTILE_N);
	maker_remove(&m);
}

static size_t occurrences(const char *text, const char *what)
{
	size_t n = 0;

	for (const char *at = strstr(text, what); at; at = strstr(at + 1, what))
		n++;
	return n;
}

static void test_svg_hostile_names(void **state)
{
	_cleanup_free_ char *text = NULL;
	struct maker m;

	(void)state;
	make_hostile(&m);
	text = export_as("svg", &m, (struct query_selection){ 0 }, NULL);
	assert_int_equal(occurrences(text, "<script"), 1);
	assert_int_equal(occurrences(text, "</script>"), 1);
	assert_int_equal(occurrences(text, "]]>"), 1);
	assert_int_equal(occurrences(text, "\033"), 0);
	assert_true(occurrences(text, "&lt;script&gt;") >= 2);
	maker_remove(&m);
}

static void test_svg_of_nothing(void **state)
{
	_cleanup_free_ char *text = NULL, *folded = NULL;
	struct maker m;

	(void)state;
	maker_init(&m);
	maker_finish(&m, true);
	text = export_as("svg", &m, (struct query_selection){ 0 }, NULL);
	assert_int_equal(occurrences(text, "class=\"frame\""), 1); /* "all" */
	folded = export_as("folded", &m, (struct query_selection){ 0 }, NULL);
	assert_string_equal(folded, "");
	maker_remove(&m);
}

/* A stack of thousands of levels is cut and counted, not a crash nor a picture without end. */
static void test_svg_very_deep(void **state)
{
	_cleanup_free_ char *text = NULL;
	uint32_t frame, stack = 0;
	struct maker m;

	(void)state;
	maker_init(&m);
	frame = maker_named_frame(&m, FRAME_NATIVE, "deep", "", 0);
	for (size_t i = 0; i < 3000; i++)
		stack = maker_stack(&m, stack, frame);
	maker_row(&m, maker_thread(&m, 1, "deep"), stack, 1);
	maker_close_tick(&m);
	maker_finish(&m, true);
	text = export_as("svg", &m, (struct query_selection){ 0 }, NULL);
	assert_true(occurrences(text, "class=\"frame\"") <= 1001);
	assert_non_null(strstr(text, "frames narrower"));
	maker_remove(&m);
}

static void test_which_exporter(void **state)
{
	(void)state;
	assert_string_equal(exporter_by_ending("/tmp/a.svg")->name, "svg");
	assert_string_equal(exporter_by_ending("A.SVG")->name, "svg");
	assert_string_equal(exporter_by_ending("x.folded")->name, "folded");
	assert_null(exporter_by_ending("x.kymo"));
	assert_null(exporter_by_ending(".svg"));
	assert_null(exporter_by_ending(""));
	assert_null(exporter_by_name("gif"));
}

static void test_choice_in_one_line(void **state)
{
	static const char *const unknown[] = { "x.json", "x", "a;b\n.gz", "" };
	char *message;

	(void)state;
	assert_string_equal(exporter_choose("svg", "x.pprof", &message)->name, "svg");
	assert_null(message);
	assert_string_equal(exporter_choose(NULL, "x.pb.gz", &message)->name, "pprof");
	assert_string_equal(exporter_choose(NULL, "x.sqlite", &message)->name, "sqlite");
	assert_null(exporter_choose(NULL, NULL, &message));
	assert_non_null(strstr(message, ".speedscope.json"));
	free(message);
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		assert_null(exporter_choose(NULL, unknown[i], &message));
		for (const struct exporter *e = exporters; e->name; e++) {
			assert_non_null(strstr(message, e->name));
			assert_non_null(strstr(message, e->endings));
			assert_true(!e->write != !e->write_file);
		}
		free(message);
	}
	assert_null(exporter_choose("gif", "x.svg", &message));
	assert_non_null(strstr(message, "'gif'"));
	free(message);
}

/* What decides is never the order of the table. */
static void test_endings_are_of_one(void **state)
{
	(void)state;
	for (const struct exporter *e = exporters; e->name; e++) {
		char endings[128], *at = NULL;

		strcpy(endings, e->endings);
		for (char *one = strtok_r(endings, " ", &at); one; one = strtok_r(NULL, " ", &at)) {
			char name[64];

			snprintf(name, sizeof(name), "x%s", one);
			assert_ptr_equal(exporter_by_ending(name), e);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_folded_lines),
		cmocka_unit_test(test_folded_adds_up),
		cmocka_unit_test(test_folded_hostile_names),
		cmocka_unit_test(test_svg_hostile_names),
		cmocka_unit_test(test_svg_of_nothing),
		cmocka_unit_test(test_svg_very_deep),
		cmocka_unit_test(test_which_exporter),
		cmocka_unit_test(test_choice_in_one_line),
		cmocka_unit_test(test_endings_are_of_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
