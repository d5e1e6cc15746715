/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes small profiles for tests, through the store's own writer: add binaries, functions,
 * frames, stacks, threads and rows to the tick at hand, close it, go on. Failures fail the test.
 */
#ifndef KYMO_TEST_PROFILE_MAKER_H
#define KYMO_TEST_PROFILE_MAKER_H

#include <stdbool.h>
#include <stdint.h>

#include "model/tick.h"
#include "store/store.h"

#define MAKER_START_NS	1000000000000ULL /* monotonic */
#define MAKER_WALL_NS	1763723945000000000ULL
#define MAKER_TICK_NS	1000000000ULL
#define MAKER_PERIOD_NS 10000000ULL

struct maker {
	char folder[64]; /* of its own, removed by maker_remove */
	char path[512];
	struct store *store;
	struct tick tick;						  /* the one at hand */
	uint32_t ticks;							  /* closed */
	uint32_t binaries, functions, frames, stacks, processes, threads; /* ids given */
	size_t caps[16];
};

void maker_init(struct maker *m);		       /* in a folder of its own under /tmp */
void maker_init_at(struct maker *m, const char *path); /* not to be removed by maker_remove */
/* Each returns the new id. */
uint32_t maker_binary(struct maker *m, enum binary_kind kind, const char *path);
uint32_t maker_function(struct maker *m, enum frame_kind kind, uint32_t binary, const char *name,
			const char *file, uint32_t line);
uint32_t maker_frame(struct maker *m, enum frame_kind kind, uint32_t binary, uint64_t offset,
		     uint32_t function);
uint32_t maker_stack(struct maker *m, uint32_t parent, uint32_t frame);
/* A process and its only thread; the thread's id. The process's is that of its count. */
uint32_t maker_thread(struct maker *m, uint32_t pid, const char *comm);
/* `count` samples of MAKER_PERIOD_NS each. */
void maker_row(struct maker *m, uint32_t thread, uint32_t stack, uint32_t count);
void maker_row_of(struct maker *m, uint32_t thread, uint32_t stack, uint32_t source, uint32_t end,
		  uint32_t count, uint64_t weight);
/* As maker_row, with what was seen at it. */
void maker_row_seen(struct maker *m, uint32_t thread, uint32_t stack, uint32_t count,
		    const struct seen *seen);
void maker_health(struct maker *m, enum health_column column, int64_t value);
void maker_quality(struct maker *m, const char *counter, int64_t value);
/* At the tick's start; thread 0 = none, fields NULL = none. */
void maker_event(struct maker *m, enum event_kind kind, uint32_t thread, uint64_t duration_ns,
		 const char *fields);
/* The same with its stack, `at_ns` after the tick's start. */
void maker_event_at(struct maker *m, enum event_kind kind, uint32_t thread, uint32_t stack,
		    uint64_t at_ns, uint64_t duration_ns, const char *fields);
/* The exact totals of a process (by the id of its thread, made by maker_thread) in the tick at hand. */
void maker_account(struct maker *m, uint32_t process, bool ended, const struct seen *change);
/* Writes the tick at hand and starts the next. */
void maker_close_tick(struct maker *m);
/* Ends the recording cleanly, or leaves it as a kill would. */
void maker_finish(struct maker *m, bool clean);
/* Removes the file and its folder. */
void maker_remove(struct maker *m);

/* A function of its own with a frame of its own: the frame. */
uint32_t maker_named_frame(struct maker *m, enum frame_kind kind, const char *name,
			   const char *file, uint32_t line);

#endif
