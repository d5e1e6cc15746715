/* SPDX-License-Identifier: Apache-2.0 */
/* The tick's end: rows sorted, offsets gathered per row, what went wrong written beside them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "merge/state.h"

static int compare(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int compare_rows(const void *a, const void *b, void *data)
{
	const struct tick_row *rows = data;
	const struct tick_row *x = &rows[*(const uint32_t *)a], *y = &rows[*(const uint32_t *)b];
	int c = compare((uint64_t)x->thread << 32 | x->stack, (uint64_t)y->thread << 32 | y->stack);

	if (c)
		return c;
	c = compare((uint32_t)x->source << 16 | x->state, (uint32_t)y->source << 16 | y->state);
	return c ? c : compare(x->end, y->end);
}

static int compare_u32(const void *a, const void *b)
{
	return compare(*(const uint32_t *)a, *(const uint32_t *)b);
}

/* Counting sort: each row's part begins at its first_offset; samples mostly arrive in order of
 * time. */
static void place_offsets(struct merge *m, struct tick_row *rows, size_t n, uint32_t *place,
			  uint32_t *offsets, uint32_t longest_us)
{
	for (size_t i = 0; i < m->samples_n; i++) {
		uint32_t us = m->samples[i].offset_us;

		offsets[place[m->samples[i].row]++] = us < longest_us ? us : longest_us;
	}
	for (size_t i = 0; i < n; i++) {
		uint32_t *part = offsets + rows[i].first_offset;

		for (uint32_t k = 1; k < rows[i].count; k++) {
			if (part[k - 1] > part[k]) {
				qsort(part, rows[i].count, sizeof(*part), compare_u32);
				break;
			}
		}
	}
}

static int sort_rows(struct merge *m, uint32_t longest_us)
{
	struct tick *t = m->open;
	size_t n = t->rows_n;
	_cleanup_free_ uint32_t *order = malloc((n + 1) * sizeof(*order));
	_cleanup_free_ uint32_t *place = malloc((n + 1) * sizeof(*place));
	_cleanup_free_ struct tick_row *rows = malloc((n + 1) * sizeof(*rows));
	_cleanup_free_ uint32_t *offsets = malloc((m->samples_n + 1) * sizeof(*offsets));
	uint32_t at = 0;

	if (!order || !place || !rows || !offsets)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		order[i] = (uint32_t)i;
	if (n > 1)
		qsort_r(order, n, sizeof(*order), compare_rows, t->rows);
	for (size_t i = 0; i < n; i++) {
		rows[i] = t->rows[order[i]];
		rows[i].first_offset = place[order[i]] = at;
		at += rows[i].count;
	}
	place_offsets(m, rows, n, place, offsets, longest_us);
	free(t->rows);
	t->rows = TAKE_PTR(rows);
	free(t->offsets_us);
	t->offsets_us = TAKE_PTR(offsets);
	t->offsets_n = m->samples_n;
	return 0;
}

/* Samples that came after the tick's end, before its closing: they stay in it, at its end. */
static void count_early(struct merge *m, uint32_t longest_us)
{
	for (size_t i = 0; i < m->samples_n; i++)
		m->dropped.early += m->samples[i].offset_us > longest_us;
}

static int tell_dropped(struct merge *m)
{
	struct merge_dropped *d = &m->dropped;
	const struct {
		const char *name;
		uint64_t *value;
	} counts[] = {
		{ "merge.stacks_dropped", &d->stacks },
		{ "merge.functions_dropped", &d->functions },
		{ "merge.binaries_dropped", &d->binaries },
		{ "merge.samples_dropped", &d->samples },
		{ "merge.events_dropped", &d->events },
		{ "merge.quality_dropped", &d->quality },
		{ "merge.late", &d->late },
		{ "merge.early", &d->early },
		{ "merge.identities_forgotten", &d->forgotten },
	};

	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		if (*counts[i].value &&
		    merge_quality(m, counts[i].name, (int64_t)*counts[i].value) < 0)
			return -ENOMEM;
		*counts[i].value = 0;
	}
	return 0;
}

int merge_tick_close(struct merge *m, uint64_t end_ns, uint64_t wall_ns, struct health *health,
		     struct tick **ret)
{
	_cleanup_free_ struct tick *next = calloc(1, sizeof(*next));
	struct tick *t = m->open;
	uint64_t longest_us;
	uint32_t longest;

	if (end_ns < t->start_ns)
		end_ns = t->start_ns;
	longest_us = (end_ns - t->start_ns) / NS_PER_USEC;
	longest = longest_us < UINT32_MAX ? (uint32_t)longest_us : UINT32_MAX;
	count_early(m, longest);
	/* Sorting is last of what can fail: it changes what row numbers mean. */
	if (!next || tell_dropped(m) < 0 || sort_rows(m, longest) < 0)
		return -ENOMEM;
	t->id = ++m->tick_last;
	t->end_ns = end_ns;
	t->wall_ns = wall_ns;
	t->health = *health;
	*health = (struct health){ 0 };
	hmap_clear(&m->rows);
	hmap_clear(&m->process_rows);
	m->samples_n = 0;
	m->unnamed_closed = m->unnamed_n;
	next->start_ns = end_ns;
	m->open = TAKE_PTR(next);
	m->caps = (struct merge_caps){ 0 };
	m->opened++;
	*ret = t;
	return 0;
}
