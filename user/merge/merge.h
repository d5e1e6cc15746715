/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Samples + health -> ticks. Gives every binary, function, frame, stack, process and thread its
 * id within the profile, adds samples to the open tick, and closes it. Memory is bounded: at a
 * bound the stack becomes the synthetic "[dropped: too many stacks]" and is counted.
 */
#ifndef KYMO_MERGE_MERGE_H
#define KYMO_MERGE_MERGE_H

#include <stddef.h>
#include <stdint.h>

#include "model/sample.h"
#include "model/tick.h"

struct merge;

struct merge_limits {
	size_t stacks, frames, functions; /* 0 = the defaults: 1,000,000, 500,000, 200,000 */
};

int merge_new(const struct merge_limits *limits, struct merge **ret);
void merge_free(struct merge *m);
/*
 * For a new profile, right behind a closed tick: all ids start anew, and what is used again is told
 * again. What was seen of threads goes on. *ret_old keeps the old ids, for the names of their frames
 * that still come; nothing else may be asked of it. 0, or -ENOMEM with nothing changed.
 */
int merge_renew(struct merge *m, struct merge **ret_old);

/* Ids: found or given. The structs' own id is ignored, strings are copied. 0 = no memory or at a
 * bound. */
uint32_t merge_binary(struct merge *m,
		      const struct binary *b); /* same kind, dev, inode, successor, path */
uint32_t merge_function(struct merge *m,
			const struct function *f); /* same kind, binary, name, file, first_line */
/* A process by (pid, start_ns, execs), a thread by (process, tid, start_ns): changed fields are told again with
 * the next tick. */
uint32_t merge_process(struct merge *m, const struct process *p);
/* The program that the process ran before its `execs`th exec, where the profile has it; else 0. */
uint32_t merge_process_before(const struct merge *m, uint32_t pid, uint64_t start_ns,
			      uint32_t execs);
uint32_t merge_thread(struct merge *m, uint32_t process, const struct kymo_who *who,
		      const char *name); /* NULL, "": as before */

/* Starts the tick in which the next samples fall. */
void merge_tick_begin(struct merge *m, uint64_t start_ns);
/* frames leaf first; the counters in `head` make the seen-at changes. 0 or -ENOMEM. */
int merge_sample(struct merge *m, const struct kymo_sample *head, uint32_t thread,
		 const struct sample_frame *frames, size_t frames_n);
int merge_event(struct merge *m, const struct event *e, const struct sample_frame *frames,
		size_t frames_n);
int merge_process_tick(struct merge *m, const struct process_tick *p);
int merge_quality(struct merge *m, const char *counter, int64_t value);
/* A thread or process has ended: its counters are forgotten at once, its id two ticks later at the
 * earliest (it would be told again, under a new one). */
void merge_thread_ended(struct merge *m, uint32_t tid);
void merge_process_ended(struct merge *m, uint32_t pid);

/* Ends the tick. Takes the health's contents (left empty). The caller owns *ret (tick_free). */
int merge_tick_close(struct merge *m, uint64_t end_ns, uint64_t wall_ns, struct health *health,
		     struct tick **ret);

/* A native frame to be named: (binary, offset) that had no function when it came. Only frames of
 * ticks that have been closed (a name must not reach the store before its frame), told once
 * each, in batches: fills at most max, returns how many. */
struct merge_unnamed {
	uint32_t frame, binary;
	uint64_t offset;
};
size_t merge_take_unnamed(struct merge *m, struct merge_unnamed *out, size_t max);
/* New functions that only late names use, to be stored with them: moves what merge_function gave
 * since the last tick close or call into names->functions. */
int merge_take_functions(struct merge *m, struct late_names *names);

#endif
