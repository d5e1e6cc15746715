/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Samples whose weight is told at their end (sources gil and held): a thread has one at a time. Bounded; a sample
 * whose end is never told is dropped when its thread has another.
 */
#ifndef KYMO_KERN_WAITS_H
#define KYMO_KERN_WAITS_H

#include <stddef.h>
#include <stdint.h>

#include "base/hmap.h"
#include "kymo/record.h"

/* A whole record of a sample. */
struct wait_begun {
	uint64_t thread_start_ns, began_ns;
	uint8_t *bytes; /* owned */
	size_t size, cap;
};

struct waits {
	struct hmap threads; /* tid -> struct wait_begun */
	size_t bytes;	     /* of all records */
	uint64_t dropped;
};

void waits_init(struct waits *w);
void waits_release(struct waits *w);
/* Keeps a copy of the record. 0 or -ENOMEM. */
int waits_began(struct waits *w, const struct kymo_sample *head, const void *data, size_t size);
/*
 * The sample that it ends, its weight and time set; NULL where there is none. It stays until the thread's next: valid until
 * the next call.
 */
struct wait_begun *waits_ended(struct waits *w, const struct kymo_waited *waited);

#endif
