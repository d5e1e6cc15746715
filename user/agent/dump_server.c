/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks from outside happen in a process of their own. What is read belongs to somebody else, who can make a read
 * wait for as long as he likes (a mapping of a file system of his own, say): then that process is given up, not the dump.
 */
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/dump_state.h"
#include "base/cleanup.h"
#include "kern/decode.h"

/* Looked at so often in vain, neither running nor waiting for a CPU: it hangs. */
#define LOOK_MS	  100
#define LOOKS_MAX 20

#define NOBODY	  65534

#define RECORD_MAX                                                                \
	(sizeof(struct kymo_sample) + KYMO_KERNEL_FRAMES_MAX * sizeof(uint64_t) + \
	 KYMO_USER_FRAMES_MAX * sizeof(struct kymo_frame) + KYMO_CODE_FILE_MAX +  \
	 KYMO_CODE_NAME_MAX + KYMO_LINE_TABLE_MAX)

/* ---- in the process of its own ---- */

struct serving {
	int memory_fd, fd;
};

static int read_memory(void *data, void *to, size_t size, uint64_t address)
{
	const struct serving *s = data;

	return pread(s->memory_fd, to, size, (off_t)address) == (ssize_t)size ? 0 : -EFAULT;
}

static int answer(void *data, const void *record, size_t size)
{
	const struct serving *s = data;

	if (send(s->fd, record, size, MSG_NOSIGNAL) < 0)
		_exit(0); /* nobody asks any more */
	return 0;
}

/* It may outlive the dump, and is not to hold what that writes to, or the kernel side. */
static void close_others(int a, int b)
{
	unsigned low = (unsigned)(a < b ? a : b), high = (unsigned)(a < b ? b : a);

	if (low > 0)
		(void)close_range(0, low - 1, 0);
	if (high > low + 1)
		(void)close_range(low + 1, high - 1, 0);
	(void)close_range(high + 1, ~0U, 0);
}

/* All that it needs is open: the walkers are bounded, but what they read is somebody else's. */
static int become_nobody(void)
{
	if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
	    setresuid(NOBODY, NOBODY, NOBODY) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	/* Lost when credentials change. */
	return prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ? -errno : 0;
}

_Noreturn static void serve(struct walk_state *w, const struct walk_process *process, int memory_fd,
			    int fd)
{
	struct serving serving = { .memory_fd = memory_fd, .fd = fd };
	struct walk_process p = *process;
	struct {
		struct kymo_standing head;
		uint64_t kernel[KYMO_KERNEL_FRAMES_MAX];
	} thread;

	close_others(memory_fd, fd);
	if (become_nobody() < 0)
		_exit(1);
	p.data = &serving;
	p.read = read_memory;
	p.output = answer;
	while (recv(fd, &thread, sizeof(thread), 0) >= (ssize_t)sizeof(thread.head))
		(void)walk_thread(w, &p, &thread.head);
	_exit(0);
}

/* ---- who asks ---- */

static int start(struct dump_server *s, struct walk_state *w, const struct walk_process *p,
		 int memory_fd)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	s->pid = fork();
	if (s->pid == 0) {
		close(fds[0]);
		serve(w, p, memory_fd, fds[1]);
	}
	close(fds[1]);
	s->fd = fds[0];
	return s->pid < 0 ? -errno : 0;
}

int dump_server_start(struct dump_server *s, const struct walk_process *p, int memory_fd)
{
	struct walk_state *w = NULL;
	int r;

	*s = DUMP_SERVER_NONE;
	s->record = malloc(RECORD_MAX);
	/* Before the fork, at which another thread may be allocating. */
	r = s->record ? walk_new(&w) : -ENOMEM;
	if (r == 0)
		r = start(s, w, p, memory_fd);
	walk_free(w);
	if (r < 0)
		dump_server_stop(s);
	return r;
}

void dump_server_stop(struct dump_server *s)
{
	if (s->fd >= 0)
		close(s->fd);
	if (s->pid > 0) {
		kill(s->pid, SIGKILL);
		/* One that hangs where no signal reaches it ends when it can. */
		waitpid(s->pid, NULL, s->hangs ? WNOHANG : 0);
	}
	free(s->record);
	*s = DUMP_SERVER_NONE;
}

int dump_server_ask(struct dump_server *s, const struct kymo_standing *t)
{
	return send(s->fd, t, t->head.size, MSG_NOSIGNAL) < 0 ? -EPIPE : 0;
}

/* A host may be too busy to let it run: that is no hang. */
static bool waits_for_a_cpu(int pid)
{
	char path[32], line[256] = "";
	_cleanup_fclose_ FILE *f = NULL;
	const char *state;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	state = f && fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;
	return state && state[1] == ' ' && state[2] == 'R';
}

static ssize_t receive(struct dump_server *s)
{
	struct pollfd fd = { .fd = s->fd, .events = POLLIN };
	ssize_t n;

	for (int looks = 0; poll(&fd, 1, LOOK_MS) <= 0;) {
		looks = waits_for_a_cpu(s->pid) ? 0 : looks + 1;
		if (looks == LOOKS_MAX) {
			s->hangs = true;
			return -ETIMEDOUT;
		}
	}
	n = recv(s->fd, s->record, RECORD_MAX, 0);
	return n > 0 ? n : -EPIPE;
}

static int take_sample(struct dump_server *s, size_t size, void **ret_sample)
{
	struct raw_sample sample;
	void *copy;

	if (decode_sample(s->record, size, &sample) < 0)
		return -EPIPE;
	copy = malloc(size);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, s->record, size);
	*ret_sample = copy;
	return 1;
}

/* 1: the sample; 0: what it needs; -errno. */
static int take(struct dump_server *s, size_t size, struct dumper *d, void **ret_sample)
{
	struct kern_thread thread;
	struct kern_code code;
	int r;

	if (decode_code(s->record, size, &code) == 0)
		r = python_codes_add(d->codes, code.head, code.file, code.name, code.table);
	else if (decode_thread(s->record, size, &thread) == 0)
		r = python_thread_names_add(d->thread_names, thread.head, thread.name);
	else
		return take_sample(s, size, ret_sample);
	return r == -ENOMEM ? r : 0;
}

int dump_server_answer(struct dump_server *s, struct dumper *d, void **ret_sample)
{
	ssize_t r = 0;

	while (r == 0) {
		r = receive(s);
		if (r > 0)
			r = take(s, (size_t)r, d, ret_sample);
	}
	return r < 0 ? (int)r : 0;
}
