/* SPDX-License-Identifier: Apache-2.0 */
/* However many samples differ, what is kept of them is bounded, and sums stay what they are. */
#include "unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "export/pprof_groups.h"

#define PROCESSES 1000

struct fixture {
	struct pprof_groups groups;
	struct process processes[PROCESSES];
	struct thread threads[PROCESSES];
	uint64_t added;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(pprof_groups_init(&f->groups, 1), 0);
	for (uint32_t i = 0; i < PROCESSES; i++) {
		f->processes[i].pid = f->threads[i].tid = 100 + i;
		snprintf(f->processes[i].comm, sizeof(f->processes[i].comm), "program-%u", i % 10);
		snprintf(f->threads[i].comm, sizeof(f->threads[i].comm), "thread-%u", i % 2);
	}
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	pprof_groups_release(&f->groups);
	free(f);
	return 0;
}

static int add(struct fixture *f, uint32_t stack, uint32_t thread, uint8_t pressure)
{
	const struct query_row row = { .thread_index = thread,
				       .process = &f->processes[thread],
				       .thread = &f->threads[thread] };
	struct pprof_key key = { .stack = stack, .who = thread, .pressure = { pressure, 0, 7 } };
	struct pprof_group *g;
	int r = pprof_groups_get(&f->groups, key, &row, &g);

	if (r < 0)
		return r;
	pprof_add(&g->count, 1);
	pprof_add(&g->weight, 10);
	pprof_add(&g->seen[0], 3);
	f->added++;
	return 0;
}

static void assert_sums(const struct fixture *f)
{
	uint64_t count = 0, weight = 0, seen = 0;
	const void *key;
	size_t pos = 0;
	void *value;

	while (hmap_next(&f->groups.map, &pos, &key, &value)) {
		const struct pprof_group *g = value;

		count += g->count;
		weight += g->weight;
		seen += g->seen[0];
	}
	assert_int_equal(count, f->added);
	assert_int_equal(weight, 10 * f->added);
	assert_int_equal(seen, 3 * f->added);
}

static void few_keep_all_that_is_known(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < 10000; i++)
		assert_int_equal(add(f, i % 100, i % 10, (uint8_t)(i % 50)), 0);
	assert_int_equal(f->groups.detail, PPROF_PERCENTS);
	/* 100 stacks meet each a thread and a pressure that follow from i: lcm(100, 10, 50). */
	assert_int_equal(f->groups.map.count, 100);
	assert_sums(f);
}

static void pressures_go_first_to_tens(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < 400000; i++)
		assert_int_equal(add(f, i / 100, 1, (uint8_t)(i % 100)), 0);
	assert_int_equal(f->groups.detail, PPROF_TENS);
	assert_sums(f);
}

static void then_threads_by_number(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < 400000; i++)
		assert_int_equal(add(f, i / PROCESSES, i % PROCESSES, 3), 0);
	assert_int_equal(f->groups.detail, PPROF_NAMES);
	/* Of their names there are ten pairs. */
	assert_int_equal(f->groups.map.count, 400 * 10);
	assert_sums(f);
}

static void at_last_the_caller_is_told(void **state)
{
	struct fixture *f = *state;
	int r = 0;

	for (uint32_t i = 0; i < 400000 && r == 0; i++)
		r = add(f, i, 0, 3);
	assert_int_equal(r, -ENOSPC);
	assert_int_equal(f->groups.detail, PPROF_STACKS);
	assert_sums(f);
	hmap_clear(&f->groups.map);
	assert_int_equal(add(f, 1, 0, 3), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(few_keep_all_that_is_known),
		TEST(pressures_go_first_to_tens),
		TEST(then_threads_by_number),
		TEST(at_last_the_caller_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
