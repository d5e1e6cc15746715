/* SPDX-License-Identifier: Apache-2.0 */
/* Health as people read it: rates and shares per tick, and their mean and extremes over a selection. */
#ifndef KYMO_QUERY_METRIC_H
#define KYMO_QUERY_METRIC_H

#include <stdbool.h>
#include <stddef.h>

#include "query/query.h"

enum metric {
	METRIC_CPU_BUSY,   /* percent of the CPUs' time: neither idle nor waiting for a disk */
	METRIC_CPU_USER,   /* with nice */
	METRIC_CPU_SYSTEM, /* with interrupts */
	METRIC_CPU_IDLE,
	METRIC_CPU_IOWAIT,
	METRIC_CPU_STEAL,
	METRIC_RUNNING,
	METRIC_BLOCKED,
	METRIC_SWITCHES, /* per second */
	METRIC_INTERRUPTS,
	METRIC_CREATED,
	METRIC_PSI_CPU_SOME, /* percent of the tick */
	METRIC_PSI_MEM_SOME,
	METRIC_PSI_MEM_FULL,
	METRIC_PSI_IO_SOME,
	METRIC_PSI_IO_FULL,
	METRIC_MEM_TOTAL, /* bytes */
	METRIC_MEM_AVAILABLE,
	METRIC_MEM_FREE,
	METRIC_SWAP_USED,
	METRIC_SWAP_TOTAL,
	METRIC_SWAP_IN, /* pages per second */
	METRIC_SWAP_OUT,
	METRIC_FAULTS,
	METRIC_MAJOR_FAULTS,
	METRIC_OOM_KILLS, /* events */
	METRIC_DISK_READ, /* bytes per second */
	METRIC_DISK_WRITE,
	METRIC_DISK_READS,
	METRIC_DISK_WRITES,
	METRIC_DISK_BUSY, /* percent; of all devices together, may exceed 100 */
	METRIC_MAX,
};

/* "cpu_busy_percent": stable, with the unit. */
extern const char *const metric_names[METRIC_MAX];

/* False when the tick does not have it: absent is not zero. */
bool metric_value(enum metric m, const struct profile_tick *t, double *ret);

struct metric_summary {
	size_t ticks; /* that have it; 0 = nothing else is set */
	double mean;  /* weighted by the ticks' lengths */
	double sum;   /* of the ticks' values: for events */
	double min, max;
	size_t min_tick, max_tick; /* indices into profile_ticks: the first with that value */
};
void metric_summarise(enum metric m, struct profile *p, const struct query_selection *s,
		      struct metric_summary *ret);

#endif
