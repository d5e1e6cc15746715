/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/writer.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/cleanup.h"

/* A minute of ticks of one second: what a stalled disk may take before samples are lost. */
#define WRITER_QUEUE_MAX 60
/* Hollow ticks (their samples dropped) still carry the names that later ticks refer to. */
#define WRITER_HOLLOW_MAX 600

enum item_kind {
	ITEM_TICK,
	ITEM_NAMES,
	ITEM_NEXT,	    /* another profile begins */
	ITEM_RETIRED_NAMES, /* of the one before */
	ITEM_RETIRED_END,
};

struct item {
	struct item *next;
	enum item_kind kind;
	struct tick *tick;
	struct late_names *names;
};

struct writer {
	struct writer_output output;
	/* the thread's own while it runs */
	struct store *store;
	struct store *retired; /* NULL = none */

	pthread_t thread;
	bool running;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	/* under the lock */
	struct item *head, **tail;
	size_t queued;
	bool finish;
	int error;
	uint64_t dropped;
	uint64_t bytes;
};

static void item_free(struct item *i)
{
	tick_free(i->tick);
	late_names_free(i->names);
	free(i);
}
DEFINE_CLEANUP(struct item *, item_free);

static struct item *writer_take(struct writer *w)
{
	struct item *i;

	pthread_mutex_lock(&w->lock);
	while (!w->head && !w->finish)
		pthread_cond_wait(&w->wake, &w->lock);
	i = w->head;
	if (i) {
		w->head = i->next;
		if (!w->head)
			w->tail = &w->head;
		w->queued--;
	}
	pthread_mutex_unlock(&w->lock);
	return i;
}

static int retired_end(struct writer *w)
{
	return w->retired ? w->output.end(w->output.data, TAKE_PTR(w->retired)) : 0;
}

/* The profile before stays open for the names that still come; one before that has had its time. */
static int next_profile(struct writer *w)
{
	struct store *next;
	int r = retired_end(w);

	if (r == 0)
		r = w->output.next(w->output.data, &next);
	if (r < 0)
		return r;
	w->retired = w->store;
	w->store = next;
	return 0;
}

static int write_item(struct writer *w, const struct item *i)
{
	switch (i->kind) {
	case ITEM_TICK:
		return store_write_tick(w->store, i->tick);
	case ITEM_NAMES:
		return store_write_names(w->store, i->names);
	case ITEM_NEXT:
		return next_profile(w);
	case ITEM_RETIRED_NAMES:
		return w->retired ? store_write_names(w->retired, i->names) : 0;
	case ITEM_RETIRED_END:
		return retired_end(w);
	}
	return -EINVAL;
}

static void *writer_run(void *data)
{
	struct writer *w = data;
	struct item *i;

	while ((i = writer_take(w))) {
		int r = writer_error(w);

		if (r == 0)
			r = write_item(w, i);
		item_free(i);

		pthread_mutex_lock(&w->lock);
		if (r < 0)
			w->error = r;
		w->bytes = store_bytes(w->store);
		pthread_mutex_unlock(&w->lock);
	}
	if (w->retired) {
		int r = retired_end(w);

		pthread_mutex_lock(&w->lock);
		if (r < 0 && w->error == 0)
			w->error = r;
		pthread_mutex_unlock(&w->lock);
	}
	return NULL;
}

int writer_new(struct store *store, const struct writer_output *output, struct writer **ret)
{
	struct writer *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->store = store;
	if (output)
		w->output = *output;
	w->tail = &w->head;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->wake, NULL);
	r = pthread_create(&w->thread, NULL, writer_run, w);
	if (r != 0) {
		writer_free(w);
		return -r;
	}
	w->running = true;
	*ret = w;
	return 0;
}

/* Leaves health, quality and the names that later ticks refer to. */
static void tick_hollow(struct tick *t)
{
	free(TAKE_PTR(t->rows));
	t->rows_n = 0;
	free(TAKE_PTR(t->offsets_us));
	t->offsets_n = 0;
	free(TAKE_PTR(t->process_ticks));
	t->process_ticks_n = 0;
}

static int writer_put(struct writer *w, struct item *new)
{
	_cleanup_(item_freep) struct item *i = new;
	int r = 0;

	pthread_mutex_lock(&w->lock);
	if (w->error < 0) {
		r = w->error;
	} else if (w->queued >= WRITER_QUEUE_MAX + WRITER_HOLLOW_MAX) {
		r = w->error = -ETIMEDOUT;
	} else {
		if (i->tick && w->queued >= WRITER_QUEUE_MAX) {
			tick_hollow(i->tick);
			w->dropped++;
		}
		i->next = NULL;
		*w->tail = i;
		w->tail = &i->next;
		w->queued++;
		i = NULL;
		pthread_cond_signal(&w->wake);
	}
	pthread_mutex_unlock(&w->lock);
	return r;
}

static int put(struct writer *w, enum item_kind kind, struct tick *tick, struct late_names *names)
{
	struct item *i = calloc(1, sizeof(*i));

	if (!i) {
		tick_free(tick);
		late_names_free(names);
		return -ENOMEM;
	}
	i->kind = kind;
	i->tick = tick;
	i->names = names;
	return writer_put(w, i);
}

int writer_tick(struct writer *w, struct tick *tick)
{
	return put(w, ITEM_TICK, tick, NULL);
}

int writer_names(struct writer *w, struct late_names *names)
{
	return put(w, ITEM_NAMES, NULL, names);
}

int writer_next(struct writer *w)
{
	return put(w, ITEM_NEXT, NULL, NULL);
}

int writer_retired_names(struct writer *w, struct late_names *names)
{
	return put(w, ITEM_RETIRED_NAMES, NULL, names);
}

int writer_retired_end(struct writer *w)
{
	return put(w, ITEM_RETIRED_END, NULL, NULL);
}

int writer_error(struct writer *w)
{
	int r;

	pthread_mutex_lock(&w->lock);
	r = w->error;
	pthread_mutex_unlock(&w->lock);
	return r;
}

uint64_t writer_dropped(struct writer *w)
{
	uint64_t n;

	pthread_mutex_lock(&w->lock);
	n = w->dropped;
	pthread_mutex_unlock(&w->lock);
	return n;
}

uint64_t writer_bytes(struct writer *w)
{
	uint64_t n;

	pthread_mutex_lock(&w->lock);
	n = w->bytes;
	pthread_mutex_unlock(&w->lock);
	return n;
}

int writer_finish(struct writer *w)
{
	if (w->running) {
		pthread_mutex_lock(&w->lock);
		w->finish = true;
		pthread_cond_signal(&w->wake);
		pthread_mutex_unlock(&w->lock);
		pthread_join(w->thread, NULL);
		w->running = false;
	}
	return w->error;
}

void writer_free(struct writer *w)
{
	struct item *i;

	if (!w)
		return;
	writer_finish(w);
	while ((i = w->head)) {
		w->head = i->next;
		item_free(i);
	}
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
