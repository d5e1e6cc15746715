/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/command.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"

/* sudo sets these to root's; the command should find its own user's. */
static int become_user(uid_t uid, gid_t gid)
{
	const struct passwd *pw = getpwuid(uid);

	if (pw ? initgroups(pw->pw_name, gid) < 0 : setgroups(1, &gid) < 0)
		return -errno;
	if (setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return -errno;
	if (pw) {
		setenv("HOME", pw->pw_dir, 1);
		setenv("USER", pw->pw_name, 1);
		setenv("LOGNAME", pw->pw_name, 1);
	}
	return 0;
}

static int check_file(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	return access(path, X_OK) < 0 ? -errno : 0;
}

/* Asked before, so that a typing error does not cost a profile. */
int command_find(const char *name, char ret[PATH_MAX])
{
	const char *path = getenv("PATH");
	int r = -ENOENT;

	if (strchr(name, '/')) {
		snprintf(ret, PATH_MAX, "%s", name);
		return check_file(name);
	}
	if (!path)
		path = "/bin:/usr/bin";
	while (*path) {
		size_t n = strcspn(path, ":");

		if (snprintf(ret, PATH_MAX, "%.*s%s%s", (int)n, path, n ? "/" : "", name) <
		    PATH_MAX) {
			int q = check_file(ret);

			if (q == 0)
				return 0;
			if (q == -EACCES)
				r = q;
		}
		path += n + (path[n] == ':');
	}
	return r;
}

static void report(int fd, int r)
{
	ssize_t n = write(fd, &r, sizeof(r));

	(void)n; /* the parent sees a closed pipe instead */
}

static void child_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGINT, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
}

_Noreturn static void child(char *const *argv, const struct command_as *as, int release_fd,
			    int error_fd)
{
	char byte, path[PATH_MAX];
	int r;

	child_signals();
	(void)setpriority(PRIO_PROCESS, 0, as->niceness);
	r = as->user_set ? become_user(as->uid, as->gid) : 0;
	if (r == 0)
		r = command_find(argv[0], path);
	report(error_fd, r);
	if (r < 0 || read(release_fd, &byte, 1) != 1)
		_exit(127);
	execvp(argv[0], argv);
	r = -errno;
	report(error_fd, r);
	_exit(r == -ENOENT ? 127 : 126);
}

static int read_error(int fd)
{
	int r;
	ssize_t n;

	do
		n = read(fd, &r, sizeof(r));
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return 0; /* closed by a successful exec */
	return n == sizeof(r) ? r : -EIO;
}

int command_start(char *const *argv, const struct command_as *as, struct command *ret)
{
	_cleanup_close_ int release_r = -1, release_w = -1, error_r = -1, error_w = -1;
	int fds[2], r;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	release_r = fds[0];
	release_w = fds[1];
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	error_r = fds[0];
	error_w = fds[1];

	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		close(release_w); /* our end closing must end the wait */
		child(argv, as, release_r, error_w);
	}
	close(TAKE_FD(error_w));
	r = read_error(error_r);
	if (r < 0) {
		waitpid(pid, NULL, 0);
		return r;
	}
	*ret = (struct command){ .pid = pid,
				 .release_fd = TAKE_FD(release_w),
				 .error_fd = TAKE_FD(error_r) };
	return 0;
}

int command_release(struct command *c)
{
	int r;

	if (write(c->release_fd, "", 1) != 1 && errno != EPIPE)
		return -errno;
	close(TAKE_FD(c->release_fd));
	r = read_error(c->error_fd);
	close(TAKE_FD(c->error_fd));
	return r;
}

bool command_running(const struct command *c)
{
	return c->pid > 0 && c->release_fd < 0 && !c->reaped;
}

bool command_ended(struct command *c)
{
	if (c->pid > 0 && !c->reaped && waitpid(c->pid, &c->status, WNOHANG) == c->pid)
		c->reaped = true;
	return c->reaped;
}

int command_exit_code(const struct command *c)
{
	if (!c->reaped)
		return 0;
	return WIFSIGNALED(c->status) ? 128 + WTERMSIG(c->status) : WEXITSTATUS(c->status);
}

void command_close(struct command *c)
{
	if (c->release_fd >= 0) {
		close(TAKE_FD(c->release_fd));
		if (c->pid > 0 && !c->reaped)
			c->reaped = waitpid(c->pid, &c->status, 0) == c->pid;
	}
	if (c->error_fd >= 0)
		close(TAKE_FD(c->error_fd));
}
