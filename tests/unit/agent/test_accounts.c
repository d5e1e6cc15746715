/* SPDX-License-Identifier: Apache-2.0 */
/* What sweeps and ends make of a process's account, tick by tick. */
#include "unit/test.h"

#include "agent/accounts.h"
#include "base/cleanup.h"
#include "model/tick.h"

DEFINE_CLEANUP(struct accounts *, accounts_free);
DEFINE_CLEANUP(struct merge *, merge_free);

#define PID	 500
#define LATER_NS (UINT64_MAX / 2) /* began after the recording */
#define SEC_NS	 1000000000ULL

static uint32_t one_process(void *data, const struct kymo_task *task)
{
	(void)data;
	(void)task;
	return 1;
}

/* pages: -1 = its memory map is gone. */
static struct kymo_task thread_of(uint32_t tid, uint64_t cpu_ns, int64_t pages)
{
	int64_t other = pages < 0 ? -1 : 0;

	return (struct kymo_task){
		.who = { .pid = PID, .tid = tid, .process_start_ns = LATER_NS },
		.counters = { .cpu_ns = cpu_ns,
			      .rss_anon_pages = pages,
			      .rss_file_pages = other,
			      .rss_shmem_pages = other,
			      .swap_pages = other },
	};
}

static void sweep(struct accounts *a, const struct kymo_task *tasks, size_t n)
{
	accounts_sweep_begin(a);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(accounts_thread(a, &tasks[i]), 0);
	assert_int_equal(accounts_sweep_end(a, UINT64_MAX), 0);
}

static struct tick *close_tick(struct merge *m, unsigned number)
{
	struct health health = { 0 };
	struct tick *t;

	assert_int_equal(merge_tick_close(m, number * SEC_NS, 0, &health, &t), 0);
	merge_tick_begin(m, number * SEC_NS);
	return t;
}

/* The process's row of that tick; cpu_ns is compared, too. */
static void assert_row(struct merge *m, unsigned number, int64_t cpu_ns, int64_t pages, bool ended)
{
	struct tick *t = close_tick(m, number);

	assert_int_equal(t->process_ticks_n, 1);
	assert_int_equal(t->process_ticks[0].change.cpu_ns, cpu_ns);
	assert_int_equal(t->process_ticks[0].change.rss_anon_pages, pages);
	assert_int_equal(t->process_ticks[0].ended, ended);
	tick_free(t);
}

static void begin(struct merge **ret_merge, struct accounts **ret)
{
	assert_int_equal(merge_new(NULL, ret_merge), 0);
	merge_tick_begin(*ret_merge, 0);
	assert_int_equal(accounts_new(*ret_merge, one_process, NULL, ret), 0);
	sweep(*ret, NULL, 0);
}

/* A process that exits across a tick's end: the sweep finds it without memory, its end is told a tick later. */
static void test_an_exit_across_a_tick_keeps_the_memory(void **state)
{
	_cleanup_(merge_freep) struct merge *m = NULL;
	_cleanup_(accounts_freep) struct accounts *a = NULL;
	struct kymo_task task = thread_of(PID, 10, 1000);

	(void)state;
	begin(&m, &a);
	sweep(a, &task, 1);
	assert_row(m, 1, 10, 1000, false);
	task = thread_of(PID, 15, -1);
	sweep(a, &task, 1);
	assert_row(m, 2, 5, 1000, false);
	task = thread_of(PID, 17, -1);
	assert_int_equal(accounts_ended(a, &task), 0);
	assert_row(m, 3, 2, 1000, true);
}

/* What it held as it exited is the truth, also where no sweep has seen so much, or none has seen it at all. */
static void test_the_end_tells_what_was_held(void **state)
{
	_cleanup_(merge_freep) struct merge *m = NULL;
	_cleanup_(accounts_freep) struct accounts *a = NULL;
	struct kymo_task task = thread_of(PID, 17, 3000), again = thread_of(PID, 18, -1);

	(void)state;
	begin(&m, &a);
	assert_int_equal(accounts_ended(a, &task), 0);
	assert_row(m, 1, 17, 3000, true);
	/* two threads that died at once: the second finds it told */
	assert_int_equal(accounts_ended(a, &again), 0);
	assert_row(m, 2, 1, 3000, true);
}

/* Its end is delivered while a sweep is: what the sweep before had of it is older. */
static void test_an_end_within_a_sweep(void **state)
{
	_cleanup_(merge_freep) struct merge *m = NULL;
	_cleanup_(accounts_freep) struct accounts *a = NULL;
	struct kymo_task task = thread_of(PID, 10, 1000), end = thread_of(PID, 17, 3000);

	(void)state;
	begin(&m, &a);
	sweep(a, &task, 1);
	assert_row(m, 1, 10, 1000, false);
	accounts_sweep_begin(a);
	assert_int_equal(accounts_ended(a, &end), 0);
	assert_int_equal(accounts_sweep_end(a, UINT64_MAX), 0);
	assert_row(m, 2, 7, 3000, true);
}

/* It became another program: what it used till then is the one's before, the rest the new one's. */
static void test_a_program_that_was_replaced(void **state)
{
	_cleanup_(merge_freep) struct merge *m = NULL;
	_cleanup_(accounts_freep) struct accounts *a = NULL;
	struct kymo_task task = thread_of(PID, 10, -1), end = thread_of(PID, 17, 3000);
	struct tick *t;

	(void)state;
	begin(&m, &a);
	assert_int_equal(accounts_replaced(a, &task, 7), 0);
	assert_int_equal(accounts_ended(a, &end), 0);
	t = close_tick(m, 1);
	assert_int_equal(t->process_ticks_n, 2);
	assert_int_equal(t->process_ticks[0].process, 7);
	assert_int_equal(t->process_ticks[0].change.cpu_ns, 10);
	assert_false(t->process_ticks[0].ended);
	assert_int_equal(t->process_ticks[1].process, 1);
	assert_int_equal(t->process_ticks[1].change.cpu_ns, 7);
	assert_int_equal(t->process_ticks[1].change.rss_anon_pages, 3000);
	assert_true(t->process_ticks[1].ended);
	tick_free(t);
	/* one that the profile has not: nothing is told, nothing is lost */
	end = task = thread_of(PID + 1, 4, -1);
	task.who.pid = end.who.pid = PID + 1;
	assert_int_equal(accounts_replaced(a, &task, 0), 0);
	assert_int_equal(accounts_ended(a, &end), 0);
	assert_row(m, 2, 4, 0, true);
}

/* The leader has exited, another thread goes on: it tells of the memory. */
static void test_memory_without_a_leader(void **state)
{
	_cleanup_(merge_freep) struct merge *m = NULL;
	_cleanup_(accounts_freep) struct accounts *a = NULL;
	struct kymo_task tasks[] = { thread_of(PID + 1, 5, 2000), thread_of(PID, 10, -1) };

	(void)state;
	begin(&m, &a);
	sweep(a, tasks, 2);
	assert_row(m, 1, 15, 2000, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_exit_across_a_tick_keeps_the_memory),
		cmocka_unit_test(test_the_end_tells_what_was_held),
		cmocka_unit_test(test_an_end_within_a_sweep),
		cmocka_unit_test(test_a_program_that_was_replaced),
		cmocka_unit_test(test_memory_without_a_leader),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
