/* SPDX-License-Identifier: Apache-2.0 */
/* Time in nanoseconds. The monotonic clock is the one of bpf_ktime_get_ns and of the perf sideband. */
#ifndef KYMO_BASE_CLOCK_H
#define KYMO_BASE_CLOCK_H

#include <stdint.h>

#define NS_PER_SEC  1000000000ULL
#define NS_PER_MSEC 1000000ULL
#define NS_PER_USEC 1000ULL

uint64_t clock_mono_ns(void);
uint64_t clock_wall_ns(void); /* since 1970 */
uint64_t
clock_boot_ns(void); /* since boot, with suspend: the clock of /proc/PID/stat start times */
/* What the clock since boot is ahead of the monotonic one, by suspends, to some microseconds. */
uint64_t clock_boot_ahead_ns(void);
uint64_t clock_thread_cpu_ns(void);
uint64_t clock_process_cpu_ns(void);

#endif
