/* SPDX-License-Identifier: Apache-2.0 */
/* Victims of the OOM killer: the record that names one and the stack that comes behind it -> an event. */
#ifndef KYMO_AGENT_OOM_H
#define KYMO_AGENT_OOM_H

#include "kymo/record.h"
#include "merge/merge.h"
#include "model/sample.h"
#include "proc/proc.h"
#include "symbol/symbol.h"

struct oom;

int oom_new(uint64_t page_bytes, struct oom **ret);
void oom_free(struct oom *o); /* NULL is allowed */
/* A victim; kept until its stack comes. Where the kernel told only its pid, the rest is from procs. 0 or -ENOMEM. */
int oom_victim(struct oom *o, const struct kymo_oom *record, const struct proc_table *procs,
	       struct merge *merge);
/* Whose memory was out, as the kernel's part of the stack tells: "cgroup" when one was at its limit, "host", or
 * NULL. kallsyms may be NULL. */
const char *oom_scope(const struct kallsyms *kallsyms, const struct raw_sample *stack);
/* The stack of the thread that needed memory: its id in merge, its frames leaf first. 0 or -ENOMEM. */
int oom_stack(struct oom *o, const struct kymo_who *who, uint32_t thread, const char *scope,
	      const struct sample_frame *frames, size_t frames_n, struct merge *merge);
/* The tick ends: victims whose stack was lost go without one. 0 or -ENOMEM. */
int oom_tick(struct oom *o, struct merge *merge);

#endif
