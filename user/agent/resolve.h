/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses and code objects of a raw sample -> frames of the profile. */
#ifndef KYMO_AGENT_RESOLVE_H
#define KYMO_AGENT_RESOLVE_H

#include <stddef.h>

#include "agent/files.h"
#include "kern/kern.h"
#include "merge/merge.h"
#include "model/sample.h"
#include "proc/proc.h"
#include "python/python.h"
#include "symbol/symbol.h"

#define RESOLVE_FRAMES_MAX (KYMO_KERNEL_FRAMES_MAX + KYMO_USER_FRAMES_MAX)

struct resolve;

struct resolve_parts { /* all borrowed */
	struct merge *merge;
	struct files *files;
	struct python_codes *codes;
	struct kallsyms *kallsyms; /* NULL: kernel frames stay addresses */
};

int resolve_new(const struct resolve_parts *parts, struct resolve **ret);
void resolve_free(struct resolve *r);
/* merge's ids have started anew: forgets all that it holds. */
void resolve_renew(struct resolve *r);
/*
 * The sample's frames, leaf first: kernel, then user. `process` is its process's id in merge.
 * Owned by r, valid until the next call.
 */
size_t resolve_sample(struct resolve *r, const struct raw_sample *sample,
		      const struct proc_process *p, uint32_t process,
		      const struct sample_frame **ret);

struct resolve_stats {
	uint64_t no_mapping; /* native frames outside known mappings, cumulative */
	uint64_t no_code;    /* Python frames whose code never arrived */
};
void resolve_stats(const struct resolve *r, struct resolve_stats *ret);

#endif
