/* SPDX-License-Identifier: Apache-2.0 */
/* A worker with other helpers (tests), other patience or another share than worker_new's. */
#ifndef KYMO_WORKER_OPTIONS_H
#define KYMO_WORKER_OPTIONS_H

#include <stdbool.h>
#include <sys/types.h>

#include "worker/worker.h"

struct worker_options {
	const char *executable;			       /* started as "EXECUTABLE COMMAND" */
	const char *parser, *opener;		       /* the commands */
	uint64_t parser_timeout_ns, opener_timeout_ns; /* of one job */
	size_t jobs_max;			       /* submitted, not yet finished */
	size_t offsets_max;			       /* of all of them */
	const char *
		cache; /* a folder (worker/disk_cache.h), made when its parent is there; NULL = none */
	bool all_hurried; /* somebody waits for names and lines, too: they have a share like anybody's */
};

extern const struct worker_options worker_defaults;

int worker_new_with(const struct worker_options *options, struct worker **ret);

struct worker_stats {
	uint64_t starts;      /* of either process, the first ones too */
	uint64_t timeouts;    /* jobs that took too long */
	uint64_t deaths;      /* of a process amid a job */
	uint64_t kept;	      /* answers that the disk had */
	pid_t parser, opener; /* 0 = not running */
};
void worker_stats(struct worker *w, struct worker_stats *ret);

#endif
