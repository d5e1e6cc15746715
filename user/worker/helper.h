/* SPDX-License-Identifier: Apache-2.0 */
/* Inside user/worker: one helper process as the agent sees it: started, waited for with patience, ended. */
#ifndef KYMO_WORKER_HELPER_H
#define KYMO_WORKER_HELPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Processes that were killed and do not die: they hang in a file system. */
#define HELPER_STUCK_MAX 8

struct helper {
	const char *executable, *command; /* borrowed */
	uint64_t timeout_ns;
	int stop_fd; /* borrowed; readable when waiting is to end */
	pid_t pid;   /* 0 = not running */
	int sock;    /* -1 */
	uint32_t sequence;
	/* starts that are allowed now: one more each second */
	unsigned int tokens;
	uint64_t refilled_ns;
	uint64_t job_cpu_ns; /* its CPU time when the job began */
	bool is_hurried;
	pid_t stuck[HELPER_STUCK_MAX];
	size_t stuck_n;
	uint64_t starts;
};

void helper_init(struct helper *h, const char *executable, const char *command, uint64_t timeout_ns,
		 int stop_fd);
/* Ends it; what is stuck is left to the system. */
void helper_release(struct helper *h);
/*
 * Starts it where it does not run, waiting where it was started too often. 0; what its sandbox said;
 * -EAGAIN with too many stuck ones; -ECANCELED; -errno. It dies with the thread that calls this.
 */
int helper_start(struct helper *h);
void helper_end(struct helper *h); /* by SIGKILL */

/*
 * Whether a helper that runs gets a share of a busy host's CPUs like anybody else, or its own low one. Needs the
 * right to (CAP_SYS_NICE); it stays as it is without.
 */
void helper_hurry(struct helper *h, bool hurry);

/* A job begins: the clock of helper_wait. */
void helper_begin(struct helper *h, uint64_t *ret_deadline_ns);
/*
 * Until a packet can be read: 0, -ETIMEDOUT, -ECANCELED. A helper that could not run because the host is
 * busy gets more time; one that computes or hangs does not. *ret_hung: it did not compute.
 */
int helper_wait(struct helper *h, uint64_t *deadline_ns, bool *ret_hung);

#endif
