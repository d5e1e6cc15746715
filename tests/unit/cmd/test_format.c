/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include "base/clock.h"
#include "base/text.h"
#include "cmd/open.h"
#include "cmd/screen.h"
#include "query/query.h"

static void test_counts(void **state)
{
	char out[FORMAT_SIZE];

	(void)state;
	assert_string_equal(text_count(0, out), "0");
	assert_string_equal(text_count(999, out), "999");
	assert_string_equal(text_count(1000, out), "1,000");
	assert_string_equal(text_count(UINT64_MAX, out), "18,446,744,073,709,551,615");
}

/* Never wider than a column of `kymo ticks`. */
static void test_short_figures(void **state)
{
	char out[FORMAT_SIZE];

	(void)state;
	assert_string_equal(format_short(9999, out), "9999");
	assert_string_equal(format_short(12345, out), "12.3K");
	assert_string_equal(format_short_bytes(0, out), "0");
	assert_string_equal(format_short_bytes(1048576, out), "1.0M");
	assert_string_equal(format_short_bytes(25.0 * (1ULL << 30), out), "25.0G");
	for (double v = 0.4; v < 1e20; v *= 1.07) {
		assert_true(strlen(format_short(v, out)) <= 5);
		assert_true(strlen(format_short_bytes(v, out)) <= 5);
	}
}

static void assert_where(const char *file, uint32_t line, const char *binary, size_t columns,
			 const char *expected)
{
	struct query_item item = {
		.kind = FRAME_PYTHON, .name = "f", .file = file, .binary = binary, .line = line
	};
	struct buf b = { 0 };

	assert_int_equal(append_where(&b, &item, query_base_name(binary), columns), 0);
	assert_string_equal(buf_str(&b), expected);
	buf_release(&b);
}

static void test_where(void **state)
{
	(void)state;
	assert_where("/srv/app/views/list.py", 12, "", 40, "/srv/app/views/list.py:12");
	assert_where("/srv/app/views/list.py", 12, "", 20, "app/views/list.py:12");
	assert_where("/srv/app/views/list.py", 12, "", 12, "list.py:12");
	assert_where("/usr/lib/python3.11/json/decoder.py", 3, "", 40, "json/decoder.py:3");
	assert_where("", 0, "/usr/lib/libc.so.6", 40, "libc.so.6");
	assert_where("", 0, "", 40, "");
	assert_where("trailing/", 1, "", 4, "tr…1");
}

static void assert_name(const char *name, size_t columns, const char *expected)
{
	struct buf b = { 0 };

	assert_int_equal(append_name(&b, name, columns, false), 0);
	assert_string_equal(buf_str(&b), expected);
	assert_true(text_width(expected) <= columns);
	buf_release(&b);
}

/* What tells least goes first, and only where it must. */
static void test_long_names(void **state)
{
	static const char walk[] =
		"ns::walk<int, std::map<int, std::less<int> > >(std::map<int> const&)";
	static const char lambda[] = "main::{lambda(int)#1}::operator()(int) const";
	static const char rust[] = "<alloc::vec::Vec<T> as core::iter::FromIterator<T>>::from_iter";

	(void)state;
	assert_name(walk, 80, walk);
	assert_name(walk, 60, "ns::walk<int, std::map<int, std::less<int> > >(\xe2\x80\xa6)");
	assert_name(walk, 40, "ns::walk<int, std::map<\xe2\x80\xa6> >(\xe2\x80\xa6)");
	assert_name(walk, 20, "ns::walk<\xe2\x80\xa6>(\xe2\x80\xa6)");
	assert_name(lambda, 43, "main::{lambda(\xe2\x80\xa6)#1}::operator()(\xe2\x80\xa6) const");
	assert_name("(anonymous namespace)::f(a_type, another_type)", 30,
		    "(anonymous namespace)::f(\xe2\x80\xa6)");
	assert_name("operator<<(std::ostream&, a::type const&)", 16, "operator<<(\xe2\x80\xa6)");
	assert_name("a::b<int>::operator-><char>(long)", 32,
		    "a::b<int>::operator-><char>(\xe2\x80\xa6)");
	assert_name(rust, 54,
		    "<alloc::vec::Vec<\xe2\x80\xa6> as core\xe2\x80\xa6"
		    "romIterator<\xe2\x80\xa6>>::from_iter");
	assert_name("outer.<locals>.inner", 14, "outer.inner");
	assert_name("shop::Cart<int>::total(std::map<int, int> const&) const (inlined)", 48,
		    "shop::Cart<int>::total(\xe2\x80\xa6) const (inlined)");
	assert_name(">>)))<<<(((", 5, ">>\xe2\x80\xa6<\xe2\x80\xa6");
}

static void assert_binary(const char *name, const char *path, const char *tail, size_t columns,
			  const char *expected)
{
	struct query_item item = { .kind = FRAME_NATIVE, .name = name, .file = "", .binary = path };
	struct buf b = { 0 };

	assert_int_equal(append_where(&b, &item, tail, columns), 0);
	assert_string_equal(buf_str(&b), expected);
	buf_release(&b);
}

static void test_where_of_binaries(void **state)
{
	static const char path[] = "/srv/chroot/usr/lib/libc.so.6";

	(void)state;
	/* A function: what tells its binary from others. */
	assert_binary("memcpy", path, path + 20, 40, "libc.so.6");
	assert_binary("memcpy", path, path + 5, 40, "chroot/usr/lib/libc.so.6");
	assert_binary("memcpy", path, path + 5, 20, "chroot/\xe2\x80\xa6/libc.so.6");
	/* Code without a name: where the file is, as far as there is room. */
	assert_binary("[libc.so.6]", path, path + 20, 40, path);
	assert_binary("[libc.so.6]", path, path + 20, 20, "usr/lib/libc.so.6");
	assert_binary("[libc.so.6]", path, path + 20, 12, "");
	assert_binary("[libc.so.6]", path, path + 5, 24, "chroot/usr/lib/libc.so.6");
	assert_binary("[vdso]", "[vdso]", "[vdso]", 20, "");
	assert_binary("[unknown]", "", "", 20, "");
	assert_binary("schedule", "[kernel]", "[kernel]", 20, "");
}

static void test_tails(void **state)
{
	const char *paths[] = { "/usr/lib/libc.so.6",
				"/srv/chroot/usr/lib/libc.so.6",
				"/opt/a/bin/x",
				"/opt/b/bin/x",
				"/bin/single",
				"/usr/lib/libc.so.6",
				"/opt/aa/bin/y",
				"/opt/ba/bin/y",
				"name",
				"" };
	static const char *const tails[] = { "/usr/lib/libc.so.6",
					     "chroot/usr/lib/libc.so.6",
					     "a/bin/x",
					     "b/bin/x",
					     "single",
					     "/usr/lib/libc.so.6",
					     "aa/bin/y",
					     "ba/bin/y",
					     "name",
					     "" };
	const size_t n = sizeof(paths) / sizeof(paths[0]);

	(void)state;
	assert_int_equal(path_tails(paths, n), 0);
	for (size_t i = 0; i < n; i++)
		assert_string_equal(paths[i], tails[i]);
	assert_int_equal(path_tails(paths, 0), 0);
}

static void assert_time(const char *text, int form, uint64_t ns)
{
	struct time_option t = { 0 };

	assert_int_equal(time_option_parse(text, &t), 0);
	assert_int_equal(t.form, form);
	assert_int_equal(t.ns, ns);
}

static void test_times(void **state)
{
	static const char *const bad[] = { "",	    "s",    "x",     "10x",	   "--1",
					   "1e400", "-",    "25:00", "12:",	   "nan",
					   "inf",   "0x10", "1 s",   "10:20:30:40" };
	struct time_option t;

	(void)state;
	setenv("TZ", "UTC", 1);
	assert_time("10", TIME_FROM_START, 10 * NS_PER_SEC);
	assert_time("1.5s", TIME_FROM_START, 1500 * NS_PER_MSEC);
	assert_time("250ms", TIME_FROM_START, 250 * NS_PER_MSEC);
	assert_time("+2m", TIME_FROM_START, 120 * NS_PER_SEC);
	assert_time("1h", TIME_FROM_START, 3600 * NS_PER_SEC);
	assert_time("-30", TIME_FROM_END, 30 * NS_PER_SEC);
	assert_time("14:30", TIME_OF_DAY, (14 * 60 + 30) * 60 * NS_PER_SEC);
	assert_time("14:30:05", TIME_OF_DAY, ((14 * 60 + 30) * 60 + 5) * NS_PER_SEC);
	assert_time("2026-01-31 14:30:00", TIME_WALL, 1769869800 * NS_PER_SEC);
	assert_time("2026-01-31T14:30:00", TIME_WALL, 1769869800 * NS_PER_SEC);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (time_option_parse(bad[i], &t) == 0)
			fail_msg("'%s' was taken for a time", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_short_figures),
		cmocka_unit_test(test_where),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_where_of_binaries),
		cmocka_unit_test(test_tails),
		cmocka_unit_test(test_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
