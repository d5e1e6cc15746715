/* SPDX-License-Identifier: Apache-2.0 */
/* Ids in order of arrival, found again through every growth; the last one can be taken back. */
#include "unit/test.h"

#include "merge/idtable.h"

struct key {
	uint64_t a;
	uint32_t b, c;
};

static const uint64_t seed[2] = { 12345, 67890 };

static struct key key_of(uint32_t i)
{
	return (struct key){ .a = (uint64_t)i << 40, .b = i / 3, .c = i % 3 };
}

static void keys_are_found_through_growth(void **state)
{
	struct idtable t;
	struct key k = key_of(1);

	(void)state;
	idtable_init(&t, sizeof(struct key), seed);
	assert_int_equal(idtable_find(&t, &k), 0);
	for (uint32_t i = 1; i <= 100000; i++) {
		k = key_of(i);
		assert_int_equal(idtable_find(&t, &k), 0);
		assert_int_equal(idtable_add(&t, &k), i);
	}
	for (uint32_t i = 1; i <= 100000; i++) {
		k = key_of(i);
		assert_int_equal(idtable_find(&t, &k), i);
		assert_memory_equal(idtable_key(&t, i), &k, sizeof(k));
	}
	k = key_of(100001);
	assert_int_equal(idtable_find(&t, &k), 0);
	idtable_release(&t);
	assert_int_equal(idtable_find(&t, &k), 0);
}

static void the_last_can_be_taken_back(void **state)
{
	struct idtable t;
	struct key k;

	(void)state;
	idtable_init(&t, sizeof(struct key), seed);
	for (uint32_t i = 1; i <= 5000; i++) {
		k = key_of(i);
		assert_int_equal(idtable_add(&t, &k), i);
		if (i % 2) {
			idtable_drop_last(&t);
			assert_int_equal(idtable_find(&t, &k), 0);
			assert_int_equal(idtable_add(&t, &k), i);
		}
	}
	for (uint32_t i = 1; i <= 5000; i++) {
		k = key_of(i);
		assert_int_equal(idtable_find(&t, &k), i);
	}
	idtable_release(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_are_found_through_growth),
		cmocka_unit_test(the_last_can_be_taken_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
