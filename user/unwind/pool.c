/* SPDX-License-Identifier: Apache-2.0 */
#include "unwind/pool.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/array.h"

void unwind_pool_init(struct unwind_pool *p, size_t chunks_max)
{
	*p = (struct unwind_pool){ .chunks_max = chunks_max };
}

void unwind_pool_release(struct unwind_pool *p)
{
	free(p->chunks);
	*p = (struct unwind_pool){ 0 };
}

static bool fits(const struct unwind_pool *p, uint32_t chunk, uint32_t rows)
{
	return chunk < p->chunks_n && p->chunks[chunk].used + rows <= KYMO_UNWIND_CHUNK_ROWS;
}

/* A chunk with room: the open one, an empty one, a new one. */
static int find_chunk(struct unwind_pool *p, uint32_t rows)
{
	if (fits(p, p->open, rows))
		return 0;
	for (uint32_t i = 0; i < p->chunks_n; i++) {
		if (p->chunks[i].alive)
			continue;
		p->chunks[i].used = 0;
		p->open = i;
		return 0;
	}
	if (p->chunks_n == p->chunks_max)
		return -ENOSPC;
	if (array_reserve(&p->chunks, &p->chunks_cap, p->chunks_n + 1) < 0)
		return -ENOMEM;
	p->open = (uint32_t)p->chunks_n;
	p->chunks[p->chunks_n++] = (struct unwind_pool_chunk){ 0 };
	return 0;
}

int unwind_pool_place(struct unwind_pool *p, const struct unwind_table *t,
		      struct kymo_unwind_page *ret_pages)
{
	int r;

	for (uint32_t i = 0; i < t->pages_n; i++) {
		const struct unwind_page *page = &t->pages[i];
		struct unwind_pool_chunk *chunk;

		/* A row that several pages carry has as many users. */
		if (i && page->first == page[-1].first) {
			ret_pages[i] = ret_pages[i - 1];
			p->chunks[ret_pages[i].chunk].alive++;
			continue;
		}
		r = find_chunk(p, page->rows);
		if (r < 0) {
			unwind_pool_free(p, ret_pages, i);
			return r;
		}
		chunk = &p->chunks[p->open];
		ret_pages[i] = (struct kymo_unwind_page){ .chunk = p->open,
							  .first = (uint16_t)chunk->used,
							  .rows = (uint16_t)page->rows };
		chunk->used += page->rows;
		chunk->alive += page->rows;
	}
	return 0;
}

void unwind_pool_free(struct unwind_pool *p, const struct kymo_unwind_page *pages, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct unwind_pool_chunk *chunk = &p->chunks[pages[i].chunk];

		assert(pages[i].chunk < p->chunks_n && chunk->alive >= pages[i].rows);
		chunk->alive -= pages[i].rows;
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
