/* SPDX-License-Identifier: Apache-2.0 */
#include "unwind/runs.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

void unwind_runs_release(struct unwind_runs *r)
{
	free(r->items);
	*r = (struct unwind_runs){ 0 };
}

/* The first run behind the number. */
static size_t run_behind(const struct unwind_runs *r, uint32_t number)
{
	size_t low = 0, high = r->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (r->items[middle].first > number)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* Whether a run that ends before the number may go on with it. */
static bool joins(const struct unwind_runs *r, const struct unwind_run *before, uint32_t number)
{
	return before->first + before->n == number && (!r->block || number % r->block);
}

static void remove_run(struct unwind_runs *r, size_t i)
{
	memmove(&r->items[i], &r->items[i + 1], (r->n - i - 1) * sizeof(*r->items));
	r->n--;
}

int unwind_runs_give(struct unwind_runs *r, uint32_t first, uint32_t n)
{
	size_t i = run_behind(r, first);
	bool before = i > 0 && joins(r, &r->items[i - 1], first);
	struct unwind_run run = { first, n };
	bool behind = i < r->n && joins(r, &run, r->items[i].first);

	assert(n && (!i || r->items[i - 1].first + r->items[i - 1].n <= first));
	assert(i == r->n || first + n <= r->items[i].first);
	if (before) {
		r->items[i - 1].n += n;
		if (behind) {
			r->items[i - 1].n += r->items[i].n;
			remove_run(r, i);
		}
		return 0;
	}
	if (behind) {
		r->items[i].first = first;
		r->items[i].n += n;
		return 0;
	}
	if (array_reserve(&r->items, &r->cap, r->n + 1) < 0)
		return -ENOMEM;
	memmove(&r->items[i + 1], &r->items[i], (r->n - i) * sizeof(*r->items));
	r->items[i] = run;
	r->n++;
	return 0;
}

int unwind_runs_take(struct unwind_runs *r, uint32_t n, uint32_t *ret)
{
	for (size_t i = 0; i < r->n; i++) {
		struct unwind_run *run = &r->items[i];

		if (run->n < n)
			continue;
		*ret = run->first;
		run->first += n;
		run->n -= n;
		if (!run->n)
			remove_run(r, i);
		return 0;
	}
	return -ENOSPC;
}

uint64_t unwind_runs_count(const struct unwind_runs *r)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < r->n; i++)
		sum += r->items[i].n;
	return sum;
}
