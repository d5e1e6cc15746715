/* SPDX-License-Identifier: Apache-2.0 */
/* A table comes back from its bytes as it was; other bytes are refused, or are a table that can be searched. */
#include "unit/test.h"

#include <errno.h>

#include "base/cleanup.h"
#include "base/hmap.h"
#include "unit/unwind/image.h"
#include "unwind/serial.h"

#define HEAD_CHECKSUM 8	 /* offset of the checksum */
#define HEAD_CHECKED  16 /* what it is over */

static struct unwind_table *some_table(void)
{
	struct unwind_table *t;
	struct image im;
	size_t cie;

	image_init(&im, EM_X86_64, 0x50000);
	cie = image_cie(&im);
	image_fde(&im, cie, 0, 0x30000, CODE(DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 16));
	image_fde(&im, cie, 0x40000, 0x100,
		  CODE(DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 32));
	assert_int_equal(image_build(&im, &t), 0);
	image_release(&im);
	return t;
}

static void test_round_trip(void **state)
{
	struct unwind_table *t = some_table(), *back;
	struct buf b = { 0 }, again = { 0 };

	(void)state;
	assert_int_equal(buf_append(&b, "in front", 8), 0);
	assert_int_equal(unwind_serial_write(t, &b), 0);
	assert_int_equal(unwind_serial_read(b.data + 8, b.size - 8, &back), 0);
	for (uint64_t offset = 0; offset < 0x60000; offset++)
		assert_memory_equal(unwind_table_find(t, offset), unwind_table_find(back, offset),
				    16);
	assert_memory_equal(&t->counts, &back->counts, sizeof(t->counts));
	assert_int_equal(unwind_table_bytes(t), unwind_table_bytes(back));
	assert_int_equal(unwind_serial_write(back, &again), 0);
	assert_int_equal(again.size, b.size - 8);
	assert_memory_equal(again.data, b.data + 8, again.size);
	unwind_table_free(t);
	unwind_table_free(back);
	buf_release(&b);
	buf_release(&again);
}

/* A file without descriptions has a table too: it need not be looked at again. */
static void test_empty(void **state)
{
	struct unwind_table *t, *back;
	struct buf b = { 0 };
	struct image im;

	(void)state;
	image_init(&im, EM_X86_64, 64);
	image_cie(&im);
	assert_int_equal(image_build(&im, &t), 0);
	assert_int_equal(t->pages_n, 0);
	assert_int_equal(unwind_serial_write(t, &b), 0);
	assert_int_equal(unwind_serial_read(b.data, b.size, &back), 0);
	assert_int_equal(unwind_table_find(back, 0)->cfa_kind, KYMO_UNWIND_CFA_GAP);
	unwind_table_free(t);
	unwind_table_free(back);
	buf_release(&b);
	image_release(&im);
}

static void test_every_flip_is_seen(void **state)
{
	struct unwind_table *t = some_table(), *back = NULL;
	struct buf b = { 0 };

	(void)state;
	assert_int_equal(unwind_serial_write(t, &b), 0);
	for (size_t i = 0; i < b.size * 8; i++) {
		b.data[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_int_equal(unwind_serial_read(b.data, b.size, &back), -EBADMSG);
		b.data[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	for (size_t size = 0; size < b.size; size++)
		assert_int_equal(unwind_serial_read(b.data, size, &back), -EBADMSG);
	assert_null(back);
	unwind_table_free(t);
	buf_release(&b);
}

static void sign(struct buf *b)
{
	uint64_t sum = hash_bytes(b->data + HEAD_CHECKED, b->size - HEAD_CHECKED, 0x77756b79);

	memcpy(b->data + HEAD_CHECKSUM, &sum, sizeof(sum));
}

/* Whoever can write the checksum too gets in only what can be searched: every offset has a rule. */
static void test_hostile_with_checksum(void **state)
{
	struct unwind_table *t = some_table(), *back;
	size_t accepted = 0, refused = 0;
	struct buf b = { 0 };

	(void)state;
	assert_int_equal(unwind_serial_write(t, &b), 0);
	for (size_t i = HEAD_CHECKED * 8; i < b.size * 8; i++) {
		b.data[i / 8] ^= (uint8_t)(1 << i % 8);
		sign(&b);
		if (unwind_serial_read(b.data, b.size, &back) == 0) {
			for (uint64_t offset = 0; offset < 0x60000; offset += 97)
				assert_true(unwind_table_find(back, offset)->cfa_kind <
					    KYMO_UNWIND_CFA_MAX);
			unwind_table_free(back);
			accepted++;
		} else {
			refused++;
		}
		b.data[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	assert_true(accepted && refused > accepted / 4);
	unwind_table_free(t);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_every_flip_is_seen),
		cmocka_unit_test(test_hostile_with_checksum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
