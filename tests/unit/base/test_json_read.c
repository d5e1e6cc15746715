/* SPDX-License-Identifier: Apache-2.0 */
/* Looking things up in JSON of others: what is there is found, what is broken has nothing. */
#include "unit/test.h"

#include <errno.h>

#include "base/json_read.h"

static const char good[] =
	" { \"a\" : 1.5e3 , \"b\":\"x\\\"\\u00e4\\ud83d\\ude00\\n\\ud800y\",\n"
	"\"list\":[{\"n\":-7},[],{\"n\":\"two\"}],\"null\":null, \"\\u0065\":true,"
	"\"deep\":{\"a\":{\"a\":9}} }";

static void assert_text(const char *value, const char *expected)
{
	struct buf b = { 0 };

	assert_int_equal(json_get_text(value, &b), 0);
	assert_string_equal(buf_str(&b), expected);
	buf_release(&b);
}

static void test_found(void **state)
{
	double v;

	(void)state;
	assert_true(json_get_number(json_member(good, "a"), &v));
	assert_true(v == 1500);
	assert_text(json_member(good, "b"), "x\"\xc3\xa4\xf0\x9f\x98\x80\n\xef\xbf\xbdy");
	assert_true(
		json_get_number(json_member(json_element(json_member(good, "list"), 0), "n"), &v));
	assert_true(v == -7);
	assert_text(json_member(json_element(json_member(good, "list"), 2), "n"), "two");
	assert_non_null(json_member(good, "e")); /* escaped keys are the same keys */
	assert_true(
		json_get_number(json_member(json_member(json_member(good, "deep"), "a"), "a"), &v));
}

static void test_not_found(void **state)
{
	struct buf b = { 0 };
	double v;

	(void)state;
	assert_null(json_member(good, "c"));
	assert_null(json_member(good, ""));
	assert_null(json_member(NULL, "a"));
	assert_null(json_element(json_member(good, "list"), 3));
	assert_null(json_element(good, 0));
	assert_false(json_get_number(json_member(good, "b"), &v));
	assert_false(json_get_number(json_member(good, "null"), &v));
	assert_false(json_get_number(NULL, &v));
	assert_int_equal(json_get_text(json_member(good, "a"), &b), -EINVAL);
	assert_int_equal(json_get_text(NULL, &b), -EINVAL);
	buf_release(&b);
}

static void test_broken(void **state)
{
	static const char *const bad[] = { "",
					   "{",
					   "{\"a",
					   "{\"a\"",
					   "{\"a\":",
					   "{\"a\":}",
					   "{\"a\":\"x",
					   "{\"a\":\"x\\",
					   "[\"a\":1",
					   "{\"a\":[1,",
					   "{\"a\":[1}",
					   "{a:1}",
					   "{\"b\" 1,\"a\":1}",
					   "{\"b\":{,\"a\":1}" };
	char deep[8192] = "{\"a\":", *end = deep + strlen(deep);
	struct buf b = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (json_member(bad[i], "a"))
			fail_msg("found in %s", bad[i]);
	memset(end, '[', 4000);
	assert_null(json_member(deep, "a"));
	assert_int_equal(json_get_text("\"\\u12\"", &b), -EINVAL);
	assert_int_equal(json_get_text("\"\\q\"", &b), -EINVAL);
	assert_int_equal(json_get_text("\"\\u0000\"", &b), 0);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found),
		cmocka_unit_test(test_not_found),
		cmocka_unit_test(test_broken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
