/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel side's walk of Python frames, built natively: over any memory. */
#ifndef KYMO_TEST_PYTHON_WALK_H
#define KYMO_TEST_PYTHON_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kymo/config.h"
#include "kymo/python.h"
#include "kymo/record.h"

/* What the walk is told of who runs. */
#define WALK_PID	      4711
#define WALK_PROCESS_START_NS 99

/* What the kernel side knows before the walk. */
struct walk_input {
	struct kymo_python_binary binary;
	struct kymo_python_layout layout;
	uint64_t load_bias;
	uint64_t fs_base;
	uint64_t futex;	  /* what the thread waits on; 0 = nothing */
	uint64_t leaf_pc; /* 0 = not known */
	bool rest;	  /* all frames at once, as where eval loops are not found */
	void *data;	  /* of both functions */
	int (*read)(void *data, void *to, size_t size, uint64_t address);
	int (*output)(void *data, const void *record, size_t size);
};

struct walk_result {
	int end;	/* enum kymo_end */
	unsigned state; /* enum kymo_state */
	bool active;
	size_t n;
	struct kymo_frame frames[KYMO_USER_FRAMES_MAX]; /* leaf first */
	bool ends_loop[KYMO_USER_FRAMES_MAX];
	uint64_t counters[KYMO_COUNTER_MAX];
};

void python_walk(const struct walk_input *in, struct walk_result *ret);

#endif
