/* SPDX-License-Identifier: Apache-2.0 */
/* Inside user/worker: an answer put together from the parser's packets, none of which is believed. */
#ifndef KYMO_WORKER_REPLY_H
#define KYMO_WORKER_REPLY_H

#include <stdbool.h>

#include "base/buf.h"
#include "worker/protocol.h"

/* What worker_fetch gives out, and the memory behind it. */
struct reply {
	struct worker_reply public; /* first: worker_reply_free finds the rest by it */
	struct reply *next;
	struct buf text; /* names, each with its NUL; "" at 0 */
	struct name_at {
		size_t name, file; /* in text */
	} * at, *inlines_at;
	size_t inlines_cap, inlines_at_cap;
	size_t wanted, have; /* names */
	size_t inlines_left; /* of the last name, still to come */
};

/* An empty answer with room for the names of a job. 0 or -ENOMEM. */
int reply_new(enum worker_job_kind kind, uint64_t cookie, const uint64_t *offsets, size_t offsets_n,
	      struct reply **ret);
void reply_free(struct reply *r);
/*
 * One packet in answer to a request after which `asked_until` names are to be there. 0 and *ret_last; what the parser says went wrong (a negative error); -EPROTO for a packet that breaks the rules.
 */
int reply_take(struct reply *r, const void *packet, size_t size, uint32_t sequence,
	       size_t asked_until, bool *ret_last, bool *ret_leaving);
/* An answer of INSPECT or UNWIND as bytes, to be kept (appends; 0 or -ENOMEM); and from such, which are not believed either: 0, -EPROTO, -ENOMEM. */
int reply_write_kept(const struct reply *r, struct buf *b);
int reply_take_kept(struct reply *r, const void *data, size_t size);
/* All there: names become pointers. On an error the answer holds none. */
void reply_finish(struct reply *r, int error);
size_t reply_bytes(const struct reply *r); /* memory that it holds */

#endif
