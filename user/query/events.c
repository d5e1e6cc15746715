/* SPDX-License-Identifier: Apache-2.0 */
#include "query/events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/hmap.h"
#include "base/json_read.h"
#include "query/segment.h"

#define EVENTS_MAX 1000000

const char *const query_event_names[EVENT_KIND_MAX] = {
	[EVENT_GC] = "gc",
	[EVENT_IMPORT] = "import",
	[EVENT_OOM_KILL] = "OOM kill",
	[EVENT_EXEC_STORM] = "exec storm",
	[EVENT_EXIT_STORM] = "exit storm",
};

struct walk {
	const struct query_selection *selection;
	int (*each)(void *data, const struct query_event *e);
	void *data;
	const struct segment *segment;
	uint32_t segment_index;
	struct hmap ticks; /* id of a selected tick -> its index + 1 */
};

static void walk_release(struct walk *w)
{
	hmap_release(&w->ticks);
}

void query_events_release(struct query_events *e)
{
	for (size_t i = 0; i < e->n; i++)
		free(e->items[i].fields);
	free(e->items);
	*e = (struct query_events){ 0 };
}

static void look_up(const struct segment *s, uint32_t thread, uint32_t stack, struct query_event *e)
{
	uint32_t t = idmap_find(&s->threads, thread);
	uint32_t p = t ? idmap_find(&s->processes, s->tables.threads[t - 1].process) : 0;

	e->thread = t ? &s->tables.threads[t - 1] : NULL;
	e->process = p ? &s->tables.processes[p - 1] : NULL;
	e->stack = idmap_find(&s->stacks, stack);
}

static bool is_selected(const struct query_selection *s, const struct query_event *e)
{
	if ((e->kind != EVENT_GC && e->kind != EVENT_IMPORT) || (!s->pid && !s->comm))
		return true;
	return e->process && query_selects_process(s, e->process);
}

static int take(void *data, uint32_t tick, const struct event *from)
{
	struct walk *w = data;
	const uint32_t *index = hmap_get(&w->ticks, &tick);
	struct query_event e = { .kind = from->kind,
				 .time_ns = from->time_ns,
				 .duration_ns = from->duration_ns,
				 .segment = w->segment_index,
				 .fields = from->fields ? from->fields : (char *)"" };

	if (!index || !query_event_names[from->kind])
		return 0;
	e.tick = *index - 1;
	look_up(w->segment, from->thread, from->stack, &e);
	return is_selected(w->selection, &e) ? w->each(w->data, &e) : 0;
}

static int walk_segment(struct walk *w, struct profile *p, uint32_t segment)
{
	struct segment *s = &p->segments[segment];
	int r = segment_load(p, s);

	if (r < 0)
		return r;
	w->segment = s;
	w->segment_index = segment;
	hmap_release(&w->ticks);
	hmap_init(&w->ticks, sizeof(uint32_t), sizeof(uint32_t), 0);
	for (size_t i = 0; i < p->ticks_n; i++) {
		uint32_t *index;

		if (p->ticks[i].segment != segment ||
		    !query_selects_tick(p, w->selection, &p->ticks[i]))
			continue;
		index = hmap_put(&w->ticks, &p->ticks[i].id, NULL);
		if (!index)
			return profile_fail(p, NULL, -ENOMEM);
		*index = (uint32_t)i + 1;
	}
	r = store_read_events(s->reader, take, w);
	return r < 0 ? profile_fail(p, r == -ENOMEM ? NULL : s, r) : 0;
}

int query_each_event(struct profile *p, const struct query_selection *s,
		     int (*each)(void *data, const struct query_event *e), void *data)
{
	_cleanup_(walk_release) struct walk w = { .selection = s, .each = each, .data = data };
	int r = 0;

	for (uint32_t i = 0; i < p->segments_n && r == 0; i++)
		r = walk_segment(&w, p, i);
	return r;
}

static int collect(void *data, const struct query_event *e)
{
	struct query_events *events = data;
	char *fields;

	if (events->n >= EVENTS_MAX) {
		events->dropped++;
		return 0;
	}
	if (array_reserve(&events->items, &events->cap, events->n + 1) < 0)
		return -ENOMEM;
	fields = strdup(e->fields);
	if (!fields)
		return -ENOMEM;
	events->items[events->n] = *e;
	events->items[events->n++].fields = fields;
	return 0;
}

static int compare_events(const void *pa, const void *pb)
{
	const struct query_event *a = pa, *b = pb;

	if (a->tick != b->tick)
		return a->tick < b->tick ? -1 : 1;
	return a->time_ns < b->time_ns ? -1 : a->time_ns > b->time_ns;
}

int query_events(struct profile *p, const struct query_selection *s, struct query_events *ret)
{
	_cleanup_(query_events_release) struct query_events events = { 0 };
	int r = query_each_event(p, s, collect, &events);

	if (r < 0)
		return r;
	if (events.n)
		qsort(events.items, events.n, sizeof(*events.items), compare_events);
	*ret = events;
	events = (struct query_events){ 0 };
	return 0;
}

bool query_event_number(const struct query_event *e, const char *key, int64_t *ret)
{
	double v;

	if (!json_get_number(json_member(e->fields, key), &v))
		return false;
	/* 2^63 and more have no int64_t. */
	*ret = v >= 0x1p63 ? INT64_MAX : v <= -0x1p63 ? INT64_MIN : (int64_t)v;
	return true;
}

size_t query_event_stack(const struct profile *p, const struct query_event *e,
			 struct query_frame *out, size_t max)
{
	const struct query_row row = { .segment = e->segment, .stack = e->stack };

	return query_stack(p, &row, out, max);
}
