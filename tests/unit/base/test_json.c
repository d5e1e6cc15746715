/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "base/file.h"
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
	assert_string_equal(text,
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

static void files_are_bounded(void **state)
{
	struct buf b = { 0 };

	(void)state;
	assert_int_equal(file_read(-1, "/proc/self/stat", 65536, &b), 0);
	assert_true(b.size > 10);
	assert_int_equal(strlen((char *)b.data), b.size);
	assert_int_equal(file_read(-1, "/dev/zero", 100000, &b), -EFBIG);
	assert_int_equal(file_read(-1, "/no/such", 10, &b), -ENOENT);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nests_and_separates),
		cmocka_unit_test(a_full_disk_is_told),
		cmocka_unit_test(files_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
