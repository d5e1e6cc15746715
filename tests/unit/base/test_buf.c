/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <errno.h>

#include "base/buf.h"

static void a_buffer_grows_and_keeps(void **state)
{
	struct buf b = { 0 };

	(void)state;
	assert_string_equal(buf_str(&b), "");
	assert_int_equal(buf_append_str(&b, "a"), 0);
	assert_int_equal(buf_append(&b, NULL, 0), 0);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(buf_printf(&b, "%03d,", i), 0);
	assert_int_equal(b.size, 4001);
	assert_memory_equal(buf_str(&b), "a000,001,", 9);
	assert_int_equal(strlen(buf_str(&b)), b.size);
	buf_clear(&b);
	assert_string_equal(buf_str(&b), "");
	buf_release(&b);
	assert_null(b.data);
}

static void a_failed_growth_changes_nothing(void **state)
{
	struct buf b = { 0 }, before;

	(void)state;
	assert_int_equal(buf_append_str(&b, "kept"), 0);
	before = b;
	assert_int_equal(buf_reserve(&b, SIZE_MAX), -ENOMEM);
	assert_int_equal(buf_reserve(&b, SIZE_MAX / 2 + 1), -ENOMEM);
	assert_memory_equal(&b, &before, sizeof(b));
	assert_string_equal(buf_str(&b), "kept");
	buf_release(&b);
}

static void widths_are_little_endian(void **state)
{
	static const uint8_t bytes[] = { 1, 2, 1, 4, 3, 2, 0x81, 8, 7, 6, 5, 4, 3, 2, 0x91 };
	struct reader r = { bytes, bytes + sizeof(bytes), false };

	(void)state;
	assert_int_equal(reader_u8(&r), 1);
	assert_int_equal(reader_u16(&r), 0x0102);
	assert_int_equal(reader_u32(&r), 0x81020304);
	assert_true(reader_u64(&r) == 0x9102030405060708);
	assert_false(r.failed);
	assert_non_null(reader_bytes(&r, 0));
	assert_int_equal(reader_u8(&r), 0);
	assert_true(r.failed);
}

static void half_a_number_is_none(void **state)
{
	static const uint8_t bytes[] = { 1, 2, 3, 4, 5, 6, 7 };
	struct reader r = { bytes, bytes + sizeof(bytes), false };

	(void)state;
	assert_true(reader_u64(&r) == 0);
	assert_true(r.failed);
	r = (struct reader){ bytes, bytes, false };
	assert_int_equal(reader_svarint(&r), 0);
	assert_true(r.failed);
}

static void varints_round_trip(void **state)
{
	static const int64_t values[] = {
		0, 1, -1, 63, 64, -64, -65, 1 << 20, INT64_MAX, INT64_MIN
	};
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
	static const uint8_t endless[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
					   0xff, 0xff, 0xff, 0xff, 0xff, 1 };
	static const uint8_t over64[] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02
	};
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_buffer_grows_and_keeps),
		cmocka_unit_test(a_failed_growth_changes_nothing),
		cmocka_unit_test(widths_are_little_endian),
		cmocka_unit_test(half_a_number_is_none),
		cmocka_unit_test(varints_round_trip),
		cmocka_unit_test(hostile_bytes_fail_for_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
