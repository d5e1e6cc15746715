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

/* Where one profile follows another; both are called by the writer's thread. 0 or -errno: writing has failed. */
struct writer_output {
	/* Begins the next. */
	int (*next)(void *data, struct store **ret);
	/* All names have come for one that was written before. */
	int (*end)(void *data, struct store *store);
	void *data;
};

/* Does not own the store, nor those of output (copied; NULL where there is but one); nobody else may use them until
 * writer_finish. */
int writer_new(struct store *store, const struct writer_output *output, struct writer **ret);
/* Take what they are given, also on failure. -errno: writing has failed for good (writer_error; -ETIMEDOUT: the
 * disk has not taken a tick for ten minutes), what was queued is dropped. */
int writer_tick(struct writer *w, struct tick *tick);
int writer_names(struct writer *w, struct late_names *names);
/* What is put behind this goes into the next profile; late names for the one before are put as such. */
int writer_next(struct writer *w);
int writer_retired_names(struct writer *w, struct late_names *names);
int writer_retired_end(struct writer *w);
/* 0, or the -errno of the write that failed: the recording must end. */
int writer_error(struct writer *w);
uint64_t writer_dropped(struct writer *w); /* ticks without their samples, cumulative */
uint64_t writer_bytes(struct writer *w);   /* of the profile on disk, as last seen */
/* Writes what is queued and joins the thread. 0 or the error. */
int writer_finish(struct writer *w);
void writer_free(struct writer *w); /* NULL is allowed; joins when still running */

#endif
