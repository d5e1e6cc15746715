/* SPDX-License-Identifier: Apache-2.0 */
/* A decoded sample, as kern hands it on; and a resolved one, as merge takes it. */
#ifndef KYMO_MODEL_SAMPLE_H
#define KYMO_MODEL_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "kymo/record.h"
#include "model/frame.h"

/* Points into the record; valid during the callback. */
struct raw_sample {
	const struct kymo_sample *head;
	const uint64_t *kernel;		/* head->kernel_frames, leaf first */
	const struct kymo_frame *user;	/* head->user_frames, leaf first */
	const struct kymo_probe *probe; /* of sources gc and import; else NULL */
};

/*
 * One frame of a resolved sample: binaries and functions are ids that merge gave
 * (merge_binary, merge_function).
 */
struct sample_frame {
	enum frame_kind kind;
	bool by_fp;
	uint32_t binary;
	uint64_t offset;
	uint32_t function;
	uint32_t line;
};

/* How the synthetic frame is called that stands between who waits for an interpreter's lock and, above it, who had it. */
#define GIL_HELD_BY "[GIL held by "

/*
 * What one sample of the clock stands for at `hz` (1 to 10,000) samples a second: a little more than
 * 1 / hz, so that programs that wake in time with the second are not always met at the same place.
 */
uint64_t sample_period_ns(uint64_t hz);

extern const char *const source_names[KYMO_SOURCE_MAX]; /* "cpu", "fault", "io", "gc", ... */
extern const char *const source_units[KYMO_SOURCE_MAX]; /* "ns", "bytes", ... */
/* What "1 s of" is said of: "CPU time", "memory faulted in". */
extern const char *const source_charges[KYMO_SOURCE_MAX];
extern const char *const end_names[KYMO_END_MAX]; /* "whole", "frame pointer ended in 0", ... */

#endif
