/* SPDX-License-Identifier: Apache-2.0 */
/* The one line that a person sees while recording, rewritten in place; nothing where stderr is no terminal. */
#ifndef KYMO_AGENT_PROGRESS_H
#define KYMO_AGENT_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/pipeline.h"

struct progress {
	bool on;
	const char *output;
	uint64_t start_ns;
	uint64_t shown_ns; /* last drawn */
};

void progress_init(struct progress *p, bool quiet, const char *output);
void progress_recording(struct progress *p, const struct pipeline_stats *stats);
void progress_naming(struct progress *p, size_t waiting);
void progress_clear(struct progress *p);

#endif
