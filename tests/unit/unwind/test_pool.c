/* SPDX-License-Identifier: Apache-2.0 */
/* The dictionary of rules, and the places of pages in chunks: nothing is given away twice, what is gone is used again. */
#include "unit/test.h"

#include <errno.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "unwind/pool.h"

#define CHUNKS_MAX 8
#define PAGES_MAX  64

static struct kymo_unwind_rule rule_number(int32_t n)
{
	return (struct kymo_unwind_rule){ .cfa_kind = KYMO_UNWIND_CFA_REGISTER, .cfa_offset = n };
}

static void test_rules_have_one_id(void **state)
{
	struct kymo_unwind_rule rule = rule_number(8), other = rule_number(16);
	struct unwind_rules d;
	uint16_t a, b, c;

	(void)state;
	assert_int_equal(unwind_rules_init(&d, 100), 0);
	assert_int_equal(unwind_rules_count(&d), KYMO_UNWIND_RULE_FIXED);
	assert_int_equal(unwind_rules_get(&d, &rule, &a), 0);
	assert_int_equal(unwind_rules_get(&d, &other, &b), 0);
	assert_int_equal(unwind_rules_get(&d, &rule, &c), 0);
	assert_int_equal(a, c);
	assert_int_not_equal(a, b);
	assert_memory_equal(&d.rules[b], &other, sizeof(other));
	rule = (struct kymo_unwind_rule){ .cfa_kind = KYMO_UNWIND_CFA_END };
	assert_int_equal(unwind_rules_get(&d, &rule, &a), 0);
	assert_int_equal(a, KYMO_UNWIND_RULE_END);
	unwind_rules_put(&d, a);
	unwind_rules_put(&d, a);
	assert_int_equal(d.rules[KYMO_UNWIND_RULE_END].cfa_kind, KYMO_UNWIND_CFA_END);
	unwind_rules_release(&d);
}

/* A rule stays as long as it has users; then its id is given to another. */
static void test_ids_are_used_again(void **state)
{
	struct kymo_unwind_rule rule;
	struct unwind_rules d;
	uint16_t ids[100], id;

	(void)state;
	assert_int_equal(unwind_rules_init(&d, 100), 0);
	for (int32_t i = 0; i < 97; i++) {
		rule = rule_number(i);
		assert_int_equal(unwind_rules_get(&d, &rule, &ids[i]), 0);
	}
	rule = rule_number(1000);
	assert_int_equal(unwind_rules_get(&d, &rule, &id), -ENOSPC);
	rule = rule_number(50);
	assert_int_equal(unwind_rules_get(&d, &rule, &id), 0);
	unwind_rules_put(&d, ids[50]);
	rule = rule_number(1000);
	assert_int_equal(unwind_rules_get(&d, &rule, &id), -ENOSPC);
	unwind_rules_put(&d, ids[50]);
	unwind_rules_put(&d, ids[20]);
	assert_int_equal(unwind_rules_count(&d), 98);
	for (int32_t i = 0; i < 2; i++) {
		rule = rule_number(1000 + i);
		assert_int_equal(unwind_rules_get(&d, &rule, &id), 0);
		assert_true(id == ids[50] || id == ids[20]);
		assert_memory_equal(&d.rules[id], &rule, sizeof(rule));
	}
	rule = rule_number(50);
	assert_int_equal(unwind_rules_get(&d, &rule, &id), -ENOSPC);
	unwind_rules_release(&d);
}

static void test_all_ids(void **state)
{
	struct unwind_rules d;
	uint16_t id;

	(void)state;
	assert_int_equal(unwind_rules_init(&d, KYMO_UNWIND_RULES_MAX), 0);
	for (int32_t i = KYMO_UNWIND_RULE_FIXED; i < KYMO_UNWIND_RULES_MAX; i++) {
		struct kymo_unwind_rule rule = rule_number(i);

		assert_int_equal(unwind_rules_get(&d, &rule, &id), 0);
		assert_int_equal(id, i);
	}
	unwind_rules_release(&d);
}

/* A table of pages with so many rows each; 0 = shares the row of the page before. */
struct fake {
	struct unwind_table t;
	struct unwind_page pages[PAGES_MAX];
	struct kymo_unwind_page places[PAGES_MAX];
};

static void fake_init(struct fake *f, const uint32_t *rows, uint32_t n)
{
	uint32_t next = 0;

	*f = (struct fake){ .t = { .pages_n = n } };
	for (uint32_t i = 0; i < n; i++) {
		f->pages[i] = (struct unwind_page){ rows[i] ? next : f->pages[i - 1].first,
						    rows[i] ? rows[i] : 1 };
		next += rows[i];
	}
	f->t.pages = f->pages;
}

/* Marks the rows of the pages in a map of all chunks; no row may be marked already. */
static void mark(uint8_t *rows, const struct fake *f, uint8_t with)
{
	for (uint32_t i = 0; i < f->t.pages_n; i++) {
		const struct kymo_unwind_page *p = &f->places[i];

		if (i && f->pages[i].first == f->pages[i - 1].first)
			continue;
		assert_int_equal(p->rows, f->pages[i].rows);
		assert_true(p->first + p->rows <= KYMO_UNWIND_CHUNK_ROWS);
		for (uint32_t row = p->first; row < p->first + p->rows; row++) {
			uint8_t *at = &rows[p->chunk * KYMO_UNWIND_CHUNK_ROWS + row];

			assert_int_equal(*at, with ? 0 : *at);
			*at = with;
		}
	}
}

static void test_pages_never_straddle(void **state)
{
	const uint32_t rows[] = { 10000, 6384, 1, 16384, 1, 0, 0, 5 };
	struct unwind_pool p;
	struct fake f;

	(void)state;
	unwind_pool_init(&p, CHUNKS_MAX);
	fake_init(&f, rows, 8);
	assert_int_equal(unwind_pool_place(&p, &f.t, f.places), 0);
	assert_int_equal(f.places[0].chunk, f.places[1].chunk);
	assert_int_equal(f.places[1].first, 10000);
	assert_int_not_equal(f.places[2].chunk, f.places[1].chunk);
	assert_int_equal(f.places[3].rows, KYMO_UNWIND_CHUNK_ROWS);
	assert_memory_equal(&f.places[4], &f.places[6], sizeof(f.places[0]));
	unwind_pool_free(&p, f.places, 8);
	assert_int_equal(unwind_runs_count(&p.free), p.chunks_n * KYMO_UNWIND_CHUNK_ROWS);
	unwind_pool_release(&p);
}

static void test_nothing_is_placed_when_full(void **state)
{
	const uint32_t rows[] = { 9000, 9000, 9000 };
	struct unwind_pool p;
	struct fake f[4];

	(void)state;
	unwind_pool_init(&p, CHUNKS_MAX);
	for (int i = 0; i < 4; i++)
		fake_init(&f[i], rows, 3);
	assert_int_equal(unwind_pool_place(&p, &f[0].t, f[0].places), 0);
	assert_int_equal(unwind_pool_place(&p, &f[1].t, f[1].places), 0);
	assert_int_equal(unwind_pool_place(&p, &f[2].t, f[2].places), -ENOSPC);
	fake_init(&f[3], rows, 2);
	assert_int_equal(unwind_pool_place(&p, &f[3].t, f[3].places), 0);
	unwind_pool_free(&p, f[0].places, 3);
	assert_int_equal(unwind_pool_place(&p, &f[2].t, f[2].places), 0);
	unwind_pool_release(&p);
}

static uint32_t next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(*seed >> 33);
}

/* Tables come and go at random; no two ever have a row in common. */
static void test_random(void **state)
{
	_cleanup_free_ uint8_t *rows = calloc(CHUNKS_MAX, KYMO_UNWIND_CHUNK_ROWS);
	uint64_t seed = 1;
	struct fake f[16] = { 0 };
	struct unwind_pool p;
	int placed = 0, full = 0;

	(void)state;
	unwind_pool_init(&p, CHUNKS_MAX);
	for (int i = 0; i < 3000; i++) {
		struct fake *one = &f[next_random(&seed) % 16];
		uint32_t sizes[PAGES_MAX], n = 1 + next_random(&seed) % 8;

		if (one->t.pages_n) {
			mark(rows, one, 0);
			unwind_pool_free(&p, one->places, one->t.pages_n);
			one->t.pages_n = 0;
			continue;
		}
		for (uint32_t k = 0; k < n; k++)
			sizes[k] = k && next_random(&seed) % 4 == 0 ? 0
								    : 1 + next_random(&seed) % 8000;
		for (uint32_t k = n - 1; k > 0; k--)
			if (!sizes[k]) /* only single rows are shared */
				sizes[k - 1] = sizes[k - 1] ? 1 : 0;
		fake_init(one, sizes, n);
		if (unwind_pool_place(&p, &one->t, one->places) == 0) {
			mark(rows, one, (uint8_t)(1 + (one - f)));
			placed++;
		} else {
			one->t.pages_n = 0;
			full++;
		}
	}
	assert_true(placed > 500);
	print_message("%d placed, %d without room\n", placed, full);
	for (size_t i = 0; i < ARRAY_SIZE(f); i++)
		unwind_pool_free(&p, f[i].places, f[i].t.pages_n);
	assert_int_equal(unwind_runs_count(&p.free), p.chunks_n * KYMO_UNWIND_CHUNK_ROWS);
	assert_int_equal(p.free.n, p.chunks_n); /* each whole again */
	unwind_pool_release(&p);
}

/* Files that come and go take what others left: what is used does not grow with their number. */
static void test_does_not_grow(void **state)
{
	const uint32_t rows[] = { 5000, 3000, 1, 0, 4000 };
	struct fake f[4], once;
	struct unwind_pool p;

	(void)state;
	unwind_pool_init(&p, CHUNKS_MAX);
	for (int i = 0; i < 4; i++) {
		fake_init(&f[i], rows, 5);
		assert_int_equal(unwind_pool_place(&p, &f[i].t, f[i].places), 0);
	}
	for (int i = 0; i < 1000; i++) {
		unwind_pool_free(&p, f[i % 4].places, 5);
		fake_init(&once, rows, 1 + (uint32_t)i % 2);
		assert_int_equal(unwind_pool_place(&p, &once.t, once.places), 0);
		unwind_pool_free(&p, once.places, once.t.pages_n);
		assert_int_equal(unwind_pool_place(&p, &f[i % 4].t, f[i % 4].places), 0);
	}
	assert_int_equal(p.chunks_n, 4);
	unwind_pool_release(&p);
}

static void test_runs(void **state)
{
	struct unwind_runs r = { .block = 100 };
	uint32_t at;

	(void)state;
	assert_int_equal(unwind_runs_take(&r, 1, &at), -ENOSPC);
	assert_int_equal(unwind_runs_give(&r, 0, 100), 0);
	assert_int_equal(unwind_runs_give(&r, 100, 100), 0);
	assert_int_equal(r.n, 2); /* not one over the bound */
	assert_int_equal(unwind_runs_take(&r, 101, &at), -ENOSPC);
	assert_int_equal(unwind_runs_take(&r, 60, &at), 0);
	assert_int_equal(at, 0);
	assert_int_equal(unwind_runs_take(&r, 60, &at), 0);
	assert_int_equal(at, 100);
	assert_int_equal(unwind_runs_take(&r, 40, &at), 0);
	assert_int_equal(at, 60);
	assert_int_equal(unwind_runs_give(&r, 20, 10), 0);
	assert_int_equal(unwind_runs_give(&r, 40, 10), 0);
	assert_int_equal(unwind_runs_give(&r, 30, 10), 0); /* both sides */
	assert_int_equal(r.n, 2);
	assert_int_equal(unwind_runs_count(&r), 70);
	assert_int_equal(unwind_runs_take(&r, 30, &at), 0);
	assert_int_equal(at, 20);
	unwind_runs_release(&r);
}

static void test_table_into_dictionary(void **state)
{
	struct kymo_unwind_rule own[KYMO_UNWIND_RULE_FIXED + 4] = {
		[KYMO_UNWIND_RULE_END] = { .cfa_kind = KYMO_UNWIND_CFA_END },
		[KYMO_UNWIND_RULE_UNSUPPORTED] = { .cfa_kind = KYMO_UNWIND_CFA_UNSUPPORTED },
	};
	struct unwind_table t = { .rules = own, .rules_n = KYMO_UNWIND_RULE_FIXED + 4 };
	uint16_t ids[KYMO_UNWIND_RULE_FIXED + 4];
	struct unwind_rules d;

	(void)state;
	for (int32_t i = 0; i < 4; i++)
		own[KYMO_UNWIND_RULE_FIXED + i] = rule_number(i);
	assert_int_equal(unwind_rules_init(&d, KYMO_UNWIND_RULE_FIXED + 3), 0);
	assert_int_equal(unwind_pool_rules(&d, &t, ids), 1);
	for (uint16_t i = 0; i < KYMO_UNWIND_RULE_FIXED; i++)
		assert_int_equal(ids[i], i);
	for (size_t i = 0; i < KYMO_UNWIND_RULE_FIXED + 3; i++)
		assert_memory_equal(&d.rules[ids[i]], &own[i], sizeof(own[i]));
	assert_int_equal(ids[KYMO_UNWIND_RULE_FIXED + 3], KYMO_UNWIND_RULE_UNSUPPORTED);
	for (size_t i = 0; i < t.rules_n; i++)
		unwind_rules_put(&d, ids[i]);
	assert_int_equal(unwind_rules_count(&d), KYMO_UNWIND_RULE_FIXED);
	unwind_rules_release(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules_have_one_id),
		cmocka_unit_test(test_ids_are_used_again),
		cmocka_unit_test(test_all_ids),
		cmocka_unit_test(test_pages_never_straddle),
		cmocka_unit_test(test_nothing_is_placed_when_full),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_does_not_grow),
		cmocka_unit_test(test_runs),
		cmocka_unit_test(test_table_into_dictionary),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
