/* SPDX-License-Identifier: Apache-2.0 */
/* The open tick: samples become rows; what is told beside them is kept until it closes. */
#include "merge/merge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "merge/state.h"

#define STACKS_DEFAULT	  1000000
#define FRAMES_DEFAULT	  500000
#define FUNCTIONS_DEFAULT 200000
/* Names may be made by enemies: as many, and as long, as they please. */
#define STRINGS_BYTES_MAX (32U << 20)

struct row_key {
	uint32_t thread, stack;
	uint16_t source, state;
	uint32_t end;
};

static_assert(sizeof(struct row_key) == 16, "a key without padding");

static size_t limit(size_t given, size_t otherwise)
{
	return given ? given : otherwise;
}

int merge_new(const struct merge_limits *limits, struct merge **ret)
{
	struct merge *m = calloc(1, sizeof(*m));
	size_t strings;
	int r;

	if (!m)
		return -ENOMEM;
	if (limits)
		m->limits = *limits;
	m->limits.stacks = limit(m->limits.stacks, STACKS_DEFAULT);
	m->limits.frames = limit(m->limits.frames, FRAMES_DEFAULT);
	m->limits.functions = limit(m->limits.functions, FUNCTIONS_DEFAULT);
	strings = m->limits.functions * 2 + MERGE_BINARIES_MAX;
	hmap_init(&m->rows, sizeof(struct row_key), sizeof(uint32_t), 0);
	hmap_init(&m->process_rows, sizeof(uint32_t), sizeof(uint32_t), 0);
	merge_names_init(m);
	merge_seen_init(m);
	m->opened = 1;
	m->open = calloc(1, sizeof(*m->open));
	r = m->open ? merge_stacks_init(m) : -ENOMEM;
	if (r == 0)
		r = strings_new(strings, &m->strings);
	if (r == 0)
		strings_limit(m->strings, STRINGS_BYTES_MAX);
	if (r < 0) {
		merge_free(m);
		return r;
	}
	*ret = m;
	return 0;
}

int merge_renew(struct merge *m, struct merge **ret_old)
{
	struct merge *fresh, *old = malloc(sizeof(*old));
	int r = old ? merge_new(&m->limits, &fresh) : -ENOMEM;

	if (r < 0) {
		free(old);
		return r;
	}
	*old = *m;
	*m = *fresh;
	free(fresh);
	m->open->start_ns = old->open->start_ns;
	m->thread_seen = old->thread_seen;
	m->process_seen = old->process_seen;
	merge_seen_init(old);
	m->renewed = old->renewed + 1;
	*ret_old = old;
	return 0;
}

void merge_free(struct merge *m)
{
	if (!m)
		return;
	tick_free(m->open);
	strings_free(m->strings);
	hmap_release(&m->binaries);
	hmap_release(&m->functions);
	merge_stacks_release(m);
	hmap_release(&m->processes.map);
	hmap_release(&m->threads.map);
	hmap_release(&m->thread_seen);
	hmap_release(&m->process_seen);
	hmap_release(&m->rows);
	hmap_release(&m->process_rows);
	free(m->samples);
	free(m);
}

void merge_tick_begin(struct merge *m, uint64_t start_ns)
{
	m->open->start_ns = start_ns;
}

static int row_find(struct merge *m, const struct row_key *key, uint32_t *ret)
{
	struct tick *t = m->open;
	uint32_t *index = hmap_get(&m->rows, key);

	if (!index) {
		if (array_reserve(&t->rows, &m->caps.rows, t->rows_n + 1) < 0)
			return -ENOMEM;
		index = hmap_put(&m->rows, key, NULL);
		if (!index)
			return -ENOMEM;
		*index = (uint32_t)t->rows_n++;
		t->rows[*index] = (struct tick_row){ .thread = key->thread,
						     .stack = key->stack,
						     .source = key->source,
						     .state = key->state,
						     .end = key->end };
	}
	*ret = *index;
	return 0;
}

static uint32_t offset_us(struct merge *m, uint64_t time_ns)
{
	uint64_t us;

	if (time_ns < m->open->start_ns) {
		m->dropped.late++;
		return 0;
	}
	us = (time_ns - m->open->start_ns) / NS_PER_USEC;
	return us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

int merge_sample(struct merge *m, const struct kymo_sample *head, uint32_t thread,
		 const struct sample_frame *frames, size_t frames_n)
{
	struct row_key key = {
		.thread = thread, .source = head->source, .state = head->state, .end = head->end
	};
	/* Told at their end, of another instant: what the clock sees is between its own samples. */
	bool counted = head->source != KYMO_SOURCE_GIL && head->source != KYMO_SOURCE_HELD;
	struct seen_last last;
	struct tick_row *row;
	uint32_t index = 0;
	int r;

	if (m->samples_n >= MERGE_TICK_SAMPLES_MAX) {
		m->dropped.samples++;
		return 0;
	}
	r = array_reserve(&m->samples, &m->samples_cap, m->samples_n + 1);
	if (r == 0)
		r = merge_stack(m, frames, frames_n, head->end, &key.stack);
	if (r == 0 && counted)
		r = merge_seen_find(m, head, thread, &last);
	if (r == 0)
		r = row_find(m, &key, &index);
	if (r < 0)
		return r;
	/* From here on nothing fails: a sample is in the tick as a whole or not at all. */
	row = &m->open->rows[index];
	row->count++;
	row->weight += head->weight;
	if (counted)
		merge_seen_take(&last, head, thread, &row->seen);
	m->samples[m->samples_n++] =
		(struct merge_sample_at){ index, offset_us(m, head->head.time_ns) };
	return 0;
}

int merge_event(struct merge *m, const struct event *e, const struct sample_frame *frames,
		size_t frames_n)
{
	struct tick *t = m->open;
	struct event new = *e;
	int r;

	if (t->events_n >= MERGE_TICK_EVENTS_MAX) {
		m->dropped.events++;
		return 0;
	}
	if (array_reserve(&t->events, &m->caps.events, t->events_n + 1) < 0)
		return -ENOMEM;
	if (frames_n > 0) {
		r = merge_stack(m, frames, frames_n, KYMO_END_NONE, &new.stack);
		if (r < 0)
			return r;
	}
	if (e->fields) {
		new.fields = strdup(e->fields);
		if (!new.fields)
			return -ENOMEM;
	}
	t->events[t->events_n++] = new;
	return 0;
}

/* Twice in one tick (swept, then ended): the changes add up, the gauges are those of the later. */
static void process_tick_add(struct process_tick *sum, const struct process_tick *p)
{
	struct seen before = sum->change;

	before.rss_anon_pages = before.rss_file_pages = before.rss_shmem_pages = before.swap_pages =
		0;
	sum->change = p->change;
	merge_seen_add(&sum->change, &before);
	sum->ended |= p->ended;
}

int merge_process_tick(struct merge *m, const struct process_tick *p)
{
	struct tick *t = m->open;
	uint32_t *index;
	bool new;

	if (array_reserve(&t->process_ticks, &m->caps.process_ticks, t->process_ticks_n + 1) < 0)
		return -ENOMEM;
	index = hmap_put(&m->process_rows, &p->process, &new);
	if (!index)
		return -ENOMEM;
	if (!new) {
		process_tick_add(&t->process_ticks[*index], p);
		return 0;
	}
	*index = (uint32_t)t->process_ticks_n;
	t->process_ticks[t->process_ticks_n++] = *p;
	return 0;
}

int merge_quality(struct merge *m, const char *counter, int64_t value)
{
	struct tick *t = m->open;
	char *name;

	for (size_t i = 0; i < t->quality_n; i++) {
		if (strcmp(t->quality[i].counter, counter) == 0) {
			t->quality[i].value += value;
			return 0;
		}
	}
	if (t->quality_n >= MERGE_TICK_QUALITY_MAX) {
		m->dropped.quality++;
		return 0;
	}
	name = strdup(counter);
	if (!name || array_reserve(&t->quality, &m->caps.quality, t->quality_n + 1) < 0) {
		free(name);
		return -ENOMEM;
	}
	t->quality[t->quality_n++] = (struct quality){ name, value };
	return 0;
}
