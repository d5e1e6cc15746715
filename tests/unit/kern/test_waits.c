/* SPDX-License-Identifier: Apache-2.0 */
/* A wait's sample comes at its beginning, how long it was at its end: one of both, or none. */
#include "unit/test.h"

#include <string.h>

#include "kern/waits.h"

static struct kymo_sample begin(uint32_t tid, uint64_t start_ns, uint64_t at_ns, uint64_t weight)
{
	return (struct kymo_sample){ .head = { .type = KYMO_RECORD_SAMPLE,
					       .flags = KYMO_SAMPLE_BEGINS,
					       .size = sizeof(struct kymo_sample),
					       .time_ns = at_ns },
				     .who = { .tid = tid, .thread_start_ns = start_ns },
				     .source = KYMO_SOURCE_GIL,
				     .began_ns = at_ns,
				     .weight = weight };
}

static struct kymo_waited end(uint32_t tid, uint64_t start_ns, uint64_t began_ns, uint64_t ns)
{
	return (struct kymo_waited){ .head = { .type = KYMO_RECORD_WAITED,
					       .size = sizeof(struct kymo_waited),
					       .time_ns = began_ns + ns + 7 },
				     .thread_start_ns = start_ns,
				     .began_ns = began_ns,
				     .duration_ns = ns,
				     .tid = tid };
}

static void keep(struct waits *w, struct kymo_sample s)
{
	assert_int_equal(waits_began(w, &s, &s, sizeof(s)), 0);
}

static void the_end_makes_the_sample(void **state)
{
	struct kymo_waited e = end(5, 1, 100, 40);
	const struct kymo_sample *s;
	struct wait_begun *b;
	struct waits w;

	(void)state;
	waits_init(&w);
	assert_null(waits_ended(&w, &e));
	keep(&w, begin(5, 1, 100, 3));
	keep(&w, begin(6, 1, 100, 1));
	b = waits_ended(&w, &e);
	assert_non_null(b);
	assert_int_equal(b->size, sizeof(*s));
	s = (const struct kymo_sample *)b->bytes;
	assert_int_equal(s->weight, 120); /* it stands for three */
	assert_int_equal(s->began_ns, 100);
	assert_int_equal(s->head.time_ns, 147);
	assert_int_equal(s->head.flags, 0);
	/* once */
	assert_null(waits_ended(&w, &e));
	waits_release(&w);
}

/* Of another life of the thread, or of a sample that was lost. */
static void another_end_is_not_taken(void **state)
{
	struct kymo_waited other_thread = end(5, 2, 100, 40), other_wait = end(5, 1, 90, 40);
	struct waits w;

	(void)state;
	waits_init(&w);
	keep(&w, begin(5, 1, 100, 1));
	assert_null(waits_ended(&w, &other_thread));
	assert_null(waits_ended(&w, &other_wait));
	keep(&w, begin(5, 1, 200, 1));
	other_wait = end(5, 1, 100, 40);
	assert_null(waits_ended(&w, &other_wait));
	waits_release(&w);
}

static void weights_do_not_wrap(void **state)
{
	struct kymo_waited e = end(5, 1, 100, UINT64_MAX / 3);
	struct wait_begun *b;
	struct waits w;

	(void)state;
	waits_init(&w);
	keep(&w, begin(5, 1, 100, 1000));
	b = waits_ended(&w, &e);
	assert_non_null(b);
	assert_true(((struct kymo_sample *)b->bytes)->weight >= UINT64_MAX / 4);
	waits_release(&w);
}

/* Threads without end whose waits never end. */
static void memory_is_bounded(void **state)
{
	static uint8_t record[24 * 1024];
	struct kymo_sample *s = (struct kymo_sample *)record;
	struct waits w;

	(void)state;
	waits_init(&w);
	for (uint32_t tid = 1; tid < 20000; tid++) {
		*s = begin(tid, 1, 100, 1);
		assert_int_equal(waits_began(&w, s, record, sizeof(record)), 0);
		assert_true(w.bytes <= 17UL << 20);
	}
	assert_true(w.dropped > 0);
	waits_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_end_makes_the_sample),
		cmocka_unit_test(another_end_is_not_taken),
		cmocka_unit_test(weights_do_not_wrap),
		cmocka_unit_test(memory_is_bounded),
	};

	return cmocka_run_group_tests_name("waits", tests, NULL, NULL);
}
