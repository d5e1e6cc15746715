/* SPDX-License-Identifier: Apache-2.0 */
/* Free numbers, in runs: what is given back is given away again, the lowest first, so that the end of what is used moves least. */
#ifndef KYMO_UNWIND_RUNS_H
#define KYMO_UNWIND_RUNS_H

#include <stddef.h>
#include <stdint.h>

struct unwind_runs {
	struct unwind_run {
		uint32_t first, n;
	} * items; /* ascending, no two side by side */
	size_t n, cap;
	uint32_t block; /* runs never straddle a multiple of it; 0 = no such bound */
};

void unwind_runs_release(struct unwind_runs *r);
/* `n` numbers (not 0) that are free from now on. Where memory for that is short they are lost: -ENOMEM. */
int unwind_runs_give(struct unwind_runs *r, uint32_t first, uint32_t n);
/* `n` numbers in a row, from *ret on. 0, -ENOSPC. */
int unwind_runs_take(struct unwind_runs *r, uint32_t n, uint32_t *ret);
uint64_t unwind_runs_count(const struct unwind_runs *r); /* numbers that are free */

#endif
