/* SPDX-License-Identifier: Apache-2.0 */
/* What can be charged: names that are found again, weights of rows, growth and shrinking apart, no wrapping. */
#include "unit/test.h"

#include "query/query.h"
#include "unit/support/profile_maker.h"

static void test_names(void **state)
{
	(void)state;
	for (enum value_id id = VALUE_CPU; id < VALUE_MAX; id++) {
		assert_non_null(values[id].name);
		assert_int_equal(value_by_name(values[id].name), id);
		assert_true(values[id].source != 0);
		assert_true(*values[id].unit && *values[id].charges);
		assert_int_equal(values[id].is_seen, strncmp(values[id].name, "seen:", 5) == 0);
	}
	assert_int_equal(value_by_name(""), VALUE_NONE);
	assert_int_equal(value_by_name("seen:"), VALUE_NONE);
	assert_int_equal(value_of_source(KYMO_SOURCE_FAULT), VALUE_FAULT);
	assert_int_equal(value_of_source(KYMO_SOURCE_MAX), VALUE_NONE);
}

static void test_rows(void **state)
{
	const struct tick_row row = {
		.weight = 77,
		.seen = { .cpu_ns = 5,
			  .rss_anon_pages = 3,
			  .rss_file_pages = -1,
			  .minor_faults = 9,
			  .major_faults = 1 },
	};
	const struct tick_row huge = { .seen = { .rss_anon_pages = INT64_MAX,
						 .rss_file_pages = INT64_MAX,
						 .rss_shmem_pages = INT64_MIN,
						 .swap_pages = INT64_MIN,
						 .cpu_ns = INT64_MIN } };

	(void)state;
	assert_int_equal(value_weight(VALUE_CPU, &row, 4096), 77);
	assert_int_equal(value_weight(VALUE_SEEN_CPU, &row, 4096), 5);
	assert_int_equal(value_weight(VALUE_SEEN_RSS, &row, 4096), 2 * 4096);
	assert_int_equal(value_weight(VALUE_SEEN_RSS_FILE, &row, 4096), 0);
	assert_int_equal(value_shrink(VALUE_SEEN_RSS_FILE, &row, 4096), 4096);
	assert_int_equal(value_shrink(VALUE_SEEN_RSS, &row, 4096), 0);
	assert_int_equal(value_weight(VALUE_SEEN_FAULTS, &row, 4096), 10);
	assert_true(value_weight(VALUE_SEEN_RSS, &huge, UINT64_MAX) == UINT64_MAX);
	assert_true(value_shrink(VALUE_SEEN_SWAP, &huge, UINT64_MAX) == UINT64_MAX);
	assert_int_equal(value_weight(VALUE_SEEN_SWAP, &huge, 4096), 0);
	assert_true(value_shrink(VALUE_SEEN_CPU, &huge, 0) == 1ULL << 63);
}

/* "grow" takes 30 pages and gives 10 back in another tick; "spin" takes 10. */
static void test_query(void **state)
{
	const struct query_selection s = { .value = VALUE_SEEN_RSS, .merge_processes = true };
	uint32_t thread, grow, spin;
	struct query_result *r;
	char *message = NULL;
	struct profile *p;
	struct maker m;

	(void)state;
	maker_init(&m);
	thread = maker_thread(&m, 10, "a");
	grow = maker_stack(&m, 0, maker_named_frame(&m, FRAME_NATIVE, "grow", "", 1));
	spin = maker_stack(&m, 0, maker_named_frame(&m, FRAME_NATIVE, "spin", "", 1));
	maker_row_seen(&m, thread, grow, 1, &(struct seen){ .rss_anon_pages = 30 });
	maker_row_seen(&m, thread, spin, 9, &(struct seen){ .rss_file_pages = 10 });
	maker_close_tick(&m);
	maker_row_seen(&m, thread, grow, 1, &(struct seen){ .rss_anon_pages = -10 });
	maker_row_of(&m, thread, grow, KYMO_SOURCE_FAULT, KYMO_END_WHOLE, 3, 1 << 20);
	maker_close_tick(&m);
	maker_finish(&m, true);
	assert_int_equal(profile_open(m.path, &p, &message), 0);
	assert_int_equal(query_run(p, &s, &r), 0);
	assert_int_equal(r->value, VALUE_SEEN_RSS);
	assert_int_equal(r->source, KYMO_SOURCE_CPU);
	assert_int_equal(r->total.weight, 40 * 4096);
	assert_int_equal(r->total.count, 11);
	assert_int_equal(r->shrunk, 10 * 4096);
	for (size_t i = 1; i < r->items_n; i++)
		assert_int_equal(r->items[i].self.weight,
				 (strcmp(r->items[i].name, "grow") == 0 ? 30 : 10) * 4096);
	query_free(r);
	profile_close(p);
	maker_remove(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_query),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
