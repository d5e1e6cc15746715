/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A recording for a test: keeps all that kern delivers, waits for conditions, and starts children
 * that end by themselves.
 */
#ifndef KYMO_TESTS_BPF_SESSION_H
#define KYMO_TESTS_BPF_SESSION_H

#include "unit/test.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "kern/kern.h"

/* A child that a failed test forgets dies after this. */
#define CHILD_SECONDS 60
/* What a test waits for at most. */
#define WAIT_NS (20 * NS_PER_SEC)

/* Kept in the order of delivery. */
struct kept_sample {
	struct kymo_sample head;
	uint64_t kernel[KYMO_KERNEL_FRAMES_MAX];
	struct kymo_frame *user;
	struct kymo_probe probe; /* zeroes where it has none */
	size_t turn;		 /* order among samples and events */
};

struct kept_event {
	struct process_event event;
	char path[256];
	size_t turn;
};

struct kept_code {
	struct kymo_code head;
	char file[KYMO_CODE_FILE_MAX + 1], name[KYMO_CODE_NAME_MAX + 1];
	uint8_t *table;
};

struct session {
	struct kern *k;
	struct kept_sample *samples;
	size_t samples_n, samples_cap;
	struct kept_event *events;
	size_t events_n, events_cap;
	struct kept_code *codes;
	size_t codes_n, codes_cap;
	size_t turn;
};

static inline void session_on_sample(void *data, const struct raw_sample *sample)
{
	struct session *s = data;
	struct kept_sample *kept;

	assert_int_equal(array_reserve(&s->samples, &s->samples_cap, s->samples_n + 1), 0);
	kept = &s->samples[s->samples_n++];
	*kept = (struct kept_sample){ .head = *sample->head, .turn = s->turn++ };
	if (sample->probe)
		kept->probe = *sample->probe;
	memcpy(kept->kernel, sample->kernel, sample->head->kernel_frames * sizeof(uint64_t));
	kept->user = malloc((sample->head->user_frames + 1u) * sizeof(*kept->user));
	assert_non_null(kept->user);
	memcpy(kept->user, sample->user, sample->head->user_frames * sizeof(*kept->user));
}

static inline void session_on_event(void *data, const struct process_event *event)
{
	struct session *s = data;
	struct kept_event *kept;

	assert_int_equal(array_reserve(&s->events, &s->events_cap, s->events_n + 1), 0);
	kept = &s->events[s->events_n++];
	*kept = (struct kept_event){ .event = *event, .turn = s->turn++ };
	snprintf(kept->path, sizeof(kept->path), "%s", event->path);
	kept->event.path = NULL;
}

static inline void session_on_code(void *data, const struct kern_code *code)
{
	struct session *s = data;
	struct kept_code *kept;

	assert_int_equal(array_reserve(&s->codes, &s->codes_cap, s->codes_n + 1), 0);
	kept = &s->codes[s->codes_n++];
	*kept = (struct kept_code){ .head = *code->head };
	memcpy(kept->file, code->file, code->head->file_size);
	memcpy(kept->name, code->name, code->head->name_size);
	kept->table = malloc(code->head->table_size + 1);
	assert_non_null(kept->table);
	memcpy(kept->table, code->table, code->head->table_size);
}

static inline void session_poll_until(struct session *s, uint64_t until_ns)
{
	const struct kern_handler handler = { .sample = session_on_sample,
					      .code = session_on_code,
					      .process = session_on_event,
					      .data = s };

	assert_int_equal(kern_poll(s->k, until_ns, &handler), 0);
}

static inline void session_open(struct session *s, const struct kern_options *options)
{
	char *message = NULL;
	int r;

	*s = (struct session){ 0 };
	r = kern_open(options, &s->k, &message);
	if (r < 0)
		fail_msg("kern_open: %d: %s", r, message ? message : "no message");
	assert_null(message);
}

static inline void session_start(struct session *s)
{
	assert_int_equal(kern_start(s->k), 0);
}

/* Stops and takes what is left. */
static inline void session_stop(struct session *s)
{
	assert_int_equal(kern_stop(s->k), 0);
	session_poll_until(s, UINT64_MAX);
}

static inline void session_close(struct session *s)
{
	for (size_t i = 0; i < s->samples_n; i++)
		free(s->samples[i].user);
	for (size_t i = 0; i < s->codes_n; i++)
		free(s->codes[i].table);
	free(s->samples);
	free(s->events);
	free(s->codes);
	kern_close(s->k);
}

static inline size_t session_count(const struct session *s, pid_t pid)
{
	size_t n = 0;

	for (size_t i = 0; i < s->samples_n; i++)
		n += s->samples[i].head.who.pid == (uint32_t)pid;
	return n;
}

/* Polls as the agent does, until the process has so many samples. */
static inline void session_await(struct session *s, pid_t pid, size_t samples)
{
	const struct timespec pause = { .tv_nsec = 20 * NS_PER_MSEC };
	uint64_t give_up = clock_mono_ns() + WAIT_NS;

	while (session_count(s, pid) < samples) {
		if (clock_mono_ns() > give_up)
			fail_msg("process %d: %zu samples of %zu", pid, session_count(s, pid),
				 samples);
		nanosleep(&pause, NULL);
		session_poll_until(s, clock_mono_ns() - 20 * NS_PER_MSEC);
	}
}

static inline void session_counters_are_clean(struct session *s)
{
	uint64_t counters[KYMO_COUNTER_MAX];
	struct kern_stats stats;

	assert_int_equal(kern_counters(s->k, counters), 0);
	assert_int_equal(counters[KYMO_COUNTER_RING_FULL], 0);
	assert_int_equal(counters[KYMO_COUNTER_NESTED], 0);
	assert_int_equal(kern_stats(s->k, &stats), 0);
	assert_int_equal(stats.malformed, 0);
	assert_int_equal(stats.sideband_lost, 0);
	assert_int_equal(stats.queue_dropped, 0);
}

/* ---- children ---- */

/* Runs fn in a child, which ends with it. */
static inline pid_t child_start(void (*fn)(void *), void *argument)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(CHILD_SECONDS);
	fn(argument);
	_exit(0);
}

static inline void child_kill(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

static inline uint64_t timeval_ns(const struct timeval *t)
{
	return (uint64_t)t->tv_sec * NS_PER_SEC + (uint64_t)t->tv_usec * NS_PER_USEC;
}

/* Waits for its end; its CPU time, user and kernel. */
static inline uint64_t child_wait(pid_t pid)
{
	struct rusage usage;
	int status;

	assert_int_equal(wait4(pid, &status, 0, &usage), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return timeval_ns(&usage.ru_utime) + timeval_ns(&usage.ru_stime);
}

/* Burns so much CPU of the calling thread. */
static inline void burn(uint64_t cpu_ns)
{
	uint64_t end = clock_thread_cpu_ns() + cpu_ns;

	while (clock_thread_cpu_ns() < end)
		for (volatile int i = 0; i < 10000; i++)
			;
}

static inline void burn_forever(void *unused)
{
	(void)unused;
	for (volatile uint64_t i = 0;; i++)
		;
}

/* ---- /proc ---- */

/* The value behind "NAME:" in /proc/PID/FILE. */
static inline uint64_t proc_value(pid_t pid, const char *file, const char *name)
{
	char path[64], line[256];
	uint64_t value = 0;
	size_t size = strlen(name);
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	f = fopen(path, "r");
	assert_non_null(f);
	while (!found && fgets(line, sizeof(line), f))
		found = !strncmp(line, name, size) && line[size] == ':' &&
			sscanf(line + size + 1, "%" SCNu64, &value) == 1;
	fclose(f);
	if (!found)
		fail_msg("%s has no %s", path, name);
	return value;
}

/* Field N (counted from 1) of /proc/PID/stat, N > 2. */
static inline uint64_t proc_stat(pid_t pid, int n)
{
	char path[64], text[1024], *p;
	size_t size;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	assert_non_null(f);
	size = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[size] = 0;
	p = strrchr(text, ')'); /* comm may hold anything */
	assert_non_null(p);
	p += 2; /* field 3 */
	for (int i = 3; i < n; i++) {
		p = strchr(p, ' ');
		assert_non_null(p);
		p++;
	}
	return strtoull(p, NULL, 10);
}

#endif
