/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <errno.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/hmap.h"
#include "base/strings.h"

static void varints_round_trip(void **state)
{
	static const int64_t values[] = { 0, 1, -1, 63, 64, -64, -65, 1 << 20, INT64_MAX, INT64_MIN };
	struct buf b = { 0 };
	struct reader r;

	(void)state;
	for (size_t i = 0; i < 10; i++) {
		assert_int_equal(buf_put_svarint(&b, values[i]), 0);
		assert_int_equal(buf_put_varint(&b, (uint64_t)values[i]), 0);
	}
	r = (struct reader){ b.data, b.data + b.size, false };
	for (size_t i = 0; i < 10; i++) {
		assert_int_equal(reader_svarint(&r), values[i]);
		assert_int_equal(reader_varint(&r), (uint64_t)values[i]);
	}
	assert_false(r.failed);
	assert_ptr_equal(r.p, r.end);
	assert_int_equal(reader_varint(&r), 0);
	assert_true(r.failed);
	buf_release(&b);
}

static void hostile_bytes_fail_for_good(void **state)
{
	static const uint8_t endless[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1 };
	static const uint8_t over64[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02 };
	struct reader r = { endless, endless + sizeof(endless), false };

	(void)state;
	assert_int_equal(reader_varint(&r), 0);
	assert_true(r.failed);
	r = (struct reader){ over64, over64 + sizeof(over64), false };
	reader_varint(&r);
	assert_true(r.failed);
	assert_int_equal(reader_u8(&r), 0);
	r = (struct reader){ over64, over64 + 3, false };
	assert_null(reader_bytes(&r, SIZE_MAX));
	assert_true(r.failed);
	r = (struct reader){ over64, over64 + 3, false };
	assert_int_equal(reader_u32(&r), 0);
	assert_true(r.failed);
}

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

static void strings_have_one_id(void **state)
{
	struct strings *s;
	uint32_t a, b, c;
	char text[32];

	(void)state;
	assert_int_equal(strings_new(1000, &s), 0);
	assert_int_equal(strings_intern(s, "", &a), 0);
	assert_int_equal(a, 0);
	assert_int_equal(strings_intern(s, NULL, &a), 0);
	assert_int_equal(a, 0);
	for (int round = 0; round < 2; round++)
		for (uint32_t i = 1; i <= 1000; i++) {
			snprintf(text, sizeof(text), "s%u", i);
			assert_int_equal(strings_intern(s, text, &b), 0);
			assert_int_equal(b, i);
			assert_string_equal(strings_get(s, b), text);
		}
	assert_int_equal(strings_intern(s, "one more", &c), -ENOSPC);
	assert_int_equal(strings_intern_n(s, "s12345", 3, &c), 0);
	assert_int_equal(c, 12);
	assert_string_equal(strings_get(s, 4711), "");
	strings_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(varints_round_trip), cmocka_unit_test(hostile_bytes_fail_for_good),
		cmocka_unit_test(a_map_is_a_map),     cmocka_unit_test(a_map_keeps_its_bound),
		cmocka_unit_test(strings_have_one_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
