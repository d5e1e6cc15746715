/* SPDX-License-Identifier: Apache-2.0 */
/* Events as they were recorded, and what collections and imports add up to. */
#include "unit/test.h"

#include <errno.h>

#include "base/clock.h"
#include "query/collections.h"
#include "query/events.h"
#include "query/imports.h"
#include "unit/support/profile_maker.h"

static struct profile *open_made(struct maker *m)
{
	struct profile *p = NULL;
	char *message = NULL;

	assert_int_equal(profile_open(m->path, &p, &message), 0);
	assert_null(message);
	return p;
}

#define MS NS_PER_MSEC

struct places {
	uint32_t first, second, thread, other;
};

/* main -> work -> native code; main -> native code. */
static struct places make_places(struct maker *m)
{
	uint32_t main_frame = maker_named_frame(m, FRAME_PYTHON, "main", "app.py", 1);
	uint32_t work = maker_named_frame(m, FRAME_PYTHON, "work", "app.py", 10);
	uint32_t leaf = maker_named_frame(m, FRAME_NATIVE, "gc_collect_main", "", 0);
	uint32_t root = maker_stack(m, 0, main_frame);
	struct places p;

	p.first = maker_stack(m, maker_stack(m, root, work), leaf);
	p.second = maker_stack(m, root, leaf);
	p.thread = maker_thread(m, 100, "python3");
	p.other = maker_thread(m, 200, "other");
	return p;
}

static int count_kind(void *data, const struct query_event *e)
{
	uint64_t *counts = data;

	counts[e->kind]++;
	return 0;
}

static int stop_at_once(void *data, const struct query_event *e)
{
	(void)data, (void)e;
	return -ENOTUNIQ;
}

static void events_are_selected(void **state)
{
	uint64_t counts[EVENT_KIND_MAX] = { 0 };
	struct query_selection s = { 0 };
	struct places at;
	struct profile *p;
	struct maker m;

	(void)state;
	maker_init(&m);
	at = make_places(&m);
	maker_event_at(&m, EVENT_GC, at.thread, at.first, 0, MS, "{\"generation\":0}");
	maker_event_at(&m, EVENT_OOM_KILL, at.other, 0, 0, 0, NULL);
	maker_close_tick(&m);
	maker_event_at(&m, EVENT_GC, at.other, at.first, 0, MS, NULL);
	maker_event_at(&m, EVENT_GC, 999, 999, 0, MS,
		       "{}"); /* of a thread that the profile lacks */
	maker_close_tick(&m);
	maker_finish(&m, true);
	p = open_made(&m);
	assert_int_equal(query_each_event(p, &s, count_kind, counts), 0);
	assert_int_equal(counts[EVENT_GC], 3);
	assert_int_equal(counts[EVENT_OOM_KILL], 1);
	counts[EVENT_GC] = counts[EVENT_OOM_KILL] = 0;
	/* What is the host's is always told. */
	s.pid = 200;
	assert_int_equal(query_each_event(p, &s, count_kind, counts), 0);
	assert_int_equal(counts[EVENT_GC], 1);
	assert_int_equal(counts[EVENT_OOM_KILL], 1);
	s = (struct query_selection){ .until_ns = MAKER_TICK_NS };
	assert_int_equal(query_each_event(p, &s, count_kind, counts), 0);
	assert_int_equal(counts[EVENT_GC], 2);
	assert_int_equal(query_each_event(p, &s, stop_at_once, NULL), -ENOTUNIQ);
	profile_close(p);
	maker_remove(&m);
}

static void collections_add_up(void **state)
{
	const struct query_selection s = { 0 };
	const struct query_collecting *q;
	struct query_collections c;
	struct places at;
	struct profile *p;
	struct maker m;

	(void)state;
	maker_init(&m);
	at = make_places(&m);
	maker_event_at(&m, EVENT_GC, at.thread, at.first, 0, 5 * MS,
		       "{\"generation\":0,\"collected\":10,\"rss_before_bytes\":8192,\"rss_after_"
		       "bytes\":4096}");
	maker_event_at(&m, EVENT_GC, at.thread, at.second, 10 * MS, 30 * MS,
		       "{\"generation\":2,\"collected\":7}");
	maker_event_at(&m, EVENT_GC, at.thread, at.first, 50 * MS, MS, "{\"generation\":77}");
	/* Saturates, and damaged fields are nothing. */
	maker_event_at(&m, EVENT_GC, at.other, 0, 0, UINT64_MAX,
		       "{\"collected\":9223372036854775807}");
	maker_event_at(&m, EVENT_GC, at.other, 0, 0, UINT64_MAX,
		       "{\"collected\":9223372036854775807,\"generation\":-1}");
	maker_event_at(&m, EVENT_GC, at.other, 0, 0, 0, "{\"collected\":\"");
	maker_event_at(&m, EVENT_IMPORT, at.other, 0, 0, MS, "{}");
	maker_close_tick(&m);
	maker_finish(&m, true);
	p = open_made(&m);
	assert_int_equal(query_collections(p, &s, &c), 0);
	assert_int_equal(c.n, 2);
	assert_int_equal(c.total.count, 6);
	q = &c.items[0];
	assert_int_equal(q->process->pid, 200);
	assert_true(q->total_ns == UINT64_MAX && q->objects == INT64_MAX);
	assert_int_equal(q->by_generation[QUERY_GENERATIONS], 3);
	assert_int_equal(q->places_n, 1);
	assert_null(q->places[0].callers[0]);
	q = &c.items[1];
	assert_int_equal(q->count, 3);
	assert_int_equal(q->total_ns, 36 * MS);
	assert_int_equal(q->max_ns, 30 * MS);
	assert_int_equal(q->by_generation[0], 1);
	assert_int_equal(q->by_generation[2], 1);
	assert_int_equal(q->by_generation[QUERY_GENERATIONS], 1);
	assert_int_equal(q->objects, 17);
	assert_int_equal(q->rss_bytes, 4096);
	assert_int_equal(q->places_n, 2);
	assert_int_equal(q->places[0].total_ns, 30 * MS);
	assert_string_equal(q->places[0].callers[0]->name, "main");
	assert_null(q->places[0].callers[1]);
	assert_int_equal(q->places[1].count, 2);
	assert_string_equal(q->places[1].callers[0]->name, "work");
	assert_string_equal(q->places[1].callers[1]->name, "main");
	query_collections_release(&c);
	profile_close(p);
	maker_remove(&m);
}

/* b and c within a; what another thread imports meanwhile is not within it. */
static void imports_nest(void **state)
{
	const struct query_selection s = { 0 };
	struct query_imports i;
	struct places at;
	struct profile *p;
	struct maker m;

	(void)state;
	maker_init(&m);
	at = make_places(&m);
	maker_event_at(
		&m, EVENT_IMPORT, at.thread, at.first, MS, 2 * MS,
		"{\"name\":\"b\",\"found\":true,\"depth\":1,\"rss_before_bytes\":0,\"rss_after_"
		"bytes\":1000}");
	maker_event_at(&m, EVENT_IMPORT, at.other, at.second, 0, 50 * MS,
		       "{\"name\":\"x\",\"depth\":1}");
	maker_event_at(
		&m, EVENT_IMPORT, at.thread, at.first, 4 * MS, 3 * MS,
		"{\"name\":\"c\",\"found\":false,\"depth\":1,\"rss_before_bytes\":1000,\"rss_"
		"after_bytes\":900}");
	maker_event_at(
		&m, EVENT_IMPORT, at.thread, at.first, 0, 10 * MS,
		"{\"name\":\"a\",\"found\":true,\"depth\":0,\"rss_before_bytes\":0,\"rss_after_"
		"bytes\":1500}");
	maker_event_at(&m, EVENT_IMPORT, at.thread, at.second, 20 * MS, MS,
		       "{\"name\":\"d\",\"depth\":0}");
	maker_event_at(&m, EVENT_IMPORT, at.thread, 0, 0, MS,
		       "{\"name\":\"deep\",\"depth\":100000}");
	maker_close_tick(&m);
	maker_finish(&m, true);
	p = open_made(&m);
	assert_int_equal(query_imports(p, &s, &i), 0);
	assert_int_equal(i.n, 5);
	assert_int_equal(i.dropped, 1);
	assert_string_equal(i.items[0].name, "b");
	assert_int_equal(i.items[0].own_ns, 2 * MS);
	assert_false(i.items[0].failed);
	assert_string_equal(i.items[0].importer->name, "work");
	assert_true(i.items[2].failed);
	assert_int_equal(i.items[2].own_bytes, -100);
	assert_int_equal(i.items[3].total_ns, 10 * MS);
	assert_int_equal(i.items[3].own_ns, 5 * MS);
	assert_int_equal(i.items[3].own_bytes, 600);
	assert_int_equal(i.items[4].own_ns, MS);
	assert_false(i.items[4].failed); /* not told */
	assert_int_equal(i.total_ns, 61 * MS);
	assert_int_equal(i.total_bytes, 1500);
	query_imports_release(&i);
	profile_close(p);
	maker_remove(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_are_selected),
		cmocka_unit_test(collections_add_up),
		cmocka_unit_test(imports_nest),
	};

	return cmocka_run_group_tests_name("query/events", tests, NULL, NULL);
}
