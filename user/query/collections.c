/* SPDX-License-Identifier: Apache-2.0 */
#include "query/collections.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/hmap.h"
#include "query/events.h"

#define FRAMES_MAX 256

static const struct process unknown_process = { .exe = (char *)"", .cmdline = (char *)"" };

/* A process that goes on in the next segment has a row of its own there, and so have functions. */
struct process_key {
	uint64_t start_ns;
	uint32_t pid;
	char comm[KYMO_COMM_SIZE];
	uint32_t pad;
};

static_assert(sizeof(struct process_key) == 32, "a key without padding");

struct place_key {
	uint64_t process;		 /* its index */
	uint64_t callers[QUERY_CALLERS]; /* by what they are called */
};

struct place_value {
	const struct function *callers[QUERY_CALLERS];
	uint64_t count, total_ns;
};

struct collector {
	struct profile *profile;
	struct query_collections c;
	size_t cap;
	struct hmap index;  /* struct process_key -> uint32_t */
	struct hmap places; /* struct place_key -> struct place_value */
};

static void collector_release(struct collector *c)
{
	hmap_release(&c->index);
	hmap_release(&c->places);
	query_collections_release(&c->c);
}

static uint64_t add_u64(uint64_t a, uint64_t b)
{
	return a + b < a ? UINT64_MAX : a + b;
}

static int64_t add_i64(int64_t a, int64_t b)
{
	int64_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return b < 0 ? INT64_MIN : INT64_MAX;
	return sum;
}

static int find_process(struct collector *c, const struct process *process, uint32_t *ret)
{
	struct process_key key = { .start_ns = process->start_ns, .pid = process->pid };
	uint32_t *index;
	bool is_new;

	if (array_reserve(&c->c.items, &c->cap, c->c.n + 1) < 0)
		return -ENOMEM;
	memcpy(key.comm, process->comm, sizeof(key.comm));
	index = hmap_put(&c->index, &key, &is_new);
	if (!index)
		return -ENOMEM;
	if (is_new) {
		*index = (uint32_t)c->c.n;
		c->c.items[c->c.n++] = (struct query_collecting){ .process = process };
	}
	*ret = *index;
	return 0;
}

static uint64_t hash_function(const struct function *f)
{
	uint64_t h = hash_bytes(f->name, strlen(f->name) + 1, f->first_line + 1);

	return hash_bytes(f->file, strlen(f->file) + 1, h);
}

static int add_place(struct collector *c, uint32_t process, const struct query_event *e)
{
	struct query_frame frames[FRAMES_MAX];
	const struct function *functions[QUERY_CALLERS] = { 0 };
	struct place_key key = { .process = process };
	size_t n = query_event_stack(c->profile, e, frames, FRAMES_MAX), callers = 0;
	struct place_value *v;

	for (size_t i = 0; i < n && callers < QUERY_CALLERS; i++)
		if (frames[i].kind == FRAME_PYTHON && frames[i].function)
			functions[callers++] = frames[i].function;
	for (size_t i = 0; i < callers; i++)
		key.callers[i] = hash_function(functions[i]);
	v = hmap_put(&c->places, &key, NULL);
	if (!v)
		return -ENOMEM;
	memcpy(v->callers, functions, sizeof(functions));
	v->count++;
	v->total_ns = add_u64(v->total_ns, e->duration_ns);
	return 0;
}

static void add_to(struct query_collecting *q, const struct query_event *e)
{
	int64_t generation = -1, objects = 0, before = 0, after = 0;

	(void)query_event_number(e, "generation", &generation);
	if (generation < 0 || generation >= QUERY_GENERATIONS)
		generation = QUERY_GENERATIONS;
	(void)query_event_number(e, "collected", &objects);
	if (query_event_number(e, "rss_before_bytes", &before) &&
	    query_event_number(e, "rss_after_bytes", &after) && before >= 0 && after >= 0)
		q->rss_bytes = add_i64(q->rss_bytes, before - after);
	q->count++;
	q->total_ns = add_u64(q->total_ns, e->duration_ns);
	if (e->duration_ns > q->max_ns)
		q->max_ns = e->duration_ns;
	q->by_generation[generation]++;
	q->objects = add_i64(q->objects, objects);
}

static int collect(void *data, const struct query_event *e)
{
	struct collector *c = data;
	uint32_t process;
	int r;

	if (e->kind != EVENT_GC)
		return 0;
	r = find_process(c, e->process ? e->process : &unknown_process, &process);
	if (r < 0)
		return r;
	add_to(&c->c.items[process], e);
	add_to(&c->c.total, e);
	return add_place(c, process, e);
}

/* Keeps those that took longest. */
static void keep_place(struct query_collecting *q, const struct query_place *place)
{
	size_t at = q->places_n;

	while (at > 0 && q->places[at - 1].total_ns < place->total_ns)
		at--;
	if (at == QUERY_PLACES_BY_PROC)
		return;
	if (q->places_n < QUERY_PLACES_BY_PROC)
		q->places_n++;
	memmove(&q->places[at + 1], &q->places[at], (q->places_n - at - 1) * sizeof(*q->places));
	q->places[at] = *place;
}

static void keep_places(struct collector *c)
{
	const void *data;
	size_t at = 0;
	void *value;

	while (hmap_next(&c->places, &at, &data, &value)) {
		const struct place_key *key = data;
		const struct place_value *v = value;
		struct query_place place = { .count = v->count, .total_ns = v->total_ns };

		memcpy(place.callers, v->callers, sizeof(place.callers));
		keep_place(&c->c.items[key->process], &place);
	}
}

static int compare(const void *pa, const void *pb)
{
	const struct query_collecting *a = pa, *b = pb;

	if (a->total_ns != b->total_ns)
		return a->total_ns > b->total_ns ? -1 : 1;
	if (a->process->pid != b->process->pid)
		return a->process->pid < b->process->pid ? -1 : 1;
	return a->process->id < b->process->id ? -1 : a->process->id > b->process->id;
}

int query_collections(struct profile *p, const struct query_selection *s,
		      struct query_collections *ret)
{
	_cleanup_(collector_release) struct collector c = { .profile = p };
	int r;

	hmap_init(&c.index, sizeof(struct process_key), sizeof(uint32_t), 0);
	hmap_init(&c.places, sizeof(struct place_key), sizeof(struct place_value), 0);
	r = query_each_event(p, s, collect, &c);
	if (r < 0)
		return r;
	keep_places(&c);
	if (c.c.n)
		qsort(c.c.items, c.c.n, sizeof(*c.c.items), compare);
	*ret = c.c;
	c.c = (struct query_collections){ 0 };
	return 0;
}

void query_collections_release(struct query_collections *c)
{
	free(c->items);
	*c = (struct query_collections){ 0 };
}
