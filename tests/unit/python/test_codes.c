/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <errno.h>
#include <stdio.h>

#include "python/python.h"

static struct kymo_code head_of(uint32_t pid, uint64_t address, uint32_t generation)
{
	return (struct kymo_code){ .pid = pid,
				   .process_start_ns = 1000 + pid,
				   .address = address,
				   .generation = generation,
				   .first_line = 10,
				   .version = 0x0308,
				   .file_kind = 1,
				   .name_kind = 1,
				   .file_size = 4,
				   .name_size = 1 };
}

static int add(struct python_codes *c, uint32_t pid, uint64_t address, uint32_t generation,
	       const char *name)
{
	struct kymo_code head = head_of(pid, address, generation);

	return python_codes_add(c, &head, (const uint8_t *)"a.py", (const uint8_t *)name, NULL);
}

static struct python_code *find(struct python_codes *c, uint32_t pid, uint64_t address,
				uint32_t generation)
{
	return python_codes_find(c, pid, 1000 + pid, address, generation);
}

static void a_code_is_found_by_its_whole_identity(void **state)
{
	struct python_codes *c;

	(void)state;
	assert_int_equal(python_codes_new(10, &c), 0);
	assert_int_equal(add(c, 1, 0x10, 5, "f"), 0);
	assert_int_equal(add(c, 1, 0x10, 6, "g"), 0);
	assert_int_equal(add(c, 2, 0x10, 5, "h"), 0);
	assert_string_equal(find(c, 1, 0x10, 5)->name, "f");
	assert_string_equal(find(c, 1, 0x10, 5)->file, "a.py");
	assert_int_equal(find(c, 1, 0x10, 5)->first_line, 10);
	assert_string_equal(find(c, 1, 0x10, 6)->name, "g");
	assert_string_equal(find(c, 2, 0x10, 5)->name, "h");
	assert_null(find(c, 1, 0x10, 7));
	assert_null(find(c, 1, 0x11, 5));
	assert_null(python_codes_find(c, 1, 999, 0x10, 5));
	python_codes_free(c);
}

static void the_longest_unused_goes_first(void **state)
{
	struct python_codes *c;

	(void)state;
	assert_int_equal(python_codes_new(3, &c), 0);
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(add(c, 1, i, 0, "f"), 0);
	assert_non_null(find(c, 1, 0, 0));
	assert_int_equal(add(c, 1, 3, 0, "f"), 0);
	assert_non_null(find(c, 1, 0, 0));
	assert_null(find(c, 1, 1, 0));
	assert_non_null(find(c, 1, 2, 0));
	assert_non_null(find(c, 1, 3, 0));
	python_codes_free(c);
}

/* Hostile processes send the largest tables there are. */
static void bytes_are_bounded_too(void **state)
{
	static const uint8_t table[KYMO_LINE_TABLE_MAX];
	struct python_codes *c;
	size_t found = 0;

	(void)state;
	assert_int_equal(python_codes_new(100, &c), 0);
	for (uint64_t i = 0; i < 100; i++) {
		struct kymo_code head = head_of(1, i, 0);

		head.table_size = sizeof(table);
		assert_int_equal(python_codes_add(c, &head, (const uint8_t *)"a.py",
						  (const uint8_t *)"f", table),
				 0);
	}
	for (uint64_t i = 0; i < 100; i++)
		found += find(c, 1, i, 0) != NULL;
	assert_in_range(found, 1, 100 * 512 / KYMO_LINE_TABLE_MAX);
	assert_non_null(find(c, 1, 99, 0));
	python_codes_free(c);
}

static void codes_end_with_their_process(void **state)
{
	struct python_codes *c;

	(void)state;
	assert_int_equal(python_codes_new(100, &c), 0);
	for (uint64_t i = 0; i < 20; i++)
		assert_int_equal(add(c, 1 + i % 2, i, 0, "f"), 0);
	python_codes_process_ended(c, 1, 1001);
	python_codes_process_ended(c, 1, 1001);
	python_codes_process_ended(c, 2, 1001); /* another life of that pid */
	for (uint64_t i = 0; i < 20; i++)
		assert_int_equal(find(c, 1 + i % 2, i, 0) != NULL, i % 2 == 1);
	assert_int_equal(add(c, 1, 0, 0, "g"), 0);
	assert_string_equal(find(c, 1, 0, 0)->name, "g");
	python_codes_free(c);
}

/* A part that was not paged in comes with a later copy; what the user knows of it stays where it is the same function. */
static void a_fuller_copy_takes_the_place(void **state)
{
	static const uint8_t table[] = { 2, 1, 2, 1 };
	struct kymo_code head = head_of(1, 1, 1);
	struct python_codes *c;
	struct python_code *code;

	(void)state;
	assert_int_equal(python_codes_new(100, &c), 0);
	assert_int_equal(add(c, 1, 1, 1, "f"), 0);
	code = find(c, 1, 1, 1);
	code->function = 77;
	assert_int_equal(python_codes_line(code, 2), 10);
	head.table_size = sizeof(table);
	assert_int_equal(python_codes_add(c, &head, (const uint8_t *)"a.py", (const uint8_t *)"f",
					  table),
			 0);
	code = find(c, 1, 1, 1);
	assert_int_equal(code->function, 77);
	assert_int_equal(python_codes_line(code, 2), 11);
	assert_int_equal(python_codes_line(code, 4), 12);
	assert_int_equal(python_codes_line(code, 2), 11);
	assert_int_equal(python_codes_line(code, -1), 10);
	/* and a poorer one does not */
	assert_int_equal(add(c, 1, 1, 1, "f"), 0);
	assert_int_equal(python_codes_line(find(c, 1, 1, 1), 4), 12);
	python_codes_process_ended(c, 1, 1001);
	assert_null(find(c, 1, 1, 1));
	python_codes_free(c);
}

static void check_text(const void *text, size_t size, unsigned kind, const char *want)
{
	struct buf out = { 0 };

	assert_int_equal(python_text(&out, text, size, kind), 0);
	assert_string_equal(buf_str(&out) ? (char *)out.data : "", want);
	buf_release(&out);
}

static void text_becomes_utf8(void **state)
{
	static const uint16_t ucs2[] = { 'a', 0x51fd, 0x6570 };
	static const uint16_t surrogates[] = { 0xd800, 'x', 0xdcff };
	static const uint32_t ucs4[] = { 0x10330, 'z', 0x10ffff };
	static const uint32_t beyond[] = { 0x110000, 0xffffffff, 0xdc80 };
	struct buf out = { 0 };

	(void)state;
	check_text("ascii", 5, 1, "ascii");
	check_text("\xe9t\xe9", 3, 1, "été");
	check_text("a\0b", 3, 1,
		   "a\xef\xbf\xbd"
		   "b");
	check_text(ucs2, sizeof(ucs2), 2, "a函数");
	check_text(surrogates, sizeof(surrogates), 2, "\xef\xbf\xbdx\xef\xbf\xbd");
	check_text(ucs4, sizeof(ucs4), 4, "\xf0\x90\x8c\xb0z\xf4\x8f\xbf\xbf");
	check_text(beyond, sizeof(beyond), 4, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
	check_text(ucs4, sizeof(ucs4) - 1, 4, "\xf0\x90\x8c\xb0z"); /* cut within a character */
	check_text("", 0, 2, "");
	assert_int_equal(python_text(&out, (const uint8_t *)"a", 1, 3), -EINVAL);
	assert_int_equal(out.size, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_code_is_found_by_its_whole_identity),
		cmocka_unit_test(the_longest_unused_goes_first),
		cmocka_unit_test(bytes_are_bounded_too),
		cmocka_unit_test(codes_end_with_their_process),
		cmocka_unit_test(a_fuller_copy_takes_the_place),
		cmocka_unit_test(text_becomes_utf8),
	};

	return cmocka_run_group_tests_name("python codes", tests, NULL, NULL);
}
