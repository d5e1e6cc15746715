/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/waits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WAITS_MAX 16384
#define BYTES_MAX (16UL << 20)
/* Of one: nothing waits for longer than this and counts. */
#define WEIGHT_MAX (UINT64_MAX / 2)

void waits_init(struct waits *w)
{
	*w = (struct waits){ 0 };
	hmap_init(&w->threads, sizeof(uint32_t), sizeof(struct wait_begun), WAITS_MAX);
}

static void forget_all(struct waits *w)
{
	const void *key;
	size_t pos = 0;
	void *value;

	while (hmap_next(&w->threads, &pos, &key, &value))
		free(((struct wait_begun *)value)->bytes);
	hmap_clear(&w->threads);
	w->bytes = 0;
}

void waits_release(struct waits *w)
{
	forget_all(w);
	hmap_release(&w->threads);
}

int waits_began(struct waits *w, const struct kymo_sample *head, const void *data, size_t size)
{
	struct wait_begun *b;

	/* Threads that ended long ago are among them. */
	if (w->threads.count >= WAITS_MAX || w->bytes + size > BYTES_MAX) {
		w->dropped += w->threads.count;
		forget_all(w);
	}
	b = hmap_put(&w->threads, &head->who.tid, NULL);
	if (!b)
		return -ENOMEM;
	if (b->cap < size) {
		uint8_t *more = realloc(b->bytes, size);

		if (!more)
			return -ENOMEM;
		w->bytes += size - b->cap;
		b->bytes = more;
		b->cap = size;
	}
	memcpy(b->bytes, data, size);
	b->size = size;
	b->thread_start_ns = head->who.thread_start_ns;
	b->began_ns = head->began_ns;
	return 0;
}

struct wait_begun *waits_ended(struct waits *w, const struct kymo_waited *waited)
{
	struct wait_begun *b = hmap_get(&w->threads, &waited->tid);
	struct kymo_sample *head;

	if (!b || !b->size || b->thread_start_ns != waited->thread_start_ns ||
	    b->began_ns != waited->began_ns)
		return NULL;
	head = (struct kymo_sample *)b->bytes;
	if (__builtin_mul_overflow(head->weight, waited->duration_ns, &head->weight) ||
	    head->weight > WEIGHT_MAX)
		head->weight = WEIGHT_MAX;
	head->head.flags &= (uint16_t)~KYMO_SAMPLE_BEGINS;
	head->began_ns = b->began_ns;
	head->head.time_ns = waited->head.time_ns;
	b->began_ns = UINT64_MAX; /* it has ended */
	return b;
}
