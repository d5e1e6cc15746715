/* SPDX-License-Identifier: Apache-2.0 */
/* What DWARF says of frames -> late names: functions with their files, lines, inlined functions. */
#ifndef KYMO_AGENT_LINES_H
#define KYMO_AGENT_LINES_H

#include "merge/merge.h"
#include "worker/worker.h"

/* The reply (to WORKER_LINES) about these frames of the binary is added to l. 0 or -ENOMEM. */
int lines_add(struct merge *merge, uint32_t binary, const struct merge_unnamed *frames,
	      size_t frames_n, const struct worker_reply *reply, struct late_names *l);

#endif
