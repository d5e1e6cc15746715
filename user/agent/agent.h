/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A recording: wires the kernel side, processes, interpreters, names, health, merge and
 * store into one pipeline and runs it until it is told to stop. The only part that knows
 * all the others.
 */
#ifndef KYMO_AGENT_AGENT_H
#define KYMO_AGENT_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct agent_options {
	uint64_t hz;
	uint64_t duration_ns; /* 0 = until a signal, or the command's end */
	uint64_t tick_ns;
	uint32_t sources; /* a bit (1 << KYMO_SOURCE_*) each of cpu, fault, io, gc, import */
	const char *output;
	uint64_t
		rotate_ns; /* output is a folder: a new profile in it after so long; 0 = one file */
	uint64_t keep;	   /* profiles that stay in the folder; 0 = all */
	bool all;	   /* the whole host */
	const char *cgroup;   /* of it, only processes in this cgroup and below; NULL = all */
	const uint32_t *pids; /* else these, and their children */
	size_t pids_n;
	char *const *command; /* else this; NULL-terminated */
	bool user_set; /* called through sudo: the command runs as, and the profile belongs to, this user */
	uid_t uid;
	gid_t gid;
	bool no_cmdline; /* command lines stay out of the profile: they may hold secrets */
	bool quiet;	 /* no progress, no closing line */
	bool exported;	 /* the profile is only there to make something else of it */
	bool summarised; /* more is told behind the closing line, and what to do next */
};

struct agent_result {
	int exit_code; /* 0, or the command's */
	uint64_t lost; /* samples that were taken and not kept */
};

/*
 * Runs to its end. 0 with *ret; or -errno, already
 * reported in one line. Blocks SIGINT, SIGTERM, SIGHUP and SIGCHLD for the whole process.
 */
int agent_record(const struct agent_options *options, struct agent_result *ret);

#endif
