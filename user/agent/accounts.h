/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exact accounts: the kernel's totals of every process, from the sweep at a tick's end and from the
 * dead, as changes per tick. Never from samples.
 */
#ifndef KYMO_AGENT_ACCOUNTS_H
#define KYMO_AGENT_ACCOUNTS_H

#include <stdbool.h>
#include <stdint.h>

#include "kymo/record.h"
#include "merge/merge.h"

struct accounts;

/* Gives the process its id in the profile; 0 = no memory or at a bound. */
typedef uint32_t (*accounts_process_fn)(void *data, const struct kymo_task *task);

/* Borrows merge. */
int accounts_new(struct merge *merge, accounts_process_fn process, void *data,
		 struct accounts **ret);
void accounts_free(struct accounts *a); /* NULL is allowed */

/* A sweep: begin, each thread's record, end, which puts the changes into merge's open tick. The first sweep only
 * takes down what was used before the recording. */
void accounts_sweep_begin(struct accounts *a);
int accounts_thread(struct accounts *a, const struct kymo_task *task);
/* Processes that started after begun_boot_ns (CLOCK_BOOTTIME) wait for the next sweep: nothing else is known of
 * them yet. */
int accounts_sweep_end(struct accounts *a, uint64_t begun_boot_ns);
/* For a new profile: the next sweep tells every process, also those without a change. */
void accounts_renew(struct accounts *a);
/*
 * Another program runs in the process, with its totals until then: the change goes to the program before, whose id `process` is
 * (0: the profile has it not, and its time is the new one's).
 */
int accounts_replaced(struct accounts *a, const struct kymo_task *task, uint32_t process);
/* A dead process's final totals: its last change goes into the open tick. */
int accounts_ended(struct accounts *a, const struct kymo_task *task);

struct accounts_stats {
	uint64_t dropped;  /* processes beyond the bound, cumulative */
	uint64_t vanished; /* processes whose end was not told */
};
void accounts_stats(const struct accounts *a, struct accounts_stats *ret);

#endif
