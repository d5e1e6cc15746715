/* SPDX-License-Identifier: Apache-2.0 */
/* Who waits is told who held the lock meanwhile: somebody who did, of the same lock, in proportion to how long. */
#include "unit/test.h"

#include <stdio.h>
#include <string.h>

#include "agent/gil.h"

struct fixture {
	struct merge *merge;
	struct gil *gil;
};

static int setup(void **state)
{
	static struct fixture f;

	assert_int_equal(merge_new(NULL, &f.merge), 0);
	assert_int_equal(gil_new(f.merge, &f.gil), 0);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	gil_free(f->gil);
	merge_free(f->merge);
	return 0;
}

static struct kymo_sample sample(uint16_t source, uint32_t tid, uint64_t began_ns, uint64_t time_ns)
{
	bool begins = source == KYMO_SOURCE_HELD && !began_ns;

	return (struct kymo_sample){
		.head = { .time_ns = time_ns, .flags = begins ? KYMO_SAMPLE_BEGINS : 0 },
		.who = { .pid = 1, .tid = tid, .process_start_ns = 9 },
		.source = source,
		.aux = 0x1000,
		.began_ns = begins ? time_ns : began_ns,
		.weight = source == KYMO_SOURCE_CPU ? 10 : time_ns - began_ns
	};
}

static void hold(struct fixture *f, struct kymo_sample s, const char *name, uint32_t where)
{
	const struct sample_frame frame = { .kind = FRAME_PYTHON, .function = where };

	assert_int_equal(gil_held(f->gil, &s, name, &frame, 1), 0);
}

/* Where the holder is, or 0: nobody. */
static uint32_t waited(struct fixture *f, struct kymo_sample s)
{
	const struct sample_frame own[2] = { { .kind = FRAME_NATIVE, .offset = 1 },
					     { .kind = FRAME_NATIVE, .offset = 2 } };
	const struct sample_frame *got;
	size_t n = gil_waited(f->gil, &s, own, 2, &got);

	if (n == 2) {
		assert_ptr_equal(got, own);
		return 0;
	}
	assert_int_equal(n, 4);
	assert_int_equal(got[1].kind, FRAME_SYNTHETIC);
	assert_true(got[1].function != 0);
	assert_memory_equal(got + 2, own, sizeof(own));
	return got[0].function;
}

static void a_holder_is_met_during_the_wait(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(waited(f, sample(KYMO_SOURCE_GIL, 7, 100, 200)), 0);
	hold(f, sample(KYMO_SOURCE_CPU, 8, 0, 150), "a", 11);
	assert_int_equal(waited(f, sample(KYMO_SOURCE_GIL, 7, 100, 200)), 11);
	/* before, and behind */
	assert_int_equal(waited(f, sample(KYMO_SOURCE_GIL, 7, 20, 140)), 0);
	assert_int_equal(waited(f, sample(KYMO_SOURCE_GIL, 7, 150, 200)), 0);
	/* oneself */
	assert_int_equal(waited(f, sample(KYMO_SOURCE_GIL, 8, 100, 200)), 0);
}

static void other_locks_are_others(void **state)
{
	struct fixture *f = *state;
	struct kymo_sample other = sample(KYMO_SOURCE_GIL, 7, 100, 200);

	hold(f, sample(KYMO_SOURCE_CPU, 8, 0, 150), "a", 11);
	other.aux = 0x2000;
	assert_int_equal(waited(f, other), 0);
	other.aux = 0x1000;
	other.who.pid = 2;
	assert_int_equal(waited(f, other), 0);
}

/* Who sleeps with the lock is known from the beginning on, and till somebody else has it. */
static void the_absent_hold_it_too(void **state)
{
	struct fixture *f = *state;

	hold(f, sample(KYMO_SOURCE_HELD, 8, 0, 100), "a", 11);
	assert_int_equal(waited(f, sample(KYMO_SOURCE_GIL, 7, 5000, 6000)), 11);
	hold(f, sample(KYMO_SOURCE_HELD, 8, 100, 7000), "a", 11);
	assert_int_equal(waited(f, sample(KYMO_SOURCE_GIL, 7, 7000, 8000)), 0);
	/* its end was lost */
	hold(f, sample(KYMO_SOURCE_HELD, 8, 0, 9000), "a", 11);
	hold(f, sample(KYMO_SOURCE_CPU, 9, 0, 9500), "b", 12);
	assert_int_equal(waited(f, sample(KYMO_SOURCE_GIL, 7, 9600, 9900)), 0);
}

static void shares_are_those_of_time(void **state)
{
	struct fixture *f = *state;
	unsigned first = 0;

	hold(f, sample(KYMO_SOURCE_HELD, 8, 0, 100), "a", 11);
	hold(f, sample(KYMO_SOURCE_HELD, 8, 100, 400), "a", 11);
	hold(f, sample(KYMO_SOURCE_HELD, 9, 0, 400), "b", 12);
	hold(f, sample(KYMO_SOURCE_HELD, 9, 400, 500), "b", 12);
	for (int i = 0; i < 4000; i++)
		first += waited(f, sample(KYMO_SOURCE_GIL, 7, 100, 500)) == 11;
	/* 3 of 4; five standard errors */
	assert_in_range(first, 3000 - 137, 3000 + 137);
}

static void a_new_profile_begins_without_holders(void **state)
{
	struct fixture *f = *state;

	hold(f, sample(KYMO_SOURCE_CPU, 8, 0, 150), "a", 11);
	gil_renew(f->gil);
	assert_int_equal(waited(f, sample(KYMO_SOURCE_GIL, 7, 100, 200)), 0);
}

/* Names and locks without end make neither frames nor memory without end. */
static void names_are_bounded(void **state)
{
	struct fixture *f = *state;
	struct health none = { 0 };
	struct tick *t;

	for (unsigned i = 0; i < 5000; i++) {
		struct kymo_sample s = sample(KYMO_SOURCE_CPU, i, 0, 100 + i);
		char name[16];

		snprintf(name, sizeof(name), "n%u", i);
		s.aux = i % 3 ? 0x1000 : 0x1000 + i;
		hold(f, s, name, 11);
	}
	assert_int_equal(merge_tick_close(f->merge, 10, 0, &none, &t), 0);
	assert_in_range(t->functions_n, 1000, 1030);
	tick_free(t);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_holder_is_met_during_the_wait),
		TEST(other_locks_are_others),
		TEST(the_absent_hold_it_too),
		TEST(shares_are_those_of_time),
		TEST(a_new_profile_begins_without_holders),
		TEST(names_are_bounded),
	};

	return cmocka_run_group_tests_name("agent: gil", tests, NULL, NULL);
}
