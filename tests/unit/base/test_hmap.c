/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <stdbool.h>

#include "base/hmap.h"

struct key {
	uint32_t a, b;
};

/* Random puts and removes against an array that holds the truth. */
static void a_map_is_a_map(void **state)
{
	enum { KEYS = 500 };
	uint64_t truth[KEYS] = { 0 };
	struct hmap m;
	size_t count = 0, pos = 0, seen = 0;
	void *value;

	(void)state;
	srand(1);
	hmap_init(&m, sizeof(struct key), sizeof(uint64_t), 0);
	for (uint64_t step = 1; step < 200000; step++) {
		uint32_t i = (uint32_t)rand() % KEYS;
		struct key k = { i, i * 7 };

		if (rand() % 2) {
			bool new;
			uint64_t *v = hmap_put(&m, &k, &new);

			assert_non_null(v);
			assert_int_equal(*v, truth[i]);
			assert_int_equal(new, truth[i] == 0);
			count += new;
			*v = truth[i] = step;
		} else {
			assert_int_equal(hmap_remove(&m, &k), truth[i] != 0);
			count -= truth[i] != 0;
			truth[i] = 0;
		}
	}
	assert_int_equal(m.count, count);
	for (uint32_t i = 0; i < KEYS; i++) {
		uint64_t *v = hmap_get(&m, &(struct key){ i, i * 7 });

		assert_int_equal(v ? *v : 0, truth[i]);
	}
	while (hmap_next(&m, &pos, NULL, &value))
		seen++;
	assert_int_equal(seen, count);
	hmap_release(&m);
	assert_null(hmap_get(&m, &(struct key){ 1, 7 }));
}

static void a_map_keeps_its_bound(void **state)
{
	struct hmap m;

	(void)state;
	hmap_init(&m, sizeof(uint32_t), 0, 10);
	for (uint32_t i = 0; i < 10; i++)
		assert_non_null(hmap_put(&m, &i, NULL));
	assert_null(hmap_put(&m, &(uint32_t){ 10 }, NULL));
	assert_non_null(hmap_put(&m, &(uint32_t){ 5 }, NULL));
	hmap_release(&m);
}

static void values_are_new_and_aligned(void **state)
{
	struct hmap m;
	bool new;

	(void)state;
	hmap_init(&m, 3, sizeof(uint64_t), 0);
	for (unsigned int i = 0; i < 300; i++) {
		uint8_t key[3] = { (uint8_t)i, (uint8_t)(i >> 8), 1 };
		uint64_t *v = hmap_put(&m, key, &new);

		assert_true(new);
		assert_int_equal((uintptr_t)v % 8, 0);
		assert_int_equal(*v, 0);
		*v = UINT64_MAX;
		if (i % 2) /* a freed slot holds the old value's bytes */
			assert_true(hmap_remove(&m, key));
	}
	hmap_release(&m);
}

static void an_empty_map_answers(void **state)
{
	struct hmap m;
	uint32_t key = 1;
	size_t pos = 0;

	(void)state;
	hmap_init(&m, sizeof(key), 0, 0);
	for (int round = 0; round < 2; round++) {
		assert_null(hmap_get(&m, &key));
		assert_false(hmap_remove(&m, &key));
		assert_false(hmap_next(&m, &pos, NULL, NULL));
		assert_non_null(hmap_put(&m, &key, NULL));
		hmap_clear(&m);
	}
	m = (struct hmap){ 0 };
	hmap_release(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_map_is_a_map),
		cmocka_unit_test(a_map_keeps_its_bound),
		cmocka_unit_test(values_are_new_and_aligned),
		cmocka_unit_test(an_empty_map_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
