/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <time.h>

static uint64_t read_clock(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * NS_PER_SEC + (uint64_t)t.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_wall_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}

uint64_t clock_boot_ns(void)
{
	return read_clock(CLOCK_BOOTTIME);
}

#define AHEAD_TRIES  10
#define AHEAD_GAP_NS (5 * NS_PER_USEC)

/* Held up between two readings we would be off by as long: the reading that was the quickest counts. */
uint64_t clock_boot_ahead_ns(void)
{
	uint64_t best = UINT64_MAX, ahead = 0;

	for (int i = 0; i < AHEAD_TRIES && best > AHEAD_GAP_NS; i++) {
		uint64_t before = clock_mono_ns(), boot = clock_boot_ns();
		uint64_t gap = clock_mono_ns() - before;

		if (gap < best) {
			best = gap;
			ahead = boot > before ? boot - before : 0;
		}
	}
	return ahead;
}

uint64_t clock_thread_cpu_ns(void)
{
	return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t clock_process_cpu_ns(void)
{
	return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}
