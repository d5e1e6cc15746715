/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Storms of execs and of exits: ticks in which the host began or ended far more programs than it
 * usually does. Each such tick gets an event that says how many, which, and whose children.
 */
#ifndef KYMO_AGENT_STORMS_H
#define KYMO_AGENT_STORMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "merge/merge.h"
#include "proc/proc.h"

/*
 * The rule. A storm begins with a tick that has more than STORM_RATE_MIN a second, more than
 * STORM_FACTOR times the median of the STORM_WINDOW ticks before it, and STORM_COUNT_MIN at least; it
 * lasts while ticks have more than half of that. Ticks of a storm are in the median of
 * later ones: what lasts for more than half of the window is how the host usually is.
 */
#define STORM_RATE_MIN	50
#define STORM_FACTOR	10
#define STORM_COUNT_MIN 20
#define STORM_WINDOW	60

struct storm_rule {
	double rates[STORM_WINDOW]; /* per second, of the last ticks */
	size_t rates_n, next;
	uint32_t ticks; /* how long the storm has lasted; 0 = none */
};

/* One more tick: whether it is one of a storm (rule->ticks counts it). *ret_usual gets the median before it (NAN: it is the first). */
bool storm_rule_tick(struct storm_rule *rule, uint64_t count, uint64_t length_ns,
		     double *ret_usual);

struct storms;

int storms_new(struct storms **ret);
void storms_free(struct storms *s); /* NULL is allowed */
/* What happened to a process, after proc_apply. Others than execs and exits are passed over. */
void storms_event(struct storms *s, const struct process_event *e, const struct proc_table *procs);
/* The tick has ended: its storms become events of merge's open tick. 0 or -ENOMEM. */
int storms_tick(struct storms *s, uint64_t start_ns, uint64_t end_ns,
		const struct proc_table *procs, struct merge *merge);

#endif
