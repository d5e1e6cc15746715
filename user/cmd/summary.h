/* SPDX-License-Identifier: Apache-2.0 */
/* The recording in a few lines: where, when, how the host felt, what is missing. */
#ifndef KYMO_CMD_SUMMARY_H
#define KYMO_CMD_SUMMARY_H

#include "cmd/screen.h"
#include "query/query.h"

/* Host, kernel, CPUs; when and how long; whether it ended. */
void summary_head(struct screen *s, struct profile *p, const struct query_selection *sel);
/* A line per metric: mean, worst, when. */
void summary_health(struct screen *s, struct profile *p, const struct query_selection *sel);
/* Samples, lost ones, stacks that are not whole. 0 or -errno (profile_message). */
int summary_samples(struct screen *s, struct profile *p, const struct query_selection *sel,
		    const struct query_result *r);

/* "+12 s": a tick's start, from the recording's. Returns out. */
const char *tick_offset(const struct profile *p, size_t tick, char out[FORMAT_SIZE]);

#endif
