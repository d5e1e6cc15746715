/* SPDX-License-Identifier: Apache-2.0 */
/* What a query says is what was recorded, to the digit. */
#include "unit/test.h"

#include <stdio.h>

#include "model/sample.h"
#include "query/metric.h"
#include "query/query.h"
#include "unit/support/profile_maker.h"

static struct profile *open_made(struct maker *m)
{
	struct profile *p = NULL;
	char *message = NULL;
	int r = profile_open(m->path, &p, &message);

	if (r < 0)
		print_message("%s\n", message ? message : "no message");
	assert_int_equal(r, 0);
	return p;
}

static struct query_result *run(struct profile *p, struct query_selection s)
{
	struct query_result *r = NULL;

	assert_int_equal(query_run(p, &s, &r), 0);
	return r;
}

static const struct query_item *find_item(const struct query_result *r, const char *name)
{
	for (size_t i = 1; i < r->items_n; i++)
		if (strcmp(r->items[i].name, name) == 0)
			return &r->items[i];
	return NULL;
}

/* The node at the end of a path of names; NULL-terminated. */
static const struct query_node *find_node(const struct query_result *r, const char *const *path)
{
	uint32_t at = 0;

	for (; *path; path++) {
		uint32_t c = r->nodes[at].first_child;

		while (c && strcmp(r->items[r->nodes[c].item].name, *path) != 0)
			c = r->nodes[c].next_sibling;
		if (!c)
			return NULL;
		at = c;
	}
	return &r->nodes[at];
}

#define NODE(r, ...) find_node(r, (const char *const[]){ __VA_ARGS__, NULL })

/* main -> work -> work -> leaf, main -> other; two processes; two ticks. */
static void make_small(struct maker *m, bool clean)
{
	uint32_t main_, work, leaf, other, s_main, s_work, s_again, s_leaf, s_other, a, b;

	maker_init(m);
	main_ = maker_named_frame(m, FRAME_PYTHON, "main", "/srv/app/run.py", 10);
	work = maker_named_frame(m, FRAME_PYTHON, "work", "/srv/app/run.py", 20);
	leaf = maker_named_frame(m, FRAME_NATIVE, "leaf", "", 0);
	other = maker_named_frame(m, FRAME_KERNEL, "other", "", 0);
	s_main = maker_stack(m, 0, main_);
	s_work = maker_stack(m, s_main, work);
	s_again = maker_stack(m, s_work, work);
	s_leaf = maker_stack(m, s_again, leaf);
	s_other = maker_stack(m, s_main, other);
	a = maker_thread(m, 100, "alpha");
	b = maker_thread(m, 200, "beta");
	maker_row(m, a, s_leaf, 5);
	maker_row(m, a, s_again, 2);
	maker_row(m, b, s_other, 3);
	maker_health(m, HEALTH_cpu_user_ns, 600000000);
	maker_health(m, HEALTH_cpu_idle_ns, 400000000);
	maker_quality(m, "bpf.ring_full", 4);
	maker_close_tick(m);
	maker_row(m, b, s_leaf, 7);
	maker_row(m, a, 0, 1);
	maker_row_of(m, a, s_main, KYMO_SOURCE_FAULT, KYMO_END_WHOLE, 2, 8192);
	maker_health(m, HEALTH_cpu_user_ns, 200000000);
	maker_health(m, HEALTH_cpu_idle_ns, 800000000);
	maker_quality(m, "bpf.ring_full", 6);
	maker_close_tick(m);
	maker_finish(m, clean);
}

static void test_sums(void **state)
{
	struct query_result *r;
	struct profile *p;
	struct maker m;

	(void)state;
	make_small(&m, true);
	p = open_made(&m);
	r = run(p, (struct query_selection){ 0 });
	assert_int_equal(r->total.count, 18);
	assert_int_equal(r->total.weight, 18 * MAKER_PERIOD_NS);
	assert_int_equal(r->nodes[0].total.count, 18);
	assert_int_equal(NODE(r, "alpha")->total.count, 8);
	assert_int_equal(NODE(r, "alpha", "main", "work", "work")->self.count, 2);
	assert_int_equal(NODE(r, "alpha", "main", "work", "work", "leaf")->self.count, 5);
	assert_int_equal(NODE(r, "alpha", "[no stack]")->self.count, 1);
	assert_int_equal(NODE(r, "beta", "main", "work", "work", "leaf")->self.count, 7);
	assert_int_equal(NODE(r, "beta", "main", "other")->self.count, 3);
	assert_null(NODE(r, "beta", "[no stack]"));
	assert_int_equal(r->processes_n, 2);
	assert_int_equal(r->processes[0].pid, 200);
	assert_int_equal(r->processes[0].value.count, 10);
	assert_true(profile_ended(p));
	query_free(r);
	profile_close(p);
	maker_remove(&m);
}

/* A function that calls itself was on the stack once, not twice. */
static void test_recursion_counts_once(void **state)
{
	struct query_result *r;
	struct profile *p;
	struct maker m;

	(void)state;
	make_small(&m, true);
	p = open_made(&m);
	r = run(p, (struct query_selection){ 0 });
	assert_int_equal(find_item(r, "work")->total.count, 14);
	assert_int_equal(find_item(r, "work")->self.count, 2);
	assert_int_equal(find_item(r, "main")->total.count, 17);
	assert_int_equal(find_item(r, "main")->self.count, 0);
	assert_int_equal(find_item(r, "leaf")->self.count, 12);
	query_free(r);
	profile_close(p);
	maker_remove(&m);
}

static void test_selection(void **state)
{
	struct query_result *r;
	struct profile *p;
	struct maker m;

	(void)state;
	make_small(&m, true);
	p = open_made(&m);
	r = run(p, (struct query_selection){ .pid = 100 });
	assert_int_equal(r->total.count, 8);
	query_free(r);
	r = run(p, (struct query_selection){ .comm = "beta" });
	assert_int_equal(r->total.count, 10);
	assert_int_equal(find_item(r, "work")->total.count, 7);
	query_free(r);
	r = run(p, (struct query_selection){ .since_ns = MAKER_TICK_NS });
	assert_int_equal(r->total.count, 8);
	assert_int_equal(r->ticks_n, 1);
	assert_int_equal(r->ticks[0].tick, 1);
	query_free(r);
	r = run(p, (struct query_selection){ .until_ns = MAKER_TICK_NS });
	assert_int_equal(r->total.count, 10);
	query_free(r);
	r = run(p, (struct query_selection){ .source = KYMO_SOURCE_FAULT });
	assert_int_equal(r->total.count, 2);
	assert_int_equal(r->total.weight, 8192);
	query_free(r);
	profile_close(p);
	maker_remove(&m);
}

static void test_hottest_of_a_tick(void **state)
{
	struct query_result *r;
	struct profile *p;
	struct maker m;

	(void)state;
	make_small(&m, true);
	p = open_made(&m);
	r = run(p, (struct query_selection){ 0 });
	assert_int_equal(r->ticks_n, 2);
	assert_string_equal(r->items[r->ticks[0].item].name, "leaf");
	assert_int_equal(r->ticks[0].item_self.count, 5);
	assert_int_equal(r->ticks[0].total.count, 10);
	assert_int_equal(r->ticks[1].item_self.count, 7);
	query_free(r);
	profile_close(p);
	maker_remove(&m);
}

static void test_health_and_quality(void **state)
{
	struct query_selection all = { 0 };
	struct query_quality *quality;
	struct metric_summary busy, absent;
	struct profile *p;
	struct maker m;
	size_t n;

	(void)state;
	make_small(&m, true);
	p = open_made(&m);
	metric_summarise(METRIC_CPU_BUSY, p, &all, &busy);
	assert_int_equal(busy.ticks, 2);
	assert_float_equal(busy.mean, 40, 1e-9);
	assert_float_equal(busy.max, 60, 1e-9);
	assert_int_equal(busy.max_tick, 0);
	assert_int_equal(busy.min_tick, 1);
	metric_summarise(METRIC_PSI_MEM_SOME, p, &all, &absent);
	assert_int_equal(absent.ticks, 0);
	assert_int_equal(query_quality(p, &all, &quality, &n), 0);
	assert_int_equal(query_quality_sum(quality, n, "bpf.ring_full"), 10);
	assert_int_equal(query_quality_sum(quality, n, "no.such"), 0);
	query_quality_free(quality, n);
	all.since_ns = MAKER_TICK_NS;
	assert_int_equal(query_quality(p, &all, &quality, &n), 0);
	assert_int_equal(query_quality_sum(quality, n, "bpf.ring_full"), 6);
	query_quality_free(quality, n);
	profile_close(p);
	maker_remove(&m);
}

/* Code without a name is called by its binary, and by one name whatever its offsets. */
static void test_code_without_names(void **state)
{
	struct query_result *r;
	struct profile *p;
	struct maker m;
	uint32_t libc, kernel, thread;

	(void)state;
	maker_init(&m);
	libc = maker_binary(&m, BINARY_FILE, "/usr/lib/libc.so.6");
	kernel = maker_binary(&m, BINARY_KERNEL, "[kernel]");
	thread = maker_thread(&m, 1, "init");
	maker_row(&m, thread, maker_stack(&m, 0, maker_frame(&m, FRAME_NATIVE, libc, 0x10, 0)), 1);
	maker_row(&m, thread, maker_stack(&m, 0, maker_frame(&m, FRAME_NATIVE, libc, 0x20, 0)), 2);
	maker_row(&m, thread, maker_stack(&m, 0, maker_frame(&m, FRAME_KERNEL, kernel, 0x30, 0)),
		  4);
	maker_close_tick(&m);
	maker_finish(&m, true);
	p = open_made(&m);
	r = run(p, (struct query_selection){ 0 });
	assert_int_equal(NODE(r, "init", "[libc.so.6]")->self.count, 3);
	assert_int_equal(NODE(r, "init", "[kernel]")->self.count, 4);
	assert_string_equal(find_item(r, "[libc.so.6]")->binary, "/usr/lib/libc.so.6");
	query_free(r);
	profile_close(p);
	maker_remove(&m);
}

static void test_empty_profile(void **state)
{
	struct query_result *r;
	struct profile *p;
	struct maker m;
	uint32_t *list;
	size_t n;

	(void)state;
	maker_init(&m);
	maker_finish(&m, true);
	p = open_made(&m);
	r = run(p, (struct query_selection){ 0 });
	assert_int_equal(r->total.count, 0);
	assert_int_equal(r->nodes_n, 1);
	assert_int_equal(query_functions(r, QUERY_BY_SELF, &list, &n), 0);
	assert_int_equal(n, 0);
	free(list);
	assert_int_equal(profile_duration_ns(p), 0);
	assert_int_equal(profile_start_wall_ns(p), 0);
	query_free(r);
	profile_close(p);
	maker_remove(&m);
}

static void test_not_ended(void **state)
{
	struct query_result *r;
	struct profile *p;
	struct maker m;

	(void)state;
	make_small(&m, false);
	p = open_made(&m);
	assert_false(profile_ended(p));
	r = run(p, (struct query_selection){ 0 });
	assert_int_equal(r->total.count, 18);
	query_free(r);
	profile_close(p);
	maker_remove(&m);
}

static void test_no_file(void **state)
{
	struct profile *p = NULL;
	char *message = NULL;

	(void)state;
	assert_true(profile_open("/no/such/file.kymo", &p, &message) < 0);
	assert_null(p);
	assert_non_null(message);
	assert_non_null(strstr(message, "/no/such/file.kymo"));
	free(message);
}

/* ---- against a naive recount of a large random profile ---- */

#define R_FUNCTIONS 40
#define R_STACKS    3000
#define R_THREADS   6
#define R_TICKS	    5
#define R_ROWS	    2000

struct truth {
	uint32_t parent[R_STACKS + 1], function[R_STACKS + 1];
	uint64_t self[R_FUNCTIONS], total[R_FUNCTIONS], all;
	uint64_t by_comm[2], by_tick[R_TICKS];
};

static uint32_t random_next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return (uint32_t)(*x >> 16);
}

static void recount(struct truth *t, uint32_t stack, uint64_t weight, uint32_t comm, uint32_t tick)
{
	bool seen[R_FUNCTIONS] = { 0 };

	t->self[t->function[stack]] += weight;
	t->all += weight;
	t->by_comm[comm] += weight;
	t->by_tick[tick] += weight;
	for (uint32_t s = stack; s; s = t->parent[s]) {
		if (!seen[t->function[s]])
			t->total[t->function[s]] += weight;
		seen[t->function[s]] = true;
	}
}

static void make_random(struct maker *m, struct truth *t)
{
	uint64_t x = 88172645463325252ULL;
	uint32_t frames[R_FUNCTIONS], threads[R_THREADS];
	char name[16];

	maker_init(m);
	for (uint32_t i = 0; i < R_FUNCTIONS; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		frames[i] = maker_named_frame(m, FRAME_NATIVE, name, "", 0);
	}
	for (uint32_t i = 1; i <= R_STACKS; i++) {
		t->parent[i] = random_next(&x) % i;
		t->function[i] = random_next(&x) % R_FUNCTIONS;
		maker_stack(m, t->parent[i], frames[t->function[i]]);
	}
	for (uint32_t i = 0; i < R_THREADS; i++)
		threads[i] = maker_thread(m, 10 + i, i % 2 ? "odd" : "even");
	for (uint32_t tick = 0; tick < R_TICKS; tick++) {
		for (uint32_t i = 0; i < R_ROWS; i++) {
			uint32_t stack = 1 + random_next(&x) % R_STACKS,
				 who = random_next(&x) % R_THREADS;
			uint64_t weight = random_next(&x);

			maker_row_of(m, threads[who], stack, KYMO_SOURCE_CPU, KYMO_END_WHOLE, 1,
				     weight);
			recount(t, stack, weight, who % 2, tick);
		}
		maker_close_tick(m);
	}
	maker_finish(m, true);
}

static void test_equals_a_naive_recount(void **state)
{
	struct truth *t = calloc(1, sizeof(*t));
	struct query_result *r;
	uint64_t node_selves = 0;
	struct profile *p;
	struct maker m;

	(void)state;
	assert_non_null(t);
	make_random(&m, t);
	p = open_made(&m);
	r = run(p, (struct query_selection){ 0 });
	assert_int_equal(r->total.weight, t->all);
	assert_int_equal(r->nodes[0].total.weight, t->all);
	for (uint32_t i = 0; i < R_FUNCTIONS; i++) {
		const struct query_item *item;
		char name[16];

		snprintf(name, sizeof(name), "f%u", i);
		item = find_item(r, name);
		assert_int_equal(item ? item->self.weight : 0, t->self[i]);
		assert_int_equal(item ? item->total.weight : 0, t->total[i]);
	}
	for (size_t i = 0; i < r->nodes_n; i++)
		node_selves += r->nodes[i].self.weight;
	assert_int_equal(node_selves, t->all);
	assert_int_equal(NODE(r, "even")->total.weight, t->by_comm[0]);
	assert_int_equal(NODE(r, "odd")->total.weight, t->by_comm[1]);
	for (uint32_t i = 0; i < R_TICKS; i++)
		assert_int_equal(r->ticks[i].total.weight, t->by_tick[i]);
	query_free(r);
	profile_close(p);
	maker_remove(&m);
	free(t);
}

/* Children come heaviest first, and every node is some parent's child. */
static void test_order_of_children(void **state)
{
	struct truth *t = calloc(1, sizeof(*t));
	struct query_result *r;
	size_t children = 0;
	struct profile *p;
	struct maker m;

	(void)state;
	assert_non_null(t);
	make_random(&m, t);
	p = open_made(&m);
	r = run(p, (struct query_selection){ 0 });
	for (size_t i = 0; i < r->nodes_n; i++)
		for (uint32_t c = r->nodes[i].first_child; c; c = r->nodes[c].next_sibling) {
			uint32_t next = r->nodes[c].next_sibling;

			assert_int_equal(r->nodes[c].parent, i);
			assert_true(!next ||
				    r->nodes[next].total.weight <= r->nodes[c].total.weight);
			children++;
		}
	assert_int_equal(children, r->nodes_n - 1);
	query_free(r);
	profile_close(p);
	maker_remove(&m);
	free(t);
}

/* Kernel threads share stacks by the hundred. */
static void test_many_comms_on_one_stack(void **state)
{
	struct query_result *r;
	uint32_t stack;
	struct profile *p;
	struct maker m;
	char comm[16];

	(void)state;
	maker_init(&m);
	stack = maker_stack(&m, 0, maker_named_frame(&m, FRAME_KERNEL, "worker_thread", "", 0));
	for (uint32_t turn = 0; turn < 2; turn++) {
		for (uint32_t i = 0; i < 100; i++) {
			snprintf(comm, sizeof(comm), "kworker/%u", i);
			maker_row(&m, turn ? i + 1 : maker_thread(&m, 10 + i, comm), stack, i + 1);
		}
		maker_close_tick(&m);
	}
	maker_finish(&m, true);
	p = open_made(&m);
	r = run(p, (struct query_selection){ 0 });
	for (uint32_t i = 0; i < 100; i++) {
		snprintf(comm, sizeof(comm), "kworker/%u", i);
		assert_int_equal(NODE(r, comm, "worker_thread")->self.count, 2 * (i + 1));
	}
	assert_int_equal(r->nodes_n, 201);
	query_free(r);
	r = run(p, (struct query_selection){ .merge_processes = true });
	assert_int_equal(r->nodes_n, 2);
	assert_int_equal(NODE(r, "worker_thread")->self.count, 100 * 101);
	assert_int_equal(find_item(r, "worker_thread")->total.count, 100 * 101);
	assert_int_equal(r->processes_n, 100);
	query_free(r);
	profile_close(p);
	maker_remove(&m);
}

static void test_seen_at_the_leaf(void **state)
{
	struct query_result *r;
	uint32_t outer, inner, thread;
	struct profile *p;
	struct maker m;

	(void)state;
	maker_init(&m);
	outer = maker_stack(&m, 0, maker_named_frame(&m, FRAME_NATIVE, "outer", "", 0));
	inner = maker_stack(&m, outer, maker_named_frame(&m, FRAME_NATIVE, "inner", "", 0));
	thread = maker_thread(&m, 1, "a");
	for (int i = 0; i < 2; i++) {
		maker_row(&m, thread, outer, 1);
		m.tick.rows[0].seen = (struct seen){ .rss_anon_pages = -5, .read_bytes = 1 };
		maker_row(&m, thread, inner, 1);
		m.tick.rows[1].seen = (struct seen){ .rss_anon_pages = 7, .write_bytes = 4096 };
		maker_close_tick(&m);
	}
	maker_finish(&m, true);
	p = open_made(&m);
	r = run(p, (struct query_selection){ .with_seen = true });
	assert_int_equal(r->seen[NODE(r, "a", "outer") - r->nodes].rss_anon_pages, -10);
	assert_int_equal(r->seen[NODE(r, "a", "outer") - r->nodes].read_bytes, 2);
	assert_int_equal(r->seen[NODE(r, "a", "outer", "inner") - r->nodes].rss_anon_pages, 14);
	assert_int_equal(r->seen[NODE(r, "a", "outer", "inner") - r->nodes].write_bytes, 8192);
	query_free(r);
	profile_close(p);
	maker_remove(&m);
}

static void test_short_paths(void **state)
{
	(void)state;
	assert_string_equal(query_short_path("/usr/lib/python3.11/json/decoder.py"),
			    "json/decoder.py");
	assert_string_equal(query_short_path("/usr/lib/python3/dist-packages/apt/cache.py"),
			    "apt/cache.py");
	assert_string_equal(query_short_path("/v/lib/python3.11/site-packages/django/db/models.py"),
			    "django/db/models.py");
	assert_string_equal(query_short_path("/srv/app/run.py"), "/srv/app/run.py");
	assert_string_equal(query_short_path("<frozen importlib._bootstrap>"),
			    "<frozen importlib._bootstrap>");
	assert_string_equal(query_short_path("/x/site-packages/"), "/x/site-packages/");
	assert_string_equal(query_short_path(""), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_recursion_counts_once),
		cmocka_unit_test(test_selection),
		cmocka_unit_test(test_hottest_of_a_tick),
		cmocka_unit_test(test_health_and_quality),
		cmocka_unit_test(test_code_without_names),
		cmocka_unit_test(test_empty_profile),
		cmocka_unit_test(test_not_ended),
		cmocka_unit_test(test_no_file),
		cmocka_unit_test(test_equals_a_naive_recount),
		cmocka_unit_test(test_order_of_children),
		cmocka_unit_test(test_many_comms_on_one_stack),
		cmocka_unit_test(test_seen_at_the_leaf),
		cmocka_unit_test(test_short_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
