/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of code in memory without a file, from the perf map that its process writes. A map is opened when the process's first such frame
 * is seen, for a short one does not live to the end of its tick; it is read when frames wait for names, ever more seldom, and once more at
 * the end. An address without a name waits for the map to grow.
 */
#ifndef KYMO_AGENT_JIT_H
#define KYMO_AGENT_JIT_H

#include <stdbool.h>

#include "merge/merge.h"
#include "worker/worker.h"

struct jit;

int jit_new(struct merge *merge, struct worker *worker, struct jit **ret); /* borrows both */
void jit_free(struct jit *j);
/* merge's ids have started anew: all that waits is *ret_old's, whose ids are old_merge's (borrowed). 0 or -ENOMEM. */
int jit_renew(struct jit *j, struct merge *old_merge, struct jit **ret_old);
/* An answer to WORKER_MAP is to a question of this one. */
bool jit_asked(const struct jit *j, const struct worker_reply *reply);
/* A frame of that binary (memory without a file, of that process alone) was sampled. */
void jit_seen(struct jit *j, uint32_t binary, const struct kymo_who *who);
/* A frame without a name. False: not a binary of these. */
bool jit_queue(struct jit *j, const struct merge_unnamed *u);
/* What is due goes to the worker. */
void jit_submit(struct jit *j, bool finishing);
/* An answer to WORKER_MAP; names are added to l. 0 or -ENOMEM. */
int jit_take(struct jit *j, const struct worker_reply *reply, struct late_names *l);
size_t jit_pending(
	const struct jit *j); /* jobs that are out, processes that wait; at the end it falls to 0 */

struct jit_stats {
	uint64_t refused; /* maps of another user, too large, or no regular files; cumulative */
	uint64_t dropped; /* frames and processes beyond the bounds */
};
void jit_stats(const struct jit *j, struct jit_stats *ret);

#endif
