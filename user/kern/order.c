/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/order.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

void order_release(struct order *o)
{
	buf_release(&o->bytes);
	buf_release(&o->spare);
	free(o->items);
	*o = (struct order){ .max_bytes = o->max_bytes };
}

static int add(struct order *o, enum order_kind kind, uint64_t time_ns, const void *head,
	       size_t head_size, const void *tail, size_t tail_size)
{
	static const uint8_t zeroes[8];
	size_t size = head_size + tail_size, padding = -size & 7;
	int r;

	if (size > UINT32_MAX || o->bytes.size + size + padding > o->max_bytes)
		return -ENOSPC;
	r = array_reserve(&o->items, &o->items_cap, o->items_n + 1);
	if (r == 0)
		r = buf_reserve(&o->bytes, size + padding);
	if (r < 0)
		return r;
	o->items[o->items_n++] = (struct order_item){ .time_ns = time_ns,
						      .sequence = o->sequence++,
						      .offset = o->bytes.size,
						      .size = (uint32_t)size,
						      .kind = kind };
	/* Reserved above: these cannot fail. */
	(void)buf_append(&o->bytes, head, head_size);
	if (tail_size)
		(void)buf_append(&o->bytes, tail, tail_size);
	(void)buf_append(&o->bytes, zeroes, padding);
	return 0;
}

int order_add(struct order *o, enum order_kind kind, uint64_t time_ns, const void *head,
	      size_t head_size, const void *tail, size_t tail_size)
{
	int r = add(o, kind, time_ns, head, head_size, tail, tail_size);

	if (r < 0)
		o->dropped++;
	return r;
}

static int compare(const void *left, const void *right)
{
	const struct order_item *a = left, *b = right;

	if (a->time_ns != b->time_ns)
		return a->time_ns < b->time_ns ? -1 : 1;
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	return a->sequence < b->sequence ? -1 : a->sequence > b->sequence;
}

/*
 * Moves what waits to the front of a fresh buffer: its bytes lie between those that were delivered.
 */
static void keep_rest(struct order *o, size_t delivered)
{
	struct buf rest = o->spare;

	buf_clear(&rest);
	for (size_t i = delivered; i < o->items_n; i++) {
		struct order_item *item = &o->items[i];
		size_t offset = rest.size;

		(void)buf_append(&rest, o->bytes.data + item->offset,
				 (item->size + 7) & ~(size_t)7);
		item->offset = offset;
	}
	o->spare = o->bytes;
	o->bytes = rest;
	o->items_n -= delivered;
	memmove(o->items, o->items + delivered, o->items_n * sizeof(*o->items));
}

int order_deliver(struct order *o, uint64_t until_ns, order_deliver_fn deliver, void *context)
{
	size_t n = 0;
	int r;

	if (o->items_n == 0)
		return 0;
	buf_clear(&o->spare);
	r = buf_reserve(&o->spare, o->bytes.size);
	if (r < 0)
		return r;
	qsort(o->items, o->items_n, sizeof(*o->items), compare);
	for (; n < o->items_n && o->items[n].time_ns <= until_ns; n++)
		deliver(context, o->items[n].kind, o->bytes.data + o->items[n].offset,
			o->items[n].size);
	if (n > 0)
		keep_rest(o, n);
	return 0;
}
