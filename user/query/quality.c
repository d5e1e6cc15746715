/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/hmap.h"
#include "base/strings.h"
#include "query/query.h"
#include "query/segment.h"

/* A recording has dozens of counters; more is an enemy's. */
#define QUALITY_MAX 10000

struct collector {
	struct profile *profile;
	struct hmap selected; /* tick ids of the segment at hand */
	struct hmap index;    /* name's id -> index */
	struct strings *names;
	struct query_quality *items;
	size_t n, cap;
};

static void collector_release(struct collector *c)
{
	hmap_release(&c->selected);
	hmap_release(&c->index);
	if (c->names)
		strings_free(c->names);
	query_quality_free(c->items, c->n);
}

static int add_counter(struct collector *c, const char *counter, uint32_t **index, uint32_t id)
{
	char *name;
	int r = array_reserve(&c->items, &c->cap, c->n + 1);

	if (r < 0)
		return r;
	name = strdup(counter);
	*index = name ? hmap_put(&c->index, &id, NULL) : NULL;
	if (!*index) {
		free(name);
		return -ENOMEM;
	}
	**index = (uint32_t)c->n;
	c->items[c->n++] = (struct query_quality){ .counter = name, .max = INT64_MIN };
	return 0;
}

static int collect(void *data, const struct store_quality *q)
{
	struct collector *c = data;
	struct query_quality *item;
	uint32_t id, *index;
	int r;

	if (!hmap_get(&c->selected, &q->tick))
		return 0;
	r = strings_intern(c->names, q->counter, &id);
	if (r < 0)
		return r == -ENOSPC ? 0 : r;
	index = hmap_get(&c->index, &id);
	if (!index) {
		r = add_counter(c, q->counter, &index, id);
		if (r < 0)
			return r;
	}
	item = &c->items[*index];
	if (__builtin_add_overflow(item->sum, q->value, &item->sum))
		item->sum = q->value < 0 ? INT64_MIN : INT64_MAX;
	if (q->value > item->max)
		item->max = q->value;
	item->ticks++;
	return 0;
}

static int collect_segment(struct collector *c, const struct query_selection *s, uint32_t segment)
{
	const struct profile *p = c->profile;

	int r = segment_select_ticks(p, s, segment, &c->selected);

	if (r < 0)
		return r;
	return store_read_quality(p->segments[segment].reader, collect, c);
}

static int compare_quality(const void *pa, const void *pb)
{
	const struct query_quality *a = pa, *b = pb;

	return strcmp(a->counter, b->counter);
}

int query_quality(struct profile *p, const struct query_selection *s, struct query_quality **ret,
		  size_t *ret_n)
{
	_cleanup_(collector_release) struct collector c = { .profile = p };
	int r = strings_new(QUALITY_MAX, &c.names);

	hmap_init(&c.index, sizeof(uint32_t), sizeof(uint32_t), 0);
	for (uint32_t i = 0; r == 0 && i < p->segments_n; i++) {
		r = collect_segment(&c, s, i);
		if (r < 0)
			return profile_fail(p, r == -ENOMEM ? NULL : &p->segments[i], r);
	}
	if (r < 0)
		return profile_fail(p, NULL, r);
	if (c.n)
		qsort(c.items, c.n, sizeof(*c.items), compare_quality);
	*ret_n = c.n;
	*ret = TAKE_PTR(c.items);
	c.n = 0;
	return 0;
}

void query_quality_free(struct query_quality *q, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(q[i].counter);
	free(q);
}

int64_t query_quality_sum(const struct query_quality *q, size_t n, const char *counter)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(q[i].counter, counter) == 0)
			return q[i].sum;
	return 0;
}
