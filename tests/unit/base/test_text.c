/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <errno.h>

#include "base/text.h"

#define check(append, in, out)                         \
	do {                                           \
		struct buf b = { 0 };                  \
		assert_int_equal(append(&b, in), 0);   \
		assert_string_equal(buf_str(&b), out); \
		buf_release(&b);                       \
	} while (0)

static void utf8_is_made_valid(void **state)
{
	static const struct {
		const char *in;
		size_t size;
		const char *out;
	} cases[] = {
		{ "plain", 5, "plain" },
		{ "a\0b", 3,
		  "a\xef\xbf\xbd"
		  "b" },
		{ "\xc3\xa9", 2, "\xc3\xa9" },
		{ "\xc3", 1, "\xef\xbf\xbd" },
		{ "\xc0\xaf", 2, "\xef\xbf\xbd\xef\xbf\xbd" },		       /* overlong */
		{ "\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* surrogate */
		{ "\xf4\x90\x80\x80", 4, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xf0\x9f\x90\x8d", 4, "\xf0\x9f\x90\x8d" },
		{ "\xff\xfe", 2, "\xef\xbf\xbd\xef\xbf\xbd" },
		{ "", 0, "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf b = { 0 };

		assert_int_equal(text_append_utf8(&b, cases[i].in, cases[i].size), 0);
		assert_string_equal(buf_str(&b), cases[i].out);
		buf_release(&b);
	}
}

static void a_terminal_sees_no_control(void **state)
{
	(void)state;
	check(text_append_terminal, "plain \xc3\xa9", "plain \xc3\xa9");
	check(text_append_terminal, "\x1b[31mred\n", "\\x1b[31mred\\x0a");
	check(text_append_terminal,
	      "\xc2\x9b"
	      "31m",
	      "\\u{009b}31m");
	check(text_append_terminal,
	      "a\xe2\x80\xae"
	      "b",
	      "a\\u{202e}b");
	check(text_append_terminal, "\xff", "\\xff");
}

static void a_folded_frame_is_one_frame(void **state)
{
	(void)state;
	check(text_append_folded, "a;b\nc 12", "a,b\\x0ac 12");
}

static void xml_is_inert(void **state)
{
	(void)state;
	check(text_append_xml, "<script>&\"'", "&lt;script&gt;&amp;&quot;&#39;");
	check(text_append_xml, "a\x01\xff", "a\xef\xbf\xbd\xef\xbf\xbd");
	check(text_append_xml, "\xc2\x9b\xe2\x80\xae\t\n\x7f",
	      "\xef\xbf\xbd\xef\xbf\xbd\t\n\xef\xbf\xbd");
}

static void json_is_quoted(void **state)
{
	(void)state;
	check(text_append_json, "a\"\\\n\x7f", "\"a\\\"\\\\\\u000a\\u007f\"");
	check(text_append_json, "\xff", "\"\xef\xbf\xbd\"");
	check(text_append_json, "\xc2\x9b\xe2\x80\xae\xc3\xa9", "\"\\u009b\\u202e\xc3\xa9\"");
}

static void fits_columns(void **state)
{
	struct buf b = { 0 };

	(void)state;
	assert_int_equal(text_width("ab\xe6\xbc\xa2"
				    "e\xcc\x81"),
			 5);
	assert_int_equal(text_append_fit(&b, "abc", 5, true), 0);
	assert_string_equal(buf_str(&b), "abc  ");
	for (size_t columns = 0; columns < 30; columns++) {
		buf_clear(&b);
		assert_int_equal(
			text_append_fit(&b,
					"a long \xe6\xbc\xa2\xe6\xbc\xa2\xe6\xbc\xa2 name of it",
					columns, true),
			0);
		assert_int_equal(text_width(buf_str(&b)), columns);
	}
	buf_release(&b);
}

static void numbers_are_whole(void **state)
{
	uint64_t v = 77;

	(void)state;
	assert_int_equal(text_parse_u64("12", 0, 100, &v), 0);
	assert_int_equal(v, 12);
	assert_int_equal(text_parse_u64("18446744073709551615", 0, UINT64_MAX, &v), 0);
	v = 77;
	assert_int_equal(text_parse_u64("18446744073709551616", 0, UINT64_MAX, &v), -ERANGE);
	assert_int_equal(text_parse_u64("101", 0, 100, &v), -ERANGE);
	assert_int_equal(text_parse_u64("", 0, 100, &v), -EINVAL);
	assert_int_equal(text_parse_u64("-1", 0, 100, &v), -EINVAL);
	assert_int_equal(text_parse_u64(" 1", 0, 100, &v), -EINVAL);
	assert_int_equal(text_parse_u64("1x", 0, 100, &v), -EINVAL);
	assert_int_equal(v, 77);
}

static void units_read_well(void **state)
{
	char out[16];

	(void)state;
	assert_string_equal(text_bytes(0, out), "0 B");
	assert_string_equal(text_bytes(1023, out), "1023 B");
	assert_string_equal(text_bytes(1536, out), "1.5 KiB");
	assert_string_equal(text_bytes(UINT64_MAX, out), "16 EiB");
	assert_string_equal(text_duration(7, out), "7 ns");
	assert_string_equal(text_duration(1250000000, out), "1.25 s");
	assert_string_equal(text_duration(45000, out), "45.0 us");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(utf8_is_made_valid),
		cmocka_unit_test(a_terminal_sees_no_control),
		cmocka_unit_test(a_folded_frame_is_one_frame),
		cmocka_unit_test(xml_is_inert),
		cmocka_unit_test(json_is_quoted),
		cmocka_unit_test(fits_columns),
		cmocka_unit_test(numbers_are_whole),
		cmocka_unit_test(units_read_well),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
