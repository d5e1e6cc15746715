/* SPDX-License-Identifier: Apache-2.0 */
#include "query/query.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "query/aggregate.h"

bool query_selects_tick(const struct profile *p, const struct query_selection *s,
			const struct profile_tick *t)
{
	uint64_t start = p->ticks_n ? p->ticks[0].start_ns : 0;
	uint64_t middle = t->start_ns + (t->end_ns > t->start_ns ? t->end_ns - t->start_ns : 0) / 2;
	uint64_t at = middle > start ? middle - start : 0;

	if (at < s->since_ns || (s->until_ns && at >= s->until_ns))
		return false;
	return !s->tick || s->tick(s->tick_data, t);
}

bool query_selects_process(const struct query_selection *s, const struct process *p)
{
	if (s->pid && s->pid != p->pid)
		return false;
	return !s->comm || strncmp(s->comm, p->comm, sizeof(p->comm)) == 0;
}

static void aggregate_release(struct aggregate *a)
{
	if (a->segment)
		aggregate_segment_done(a);
	item_table_release(&a->items);
	hmap_release(&a->process_keys);
	ends_release(&a->stops);
	free(a->processes);
	free(a->ticks);
	free(a->cells);
	free(a->seen);
	free(a->hot);
	free(a->touched);
	free(a->node_slots);
	free(a->nodes);
	free(a->node_seen);
}

static int compare_processes(const void *pa, const void *pb)
{
	const struct query_process *a = pa, *b = pb;

	if (a->value.weight != b->value.weight)
		return a->value.weight > b->value.weight ? -1 : 1;
	return a->pid < b->pid ? -1 : a->pid > b->pid;
}

/* Only those with samples, the heaviest first; their texts become the result's. */
static int finish_processes(struct aggregate *a)
{
	size_t n = 0;

	for (size_t i = 0; i < a->processes_n; i++) {
		struct query_process *p = &a->processes[i];
		const char **texts[] = { &p->comm, &p->exe, &p->cmdline };

		if (p->value.count == 0)
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(texts); k++) {
			uint32_t id;
			int r = strings_intern(a->items.strings, *texts[k], &id);

			if (r < 0)
				return r;
			*texts[k] = strings_get(a->items.strings, id);
		}
		a->processes[n++] = *p;
	}
	a->processes_n = n;
	if (n)
		qsort(a->processes, n, sizeof(*a->processes), compare_processes);
	return 0;
}

static int aggregate_all(struct aggregate *a)
{
	int r = item_table_init(&a->items);

	ends_init(&a->stops);
	hmap_init(&a->process_keys, 2 * sizeof(uint64_t), sizeof(uint32_t), 0);
	for (uint32_t i = 0; r == 0 && i < a->profile->segments_n; i++) {
		r = segment_load(a->profile, &a->profile->segments[i]);
		if (r == 0)
			r = aggregate_segment(a, i);
		if (r == 0)
			r = tree_add_cells(a);
		aggregate_segment_done(a);
	}
	if (r == 0)
		r = tree_finish(a);
	return r < 0 ? r : finish_processes(a);
}

static void hand_over(struct aggregate *a, struct query_result *r)
{
	*r = (struct query_result){
		.value = a->value,
		.source = a->source,
		.shrunk = a->shrunk,
		.total = a->total,
		.written = a->written,
		.items = TAKE_PTR(a->items.items),
		.items_n = a->items.items_n,
		.nodes = TAKE_PTR(a->nodes),
		.nodes_n = a->nodes_n,
		.seen = TAKE_PTR(a->node_seen),
		.processes = TAKE_PTR(a->processes),
		.processes_n = a->processes_n,
		.ticks = TAKE_PTR(a->ticks),
		.ticks_n = a->ticks_n,
		.duration_ns = a->duration_ns,
		.damaged_ticks = a->damaged_ticks,
		.sampled_ticks = a->sampled_ticks,
		.strings = TAKE_PTR(a->items.strings),
	};
	ends_finish(&a->stops);
	r->stops = TAKE_PTR(a->stops.stops);
	r->stops_n = a->stops.n;
	memcpy(r->ends, a->ends, sizeof(r->ends));
}

int query_run(struct profile *p, const struct query_selection *s, struct query_result **ret)
{
	_cleanup_(aggregate_release) struct aggregate a = {
		.profile = p,
		.selection = s,
		.value = s->value,
		.source = s->source ? s->source : KYMO_SOURCE_CPU,
		.page_bytes = profile_meta_u64(p, "page_bytes", 4096),
	};
	struct query_result *result;
	int r;

	if (a.value)
		a.source = values[a.value].source;
	else
		a.value = value_of_source(a.source);
	free(TAKE_PTR(p->message));
	r = aggregate_all(&a);
	if (r < 0)
		return p->message ? r : profile_fail(p, NULL, r);
	result = malloc(sizeof(*result));
	if (!result)
		return profile_fail(p, NULL, -ENOMEM);
	hand_over(&a, result);
	*ret = result;
	return 0;
}

void query_free(struct query_result *r)
{
	if (!r)
		return;
	free(r->items);
	free(r->nodes);
	free(r->seen);
	free(r->processes);
	free(r->stops);
	free(r->ticks);
	strings_free(r->strings);
	free(r);
}

struct order {
	const struct query_result *result;
	enum query_order by;
};

static int compare_u64(uint64_t a, uint64_t b)
{
	return a == b ? 0 : a > b ? -1 : 1;
}

static int compare_functions(const void *pa, const void *pb, void *data)
{
	const struct order *o = data;
	uint32_t ia = *(const uint32_t *)pa, ib = *(const uint32_t *)pb;
	const struct query_item *a = &o->result->items[ia], *b = &o->result->items[ib];
	int r = 0;

	if (o->by == QUERY_BY_NAME)
		r = strcmp(a->name, b->name);
	else if (o->by == QUERY_BY_TOTAL)
		r = compare_u64(a->total.weight, b->total.weight);
	else if (o->by == QUERY_BY_SAMPLES)
		r = compare_u64(a->self.count, b->self.count);
	r = r ?: compare_u64(a->self.weight, b->self.weight);
	r = r ?: compare_u64(a->total.weight, b->total.weight);
	return r ?: strcmp(a->name, b->name) ?: (ia < ib ? -1 : ia > ib);
}

int query_functions(const struct query_result *r, enum query_order order, uint32_t **ret,
		    size_t *ret_n)
{
	uint32_t *list = calloc(r->items_n + 1, sizeof(*list));
	struct order o = { r, order };
	size_t n = 0;

	if (!list)
		return -ENOMEM;
	for (size_t i = 1; i < r->items_n; i++)
		if (r->items[i].kind != QUERY_ITEM_PROCESS && r->items[i].total.count)
			list[n++] = (uint32_t)i;
	qsort_r(list, n, sizeof(*list), compare_functions, &o);
	*ret = list;
	*ret_n = n;
	return 0;
}

int query_unnamed_items(const struct query_result *r, uint32_t **ret, size_t *ret_n)
{
	size_t n, kept = 0;
	int e = query_functions(r, QUERY_BY_TOTAL, ret, &n);

	if (e < 0)
		return e;
	for (size_t i = 0; i < n; i++)
		if (r->items[(*ret)[i]].unnamed)
			(*ret)[kept++] = (*ret)[i];
	*ret_n = kept;
	return 0;
}
