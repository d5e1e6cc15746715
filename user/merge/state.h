/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of merge: what its files share. Nobody else includes this. */
#ifndef KYMO_MERGE_STATE_H
#define KYMO_MERGE_STATE_H

#include "base/hmap.h"
#include "base/strings.h"
#include "merge/idtable.h"
#include "merge/merge.h"

/* What has no limit in merge_limits. */
#define MERGE_IDENTITIES_MAX (1U << 20) /* processes, threads that live */
/* Ended ones are dropped when there are as many as the living, but not below this. */
#define MERGE_IDENTITIES_MIN   8192
#define MERGE_BINARIES_MAX     (1U << 18)
#define MERGE_TICK_SAMPLES_MAX (1U << 23)
#define MERGE_TICK_EVENTS_MAX  (1U << 16)
#define MERGE_TICK_QUALITY_MAX 1024

/* One sample of the open tick, in order of arrival. */
struct merge_sample_at {
	uint32_t row;
	uint32_t offset_us;
};

/* What went wrong here, reported with the tick that closes and then set to 0. */
struct merge_dropped {
	uint64_t stacks, functions, binaries, samples, events, quality;
	uint64_t late, early;
	uint64_t forgotten; /* times that all threads or processes were forgotten */
};

/* Allocated lengths of the arrays that grow in the open tick. */
struct merge_caps {
	size_t rows, binaries, functions, frames, stacks, processes, threads;
	size_t process_ticks, events, quality;
};

/* Ids of processes or threads by (start, pid or tid). */
struct identities {
	struct hmap map;
	size_t sweep_at; /* entries */
};

struct merge {
	struct merge_limits limits;
	struct strings *strings;
	struct hmap binaries, functions; /* key -> id */
	struct idtable frames, stacks;
	uint32_t *recent; /* stack ids by hash of their frames */
	size_t recent_n;
	struct identities processes, threads;
	struct hmap thread_seen, process_seen; /* tid, pid -> the last counters */
	uint32_t renewed;		       /* times that all ids started anew */
	uint32_t binary_last, function_last, process_last, thread_last;
	uint32_t dropped_stack; /* "[dropped: too many stacks]"; 0 = not made yet */
	uint32_t
		no_stack[KYMO_END_MAX + 1]; /* stacks of samples without frames; 0 = not made yet */

	struct merge_unnamed *unnamed;
	/* from _at to _closed: may be taken; behind them those of the open tick */
	size_t unnamed_at, unnamed_closed, unnamed_n, unnamed_cap;

	struct tick *open; /* its rows are unsorted, its offsets not there yet */
	uint64_t opened;   /* counts ticks: what was told in the open one can still be changed */
	struct merge_caps caps;
	struct hmap rows;	  /* key -> index into open->rows */
	struct hmap process_rows; /* process -> index into open->process_ticks */
	uint32_t tick_last;
	struct merge_sample_at *samples;
	size_t samples_n, samples_cap;
	struct merge_dropped dropped;
};

void merge_names_init(struct merge *m);
/* Of the identity nothing more is expected but late samples. */
void merge_identity_ended(struct merge *m, struct identities *of, uint64_t start_ns,
			  uint32_t number);
int merge_stacks_init(struct merge *m);
void merge_stacks_release(struct merge *m);

/* frames leaf first; none gives a synthetic stack that says why. 0 with *ret, or -ENOMEM. */
int merge_stack(struct merge *m, const struct sample_frame *frames, size_t frames_n, uint32_t end,
		uint32_t *ret);

/* The counters that a thread and its process had at the sample before; valid until the next
 * call. */
struct seen_last {
	struct seen_thread *thread;
	struct seen_process *process;
};
int merge_seen_find(struct merge *m, const struct kymo_sample *head, uint32_t thread,
		    struct seen_last *ret);
/* Adds the changes since then to *sum, and keeps the new counters (cpu samples only). Cannot fail. */
void merge_seen_take(const struct seen_last *last, const struct kymo_sample *head, uint32_t thread,
		     struct seen *sum);
void merge_seen_add(struct seen *sum, const struct seen *change);
void merge_seen_init(struct merge *m);

#endif
