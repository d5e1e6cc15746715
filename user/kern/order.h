/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue that puts records of many rings into one order of time. Bounded in bytes; what does not
 * fit is dropped and counted.
 */
#ifndef KYMO_KERN_ORDER_H
#define KYMO_KERN_ORDER_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* At the same instant what happened to a process comes before what was sampled of it. */
/* A victim of the OOM killer before the stack that asked for memory. */
enum order_kind { ORDER_EVENT, ORDER_EXEC, ORDER_OOM, ORDER_SAMPLE, ORDER_ACCOUNT };

struct order_item {
	uint64_t time_ns;
	uint64_t sequence; /* of arrival */
	size_t offset;	   /* in bytes */
	uint32_t size;
	enum order_kind kind;
};

/* Zero-initialised but for max_bytes is empty and valid. */
struct order {
	size_t max_bytes;
	struct buf bytes, spare;
	struct order_item *items;
	size_t items_n, items_cap;
	uint64_t sequence;
	size_t dropped;
};

void order_release(struct order *o);
/*
 * Queues a copy of head and, behind it, tail (size 0: none). Aligned to 8 bytes when delivered. 0,
 * -ENOMEM, or -ENOSPC: the queue is full; both failures count as dropped.
 */
int order_add(struct order *o, enum order_kind kind, uint64_t time_ns, const void *head,
	      size_t head_size, const void *tail, size_t tail_size);

typedef void (*order_deliver_fn)(void *context, enum order_kind kind, void *data, size_t size);
/*
 * Hands out, in order of time, everything up to until_ns. The callee must not add. 0 or -ENOMEM
 * (nothing delivered).
 */
int order_deliver(struct order *o, uint64_t until_ns, order_deliver_fn deliver, void *context);

#endif
