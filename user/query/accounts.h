/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's own account of every process over a selection, and what the samples say of the same. */
#ifndef KYMO_QUERY_ACCOUNTS_H
#define KYMO_QUERY_ACCOUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/tick.h"
#include "query/query.h"

/* One program of a pid: an exec begins another, with the same pid and start. */
struct query_account {
	const struct process *process; /* valid until the profile is closed */
	bool ended;		       /* its end lies in the selection: exact to its last moment */
	/*
	 * Counters: sums, saturated, over the selected ticks; a process's last tick may take back what an earlier
	 * one had too much. Pages: the last reading; 0 for one that had let go of its memory.
	 */
	struct seen total;
	struct query_value sampled; /* source cpu */
};

struct query_accounts {
	struct query_account *items; /* by CPU time, the most first */
	size_t n;
	size_t ticks; /* selected */
	uint64_t duration_ns;
	uint32_t damaged_ticks; /* whose samples are in no estimate */
};

/* Those that did anything in the selected ticks. 0 or -errno (profile_message says why). */
int query_accounts(struct profile *p, const struct query_selection *s, struct query_accounts *ret);
/*
 * The counters of all of them together that a source's samples can be held against (cpu: CPU time, fault: faults);
 * all else is 0. *ret_any: the recording has accounts for the selection. Much cheaper than query_accounts.
 * 0 or -errno (profile_message says why).
 */
int query_account_sum(struct profile *p, const struct query_selection *s, enum kymo_source source,
		      struct seen *ret, bool *ret_any);
void query_accounts_release(struct query_accounts *a);

/* One standard error of a sampled estimate: sqrt(n) periods. 0 without samples. */
double query_sampled_error(const struct query_value *sampled);

#endif
