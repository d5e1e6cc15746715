/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whom threads wait for. While a thread waits for an interpreter's lock, samples of the clock meet who holds it, and a
 * holder that leaves the CPU with it tells so: one of those that were met during the wait, by chance and in proportion to
 * their time, is put on top of the waiter's stack, behind a frame "[GIL held by NAME]".
 */
#ifndef KYMO_AGENT_GIL_H
#define KYMO_AGENT_GIL_H

#include <stddef.h>

#include "merge/merge.h"
#include "model/sample.h"

struct gil;

int gil_new(struct merge *merge, struct gil **ret);
void gil_free(struct gil *g); /* NULL is allowed */
/* merge's ids have started anew. */
void gil_renew(struct gil *g);

/* A sample of a thread that holds the lock, called `name`: of source cpu, or held (at its beginning, too). 0 or -ENOMEM. */
int gil_held(struct gil *g, const struct kymo_sample *head, const char *name,
	     const struct sample_frame *frames, size_t n);
/* Frames, leaf first, of a sample of source gil, the holder's included where one was met. Valid until the next call. */
size_t gil_waited(struct gil *g, const struct kymo_sample *head, const struct sample_frame *frames,
		  size_t n, const struct sample_frame **ret);

#endif
