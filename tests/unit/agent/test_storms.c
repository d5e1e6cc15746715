/* SPDX-License-Identifier: Apache-2.0 */
/* When execs are a storm, and what its event says. */
#include "unit/test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "agent/storms.h"
#include "base/clock.h"

static bool tick(struct storm_rule *rule, uint64_t count)
{
	double usual;

	return storm_rule_tick(rule, count, NS_PER_SEC, &usual);
}

static void test_begins_above_the_least_rate(void **state)
{
	struct storm_rule rule = { 0 };
	double usual;

	(void)state;
	/* the first has no usual before it */
	assert_false(storm_rule_tick(&rule, 50, NS_PER_SEC, &usual));
	assert_true(isnan(usual));
	assert_true(storm_rule_tick(&rule, 501, NS_PER_SEC, &usual));
	assert_true(usual == 50);
	assert_int_equal(rule.ticks, 1);
}

static void test_lasts_to_half_of_it(void **state)
{
	struct storm_rule rule = { 0 };

	(void)state;
	for (int i = 0; i < 10; i++)
		assert_false(tick(&rule, 1));
	assert_true(tick(&rule, 51));
	assert_true(tick(&rule, 26));
	assert_int_equal(rule.ticks, 2);
	assert_false(tick(&rule, 25));
	assert_int_equal(rule.ticks, 0);
	assert_false(tick(&rule, 50));
}

/* A build host that begins 40 programs a second has a storm at 400, not at 60. */
static void test_is_relative_to_the_usual(void **state)
{
	struct storm_rule rule = { 0 };
	double usual;

	(void)state;
	for (int i = 0; i < 10; i++)
		assert_false(tick(&rule, 40));
	assert_false(tick(&rule, 400));
	assert_true(storm_rule_tick(&rule, 401, NS_PER_SEC, &usual));
	assert_true(usual == 40);
}

static void test_what_lasts_becomes_the_usual(void **state)
{
	struct storm_rule rule = { 0 };
	int storm = 0;

	(void)state;
	for (int i = 0; i < STORM_WINDOW; i++)
		assert_false(tick(&rule, 0));
	for (int i = 0; i < 2 * STORM_WINDOW; i++)
		storm += tick(&rule, 300);
	assert_in_range(storm, STORM_WINDOW / 2, STORM_WINDOW / 2 + 1);
}

/* 5 in a tenth of a second are 50 a second, and nothing. */
static void test_short_ticks_want_a_least_count(void **state)
{
	struct storm_rule rule = { 0 };
	double usual;

	(void)state;
	assert_false(storm_rule_tick(&rule, STORM_COUNT_MIN - 1, 100 * NS_PER_MSEC, &usual));
	assert_false(storm_rule_tick(&rule, STORM_COUNT_MIN, 0, &usual));
	rule = (struct storm_rule){ 0 };
	assert_true(storm_rule_tick(&rule, STORM_COUNT_MIN, 100 * NS_PER_MSEC, &usual));
}

struct host {
	struct proc_table *procs;
	struct storms *storms;
	struct merge *merge;
};

static void ignore_file(void *data, uint32_t pid, const struct proc_mapping *mapping)
{
	(void)data;
	(void)pid;
	(void)mapping;
}

static int setup(void **state)
{
	static struct host h;

	assert_int_equal(proc_table_new("/proc", ignore_file, NULL, &h.procs), 0);
	assert_int_equal(storms_new(&h.storms), 0);
	assert_int_equal(merge_new(NULL, &h.merge), 0);
	*state = &h;
	return 0;
}

static int teardown(void **state)
{
	struct host *h = *state;

	storms_free(h->storms);
	merge_free(h->merge);
	proc_table_free(h->procs);
	return 0;
}

static void apply(struct host *h, struct process_event e)
{
	e.time_ns = clock_mono_ns();
	e.path = e.path ? e.path : "";
	if (!e.tid)
		e.tid = e.pid;
	assert_int_equal(proc_apply(h->procs, &e), 0);
	storms_event(h->storms, &e, h->procs);
}

/* Pids beyond what the kernel gives: nothing of this host is read for them. */
#define PID 5000000

static void fork_and_exec(struct host *h, uint32_t pid, uint32_t parent, const char *comm,
			  const char *exe)
{
	struct process_event exec = { .kind = PROCESS_EXEC, .pid = pid };
	struct process_event map = { .kind = PROCESS_MMAP,
				     .pid = pid,
				     .start = 0x1000,
				     .end = 0x2000,
				     .inode = 1,
				     .path = exe };

	snprintf(exec.comm, sizeof(exec.comm), "%s", comm);
	apply(h, (struct process_event){ .kind = PROCESS_FORK, .pid = pid, .parent_pid = parent });
	apply(h, exec);
	apply(h, map);
}

static struct tick *close_tick(struct host *h)
{
	struct health none = { 0 };
	struct tick *t;

	assert_int_equal(storms_tick(h->storms, 1, 1 + NS_PER_SEC, h->procs, h->merge), 0);
	assert_int_equal(merge_tick_close(h->merge, 1 + NS_PER_SEC, 0, &none, &t), 0);
	return t;
}

static void test_event_names_programs_and_parents(void **state)
{
	struct host *h = *state;
	struct tick *t;

	fork_and_exec(h, PID, 1, "make", "/usr/bin/make");
	for (uint32_t i = 1; i <= 60; i++)
		fork_and_exec(h, PID + i, PID, "cc\"1", "/usr/lib/cc1");
	for (uint32_t i = 100; i < 103; i++)
		fork_and_exec(h, PID + i, PID + 1, "as", "/usr/bin/as");
	t = close_tick(h);
	assert_int_equal(t->events_n, 1);
	assert_int_equal(t->events[0].kind, EVENT_EXEC_STORM);
	assert_int_equal(t->events[0].duration_ns, NS_PER_SEC);
	assert_non_null(strstr(t->events[0].fields,
			       "{\"count\":64,\"usual_per_s\":null,"
			       "\"storm_ticks\":1,\"programs\":["
			       "{\"comm\":\"cc\\\"1\",\"exe\":\"/usr/lib/cc1\",\"count\":60},"
			       "{\"comm\":\"as\",\"exe\":\"/usr/bin/as\",\"count\":3},"
			       "{\"comm\":\"make\",\"exe\":\"/usr/bin/make\",\"count\":1}],"));
	assert_non_null(strstr(t->events[0].fields,
			       "\"parents\":[{\"pid\":5000000,\"comm\":"
			       "\"make\",\"count\":60},"
			       "{\"pid\":5000001,\"comm\":\"cc\\\"1\",\"count\":3}"));
	tick_free(t);
	/* Counts begin anew with each tick. */
	t = close_tick(h);
	assert_int_equal(t->events_n, 0);
	tick_free(t);
}

static void test_exits_of_processes_count_threads_do_not(void **state)
{
	struct host *h = *state;
	struct tick *t;

	fork_and_exec(h, PID, 1, "worker", "/usr/bin/worker");
	for (uint32_t i = 1; i <= 60; i++)
		apply(h,
		      (struct process_event){ .kind = PROCESS_EXIT, .pid = PID, .tid = PID + i });
	t = close_tick(h);
	assert_int_equal(t->events_n, 0);
	tick_free(t);
	for (uint32_t i = 1; i <= 501; i++)
		fork_and_exec(h, PID + i, PID, "short", "/usr/bin/short");
	for (uint32_t i = 1; i <= 501; i++)
		apply(h, (struct process_event){ .kind = PROCESS_EXIT, .pid = PID + i });
	t = close_tick(h);
	assert_int_equal(t->events_n, 2);
	assert_int_equal(t->events[1].kind, EVENT_EXIT_STORM);
	assert_non_null(strstr(t->events[1].fields, "\"comm\":\"short\""));
	tick_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_begins_above_the_least_rate),
		cmocka_unit_test(test_lasts_to_half_of_it),
		cmocka_unit_test(test_is_relative_to_the_usual),
		cmocka_unit_test(test_what_lasts_becomes_the_usual),
		cmocka_unit_test(test_short_ticks_want_a_least_count),
		cmocka_unit_test_setup_teardown(test_event_names_programs_and_parents, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_exits_of_processes_count_threads_do_not, setup,
						teardown),
	};

	return cmocka_run_group_tests_name("agent/storms", tests, NULL, NULL);
}
