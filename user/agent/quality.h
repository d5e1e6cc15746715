/* SPDX-License-Identifier: Apache-2.0 */
/* What went wrong, and what kymo itself cost: cumulative counts of all parts -> changes per tick. */
#ifndef KYMO_AGENT_QUALITY_H
#define KYMO_AGENT_QUALITY_H

#include <stdint.h>

#include "agent/accounts.h"
#include "agent/files.h"
#include "agent/resolve.h"
#include "agent/writer.h"
#include "kern/kern.h"
#include "merge/merge.h"
#include "proc/proc.h"

enum quality_own {
	QUALITY_SIDEBAND_LOST,
	QUALITY_MALFORMED,
	QUALITY_QUEUE_DROPPED,
	QUALITY_NO_MAPPING,
	QUALITY_NO_CODE,
	QUALITY_FILES_FAILED,
	QUALITY_NAMES_FAILED,
	QUALITY_UNWIND_FAILED,
	QUALITY_LINES_FAILED,
	QUALITY_MAPS_REFUSED,
	QUALITY_FILES_DROPPED,
	QUALITY_PROC_DROPPED,
	QUALITY_PROBES_FAILED,
	QUALITY_PROBES_ABSENT,
	QUALITY_ACCOUNTS_DROPPED,
	QUALITY_ACCOUNTS_VANISHED,
	QUALITY_TICKS_HOLLOW,
	QUALITY_CPU_NS,
	QUALITY_BPF_NS,
	QUALITY_BPF_RUNS,
	QUALITY_OWN_MAX,
};

struct quality_sources { /* borrowed */
	struct kern *kern;
	const struct files *files;
	const struct probes *probes; /* NULL: none are asked for */
	const struct resolve *resolve;
	const struct proc_table *procs;
	const struct accounts *accounts;
	struct writer *writer;
};

struct quality_state { /* the counts at the last tick's end; starts as zeroes */
	uint64_t bpf[KYMO_COUNTER_MAX];
	uint64_t own[QUALITY_OWN_MAX];
};

/* Puts the changes since the last call (zeroes left out) and the gauges into the open tick. */
int quality_tick(struct quality_state *state, const struct quality_sources *from,
		 struct merge *merge);
/* Samples taken and not kept, cumulative, as of the last quality_tick. */
uint64_t quality_lost(const struct quality_state *state);

#endif
