/* SPDX-License-Identifier: Apache-2.0 */
#include "query/events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/hmap.h"
#include "query/segment.h"

#define EVENTS_MAX 1000000

const char *const query_event_names[EVENT_KIND_MAX] = {
	[EVENT_GC] = "gc",
	[EVENT_IMPORT] = "import",
	[EVENT_OOM_KILL] = "OOM kill",
	[EVENT_EXEC_STORM] = "exec storm",
	[EVENT_EXIT_STORM] = "exit storm",
};

struct collector {
	const struct query_selection *selection;
	const struct segment *segment;
	struct hmap ticks; /* id of a selected tick -> its index + 1 */
	struct query_events events;
};

static void collector_release(struct collector *c)
{
	hmap_release(&c->ticks);
	query_events_release(&c->events);
}

void query_events_release(struct query_events *e)
{
	for (size_t i = 0; i < e->n; i++)
		free(e->items[i].fields);
	free(e->items);
	*e = (struct query_events){ 0 };
}

static const struct process *process_of(const struct segment *s, uint32_t thread)
{
	uint32_t t = idmap_find(&s->threads, thread);
	uint32_t p = t ? idmap_find(&s->processes, s->tables.threads[t - 1].process) : 0;

	return p ? &s->tables.processes[p - 1] : NULL;
}

static bool is_selected(const struct query_selection *s, enum event_kind kind,
			const struct process *process)
{
	if ((kind != EVENT_GC && kind != EVENT_IMPORT) || (!s->pid && !s->comm))
		return true;
	return process && query_selects_process(s, process);
}

static int collect(void *data, uint32_t tick, const struct event *e)
{
	struct collector *c = data;
	struct query_events *events = &c->events;
	const struct process *process = process_of(c->segment, e->thread);
	const uint32_t *index = hmap_get(&c->ticks, &tick);
	char *fields;

	if (!index || !query_event_names[e->kind] || !is_selected(c->selection, e->kind, process))
		return 0;
	if (events->n >= EVENTS_MAX) {
		events->dropped++;
		return 0;
	}
	if (array_reserve(&events->items, &events->cap, events->n + 1) < 0)
		return -ENOMEM;
	fields = strdup(e->fields ? e->fields : "");
	if (!fields)
		return -ENOMEM;
	events->items[events->n++] = (struct query_event){
		.kind = e->kind,
		.tick = *index - 1,
		.time_ns = e->time_ns,
		.duration_ns = e->duration_ns,
		.process = process,
		.fields = fields,
	};
	return 0;
}

static int collect_segment(struct collector *c, struct profile *p, uint32_t segment)
{
	struct segment *s = &p->segments[segment];
	int r = segment_load(p, s);

	if (r < 0)
		return r;
	c->segment = s;
	hmap_release(&c->ticks);
	hmap_init(&c->ticks, sizeof(uint32_t), sizeof(uint32_t), 0);
	for (size_t i = 0; i < p->ticks_n; i++) {
		uint32_t *index;

		if (p->ticks[i].segment != segment ||
		    !query_selects_tick(p, c->selection, &p->ticks[i]))
			continue;
		index = hmap_put(&c->ticks, &p->ticks[i].id, NULL);
		if (!index)
			return profile_fail(p, NULL, -ENOMEM);
		*index = (uint32_t)i + 1;
	}
	r = store_read_events(s->reader, collect, c);
	return r < 0 ? profile_fail(p, r == -ENOMEM ? NULL : s, r) : 0;
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
	_cleanup_(collector_release) struct collector c = { .selection = s };

	for (uint32_t i = 0; i < p->segments_n; i++) {
		int r = collect_segment(&c, p, i);

		if (r < 0)
			return r;
	}
	if (c.events.n)
		qsort(c.events.items, c.events.n, sizeof(*c.events.items), compare_events);
	*ret = c.events;
	c.events = (struct query_events){ 0 };
	return 0;
}
