/* SPDX-License-Identifier: Apache-2.0 */
/* A victim of the OOM killer becomes one event, with or without the stack that asked for memory. */
#include "unit/test.h"

#include <string.h>

#include "agent/oom.h"

struct host {
	struct proc_table *procs;
	struct oom *oom;
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
	assert_int_equal(oom_new(4096, &h.oom), 0);
	assert_int_equal(merge_new(NULL, &h.merge), 0);
	*state = &h;
	return 0;
}

static int teardown(void **state)
{
	struct host *h = *state;

	oom_free(h->oom);
	merge_free(h->merge);
	proc_table_free(h->procs);
	return 0;
}

static struct kymo_oom victim(uint32_t pid, uint32_t allocator)
{
	return (struct kymo_oom){ .head = { .time_ns = 5 },
				  .victim = { .pid = pid, .tid = pid, .comm = "db" },
				  .victim_known = 1,
				  .rss_anon_pages = 3,
				  .rss_file_pages = -1,
				  .total_vm_pages = 10,
				  .oom_score_adj = -500,
				  .allocator_pid = allocator,
				  .allocator_tid = allocator + 1,
				  .allocator_comm = "a\"b",
				  .cgroup = { "leaf", "top" } };
}

static struct tick *close_tick(struct host *h)
{
	struct health none = { 0 };
	struct tick *t;

	assert_int_equal(oom_tick(h->oom, h->merge), 0);
	assert_int_equal(merge_tick_close(h->merge, 10, 0, &none, &t), 0);
	return t;
}

static void test_victim_with_its_stack(void **state)
{
	struct host *h = *state;
	struct kymo_oom first = victim(5000001, 5000002), second = victim(5000003, 5000004);
	const struct kymo_who who = { .pid = 5000004, .tid = 5000005 };
	const struct sample_frame frame = { .kind = FRAME_KERNEL, .offset = 1 };
	struct tick *t;

	assert_int_equal(oom_victim(h->oom, &first, h->procs, h->merge), 0);
	assert_int_equal(oom_victim(h->oom, &second, h->procs, h->merge), 0);
	assert_int_equal(oom_stack(h->oom, &who, 7, "cgroup", &frame, 1, h->merge), 0);
	/* Nobody waits for it. */
	assert_int_equal(oom_stack(h->oom, &who, 7, "cgroup", &frame, 1, h->merge), 0);
	t = close_tick(h);
	assert_int_equal(t->events_n, 2);
	assert_int_equal(t->events[0].kind, EVENT_OOM_KILL);
	assert_int_equal(t->events[0].thread, 7);
	assert_true(t->events[0].stack > 0);
	assert_int_equal(t->events[0].time_ns, 5);
	assert_string_equal(
		t->events[0].fields,
		"{\"pid\":5000003,\"comm\":\"db\",\"exe\":null,\"scope\":\"cgroup\","
		"\"cgroup\":\"/top/leaf\",\"oom_score_adj\":-500,\"rss_anon_bytes\":12288,"
		"\"rss_file_bytes\":0,\"rss_shmem_bytes\":0,\"swap_bytes\":0,"
		"\"virtual_bytes\":40960,\"allocator\":{\"pid\":5000004,\"tid\":5000005,"
		"\"comm\":\"a\\\"b\"}}");
	/* The other's stack was lost. */
	assert_int_equal(t->events[1].stack, 0);
	assert_non_null(strstr(t->events[1].fields, "{\"pid\":5000001,"));
	assert_non_null(strstr(t->events[1].fields, "\"scope\":null"));
	tick_free(t);
}

/* Before 6.8 the kernel tells a pid: what is not known is left out, not zero. */
static void test_victim_of_which_only_the_pid_is_known(void **state)
{
	struct host *h = *state;
	struct kymo_oom record = { .victim = { .pid = 5000001 }, .allocator_comm = "x" };
	struct tick *t;

	assert_int_equal(oom_victim(h->oom, &record, h->procs, h->merge), 0);
	t = close_tick(h);
	assert_int_equal(t->events_n, 1);
	assert_string_equal(t->events[0].fields,
			    "{\"pid\":5000001,\"comm\":null,\"exe\":null,\"scope\":null,"
			    "\"allocator\":{\"pid\":0,\"tid\":0,\"comm\":\"x\"}}");
	tick_free(t);
}

/* More victims than can wait: the oldest goes without a stack, none is lost. */
static void test_many_victims(void **state)
{
	struct host *h = *state;
	struct tick *t;

	for (uint32_t i = 0; i < 200; i++) {
		struct kymo_oom record = victim(5000000 + i, 1);

		assert_int_equal(oom_victim(h->oom, &record, h->procs, h->merge), 0);
	}
	t = close_tick(h);
	assert_int_equal(t->events_n, 200);
	for (size_t i = 0; i < 8; i++)
		assert_non_null(strstr(t->events[i].fields, "{\"pid\":500000"));
	tick_free(t);
}

static void test_cgroup_beyond_the_last_level(void **state)
{
	struct host *h = *state;
	struct kymo_oom record = victim(5000001, 1);
	struct tick *t;

	for (size_t i = 0; i < KYMO_CGROUP_LEVELS; i++)
		memcpy(record.cgroup[i], "x", 2);
	assert_int_equal(oom_victim(h->oom, &record, h->procs, h->merge), 0);
	memset(record.cgroup, 0, sizeof(record.cgroup));
	assert_int_equal(oom_victim(h->oom, &record, h->procs, h->merge), 0);
	t = close_tick(h);
	assert_non_null(strstr(t->events[0].fields, "\"cgroup\":\".../x/x/x/x/x/x/x/x\""));
	assert_non_null(strstr(t->events[1].fields, "\"cgroup\":\"/\""));
	tick_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_victim_with_its_stack, setup, teardown),
		cmocka_unit_test_setup_teardown(test_victim_of_which_only_the_pid_is_known, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_many_victims, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cgroup_beyond_the_last_level, setup, teardown),
	};

	return cmocka_run_group_tests_name("agent/oom", tests, NULL, NULL);
}
