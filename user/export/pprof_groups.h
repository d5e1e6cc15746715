/* SPDX-License-Identifier: Apache-2.0 */
/* Inside pprof: samples that a reader cannot tell apart, summed. Where they become too many, labels are given up, the finest first. */
#ifndef KYMO_EXPORT_PPROF_GROUPS_H
#define KYMO_EXPORT_PPROF_GROUPS_H

#include "base/hmap.h"
#include "base/strings.h"
#include "query/rows.h"

/* psi_cpu_some, psi_mem_some, psi_io_some */
#define PPROF_PRESSURES	      3
#define PPROF_PRESSURE_ABSENT UINT8_MAX

enum pprof_detail {
	PPROF_PERCENTS, /* pressures in whole percent */
	PPROF_TENS,	/* in steps of ten */
	PPROF_NAMES,	/* and threads by their names and their processes', without pid and tid */
	PPROF_STACKS,	/* and no pressures */
	PPROF_DETAIL_MAX
};

struct pprof_key {
	uint32_t segment, stack;
	uint32_t who; /* the segment's thread; from PPROF_NAMES on, a number of its names */
	uint16_t source;
	uint8_t pressure[PPROF_PRESSURES]; /* percent, rounded */
	uint8_t direction;		   /* of source io */
	uint8_t pad[2];
};

struct pprof_group {
	const struct process *process;
	const struct thread *thread;
	uint64_t count, weight, seen[]; /* of the counters that the file has */
};

struct pprof_groups {
	struct hmap map; /* pprof_key -> pprof_group */
	enum pprof_detail detail;
	unsigned seen_n;
	struct strings *names;
	struct hmap by_names; /* (process, thread) in names -> who */
	/* of the threads of one segment; 0 = not asked for yet */
	uint32_t *who;
	size_t who_cap;
	uint32_t who_segment;
};

int pprof_groups_init(struct pprof_groups *g, unsigned seen_n);
void pprof_groups_release(struct pprof_groups *g);
/*
 * The row's group, made when there is none; `key` as at PPROF_PERCENTS. -ENOSPC where nothing is left to be given
 * up: write them out and clear the map. -ENOMEM.
 */
int pprof_groups_get(struct pprof_groups *g, struct pprof_key key, const struct query_row *row,
		     struct pprof_group **ret);

/* Stops at the largest value. */
static inline void pprof_add(uint64_t *sum, uint64_t v)
{
	if (__builtin_add_overflow(*sum, v, sum))
		*sum = UINT64_MAX;
}

#endif
