/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command that a recording is of: started as the calling user, held before its exec
 * until the recorder is ready, on the terminal that we have.
 */
#ifndef KYMO_AGENT_COMMAND_H
#define KYMO_AGENT_COMMAND_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

struct command {
	pid_t pid;	/* 0 = none */
	int release_fd; /* a byte lets it exec */
	int error_fd;	/* an errno comes back when exec failed */
	bool reaped;
	int status; /* as wait(2) encodes it, when reaped */
};

#define COMMAND_NONE ((struct command){ .release_fd = -1, .error_fd = -1 })

/* What the command has that is not ours. */
struct command_as {
	bool user_set; /* that user's ids, groups and HOME */
	uid_t uid;
	gid_t gid;
	int niceness;
};

/*
 * Forks. -ENOENT, -EACCES: no such command, not executable (for that user); nothing is left
 * running.
 */
int command_start(char *const *argv, const struct command_as *as, struct command *ret);
/* What execvp will find. 0, -ENOENT, -EACCES, -EISDIR. */
int command_find(const char *name, char ret[PATH_MAX]);
/* Lets it exec. -errno of the exec when that failed; 0 also when it died before (command_ended). */
int command_release(struct command *c);
/* Released and not yet reaped. */
bool command_running(const struct command *c);
/* Reaps without waiting; true once it has ended. */
bool command_ended(struct command *c);
int command_exit_code(const struct command *c); /* 128 + signal where a signal ended it */
/* Ends what was never released; leaves a running command running. */
void command_close(struct command *c);

#endif
