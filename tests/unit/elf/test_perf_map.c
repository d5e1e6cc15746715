/* SPDX-License-Identifier: Apache-2.0 */
/* Perf maps: the last line that has an address names it; what is no line is passed over. */
#include "unit/test.h"

#include <stdio.h>

#include "base/array.h"
#include "base/buf.h"
#include "elf/perf_map.h"

static const char *find(const struct buf *map, uint64_t address, char out[PERF_MAP_NAME_MAX + 1])
{
	const struct elf_file f = { .fd = -1, .memory = map->data, .size = map->size };
	struct perf_map_name name;

	assert_int_equal(perf_map_find(&f, &address, 1, &name), 0);
	memcpy(out, map->data + name.offset, name.size);
	out[name.size] = 0;
	return out;
}

static void the_last_line_with_an_address_names_it(void **state)
{
	static const char text[] = "1000 20 first\n"
				   "1010 8 JS:*hot file.js:1:2\n"
				   "0x2000 0x10 prefixed\n"
				   "zz 10 none\n"
				   "3000 10\n"
				   "3000 10 \n"
				   "30001234567890abc 10 too long a number\n"
				   "ffffffffffffff00 ff top\n"
				   "1018 1 last, without a newline";
	struct buf map = { 0 };
	char name[PERF_MAP_NAME_MAX + 1];

	(void)state;
	assert_int_equal(buf_append(&map, text, sizeof(text) - 1), 0);
	assert_string_equal(find(&map, 0xfff, name), "");
	assert_string_equal(find(&map, 0x1000, name), "first");
	assert_string_equal(find(&map, 0x1017, name), "JS:*hot file.js:1:2");
	assert_string_equal(find(&map, 0x1018, name), "last, without a newline");
	assert_string_equal(find(&map, 0x1019, name), "first");
	assert_string_equal(find(&map, 0x1020, name), "");
	assert_string_equal(find(&map, 0x200f, name), "prefixed");
	assert_string_equal(find(&map, 0x3000, name), "");
	assert_string_equal(find(&map, UINT64_MAX - 1, name), "top");
	assert_string_equal(find(&map, UINT64_MAX, name), "");
	buf_release(&map);
}

/* Lines lie across the pieces in which the file is read; one may be longer than a piece. */
static void a_large_map_and_an_endless_line(void **state)
{
	struct buf map = { 0 };
	char name[PERF_MAP_NAME_MAX + 1], expected[32];

	(void)state;
	for (unsigned int i = 0; i < 50000; i++)
		assert_int_equal(buf_printf(&map, "%x 10 function_%u\n", 0x10000 + i * 16, i), 0);
	assert_int_equal(buf_append_str(&map, "50 10 "), 0);
	for (unsigned int i = 0; i < 600000; i++)
		assert_int_equal(buf_append(&map, "x", 1), 0);
	assert_int_equal(buf_append_str(&map, "\n60 10 behind\n"), 0);
	for (unsigned int i = 0; i < 50000; i += 997) {
		snprintf(expected, sizeof(expected), "function_%u", i);
		assert_string_equal(find(&map, 0x10000 + i * 16 + i % 16, name), expected);
	}
	assert_int_equal(strlen(find(&map, 0x50, name)), PERF_MAP_NAME_MAX);
	assert_string_equal(find(&map, 0x6f, name), "behind");
	buf_release(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_line_with_an_address_names_it),
		cmocka_unit_test(a_large_map_and_an_endless_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
