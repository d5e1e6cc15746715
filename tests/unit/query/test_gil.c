/* SPDX-License-Identifier: Apache-2.0 */
/* Who held the lock, who waited for it, and for whom, out of rows. */
#include "unit/test.h"

#include "query/gil.h"
#include "unit/support/profile_maker.h"

#define MS 1000000ULL

static struct query_gil query(struct maker *m, const struct query_selection *s,
			      struct profile **ret)
{
	struct query_gil g;
	char *message = NULL;

	maker_finish(m, true);
	assert_int_equal(profile_open(m->path, ret, &message), 0);
	assert_int_equal(query_gil(*ret, s, &g), 0);
	return g;
}

static void row(struct maker *m, uint32_t thread, uint32_t stack, uint32_t source, uint16_t state,
		uint32_t count, uint64_t weight)
{
	maker_row_of(m, thread, stack, source, KYMO_END_WHOLE, count, weight);
	m->tick.rows[m->tick.rows_n - 1].state = state | KYMO_STATE_PYTHON;
}

struct code {
	uint32_t crunch, wait, held;
};

/* main -> crunch; main -> wait, alone and with "crunch" of another thread on top. */
static struct code make_code(struct maker *m)
{
	uint32_t root = maker_stack(m, 0, maker_named_frame(m, FRAME_PYTHON, "main", "a.py", 1));
	uint32_t crunch = maker_named_frame(m, FRAME_PYTHON, "crunch", "a.py", 10);
	uint32_t futex = maker_named_frame(m, FRAME_NATIVE, "futex_wait", "", 0);
	uint32_t by = maker_named_frame(m, FRAME_SYNTHETIC, GIL_HELD_BY "worker]", "", 0);
	struct code c = { .crunch = maker_stack(m, root, crunch) };
	uint32_t main_again;

	c.wait = maker_stack(m, root, maker_named_frame(m, FRAME_PYTHON, "wait", "a.py", 20));
	c.wait = maker_stack(m, c.wait, futex);
	main_again = maker_named_frame(m, FRAME_PYTHON, "main", "a.py", 1);
	c.held = maker_stack(m, maker_stack(m, maker_stack(m, c.wait, by), main_again), crunch);
	c.held = maker_stack(m, c.held, maker_named_frame(m, FRAME_NATIVE, "mul", "", 0));
	return c;
}

static void times_and_pairs_add_up(void **state)
{
	const struct query_selection all = { 0 };
	struct profile *p = NULL;
	struct query_gil g;
	struct maker m;
	struct code c;
	uint32_t first, second;

	(void)state;
	maker_init(&m);
	c = make_code(&m);
	first = maker_thread(&m, 100, "python3");
	second = maker_thread(&m, 200, "other");
	/* in the order of their keys */
	row(&m, first, c.crunch, KYMO_SOURCE_CPU, 0, 2, 20 * MS);
	row(&m, first, c.crunch, KYMO_SOURCE_CPU, KYMO_STATE_GIL_HOLDING, 3, 30 * MS);
	row(&m, first, c.crunch, KYMO_SOURCE_CPU, KYMO_STATE_GIL_HOLDING | KYMO_STATE_IN_GC, 1,
	    10 * MS);
	row(&m, first, c.crunch, KYMO_SOURCE_HELD, KYMO_STATE_GIL_HOLDING, 1, 7 * MS);
	row(&m, first, c.wait, KYMO_SOURCE_GIL, KYMO_STATE_GIL_WAITING, 2, 5 * MS);
	row(&m, first, c.held, KYMO_SOURCE_GIL, KYMO_STATE_GIL_WAITING, 4, 70 * MS);
	row(&m, second, c.crunch, KYMO_SOURCE_CPU, KYMO_STATE_GIL_HOLDING, 1, 10 * MS);
	maker_close_tick(&m);
	g = query(&m, &all, &p);
	assert_int_equal(g.duration_ns, MAKER_TICK_NS);
	assert_int_equal(g.threads_n, 2);
	assert_int_equal(g.processes_n, 2);
	/* the longest waiting first */
	assert_int_equal(g.threads[0].thread->tid, 100);
	assert_int_equal(g.threads[0].of, 0);
	assert_int_equal(g.processes[0].process->pid, 100);
	assert_int_equal(g.threads[0].times.holding_ns, 40 * MS);
	assert_int_equal(g.threads[0].times.gc_ns, 10 * MS);
	assert_int_equal(g.threads[0].times.without_ns, 20 * MS);
	assert_int_equal(g.threads[0].times.held_ns, 7 * MS);
	assert_int_equal(g.threads[0].times.waiting_ns, 75 * MS);
	assert_int_equal(g.threads[0].times.waits, 6);
	assert_int_equal(g.processes[1].times.holding_ns, 10 * MS);
	assert_int_equal(g.total.holding_ns, 50 * MS);
	assert_int_equal(g.pairs_n, 2);
	assert_string_equal(g.pairs[0].waiter->name, "wait");
	assert_string_equal(g.pairs[0].holder->name, "crunch");
	assert_string_equal(g.pairs[0].name, GIL_HELD_BY "worker]");
	assert_int_equal(g.pairs[0].waiting_ns, 70 * MS);
	assert_string_equal(g.pairs[1].waiter->name, "wait");
	assert_null(g.pairs[1].holder);
	assert_null(g.pairs[1].name);
	query_gil_release(&g);
	profile_close(p);
	maker_remove(&m);
}

static void a_process_is_selected(void **state)
{
	const struct query_selection one = { .pid = 200 };
	struct profile *p = NULL;
	struct query_gil g;
	struct maker m;
	struct code c;

	(void)state;
	maker_init(&m);
	c = make_code(&m);
	row(&m, maker_thread(&m, 100, "python3"), c.wait, KYMO_SOURCE_GIL, KYMO_STATE_GIL_WAITING,
	    1, MS);
	row(&m, maker_thread(&m, 200, "python3"), c.wait, KYMO_SOURCE_GIL, KYMO_STATE_GIL_WAITING,
	    1, 2 * MS);
	maker_close_tick(&m);
	g = query(&m, &one, &p);
	assert_int_equal(g.threads_n, 1);
	assert_int_equal(g.total.waiting_ns, 2 * MS);
	query_gil_release(&g);
	profile_close(p);
	maker_remove(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_and_pairs_add_up),
		cmocka_unit_test(a_process_is_selected),
	};

	return cmocka_run_group_tests_name("query: gil", tests, NULL, NULL);
}
