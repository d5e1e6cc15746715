/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that writes: a sick disk may hold it up for seconds, and the rings must not
 * wait. Closed ticks and late names queue for it, in order; at the bound the samples of
 * ticks are dropped and counted, their health and the names that later ticks need are kept.
 */
#ifndef KYMO_AGENT_WRITER_H
#define KYMO_AGENT_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "model/tick.h"
#include "store/store.h"

struct writer;

/* Does not own the store; nobody else may use it until writer_finish. */
int writer_new(struct store *store, struct writer **ret);
/* Take what they are given, also on failure. -errno: writing has failed for good (writer_error; -ETIMEDOUT: the
 * disk has not taken a tick for ten minutes), what was queued is dropped. */
int writer_tick(struct writer *w, struct tick *tick);
int writer_names(struct writer *w, struct late_names *names);
/* 0, or the -errno of the write that failed: the recording must end. */
int writer_error(struct writer *w);
uint64_t writer_dropped(struct writer *w); /* ticks without their samples, cumulative */
uint64_t writer_bytes(struct writer *w);   /* of the profile on disk, as last seen */
/* Writes what is queued and joins the thread. 0 or the error. */
int writer_finish(struct writer *w);
void writer_free(struct writer *w); /* NULL is allowed; joins when still running */

#endif
