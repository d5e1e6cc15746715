/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <errno.h>

#include "base/array.h"

static void grows_and_keeps_what_was_there(void **state)
{
	uint32_t *items = NULL;
	size_t cap = 0;

	(void)state;
	assert_int_equal(array_reserve(&items, &cap, 0), 0);
	assert_null(items);
	for (uint32_t i = 0; i < 10000; i++) {
		assert_int_equal(array_reserve(&items, &cap, i + 1), 0);
		assert_true(cap > i);
		items[i] = i;
	}
	assert_true(cap < 20000);
	for (uint32_t i = 0; i < 10000; i++)
		assert_int_equal(items[i], i);
	free(items);
}

static void a_failure_leaves_all_as_it_was(void **state)
{
	uint64_t *items = NULL, *before;
	size_t cap = 0, was;

	(void)state;
	assert_int_equal(array_reserve(&items, &cap, 5), 0);
	before = items;
	was = cap;
	/* too many items, and too many bytes though the count can be written */
	assert_int_equal(array_reserve(&items, &cap, SIZE_MAX), -ENOMEM);
	assert_int_equal(array_reserve(&items, &cap, SIZE_MAX / 4), -ENOMEM);
	assert_ptr_equal(items, before);
	assert_int_equal(cap, was);
	free(items);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grows_and_keeps_what_was_there),
		cmocka_unit_test(a_failure_leaves_all_as_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
