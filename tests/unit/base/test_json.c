/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "base/json.h"

static void nests_and_separates(void **state)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	struct json j;

	(void)state;
	json_begin(&j, f);
	json_object(&j);
	json_key(&j, "a\n");
	json_array(&j);
	json_u64(&j, UINT64_MAX);
	json_i64(&j, -1);
	json_object(&j);
	json_object_end(&j);
	json_double(&j, NAN);
	json_double(&j, 0.5);
	json_array_end(&j);
	json_key(&j, "b");
	json_bool(&j, true);
	json_key(&j, "c");
	json_str(&j, NULL);
	json_object_end(&j);
	assert_int_equal(json_end(&j), 0);
	fclose(f);
	assert_string_equal(
		text,
		"{\"a\\u000a\":[18446744073709551615,-1,{},null,0.5],\"b\":true,\"c\":null}\n");
	free(text);
}

static void a_full_disk_is_told(void **state)
{
	FILE *f = fopen("/dev/full", "w");
	struct json j;

	(void)state;
	assert_non_null(f);
	json_begin(&j, f);
	json_str(&j, "x");
	assert_int_equal(json_end(&j), -ENOSPC);
	fclose(f);
}

static void numbers_are_json(void **state)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	struct json j;

	(void)state;
	json_begin(&j, f);
	json_array(&j);
	json_i64(&j, INT64_MIN);
	json_double(&j, INFINITY);
	json_double(&j, -INFINITY);
	json_double(&j, 1e300);
	json_bool(&j, false);
	json_str(&j, "\xff\x1b</script>");
	json_array(&j);
	json_array_end(&j);
	json_array_end(&j);
	assert_int_equal(json_end(&j), 0);
	fclose(f);
	assert_string_equal(text, "[-9223372036854775808,null,null,1.0000000000000001e+300,false,"
				  "\"\xef\xbf\xbd\\u001b</script>\",[]]\n");
	free(text);
}

/* As deep as the header says, and each level keeps its own commas. */
static void nests_deep(void **state)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	struct json j;

	(void)state;
	json_begin(&j, f);
	for (int i = 0; i < 63; i++) {
		json_array(&j);
		json_u64(&j, 1);
	}
	for (int i = 0; i < 63; i++) {
		json_u64(&j, 2);
		json_array_end(&j);
	}
	assert_int_equal(json_end(&j), 0);
	fclose(f);
	assert_int_equal(size, 63 * 5 + 62 + 1);
	assert_memory_equal(text, "[1,[1,[1,", 9);
	assert_string_equal(text + size - 10, ",2],2],2]\n");
	free(text);
}

static void a_value_in_memory_has_no_newline(void **state)
{
	struct json_text text;
	struct json j;
	char *value = NULL;

	(void)state;
	assert_int_equal(json_text_begin(&text, &j), 0);
	json_array(&j);
	json_str(&j, "a\nb");
	json_array_end(&j);
	assert_int_equal(json_text_end(&text, &j, &value), 0);
	assert_string_equal(value, "[\"a\\u000ab\"]");
	free(value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nests_and_separates),
		cmocka_unit_test(a_full_disk_is_told),
		cmocka_unit_test(numbers_are_json),
		cmocka_unit_test(nests_deep),
		cmocka_unit_test(a_value_in_memory_has_no_newline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
