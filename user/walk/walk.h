/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel side's walk of a user stack (bpf/lib), built natively: over the memory of a thread that does not run, from its
 * registers (struct kymo_standing). What it says is right for as long as the thread stands still, which is
 * for the caller to find out. The memory is hostile: bounded reads, bounded frames.
 */
#ifndef KYMO_WALK_WALK_H
#define KYMO_WALK_WALK_H

#include <stddef.h>
#include <stdint.h>

#include "kymo/python.h"
#include "kymo/record.h"
#include "unwind/unwind.h"

/* An executable mapping. */
struct walk_mapping {
	uint64_t start, end;
	uint64_t pgoff_bytes;		  /* 0 for the vDSO */
	const struct unwind_table *rules; /* NULL = none known: by the frame pointer */
};

/* A process; all borrowed. */
struct walk_process {
	const struct walk_mapping *mappings; /* sorted by start */
	size_t mappings_n;
	/* Its interpreter, NULL where it is none that is known; else all of these. */
	const struct kymo_python_binary *binary;
	const struct kymo_python_layout *layout;
	uint64_t load_bias;
	const struct unwind_table *rules; /* of the interpreter's file; NULL = none */
	void *data;			  /* of both functions */
	/* Its memory: 0, or -errno with nothing promised about `to`. */
	int (*read)(void *data, void *to, size_t size, uint64_t address);
	/* KYMO_RECORD_CODE of a code object at first sight, then KYMO_RECORD_SAMPLE: 0, or -errno. */
	int (*output)(void *data, const void *record, size_t size);
};

struct walk_state;

/* It remembers which code objects it has told: one for each process. 0 or -ENOMEM. Allocates nothing later. */
int walk_new(struct walk_state **ret);
void walk_free(struct walk_state *w); /* NULL is allowed */

/*
 * Walks one thread, whose kernel frames stand behind it, and gives the sample (of source cpu, without weight and
 * counters). One thread of the program at a time. 0, or what output returned.
 */
int walk_thread(struct walk_state *w, const struct walk_process *p, const struct kymo_standing *t);

#endif
