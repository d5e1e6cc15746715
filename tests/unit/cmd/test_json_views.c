/* SPDX-License-Identifier: Apache-2.0 */
/* --json of every reading command: one line, one object, hostile names escaped, figures whole. */
#include "unit/test.h"

#include "cmd/cmd.h"
#include "unit/support/command.h"
#include "unit/support/profile_maker.h"

static void make(struct maker *m)
{
	const struct seen change = { .cpu_ns = 1234567891,
				     .rss_anon_pages = 3,
				     .minor_faults = -2,
				     .write_bytes = 1LL << 53 };
	uint32_t a, frame;

	maker_init(m);
	a = maker_thread(m, 100, "a\"\\\n\033");
	frame = maker_named_frame(m, FRAME_PYTHON, "f\"\n</script>\xff", "x.py", 7);
	maker_row(m, a, maker_stack(m, 0, frame), 4);
	maker_account(m, a, true, &change);
	maker_quality(m, "bpf.ring_full", 17);
	maker_quality(m, "kymo.rss_bytes", 4096);
	maker_quality(m, "new.\"one", 1);
	maker_health(m, HEALTH_mem_free_bytes, 5000000000);
	maker_close_tick(m);
	maker_finish(m, true);
}

static void assert_object(struct run r, const char *const *parts)
{
	int depth = 0;
	bool in_string = false;

	assert_int_equal(r.exit_code, 0);
	assert_string_equal(r.err, "");
	assert_int_equal(lines_of(r.out), 1);
	for (const char *c = r.out; *c; c++) {
		assert_true((unsigned char)*c >= 0x20 || !c[1]);
		if (in_string && *c == '\\')
			c++;
		else if (*c == '"')
			in_string = !in_string;
		else if (!in_string)
			depth += (*c == '{' || *c == '[') - (*c == '}' || *c == ']');
	}
	assert_int_equal(depth, 0);
	assert_false(in_string);
	for (; *parts; parts++)
		if (!strstr(r.out, *parts))
			fail_msg("no '%s' in\n%s", *parts, r.out);
	run_free(&r);
}

#define ASSERT_OBJECT(r, ...) assert_object(r, (const char *const[]){ __VA_ARGS__, NULL })

static void test_views(void **state)
{
	struct maker m;

	(void)state;
	make(&m);
	ASSERT_OBJECT(RUN(cmd_report, "60", "--json", m.path), "{\"view\":\"functions\"",
		      "\"host\":\"testhost\"", "\"total\":{\"samples\":4,\"weight\":40000000}",
		      "\"kind\":\"python\",\"function\":\"f\\\"", "\"file\":\"x.py\"");
	ASSERT_OBJECT(RUN(cmd_report, "60", "--processes", "--json", m.path),
		      "{\"view\":\"processes\"", "\"pid\":100,", "\"comm\":\"a\\\"\\\\",
		      "\"ended\":true,\"cpu_ns\":1234567891,\"sampled_cpu_ns\":40000000,"
		      "\"sampled_error_ns\":20000000,\"samples\":4,\"rss_anon_bytes\":12288,",
		      "\"minor_faults\":-2,", "\"write_bytes\":9007199254740992,");
	ASSERT_OBJECT(RUN(cmd_report, "60", "--quality", "--json", m.path), "{\"view\":\"quality\"",
		      "{\"counter\":\"bpf.ring_full\",\"meaning\":\"samples lost: the ring buffer "
		      "was full\",\"sum\":17,\"ticks\":1}",
		      "\"max\":4096", "{\"counter\":\"new.\\\"one\",\"meaning\":null,\"sum\":1",
		      "\"stack_ends\":[{\"end\":\"whole\",\"samples\":4}]");
	ASSERT_OBJECT(RUN(cmd_ticks, "60", "--json", m.path), "{\"view\":\"ticks\"",
		      "\"hottest\":{\"kind\":\"python\"",
		      "\"health\":{\"mem_free_bytes\":5000000000}");
	ASSERT_OBJECT(RUN(cmd_info, "60", "--json", m.path), "{\"view\":\"info\"", "\"samples\":4,",
		      "\"tick_ns\":1000000000,", "{\"table\":\"");
	maker_remove(&m);
}

static void test_nothing_recorded(void **state)
{
	struct maker m;

	(void)state;
	maker_init(&m);
	maker_finish(&m, true);
	ASSERT_OBJECT(RUN(cmd_report, NULL, "--json", m.path), "\"functions\":[]");
	ASSERT_OBJECT(RUN(cmd_report, NULL, "--processes", "--json", m.path), "\"processes\":[]");
	ASSERT_OBJECT(RUN(cmd_report, NULL, "--quality", "--json", m.path), "\"counters\":[]");
	ASSERT_OBJECT(RUN(cmd_ticks, NULL, "--json", m.path), "\"ticks\":[]");
	ASSERT_OBJECT(RUN(cmd_info, NULL, "--json", m.path), "\"ticks\":0");
	maker_remove(&m);
}

static void test_refusals(void **state)
{
	struct maker m;

	(void)state;
	make(&m);
	assert_refused(RUN(cmd_report, NULL, "--json", "--since=5s", m.path), "no tick");
	assert_refused(RUN(cmd_report, NULL, "--json=yes", m.path), "takes no value");
	assert_refused(RUN(cmd_info, NULL, "--json", "/no/such.kymo"), "/no/such.kymo");
	maker_remove(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_views),
		cmocka_unit_test(test_nothing_recorded),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
