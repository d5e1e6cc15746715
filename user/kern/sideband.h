/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel tells of processes while it happens (perf's records MMAP2, COMM, FORK, EXIT): one
 * ring per CPU, no wake-ups.
 */
#ifndef KYMO_KERN_SIDEBAND_H
#define KYMO_KERN_SIDEBAND_H

#include <stddef.h>
#include <stdint.h>

#include "model/process.h"

struct sideband;

/* 0 or -errno. It runs from here on. */
int sideband_open(struct sideband **ret);
void sideband_close(struct sideband *s); /* NULL is allowed */

typedef void (*sideband_fn)(void *context, const struct process_event *event);
/* Empties all rings, in order per CPU. The event is valid during the call. */
void sideband_drain(struct sideband *s, sideband_fn deliver, void *context);
/*
 * The CPUs that are online now are others than before: rings come and go, which are to be drained before. 1: some came, and what
 * happened on their CPUs before is not told; 0; -errno.
 */
int sideband_follow(struct sideband *s, const uint32_t *cpus, size_t n);

struct sideband_stats {
	uint64_t lost, malformed;
};
void sideband_stats(const struct sideband *s, struct sideband_stats *ret);

#endif
