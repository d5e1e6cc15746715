/* SPDX-License-Identifier: Apache-2.0 */
/* Every kind, source, end and column has a name of its own; freeing takes what is half built. */
#include "unit/test.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>

#include "base/clock.h"
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

/* How often a clock of that period meets a task that wakes every wake_ns and runs for run_ns. */
static double met(uint64_t period_ns, uint64_t phase_ns, uint64_t wake_ns, uint64_t run_ns,
		  uint64_t samples)
{
	double n = 0;

	for (uint64_t i = 0; i < samples; i++)
		n += (phase_ns + i * period_ns) % wake_ns < run_ns;
	return n;
}

static void check_rate(uint64_t hz, uint64_t wake_ms, uint64_t share)
{
	uint64_t period = sample_period_ns(hz), wake = wake_ms * NS_PER_MSEC;
	double n = 30000 + 300.0 * (double)(hz < 500 ? hz : 500), expected = n / (double)share;

	for (uint64_t phase = 0; phase < 10; phase++) {
		double found = met(period, phase * period / 10, wake, wake / share, (uint64_t)n);

		if (fabs(found - expected) > 2 * sqrt(expected))
			fail_msg("%d Hz, every %d ms: met %.0f times, not %.0f", (int)hz,
				 (int)wake_ms, found, expected);
	}
}

/* Tasks that wake in time with the second are seen as long as they run, within the error of as many random samples. */
static void test_period_is_no_rhythm(void **state)
{
	const uint64_t hz[] = {
		1, 5, 19, 49, 50, 97, 99, 100, 199, 250, 499, 997, 1000, 4999, 10000
	};
	const uint64_t wake_ms[] = { 1, 4, 5, 10, 20, 30, 50, 100, 250, 300, 500, 1000 };

	(void)state;
	for (size_t h = 0; h < sizeof(hz) / sizeof(*hz); h++) {
		assert_true(fabs((double)(sample_period_ns(hz[h]) * hz[h]) / 1e9 - 1) < 0.0101);
		for (size_t w = 0; w < sizeof(wake_ms) / sizeof(*wake_ms); w++) {
			check_rate(hz[h], wake_ms[w], 12);
			check_rate(hz[h], wake_ms[w], 1000);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_health_columns),
		cmocka_unit_test(test_freeing),
		cmocka_unit_test(test_period_is_no_rhythm),
	};

	return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
