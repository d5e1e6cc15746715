/* SPDX-License-Identifier: Apache-2.0 */
/* Records of many rings come out in one order of time, and the queue's bound holds. */
#include "unit/test.h"

#include <errno.h>
#include <string.h>

#include "kern/order.h"

struct seen {
	uint64_t values[4096];
	size_t n;
};

static void note(void *context, enum order_kind kind, void *data, size_t size)
{
	struct seen *seen = context;

	(void)kind;
	assert_true((uintptr_t)data % 8 == 0);
	assert_true(size >= 8);
	memcpy(&seen->values[seen->n++], data, 8);
}

static int put(struct order *o, enum order_kind kind, uint64_t time, uint64_t value)
{
	return order_add(o, kind, time, &value, sizeof(value), "tail", 5);
}

static void test_by_time(void **state)
{
	struct order o = { .max_bytes = 1 << 20 };
	struct seen seen = { .n = 0 };

	(void)state;
	for (uint64_t i = 0; i < 1000; i++)
		assert_int_equal(put(&o, ORDER_SAMPLE, (i * 7919) % 1000, (i * 7919) % 1000), 0);
	assert_int_equal(order_deliver(&o, 499, note, &seen), 0);
	assert_int_equal(seen.n, 500);
	assert_int_equal(o.items_n, 500);
	assert_int_equal(put(&o, ORDER_SAMPLE, 500, 500), 0);
	assert_int_equal(order_deliver(&o, UINT64_MAX, note, &seen), 0);
	assert_int_equal(seen.n, 1001);
	for (size_t i = 1; i < seen.n; i++)
		assert_true(seen.values[i] >= seen.values[i - 1]);
	assert_int_equal(o.items_n, 0);
	assert_int_equal(o.bytes.size, 0);
	order_release(&o);
}

static void test_same_instant(void **state)
{
	struct order o = { .max_bytes = 1 << 20 };
	struct seen seen = { .n = 0 };

	(void)state;
	assert_int_equal(put(&o, ORDER_SAMPLE, 5, 3), 0);
	assert_int_equal(put(&o, ORDER_EVENT, 5, 1), 0);
	assert_int_equal(put(&o, ORDER_SAMPLE, 5, 4), 0);
	assert_int_equal(put(&o, ORDER_EVENT, 5, 2), 0);
	assert_int_equal(order_deliver(&o, 5, note, &seen), 0);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(seen.values[i], i + 1);
	order_release(&o);
}

static void test_bound(void **state)
{
	struct order o = { .max_bytes = 160 };
	struct seen seen = { .n = 0 };
	size_t kept = 0;

	(void)state;
	for (uint64_t i = 0; i < 100; i++)
		kept += put(&o, ORDER_SAMPLE, i, i) == 0;
	assert_int_equal(kept, 10); /* 13 bytes each, padded to 16 */
	assert_int_equal(o.dropped, 90);
	assert_int_equal(put(&o, ORDER_SAMPLE, 0, 0), -ENOSPC);
	assert_int_equal(order_deliver(&o, UINT64_MAX, note, &seen), 0);
	assert_int_equal(seen.n, 10);
	assert_int_equal(put(&o, ORDER_SAMPLE, 0, 0), 0);
	order_release(&o);
}

static void test_waiting_survives_many_turns(void **state)
{
	struct order o = { .max_bytes = 1 << 20 };
	struct seen seen = { .n = 0 };

	(void)state;
	assert_int_equal(put(&o, ORDER_EVENT, 1000000, 42), 0);
	for (uint64_t i = 0; i < 1000; i++) {
		assert_int_equal(put(&o, ORDER_SAMPLE, i, i), 0);
		assert_int_equal(order_deliver(&o, i, note, &seen), 0);
		assert_int_equal(seen.n, i + 1);
		assert_true(o.bytes.size <= 32);
	}
	assert_int_equal(order_deliver(&o, UINT64_MAX, note, &seen), 0);
	assert_int_equal(seen.values[1000], 42);
	order_release(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_time),
		cmocka_unit_test(test_same_instant),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_waiting_survives_many_turns),
	};

	return cmocka_run_group_tests_name("kern/order", tests, NULL, NULL);
}
