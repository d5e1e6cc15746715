/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a recording goes: one profile, or a folder of them of which the oldest go. Each is told what
 * the recording is.
 */
#ifndef KYMO_AGENT_OUTPUT_H
#define KYMO_AGENT_OUTPUT_H

#include "agent/agent.h"
#include "agent/writer.h"

struct output;

/* Borrows the options. -errno with *ret_message, one line. */
int output_open(const struct agent_options *options, struct output **ret, char **ret_message);
/* The profile being written. */
struct store *output_store(struct output *o);
/* For the writer. */
void output_next(struct output *o, struct writer_output *ret);
/* The clean end, when nothing is written any more; as store_finish. */
int output_finish(struct output *o);
uint64_t output_bytes(const struct output *o); /* of all that this recording has written */
/* What could not be begun, ended or removed, in a line; NULL = nothing. */
const char *output_message(const struct output *o);
void output_free(struct output *o); /* NULL is allowed */

#endif
