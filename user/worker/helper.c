/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "worker/channel.h"
#include "worker/protocol.h"

#define STARTS_AT_ONCE	  8
#define START_EVERY_NS	  NS_PER_SEC
#define START_PATIENCE_NS (5 * NS_PER_SEC)
#define DEATH_PATIENCE_MS 200
/* Each as long as the first: then the host is so busy that names must do without. */
#define EXTENSIONS_MAX 5

void helper_init(struct helper *h, const char *executable, const char *command, uint64_t timeout_ns,
		 int stop_fd)
{
	*h = (struct helper){ .executable = executable,
			      .command = command,
			      .timeout_ns = timeout_ns,
			      .stop_fd = stop_fd,
			      .sock = -1,
			      .tokens = STARTS_AT_ONCE,
			      .refilled_ns = clock_mono_ns() };
}

static void reap_stuck(struct helper *h)
{
	size_t left = 0;

	for (size_t i = 0; i < h->stuck_n; i++)
		if (waitpid(h->stuck[i], NULL, WNOHANG) == 0)
			h->stuck[left++] = h->stuck[i];
	h->stuck_n = left;
}

/* SIGKILL waits for what cannot be interrupted (a FUSE request already read by its server). */
static bool reap(pid_t pid)
{
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	if (pidfd >= 0)
		while (poll(&p, 1, DEATH_PATIENCE_MS) < 0 && errno == EINTR)
			;
	return waitpid(pid, NULL, WNOHANG) != 0;
}

void helper_end(struct helper *h)
{
	if (h->sock >= 0)
		close(TAKE_FD(h->sock));
	if (h->pid <= 0)
		return;
	(void)kill(h->pid, SIGKILL);
	if (!reap(h->pid) && h->stuck_n < HELPER_STUCK_MAX)
		h->stuck[h->stuck_n++] = h->pid;
	h->pid = 0;
}

void helper_release(struct helper *h)
{
	helper_end(h);
	reap_stuck(h);
}

static int wait_readable(struct helper *h, int fd, uint64_t until_ns)
{
	struct pollfd p[2] = { { .fd = h->stop_fd, .events = POLLIN },
			       { .fd = fd, .events = POLLIN } };

	for (;;) {
		uint64_t now = clock_mono_ns();
		int ms = until_ns > now ? (int)((until_ns - now + NS_PER_MSEC - 1) / NS_PER_MSEC)
					: 0;
		int n = poll(p, fd >= 0 ? 2 : 1, ms);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0 && p[0].revents)
			return -ECANCELED;
		if (n > 0)
			return 0;
		if (n == 0 && clock_mono_ns() >= until_ns)
			return -ETIMEDOUT;
	}
}

/* A file that kills the parser as often as it is tried must not keep the host busy with starts. */
static int take_token(struct helper *h)
{
	for (;;) {
		uint64_t now = clock_mono_ns();
		int r;

		while (h->tokens < STARTS_AT_ONCE && now - h->refilled_ns >= START_EVERY_NS) {
			h->refilled_ns += START_EVERY_NS;
			h->tokens++;
		}
		if (h->tokens == STARTS_AT_ONCE)
			h->refilled_ns = now;
		if (h->tokens) {
			h->tokens--;
			return 0;
		}
		r = wait_readable(h, -1, h->refilled_ns + START_EVERY_NS);
		if (r != -ETIMEDOUT)
			return r < 0 ? r : -ECANCELED;
	}
}

/* Nothing of ours but how the dynamic linker finds its libraries, and what the sanitizers are told. */
static void environment(char **env, size_t n)
{
	static char no_leaks[] =
		"ASAN_OPTIONS=detect_leaks=0"; /* the leak checker needs more than a sandbox has */
	extern char **environ;
	size_t used = 0;

#ifdef KYMO_SANITIZED
	env[used++] = no_leaks;
#else
	(void)no_leaks;
#endif
	for (char **e = environ; e && *e && used + 1 < n; e++)
		if (strncmp(*e, "LD_LIBRARY_PATH=", strlen("LD_LIBRARY_PATH=")) == 0)
			env[used++] = *e;
	env[used] = NULL;
}

static int file_actions(posix_spawn_file_actions_t *a, int sock)
{
	int r = posix_spawn_file_actions_addopen(a, STDIN_FILENO, "/dev/null", O_RDWR, 0);

	if (r == 0)
		r = posix_spawn_file_actions_adddup2(a, STDIN_FILENO, STDOUT_FILENO);
#ifndef KYMO_SANITIZED /* whose last words are worth hearing */
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(a, STDIN_FILENO, STDERR_FILENO);
#endif
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(a, sock, WORKER_HELPER_FD);
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(a, WORKER_HELPER_FD + 1);
	return r;
}

/* A session of its own: Ctrl-C ends the recording, not those who still name its frames. */
static int attributes(posix_spawnattr_t *a)
{
	sigset_t all, none;
	int r;

	sigfillset(&all);
	sigemptyset(&none);
	r = posix_spawnattr_setflags(a, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF |
						POSIX_SPAWN_SETSIGMASK);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(a, &all);
	if (r == 0)
		r = posix_spawnattr_setsigmask(a, &none);
	return r;
}

static int spawn(struct helper *h, int sock, pid_t *ret)
{
	char *argv[] = { (char *)"kymo", (char *)h->command, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	char *env[8];
	int r;

	environment(env, ARRAY_SIZE(env));
	r = posix_spawn_file_actions_init(&actions);
	if (r)
		return -r;
	r = posix_spawnattr_init(&attr);
	if (r == 0) {
		r = file_actions(&actions, sock);
		if (r == 0)
			r = attributes(&attr);
		if (r == 0)
			r = posix_spawn(ret, h->executable, &actions, &attr, argv, env);
		posix_spawnattr_destroy(&attr);
	}
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

/* Both ends above the descriptors that the child's file actions replace. */
static int make_sockets(int *ret_ours, int *ret_theirs)
{
	int pair[2], r = 0;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	*ret_ours = fcntl(pair[0], F_DUPFD_CLOEXEC, WORKER_HELPER_FD + 1);
	*ret_theirs = fcntl(pair[1], F_DUPFD_CLOEXEC, WORKER_HELPER_FD + 1);
	/* A parser that answers without reading must not block us. */
	if (*ret_ours < 0 || *ret_theirs < 0 || fcntl(*ret_ours, F_SETFL, O_NONBLOCK) < 0)
		r = -errno;
	close(pair[0]);
	close(pair[1]);
	return r;
}

static int await_hello(struct helper *h)
{
	struct hello hello;
	size_t size;
	int r = wait_readable(h, h->sock, clock_mono_ns() + START_PATIENCE_NS);

	if (r == 0)
		r = channel_recv(h->sock, &hello, sizeof(hello), &size, NULL);
	if (r < 0)
		return r;
	if (size != sizeof(hello) || hello.magic != WORKER_MAGIC || hello.error > 0)
		return -EBADMSG;
	return hello.error;
}

int helper_start(struct helper *h)
{
	_cleanup_close_ int ours = -1, theirs = -1;
	int r;

	if (h->pid > 0)
		return 0;
	reap_stuck(h);
	if (h->stuck_n == HELPER_STUCK_MAX)
		return -EAGAIN;
	r = take_token(h);
	if (r < 0)
		return r;
	r = make_sockets(&ours, &theirs);
	if (r == 0)
		r = spawn(h, theirs, &h->pid);
	if (r < 0)
		return r;
	close(TAKE_FD(theirs)); /* so that its death ends our reading */
	h->sock = TAKE_FD(ours);
	h->starts++;
	h->is_hurried = false;
	r = await_hello(h);
	if (r < 0)
		helper_end(h);
	return r;
}

/* CPU time that it used, 0 where that cannot be read. */
static uint64_t cpu_ns(const struct helper *h)
{
	struct timespec t;
	clockid_t clock;

	if (clock_getcpuclockid(h->pid, &clock) != 0 || clock_gettime(clock, &t) < 0)
		return 0;
	return (uint64_t)t.tv_sec * NS_PER_SEC + (uint64_t)t.tv_nsec;
}

/* 'R' also while it waits for a CPU. */
static char task_state(pid_t pid)
{
	_cleanup_close_ int fd = -1;
	char path[32], stat[256];
	const char *end;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, stat, sizeof(stat) - 1) : -1;
	if (n <= 0)
		return 'X';
	stat[n] = 0;
	end = strrchr(stat, ')');
	return end && end[1] == ' ' ? end[2] : 'X';
}

void helper_hurry(struct helper *h, bool hurry)
{
	const struct sched_param none = { 0 };

	if (h->pid <= 0 || h->is_hurried == hurry)
		return;
	/* Somebody waits: as the thread that asks. */
	if (setpriority(PRIO_PROCESS, (id_t)h->pid,
			hurry ? getpriority(PRIO_PROCESS, 0) : WORKER_NICE) < 0)
		return;
	(void)sched_setscheduler(h->pid, hurry ? SCHED_OTHER : SCHED_BATCH, &none);
	h->is_hurried = hurry;
}

void helper_begin(struct helper *h, uint64_t *ret_deadline_ns)
{
	h->job_cpu_ns = cpu_ns(h);
	*ret_deadline_ns = clock_mono_ns() + h->timeout_ns;
}

int helper_wait(struct helper *h, uint64_t *deadline_ns, bool *ret_hung)
{
	*ret_hung = false;
	for (int i = 0;; i++) {
		int r = wait_readable(h, h->sock, *deadline_ns);

		if (r != -ETIMEDOUT)
			return r;
		*ret_hung = task_state(h->pid) != 'R';
		if (*ret_hung || i >= EXTENSIONS_MAX ||
		    cpu_ns(h) - h->job_cpu_ns > h->timeout_ns / 4)
			return -ETIMEDOUT;
		*deadline_ns = clock_mono_ns() + h->timeout_ns;
	}
}
