/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which interpreters have their probes attached: those that somebody maps. A file that nobody maps any more is
 * let go after some seconds, and taken again when it is mapped again.
 */
#ifndef KYMO_AGENT_PROBES_H
#define KYMO_AGENT_PROBES_H

#include <stdint.h>

#include "elf/inspect.h"
#include "kern/kern.h"
#include "proc/proc.h"

struct probes;

/* Borrows kern. */
int probes_new(struct kern *kern, struct probes **ret);
void probes_free(struct probes *p); /* NULL is allowed */

/* How to reach a file: through a process that maps it, else by its path in our own mount namespace. */
struct probes_file {
	struct kymo_file_key key;
	uint64_t generation; /* of the inode; 0 = not told */
	uint32_t pid;
	uint64_t start, end;
	const char *path; /* where no process maps it yet (pid 0); valid during the call */
};

/* A file was read and has probes. */
void probes_found(struct probes *p, const struct probes_file *file, const struct elf_facts *facts);
/* An event of the sideband: a file that is known may be mapped again, or replaced. */
void probes_event(struct probes *p, const struct process_event *e);
void probes_tick(struct probes *p, const struct proc_table *procs, uint64_t now_ns);
/* Files whose probes could not be attached, ever. */
uint64_t probes_failed(const struct probes *p);

#endif
