/* SPDX-License-Identifier: Apache-2.0 */
/* Random ticks of one recording, from a seed: every field takes large, small and odd values. */
#ifndef KYMO_TEST_STORE_WORLD_H
#define KYMO_TEST_STORE_WORLD_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/tick.h"

struct world {
	uint64_t seed;
	uint32_t ticks, binaries, functions, frames, stacks, processes, threads, metrics;
};

static inline uint64_t world_random(struct world *w)
{
	/* splitmix64 */
	uint64_t z = w->seed += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static inline uint32_t world_below(struct world *w, uint32_t n)
{
	return n ? (uint32_t)(world_random(w) % n) : 0;
}

/* Of any size up to 64 bits; small ones as often as large ones. */
static inline uint64_t world_number(struct world *w)
{
	return world_random(w) >> world_below(w, 64);
}

static inline char *world_text(struct world *w, const char *what, uint32_t id)
{
	char *text = NULL;

	if (asprintf(&text, "%s %u/%u;\n\xc3\xa4", what, id, world_below(w, 1000)) < 0)
		abort();
	return text;
}

static inline void *world_array(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	if (!p)
		abort();
	return p;
}

static inline void world_names(struct world *w, struct tick *t, uint32_t n)
{
	t->binaries_n = t->functions_n = t->frames_n = t->stacks_n = n;
	t->binaries = world_array(n, sizeof(*t->binaries));
	t->functions = world_array(n, sizeof(*t->functions));
	t->frames = world_array(n, sizeof(*t->frames));
	t->stacks = world_array(n, sizeof(*t->stacks));
	for (uint32_t i = 0; i < n; i++) {
		struct binary *b = &t->binaries[i];

		*b = (struct binary){ .id = ++w->binaries, .kind = 1 + world_below(w, 5) };
		b->path = world_text(w, "/lib", b->id);
		b->inode = world_number(w);
		b->dev = (uint32_t)world_number(w);
		b->build_id.size = world_below(w, 3) ? 0 : 20;
		memset(b->build_id.bytes, (int)world_below(w, 256), b->build_id.size);
		t->functions[i] = (struct function){ .id = ++w->functions,
						     .kind = 1 + world_below(w, 4),
						     .binary = world_below(w, w->binaries + 1),
						     .name = world_text(w, "f", w->functions),
						     .file = world_text(w, "file", w->functions),
						     .first_line = (uint32_t)world_number(w) };
		t->frames[i] = (struct frame){ .id = ++w->frames,
					       .kind = 1 + world_below(w, 4),
					       .binary = world_below(w, w->binaries + 1),
					       .offset = world_number(w),
					       .function = world_below(w, w->functions + 1),
					       .line = (uint32_t)world_number(w),
					       .by_fp = world_below(w, 2) };
		t->stacks[i] = (struct stack){ .id = w->stacks + 1,
					       .parent = world_below(w, w->stacks + 1),
					       .frame = 1 + world_below(w, w->frames) };
		w->stacks++;
	}
}

static inline void world_comm(struct world *w, char comm[KYMO_COMM_SIZE])
{
	snprintf(comm, KYMO_COMM_SIZE, "comm %u", world_below(w, 100));
}

static inline void world_processes(struct world *w, struct tick *t, uint32_t n)
{
	t->processes_n = t->threads_n = n;
	t->processes = world_array(n, sizeof(*t->processes));
	t->threads = world_array(n, sizeof(*t->threads));
	for (uint32_t i = 0; i < n; i++) {
		struct process *p = &t->processes[i];
		struct thread *v = &t->threads[i];

		*p = (struct process){ .id = ++w->processes,
				       .pid = (uint32_t)world_number(w),
				       .parent_pid = (uint32_t)world_number(w),
				       .uid = (uint32_t)world_number(w),
				       .start_ns = world_number(w),
				       .cgroup_id = world_number(w) };
		world_comm(w, p->comm);
		p->exe = world_text(w, "/bin", p->id);
		p->cmdline = world_text(w, "arguments", p->id);
		*v = (struct thread){ .id = ++w->threads,
				      .process = 1 + world_below(w, w->processes),
				      .tid = (uint32_t)world_number(w),
				      .start_ns = world_number(w) };
		world_comm(w, v->comm);
		if (v->id % 2)
			v->name = world_text(w, "worker", v->id);
	}
}

static inline struct seen world_seen(struct world *w, uint32_t percent)
{
	int64_t v[SEEN_FIELDS];
	struct seen s;

	for (int i = 0; i < SEEN_FIELDS; i++) {
		v[i] = world_below(w, 100) < percent ? (int64_t)world_number(w) : 0;
		if (world_below(w, 4) == 0 && v[i] > 0)
			v[i] = -v[i];
	}
	memcpy(&s, v, sizeof(s));
	return s;
}

static inline int world_compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Rows in the order of their key: a few per thread. */
static inline void world_rows(struct world *w, struct tick *t, uint32_t n)
{
	uint32_t thread = 0, stack = 0, at = 0;

	t->rows = world_array(n, sizeof(*t->rows));
	t->offsets_us = world_array(n * 4, sizeof(*t->offsets_us));
	for (uint32_t i = 0; i < n; i++) {
		struct tick_row *row = &t->rows[i];

		if (i == 0 || world_below(w, 3) == 0) {
			thread += 1 + world_below(w, 3);
			stack = 0;
		}
		stack += 1 + world_below(w, 2) * (uint32_t)(world_number(w) >> 44);
		*row = (struct tick_row){ .thread = thread,
					  .stack = stack,
					  .source = (uint16_t)(1 + world_below(w, 5)),
					  .state = (uint16_t)world_below(w, 256),
					  .end = world_below(w, KYMO_END_MAX),
					  .count = 1 + world_below(w, 4),
					  .first_offset = at };
		row->weight = world_below(w, 4) ? row->count * 10000000ULL : world_number(w);
		row->seen = world_seen(w, 20);
		for (uint32_t k = 0; k < row->count; k++)
			t->offsets_us[at + k] = (uint32_t)world_number(w);
		qsort(t->offsets_us + at, row->count, sizeof(uint32_t), world_compare_u32);
		at += row->count;
	}
	t->rows_n = n;
	t->offsets_n = at;
}

static inline void world_health(struct world *w, struct health *h)
{
	uint32_t n = world_below(w, 4);

	h->read_errors = world_below(w, 3);
	for (int i = 0; i < HEALTH_MAX; i++) {
		h->present[i] = world_below(w, 5) != 0;
		h->value[i] = h->present[i] ? (int64_t)world_number(w) : 0;
	}
	h->metrics = world_array(n, sizeof(*h->metrics));
	for (uint32_t i = 0; i < n; i++) {
		h->metrics[i] = (struct health_metric){ .id = ++w->metrics, .kind = HEALTH_GAUGE };
		h->metrics[i].name = world_text(w, "metric", w->metrics);
		h->metrics[i].labels = world_text(w, "cpu=", w->metrics);
		h->metrics[i].unit = strdup("By");
	}
	h->metrics_n = n;
	h->labels = world_array(w->metrics, sizeof(*h->labels));
	for (uint32_t i = 0; i < w->metrics; i++)
		h->labels[i] =
			(struct health_label){ .metric = i + 1, .value = (int64_t)world_number(w) };
	h->labels_n = w->metrics;
}

static inline void world_accounts(struct world *w, struct tick *t)
{
	t->process_ticks = world_array(w->processes, sizeof(*t->process_ticks));
	for (uint32_t i = 0; i < w->processes; i++)
		t->process_ticks[t->process_ticks_n++] =
			(struct process_tick){ .process = i + 1,
					       .ended = world_below(w, 10) == 0,
					       .change = world_seen(w, 50) };
	t->events_n = world_below(w, 3);
	t->events = world_array(t->events_n, sizeof(*t->events));
	for (size_t i = 0; i < t->events_n; i++)
		t->events[i] =
			(struct event){ .kind = 1 + world_below(w, EVENT_KIND_MAX - 1),
					.time_ns = world_number(w),
					.duration_ns = world_number(w),
					.thread = world_below(w, w->threads + 1),
					.stack = world_below(w, w->stacks + 1),
					.fields = world_below(w, 2) ? strdup("{\"a\":1}") : NULL };
	t->quality_n = 3;
	t->quality = world_array(3, sizeof(*t->quality));
	for (uint32_t i = 0; i < 3; i++) {
		t->quality[i].counter = world_text(w, "counter", i * 1000);
		t->quality[i].value = 1 + (int64_t)(world_number(w) >> 1);
	}
}

/* The next tick: `news` of each name, process and thread, `rows` rows. Free it with tick_free. */
static inline struct tick *world_tick(struct world *w, uint32_t news, uint32_t rows)
{
	struct tick *t = world_array(1, sizeof(*t));

	t->id = ++w->ticks;
	t->start_ns = 1000000000ULL * t->id;
	t->end_ns = t->start_ns + 1000000000ULL;
	t->wall_ns = 1700000000000000000ULL + t->end_ns;
	world_health(w, &t->health);
	world_names(w, t, news);
	world_processes(w, t, news);
	world_rows(w, t, rows);
	world_accounts(w, t);
	return t;
}

#endif
