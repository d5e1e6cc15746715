/* SPDX-License-Identifier: Apache-2.0 */
#include "query/gil.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/hmap.h"
#include "query/rows.h"

#define FRAMES_MAX 2048

/* What goes on in the next segment has rows of its own there. */
struct process_key {
	uint64_t start_ns;
	uint64_t pid;
	char comm[KYMO_COMM_SIZE];
};

struct thread_key {
	uint64_t start_ns;
	uint32_t tid, process;
};

struct pair_key {
	uint64_t waiter, holder, name; /* by what they are called */
	uint64_t process;
};

struct collector {
	struct profile *profile;
	struct query_gil g;
	struct hmap processes, threads, pairs; /* -> uint32_t */
	struct query_frame frames[FRAMES_MAX];
};

static void collector_free(struct collector *c)
{
	if (!c)
		return;
	hmap_release(&c->processes);
	hmap_release(&c->threads);
	hmap_release(&c->pairs);
	query_gil_release(&c->g);
	free(c);
}

DEFINE_CLEANUP(struct collector *, collector_free);

static uint64_t add(uint64_t a, uint64_t b)
{
	return a + b < a ? UINT64_MAX : a + b;
}

static int find_process(struct collector *c, const struct process *process, uint32_t *ret)
{
	struct process_key key = { .start_ns = process->start_ns, .pid = process->pid };
	struct query_gil *g = &c->g;
	uint32_t *index;
	bool is_new;

	if (array_reserve(&g->processes, &g->processes_cap, g->processes_n + 1) < 0)
		return -ENOMEM;
	memcpy(key.comm, process->comm, sizeof(key.comm));
	index = hmap_put(&c->processes, &key, &is_new);
	if (!index)
		return -ENOMEM;
	if (is_new) {
		*index = (uint32_t)g->processes_n;
		g->processes[g->processes_n++] = (struct query_gil_process){ .process = process };
	}
	*ret = *index;
	return 0;
}

static int find_thread(struct collector *c, const struct query_row *row, uint32_t process,
		       uint32_t *ret)
{
	struct thread_key key = { row->thread->start_ns, row->thread->tid, process };
	struct query_gil *g = &c->g;
	uint32_t *index;
	bool is_new;

	if (array_reserve(&g->threads, &g->threads_cap, g->threads_n + 1) < 0)
		return -ENOMEM;
	index = hmap_put(&c->threads, &key, &is_new);
	if (!index)
		return -ENOMEM;
	if (is_new) {
		*index = (uint32_t)g->threads_n;
		g->processes[process].threads++;
		g->threads[g->threads_n++] = (struct query_gil_thread){ .process = row->process,
									.thread = row->thread,
									.of = process };
	}
	/* A segment that was begun later knows its name better. */
	g->threads[*index].thread = row->thread;
	*ret = *index;
	return 0;
}

static void add_times(struct query_gil_times *to, const struct tick_row *row)
{
	bool holding = row->state & KYMO_STATE_GIL_HOLDING;

	switch (row->source) {
	case KYMO_SOURCE_GIL:
		to->waiting_ns = add(to->waiting_ns, row->weight);
		to->waits = add(to->waits, row->count);
		break;
	case KYMO_SOURCE_HELD:
		to->held_ns = add(to->held_ns, row->weight);
		break;
	default:
		if (holding)
			to->holding_ns = add(to->holding_ns, row->weight);
		else
			to->without_ns = add(to->without_ns, row->weight);
		if (holding && row->state & KYMO_STATE_IN_GC)
			to->gc_ns = add(to->gc_ns, row->weight);
	}
}

/* ---- who waits for whom ---- */

static const struct function *innermost(const struct query_frame *frames, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (frames[i].kind == FRAME_PYTHON && frames[i].function)
			return frames[i].function;
	return NULL;
}

/* Where in the stack the waiter's own begins, behind the frame that names the holder: the number of frames before that. */
static bool find_holder(const struct query_frame *frames, size_t n, size_t *ret)
{
	for (size_t i = 0; i < n; i++) {
		const struct function *f = frames[i].function;

		if (frames[i].kind == FRAME_SYNTHETIC && f &&
		    strncmp(f->name, GIL_HELD_BY, strlen(GIL_HELD_BY)) == 0) {
			*ret = i;
			return true;
		}
	}
	return false;
}

static uint64_t hash_function(const struct function *f)
{
	uint64_t h;

	if (!f)
		return 0;
	h = hash_bytes(f->name, strlen(f->name) + 1, f->first_line + 1);
	return hash_bytes(f->file, strlen(f->file) + 1, h);
}

static int add_pair(struct collector *c, const struct query_row *row, uint32_t process)
{
	size_t n = query_stack(c->profile, row, c->frames, FRAMES_MAX), at = 0;
	bool met = find_holder(c->frames, n, &at);
	size_t own = met ? at + 1 : 0;
	struct query_gil_pair pair = { .process = row->process,
				       .waiter = innermost(c->frames + own, n - own),
				       .holder = met ? innermost(c->frames, at) : NULL,
				       .name = met ? c->frames[at].function->name : NULL };
	struct pair_key key = { .waiter = hash_function(pair.waiter),
				.holder = hash_function(pair.holder),
				.name = met ? hash_function(c->frames[at].function) : 0,
				.process = process };
	struct query_gil *g = &c->g;
	uint32_t *index;
	bool is_new;

	if (array_reserve(&g->pairs, &g->pairs_cap, g->pairs_n + 1) < 0)
		return -ENOMEM;
	index = hmap_put(&c->pairs, &key, &is_new);
	if (!index)
		return -ENOMEM;
	if (is_new) {
		*index = (uint32_t)g->pairs_n;
		g->pairs[g->pairs_n++] = pair;
	}
	g->pairs[*index].waiting_ns = add(g->pairs[*index].waiting_ns, row->row->weight);
	g->pairs[*index].waits = add(g->pairs[*index].waits, row->row->count);
	return 0;
}

static int collect(void *data, const struct query_row *row)
{
	struct collector *c = data;
	const struct tick_row *r = row->row;
	uint32_t process, thread;
	int e;

	if (r->source != KYMO_SOURCE_GIL && r->source != KYMO_SOURCE_HELD &&
	    (r->source != KYMO_SOURCE_CPU || !(r->state & KYMO_STATE_PYTHON)))
		return 0;
	e = find_process(c, row->process, &process);
	if (e == 0)
		e = find_thread(c, row, process, &thread);
	if (e < 0)
		return e;
	add_times(&c->g.threads[thread].times, r);
	add_times(&c->g.processes[process].times, r);
	add_times(&c->g.total, r);
	return r->source == KYMO_SOURCE_GIL ? add_pair(c, row, process) : 0;
}

static int compare_times(const struct query_gil_times *a, const struct query_gil_times *b)
{
	uint64_t x = add(a->holding_ns, a->held_ns), y = add(b->holding_ns, b->held_ns);

	if (a->waiting_ns != b->waiting_ns)
		return a->waiting_ns > b->waiting_ns ? -1 : 1;
	if (x != y)
		return x > y ? -1 : 1;
	return a->without_ns > b->without_ns ? -1 : a->without_ns < b->without_ns;
}

static int compare_processes(const void *pa, const void *pb)
{
	const struct query_gil_process *a = pa, *b = pb;
	int c = compare_times(&a->times, &b->times);

	return c ? c : (a->process->id > b->process->id) - (a->process->id < b->process->id);
}

static int compare_threads(const void *pa, const void *pb)
{
	const struct query_gil_thread *a = pa, *b = pb;
	int c = compare_times(&a->times, &b->times);

	return c ? c : (a->thread->tid > b->thread->tid) - (a->thread->tid < b->thread->tid);
}

static int compare_pairs(const void *pa, const void *pb)
{
	const struct query_gil_pair *a = pa, *b = pb;

	if (a->waiting_ns != b->waiting_ns)
		return a->waiting_ns > b->waiting_ns ? -1 : 1;
	return a->waits > b->waits ? -1 : a->waits < b->waits;
}

/* Threads tell their process by its place, which changes. */
static int sort_all(struct query_gil *g)
{
	_cleanup_free_ uint32_t *place = calloc(g->processes_n + 1, sizeof(*place));

	if (!place)
		return -ENOMEM;
	for (size_t i = 0; i < g->processes_n; i++)
		g->processes[i].place = (uint32_t)i;
	if (g->processes_n)
		qsort(g->processes, g->processes_n, sizeof(*g->processes), compare_processes);
	for (size_t i = 0; i < g->processes_n; i++)
		place[g->processes[i].place] = (uint32_t)i;
	for (size_t i = 0; i < g->threads_n; i++)
		g->threads[i].of = place[g->threads[i].of];
	if (g->threads_n)
		qsort(g->threads, g->threads_n, sizeof(*g->threads), compare_threads);
	if (g->pairs_n)
		qsort(g->pairs, g->pairs_n, sizeof(*g->pairs), compare_pairs);
	return 0;
}

static uint64_t selected_ns(const struct profile *p, const struct query_selection *s)
{
	uint64_t sum = 0;
	size_t n;
	const struct profile_tick *ticks = profile_ticks(p, &n);

	for (size_t i = 0; i < n; i++)
		if (query_selects_tick(p, s, &ticks[i]) && ticks[i].end_ns > ticks[i].start_ns)
			sum = add(sum, ticks[i].end_ns - ticks[i].start_ns);
	return sum;
}

int query_gil(struct profile *p, const struct query_selection *s, struct query_gil *ret)
{
	_cleanup_(collector_freep) struct collector *c = calloc(1, sizeof(*c));
	struct query_selection all = *s;
	int r;

	if (!c)
		return -ENOMEM;
	c->profile = p;
	hmap_init(&c->processes, sizeof(struct process_key), sizeof(uint32_t), 0);
	hmap_init(&c->threads, sizeof(struct thread_key), sizeof(uint32_t), 0);
	hmap_init(&c->pairs, sizeof(struct pair_key), sizeof(uint32_t), 0);
	all.source = 0;
	r = query_each_row(p, &all, collect, c, &c->g.damaged_ticks);
	if (r == 0)
		r = sort_all(&c->g);
	if (r < 0)
		return r;
	c->g.duration_ns = selected_ns(p, s);
	*ret = c->g;
	c->g = (struct query_gil){ 0 };
	return 0;
}

void query_gil_release(struct query_gil *g)
{
	free(g->processes);
	free(g->threads);
	free(g->pairs);
	*g = (struct query_gil){ 0 };
}
