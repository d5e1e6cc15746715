/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/worker.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "worker/client.h"
#include "worker/options.h"
#include "worker/protocol.h"

const struct worker_options worker_defaults = {
	.executable = "/proc/self/exe",
	.parser = "worker-parser",
	.opener = "worker-opener",
	.parser_timeout_ns = 10 * NS_PER_SEC,
	.opener_timeout_ns = 2 * NS_PER_SEC,
	.jobs_max = 4096,
	.offsets_max = 1 << 20,
};

/* Answers that nobody fetches: the next job waits. */
#define DONE_BYTES_MAX (16U << 20)
/* How often files are let go that nobody maps any more. */
#define EXPIRE_MS 500

/* After that many jobs for stacks one for names is done, which would else wait as long as new files come. */
#define HURRIED_IN_A_ROW 16

struct queue {
	struct job *first, **end;
};

struct worker {
	struct worker_options options;
	pthread_t thread;
	bool thread_runs;
	int stop_fd, work_fd, done_fd; /* eventfds: to end, jobs wait, replies wait */
	pthread_mutex_t lock;	       /* over all below */
	pthread_cond_t started, room;
	bool is_started, stopping;
	int start_error;
	struct queue hurried, others;
	unsigned int hurried_in_a_row;
	struct reply *done, **done_end;
	size_t unfinished, offsets, unfetched;
	size_t done_bytes;
	struct worker_stats stats;
};

DEFINE_CLEANUP(struct worker *, worker_free);

static void job_free(struct job *j)
{
	if (!j)
		return;
	free(j->path);
	free(j->offsets);
	free(j);
}
DEFINE_CLEANUP(struct job *, job_free);

static void raise_event(int fd)
{
	uint64_t one = 1;

	/* Fails only when the counter is full, that is: raised. */
	(void)!write(fd, &one, sizeof(one));
}

static void clear_event(int fd)
{
	uint64_t count;

	(void)!read(fd, &count, sizeof(count));
}

static void queue_put(struct queue *q, struct job *j)
{
	*q->end = j;
	q->end = &j->next;
}

static struct job *queue_take(struct queue *q)
{
	struct job *j = q->first;

	if (!j)
		return NULL;
	q->first = j->next;
	if (!q->first)
		q->end = &q->first;
	return j;
}

static struct job *take_job(struct worker *w)
{
	struct job *j = NULL;

	if (w->hurried_in_a_row >= HURRIED_IN_A_ROW)
		j = queue_take(&w->others);
	if (!j)
		j = queue_take(&w->hurried);
	if (!j)
		j = queue_take(&w->others);
	w->hurried_in_a_row = j && worker_job_is_hurried(j->kind) ? w->hurried_in_a_row + 1 : 0;
	return j;
}

static struct job *next_job(struct worker *w)
{
	struct job *j;

	pthread_mutex_lock(&w->lock);
	while (w->done_bytes > DONE_BYTES_MAX && !w->stopping)
		pthread_cond_wait(&w->room, &w->lock);
	j = w->stopping ? NULL : take_job(w);
	if (!j)
		clear_event(w->work_fd);
	pthread_mutex_unlock(&w->lock);
	return j;
}

/* False = it is time to end. */
static bool wait_for_work(struct worker *w, struct client *c)
{
	struct pollfd p[2] = { { .fd = w->stop_fd, .events = POLLIN },
			       { .fd = w->work_fd, .events = POLLIN } };

	while (poll(p, 2, held_expire(&c->held) ? EXPIRE_MS : -1) < 0 && errno == EINTR)
		;
	return !p[0].revents;
}

static void publish(struct worker *w, const struct client *c, const struct job *j, struct reply *r)
{
	pthread_mutex_lock(&w->lock);
	w->stats = (struct worker_stats){ .starts = c->opener.starts + c->parser.starts,
					  .timeouts = c->timeouts,
					  .deaths = c->deaths,
					  .kept = c->kept_used,
					  .parser = c->parser.pid,
					  .opener = c->opener.pid };
	if (j) {
		w->unfinished--;
		w->offsets -= j->offsets_n;
	}
	if (r) {
		*w->done_end = r;
		w->done_end = &r->next;
		w->done_bytes += reply_bytes(r);
		raise_event(w->done_fd);
	} else if (j) {
		w->unfetched--; /* no memory for its answer: it is lost */
	}
	pthread_mutex_unlock(&w->lock);
}

/* False = it is time to end. */
static bool run_one(struct worker *w, struct client *c, struct job *job)
{
	_cleanup_(job_freep) struct job *j = job;
	struct reply *r = NULL;
	int error;

	if (reply_new(j->kind, j->cookie, j->offsets, j->offsets_n, &r) == 0) {
		error = client_run(c, j, r);
		reply_finish(r, error);
		if (error == -ECANCELED) {
			reply_free(r);
			return false;
		}
	}
	publish(w, c, j, r);
	client_keep(c);
	return true;
}

static void *run(void *data)
{
	struct worker *w = data;
	struct client *c = malloc(sizeof(*c));
	struct job *j;
	int r = c ? 0 : -ENOMEM;

	pthread_setname_np(pthread_self(), "kymo-worker");
	if (c) {
		client_init(c, &w->options, w->stop_fd);
		r = client_start(c);
		publish(w, c, NULL, NULL);
	}
	pthread_mutex_lock(&w->lock);
	w->is_started = true;
	w->start_error = r;
	pthread_cond_signal(&w->started);
	pthread_mutex_unlock(&w->lock);
	while (r == 0) {
		j = next_job(w);
		if (j ? !run_one(w, c, j) : !wait_for_work(w, c))
			break;
	}
	if (c)
		client_release(c);
	free(c);
	return NULL;
}

/* Signals are the caller's: none is taken by this thread. */
static int start_thread(struct worker *w)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&w->thread, NULL, run, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r)
		return -r;
	w->thread_runs = true;
	pthread_mutex_lock(&w->lock);
	while (!w->is_started)
		pthread_cond_wait(&w->started, &w->lock);
	r = w->start_error;
	pthread_mutex_unlock(&w->lock);
	return r;
}

int worker_new_with(const struct worker_options *options, struct worker **ret)
{
	_cleanup_(worker_freep) struct worker *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->options = *options;
	w->stop_fd = w->work_fd = w->done_fd = -1;
	w->hurried.end = &w->hurried.first;
	w->others.end = &w->others.first;
	w->done_end = &w->done;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->started, NULL);
	pthread_cond_init(&w->room, NULL);
	w->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->work_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->stop_fd < 0 || w->work_fd < 0 || w->done_fd < 0)
		return -errno;
	r = start_thread(w);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(w);
	return 0;
}

int worker_new(const char *cache, struct worker **ret)
{
	struct worker_options options = worker_defaults;

	options.cache = cache;
	return worker_new_with(&options, ret);
}

void worker_free(struct worker *w)
{
	struct job *j;

	if (!w)
		return;
	if (w->thread_runs) {
		pthread_mutex_lock(&w->lock);
		w->stopping = true;
		raise_event(w->stop_fd);
		pthread_cond_signal(&w->room);
		pthread_mutex_unlock(&w->lock);
		pthread_join(w->thread, NULL);
	}
	while ((j = queue_take(&w->hurried)) || (j = queue_take(&w->others)))
		job_free(j);
	while (w->done) {
		struct reply *r = w->done;

		w->done = r->next;
		reply_free(r);
	}
	closep(&w->stop_fd);
	closep(&w->work_fd);
	closep(&w->done_fd);
	pthread_cond_destroy(&w->started);
	pthread_cond_destroy(&w->room);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

static int job_new(enum worker_job_kind kind, const struct worker_file *file,
		   const uint64_t *offsets, size_t offsets_n, uint64_t cookie, struct job **ret)
{
	_cleanup_(job_freep) struct job *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	j->kind = kind;
	j->file = *file;
	j->cookie = cookie;
	j->path = strdup(file->path ? file->path : "");
	if (!j->path)
		return -ENOMEM;
	/* Too long for any open: the mapping may still lead to it. */
	if (strlen(j->path) >= WORKER_PATH_MAX)
		j->path[0] = 0;
	j->file.path = j->path;
	if (worker_job_has_offsets(kind) && offsets_n) {
		j->offsets = malloc(offsets_n * sizeof(*offsets));
		if (!j->offsets)
			return -ENOMEM;
		memcpy(j->offsets, offsets, offsets_n * sizeof(*offsets));
		j->offsets_n = offsets_n;
	}
	*ret = TAKE_PTR(j);
	return 0;
}

int worker_submit(struct worker *w, enum worker_job_kind kind, const struct worker_file *file,
		  const uint64_t *offsets, size_t offsets_n, uint64_t cookie)
{
	_cleanup_(job_freep) struct job *j = NULL;
	int r = 0;

	if (offsets_n > w->options.offsets_max)
		return -ENOSPC;
	r = job_new(kind, file, offsets, offsets_n, cookie, &j);
	if (r < 0)
		return r;
	pthread_mutex_lock(&w->lock);
	if (w->unfinished >= w->options.jobs_max ||
	    w->offsets + j->offsets_n > w->options.offsets_max) {
		r = -ENOSPC;
	} else {
		w->unfinished++;
		w->unfetched++;
		w->offsets += j->offsets_n;
		queue_put(worker_job_is_hurried(kind) ? &w->hurried : &w->others, TAKE_PTR(j));
		raise_event(w->work_fd);
	}
	pthread_mutex_unlock(&w->lock);
	return r;
}

struct worker_reply *worker_fetch(struct worker *w)
{
	struct reply *r;

	pthread_mutex_lock(&w->lock);
	r = w->done;
	if (r) {
		w->done = r->next;
		w->done_bytes -= reply_bytes(r);
		w->unfetched--;
		pthread_cond_signal(&w->room);
	}
	if (!w->done) {
		w->done_end = &w->done;
		clear_event(w->done_fd);
	}
	pthread_mutex_unlock(&w->lock);
	return r ? &r->public : NULL;
}

void worker_reply_free(struct worker_reply *r)
{
	reply_free((struct reply *)r);
}

size_t worker_pending(struct worker *w)
{
	size_t n;

	pthread_mutex_lock(&w->lock);
	n = w->unfetched;
	pthread_mutex_unlock(&w->lock);
	return n;
}

int worker_fd(struct worker *w)
{
	return w->done_fd;
}

void worker_stats(struct worker *w, struct worker_stats *ret)
{
	pthread_mutex_lock(&w->lock);
	*ret = w->stats;
	pthread_mutex_unlock(&w->lock);
}
