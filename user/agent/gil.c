/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/gil.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/resolve.h"
#include "base/hmap.h"

#define LOCKS_MAX	  256
#define HOLDERS_MAX	  32 /* that are remembered of a lock */
#define HOLDER_FRAMES_MAX 64
#define HOLDER_NAMES_MAX  1024
#define HOLDER_NAME_BYTES 600

/* Of a process: an interpreter in it may have a lock of its own. */
struct lock_key {
	uint64_t process_start_ns, address;
	uint64_t pid;
};

/* Somebody seen with the lock: for a period of the clock up to end_ns, or off the CPU. */
struct holder {
	uint64_t start_ns, end_ns; /* end: UINT64_MAX while it is not known */
	uint32_t tid;
	uint32_t function; /* "[GIL held by NAME]" */
	uint32_t frames_n;
	struct sample_frame frames[HOLDER_FRAMES_MAX];
};

struct lock {
	struct holder holders[HOLDERS_MAX];
	uint32_t next; /* the oldest, to be replaced */
};

struct gil {
	struct merge *merge;
	struct hmap locks;     /* lock_key -> struct lock * */
	struct hmap functions; /* hash of a name -> function */
	uint64_t random;
	struct sample_frame frames[RESOLVE_FRAMES_MAX];
};

int gil_new(struct merge *merge, struct gil **ret)
{
	struct gil *g = calloc(1, sizeof(*g));

	if (!g)
		return -ENOMEM;
	g->merge = merge;
	g->random = 88172645463325252ULL;
	hmap_init(&g->locks, sizeof(struct lock_key), sizeof(struct lock *), LOCKS_MAX);
	hmap_init(&g->functions, sizeof(uint64_t), sizeof(uint32_t), HOLDER_NAMES_MAX);
	*ret = g;
	return 0;
}

static void forget_locks(struct gil *g)
{
	const void *key;
	size_t pos = 0;
	void *value;

	while (hmap_next(&g->locks, &pos, &key, &value))
		free(*(struct lock **)value);
	hmap_clear(&g->locks);
}

void gil_renew(struct gil *g)
{
	forget_locks(g);
	hmap_clear(&g->functions);
}

void gil_free(struct gil *g)
{
	if (!g)
		return;
	gil_renew(g);
	hmap_release(&g->locks);
	hmap_release(&g->functions);
	free(g);
}

static uint32_t synthetic(struct gil *g, const char *name)
{
	struct function fn = { .kind = FRAME_SYNTHETIC, .name = (char *)name, .file = (char *)"" };

	return merge_function(g->merge, &fn);
}

/* Names are without end, such frames are not. */
static uint32_t held_by(struct gil *g, const char *name)
{
	char text[HOLDER_NAME_BYTES];
	uint64_t hash = hash_bytes(name, strlen(name), 0);
	uint32_t *function = hmap_put(&g->functions, &hash, NULL);

	if (!function)
		return synthetic(g, GIL_HELD_BY "another]");
	if (!*function) {
		snprintf(text, sizeof(text), GIL_HELD_BY "%s]", name);
		*function = synthetic(g, text);
	}
	return *function;
}

static struct lock *lock_get(struct gil *g, const struct kymo_sample *head, bool make)
{
	const struct lock_key key = { head->who.process_start_ns, head->aux, head->who.pid };
	struct lock **at = hmap_get(&g->locks, &key);

	if (at || !make)
		return at ? *at : NULL;
	if (g->locks.count >= LOCKS_MAX)
		forget_locks(g);
	at = hmap_put(&g->locks, &key, NULL);
	if (!at)
		return NULL;
	*at = calloc(1, sizeof(**at));
	if (*at)
		return *at;
	hmap_remove(&g->locks, &key);
	return NULL;
}

/* Nobody has it any more who had it before that time; but for that thread, which has it still. */
static void close_open(struct lock *l, uint64_t time_ns, uint32_t tid)
{
	for (size_t i = 0; i < HOLDERS_MAX; i++)
		if (l->holders[i].end_ns == UINT64_MAX && l->holders[i].start_ns < time_ns &&
		    l->holders[i].tid != tid)
			l->holders[i].end_ns = time_ns;
}

/* The beginning of it was told before. */
static bool finish_open(struct lock *l, const struct kymo_sample *head)
{
	for (size_t i = 0; i < HOLDERS_MAX; i++)
		if (l->holders[i].end_ns == UINT64_MAX && l->holders[i].tid == head->who.tid &&
		    l->holders[i].start_ns == head->began_ns) {
			l->holders[i].end_ns = head->head.time_ns;
			return true;
		}
	return false;
}

/* Its end has still to be told. */
static bool begins(const struct kymo_sample *head)
{
	return head->head.flags & KYMO_SAMPLE_BEGINS;
}

static void set_times(struct holder *h, const struct kymo_sample *head)
{
	uint64_t now = head->head.time_ns;

	if (head->source == KYMO_SOURCE_CPU) {
		h->start_ns = now > head->weight ? now - head->weight : 0;
		h->end_ns = now;
	} else {
		h->start_ns = head->began_ns;
		h->end_ns = begins(head) ? UINT64_MAX : now;
	}
}

int gil_held(struct gil *g, const struct kymo_sample *head, const char *name,
	     const struct sample_frame *frames, size_t n)
{
	struct lock *l = lock_get(g, head, true);
	struct holder *h;

	if (!l)
		return -ENOMEM;
	if (head->began_ns && !begins(head) && finish_open(l, head))
		return 0;
	close_open(l, head->head.time_ns, head->who.tid);
	h = &l->holders[l->next++ % HOLDERS_MAX];
	h->tid = head->who.tid;
	h->function = held_by(g, name);
	h->frames_n = (uint32_t)(n < HOLDER_FRAMES_MAX ? n : HOLDER_FRAMES_MAX);
	if (h->frames_n)
		memcpy(h->frames, frames, h->frames_n * sizeof(*frames));
	if (n > HOLDER_FRAMES_MAX)
		h->frames[HOLDER_FRAMES_MAX - 1] =
			(struct sample_frame){ .kind = FRAME_SYNTHETIC,
					       .function = synthetic(g, "[callers left out]") };
	set_times(h, head);
	return 0;
}

static uint64_t overlap(const struct holder *h, uint64_t start_ns, uint64_t end_ns)
{
	uint64_t from = h->start_ns > start_ns ? h->start_ns : start_ns;
	uint64_t to = h->end_ns < end_ns ? h->end_ns : end_ns;

	return to > from ? to - from : 0;
}

/* Below a limit that is not 0. */
static uint64_t below(struct gil *g, uint64_t limit)
{
	g->random ^= g->random << 13;
	g->random ^= g->random >> 7;
	g->random ^= g->random << 17;
	return g->random % limit;
}

/* One of those that had the lock meanwhile, in proportion to how long; NULL: nobody was met. */
static const struct holder *choose(struct gil *g, const struct lock *l,
				   const struct kymo_sample *head)
{
	uint64_t sum = 0, at;

	for (size_t i = 0; i < HOLDERS_MAX; i++)
		if (l->holders[i].tid != head->who.tid)
			sum += overlap(&l->holders[i], head->began_ns, head->head.time_ns);
	if (!sum)
		return NULL;
	at = below(g, sum);
	for (size_t i = 0; i < HOLDERS_MAX; i++) {
		uint64_t part;

		if (l->holders[i].tid == head->who.tid)
			continue;
		part = overlap(&l->holders[i], head->began_ns, head->head.time_ns);
		if (at < part)
			return &l->holders[i];
		at -= part;
	}
	return NULL;
}

size_t gil_waited(struct gil *g, const struct kymo_sample *head, const struct sample_frame *frames,
		  size_t n, const struct sample_frame **ret)
{
	const struct lock *l = lock_get(g, head, false);
	const struct holder *h = l ? choose(g, l, head) : NULL;

	*ret = frames;
	if (!h || !h->function || n + h->frames_n + 1 > RESOLVE_FRAMES_MAX)
		return n;
	memcpy(g->frames, h->frames, h->frames_n * sizeof(*frames));
	g->frames[h->frames_n] =
		(struct sample_frame){ .kind = FRAME_SYNTHETIC, .function = h->function };
	if (n)
		memcpy(g->frames + h->frames_n + 1, frames, n * sizeof(*frames));
	*ret = g->frames;
	return n + h->frames_n + 1;
}
