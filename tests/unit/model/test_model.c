/* SPDX-License-Identifier: Apache-2.0 */
/* Every kind, source, end and column has a name of its own; freeing takes what is half built. */
#include "unit/test.h"

#include <ctype.h>
#include <stdbool.h>

#include "model/sample.h"
#include "model/tick.h"

static void check_names(const char *const *names, size_t n, size_t first)
{
	for (size_t i = first; i < n; i++) {
		assert_non_null(names[i]);
		assert_true(names[i][0]);
		for (size_t k = first; k < i; k++)
			assert_string_not_equal(names[i], names[k]);
	}
}

static void test_names(void **state)
{
	(void)state;
	check_names(frame_kind_names, FRAME_KIND_MAX, 1);
	check_names(source_names, KYMO_SOURCE_MAX, 1);
	check_names(end_names, KYMO_END_MAX, 0);
	for (size_t i = 1; i < KYMO_SOURCE_MAX; i++)
		assert_true(source_units[i] && source_units[i][0]);
	assert_string_equal(source_units[KYMO_SOURCE_CPU], "ns");
}

/* Columns are part of the format and of SQL: plain words, each once. */
static void test_health_columns(void **state)
{
	(void)state;
	for (size_t i = 0; i < HEALTH_MAX; i++) {
		const struct health_column_info *c = &health_columns[i];

		assert_true(strlen(c->column) <= 64);
		for (const char *p = c->column; *p; p++)
			assert_true(islower(*p) || isdigit(*p) || *p == '_');
		assert_true(c->metric[0] && c->unit[0]);
		assert_true(c->kind == HEALTH_COUNTER || c->kind == HEALTH_GAUGE);
		for (size_t k = 0; k < i; k++) {
			assert_string_not_equal(c->column, health_columns[k].column);
			assert_string_not_equal(c->metric, health_columns[k].metric);
		}
	}
	assert_string_equal(health_columns[HEALTH_psi_mem_some_ns].column, "psi_mem_some_ns");
}

static void test_freeing(void **state)
{
	struct tick *t = calloc(1, sizeof(*t));
	struct late_names *l = calloc(1, sizeof(*l));
	struct health h = { 0 };

	(void)state;
	tick_free(NULL);
	late_names_free(NULL);
	tick_free(t);
	late_names_free(l);
	h.metrics = calloc(2, sizeof(*h.metrics));
	h.metrics_n = 2;
	h.metrics[0].name = strdup("a");
	h.labels = calloc(1, sizeof(*h.labels));
	h.labels_n = 1;
	health_release(&h);
	assert_null(h.metrics);
	assert_null(h.labels);
	health_release(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_health_columns),
		cmocka_unit_test(test_freeing),
	};

	return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
