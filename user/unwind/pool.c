/* SPDX-License-Identifier: Apache-2.0 */
#include "unwind/pool.h"

#include <errno.h>
#include <stdbool.h>

void unwind_pool_init(struct unwind_pool *p, size_t chunks_max)
{
	*p = (struct unwind_pool){ .free.block = KYMO_UNWIND_CHUNK_ROWS, .chunks_max = chunks_max };
}

void unwind_pool_release(struct unwind_pool *p)
{
	unwind_runs_release(&p->free);
	*p = (struct unwind_pool){ 0 };
}

/* So many rows in one chunk; a new one when none has as many. */
static int take_rows(struct unwind_pool *p, uint32_t rows, uint32_t *ret)
{
	int r = unwind_runs_take(&p->free, rows, ret);

	if (r == 0 || p->chunks_n == p->chunks_max)
		return r;
	r = unwind_runs_give(&p->free, (uint32_t)p->chunks_n * KYMO_UNWIND_CHUNK_ROWS,
			     KYMO_UNWIND_CHUNK_ROWS);
	if (r < 0)
		return r;
	p->chunks_n++;
	return unwind_runs_take(&p->free, rows, ret);
}

int unwind_pool_place(struct unwind_pool *p, const struct unwind_table *t,
		      struct kymo_unwind_page *ret_pages)
{
	uint32_t first;
	int r;

	for (uint32_t i = 0; i < t->pages_n; i++) {
		const struct unwind_page *page = &t->pages[i];

		if (i && page->first == page[-1].first) {
			ret_pages[i] = ret_pages[i - 1];
			continue;
		}
		r = take_rows(p, page->rows, &first);
		if (r < 0) {
			unwind_pool_free(p, ret_pages, i);
			return r;
		}
		ret_pages[i] = (struct kymo_unwind_page){
			.chunk = first / KYMO_UNWIND_CHUNK_ROWS,
			.first = (uint16_t)(first % KYMO_UNWIND_CHUNK_ROWS),
			.rows = (uint16_t)page->rows,
		};
	}
	return 0;
}

static bool is_shared(const struct kymo_unwind_page *page, const struct kymo_unwind_page *before)
{
	return page->chunk == before->chunk && page->first == before->first;
}

void unwind_pool_free(struct unwind_pool *p, const struct kymo_unwind_page *pages, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (i && is_shared(&pages[i], &pages[i - 1]))
			continue;
		/* Without memory to note it the place is lost, no more. */
		(void)unwind_runs_give(&p->free,
				       pages[i].chunk * KYMO_UNWIND_CHUNK_ROWS + pages[i].first,
				       pages[i].rows);
	}
}

int unwind_pool_rules(struct unwind_rules *all, const struct unwind_table *t, uint16_t *ret_ids)
{
	int missing = 0;

	for (uint32_t i = 0; i < t->rules_n; i++) {
		int r = unwind_rules_get(all, &t->rules[i], &ret_ids[i]);

		if (r == -ENOMEM) {
			while (i--)
				unwind_rules_put(all, ret_ids[i]);
			return r;
		}
		if (r == -ENOSPC) {
			ret_ids[i] = KYMO_UNWIND_RULE_UNSUPPORTED;
			missing++;
		}
	}
	return missing;
}
