/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/jit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hmap.h"

#define PROCESSES_MAX 4096
#define FRAMES_MAX    20000 /* that wait, of one process */
#define BATCH	      1024
#define OUT_MAX	      2 /* a map may take a while to read */
#define AGAIN_NS      NS_PER_SEC
#define DOUBLINGS     5
#define IDLE_NS	      (60 * NS_PER_SEC)
#define COOKIES	      (1ULL << 32) /* of one profile */

struct runtime {
	uint32_t binary; /* 0 = this place is free */
	uint32_t pid;
	uint64_t start_ns;
	uint64_t due_ns, seen_ns;
	struct merge_unnamed *frames; /* without a name: [0, missed) have been asked for before */
	size_t frames_n, cap, missed;
	uint8_t asked; /* how often */
	bool is_new;   /* its map has not been opened yet */
	bool is_out;   /* a job is */
	bool is_over;  /* no map will come any more, or none that is read */
};

struct job {
	uint64_t cookie;
	size_t runtime;
	struct merge_unnamed *frames;
	size_t n;
	bool is_last; /* whatever is not there now never will be */
};

struct jit {
	struct merge *merge;
	struct worker *worker;
	struct hmap by_binary; /* binary -> uint32_t index */
	struct runtime *runtimes;
	size_t runtimes_n, runtimes_cap;
	struct job jobs[OUT_MAX]; /* cookie 0 = free */
	uint64_t last_cookie;
	size_t waiting; /* processes with something to do */
	struct jit_stats stats;
};

int jit_new(struct merge *merge, struct worker *worker, struct jit **ret)
{
	struct jit *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	j->merge = merge;
	j->worker = worker;
	hmap_init(&j->by_binary, sizeof(uint32_t), sizeof(uint32_t), PROCESSES_MAX);
	*ret = j;
	return 0;
}

void jit_free(struct jit *j)
{
	if (!j)
		return;
	for (size_t i = 0; i < j->runtimes_n; i++)
		free(j->runtimes[i].frames);
	for (size_t i = 0; i < OUT_MAX; i++)
		free(j->jobs[i].frames);
	free(j->runtimes);
	hmap_release(&j->by_binary);
	free(j);
}

int jit_renew(struct jit *j, struct merge *old_merge, struct jit **ret_old)
{
	struct jit *old, fresh;
	int r = jit_new(j->merge, j->worker, &old);

	if (r < 0)
		return r;
	fresh = *old;
	*old = *j;
	old->merge = old_merge;
	*j = fresh;
	j->stats = old->stats;
	/* Answers to the old one are told from ours by their cookies. */
	j->last_cookie = old->last_cookie + COOKIES;
	*ret_old = old;
	return 0;
}

static struct job *find_job(struct jit *j, uint64_t cookie)
{
	for (size_t i = 0; i < OUT_MAX && cookie; i++)
		if (j->jobs[i].cookie == cookie)
			return &j->jobs[i];
	return NULL;
}

bool jit_asked(const struct jit *j, const struct worker_reply *reply)
{
	return find_job((struct jit *)j, reply->cookie) != NULL;
}

/* Whoever has not been seen for a while and waits for nothing makes room. */
static void make_room(struct jit *j, uint64_t now)
{
	for (size_t i = 0; i < j->runtimes_n; i++) {
		struct runtime *p = &j->runtimes[i];

		if (!p->binary || p->is_out || p->is_new || now - p->seen_ns < IDLE_NS ||
		    (p->frames_n > p->missed && !p->is_over))
			continue;
		hmap_remove(&j->by_binary, &p->binary);
		free(p->frames);
		*p = (struct runtime){ 0 };
	}
}

static struct runtime *runtime_add(struct jit *j, uint32_t *ret_index)
{
	for (size_t i = 0; i < j->runtimes_n; i++)
		if (!j->runtimes[i].binary) {
			*ret_index = (uint32_t)i;
			return &j->runtimes[i];
		}
	if (array_reserve(&j->runtimes, &j->runtimes_cap, j->runtimes_n + 1) < 0)
		return NULL;
	*ret_index = (uint32_t)j->runtimes_n;
	return &j->runtimes[j->runtimes_n++];
}

void jit_seen(struct jit *j, uint32_t binary, const struct kymo_who *who)
{
	uint32_t *index = binary ? hmap_get(&j->by_binary, &binary) : NULL, place;
	uint64_t now;
	struct runtime *p;

	if (index || !binary)
		return;
	now = clock_mono_ns();
	if (j->by_binary.count >= PROCESSES_MAX)
		make_room(j, now);
	index = hmap_put(&j->by_binary, &binary, NULL);
	p = index ? runtime_add(j, &place) : NULL;
	if (!p) {
		if (index)
			hmap_remove(&j->by_binary, &binary);
		j->stats.dropped++;
		return;
	}
	*index = place;
	*p = (struct runtime){ .binary = binary,
			       .pid = who->pid,
			       .start_ns = who->process_start_ns,
			       .seen_ns = now,
			       .is_new = true };
}

bool jit_queue(struct jit *j, const struct merge_unnamed *u)
{
	const uint32_t *index = hmap_get(&j->by_binary, &u->binary);
	struct runtime *p;

	if (!index)
		return false;
	p = &j->runtimes[*index];
	p->seen_ns = clock_mono_ns();
	if (p->is_over)
		return true;
	if (p->frames_n >= FRAMES_MAX || array_reserve(&p->frames, &p->cap, p->frames_n + 1) < 0) {
		j->stats.dropped++;
		return true;
	}
	p->frames[p->frames_n++] = *u;
	return true;
}

static struct job *free_job(struct jit *j)
{
	for (size_t i = 0; i < OUT_MAX; i++)
		if (!j->jobs[i].cookie)
			return &j->jobs[i];
	return NULL;
}

static bool is_due(const struct runtime *p, uint64_t now, bool finishing)
{
	if (!p->binary || p->is_out || p->is_over)
		return false;
	if (p->is_new)
		return true;
	if (finishing)
		return p->frames_n > 0;
	return p->frames_n > p->missed && now >= p->due_ns;
}

/* The newest frames first: those that were missed stand in front. */
static bool submit(struct jit *j, struct runtime *p, struct job *job, bool finishing)
{
	size_t n = p->frames_n < BATCH ? p->frames_n : BATCH, first = p->frames_n - n;
	const struct worker_file file = { .pid = p->pid, .process_start_ns = p->start_ns };
	_cleanup_free_ struct merge_unnamed *frames = calloc(n + 1, sizeof(*frames));
	_cleanup_free_ uint64_t *addresses = calloc(n + 1, sizeof(*addresses));

	if (!frames || !addresses)
		return false;
	for (size_t i = 0; i < n; i++) {
		frames[i] = p->frames[first + i];
		addresses[i] = frames[i].offset;
	}
	if (worker_submit(j->worker, WORKER_MAP, &file, addresses, n, j->last_cookie + 1) < 0)
		return false;
	*job = (struct job){ .cookie = ++j->last_cookie,
			     .runtime = (size_t)(p - j->runtimes),
			     .frames = TAKE_PTR(frames),
			     .n = n,
			     .is_last = finishing };
	p->frames_n = first;
	p->missed = p->missed < first ? p->missed : first;
	p->due_ns = clock_mono_ns() + (AGAIN_NS << p->asked);
	if (n && p->asked < DOUBLINGS)
		p->asked++;
	p->is_new = false;
	p->is_out = true;
	return true;
}

void jit_submit(struct jit *j, bool finishing)
{
	uint64_t now = j->runtimes_n ? clock_mono_ns() : 0;
	size_t waiting = 0;

	for (size_t i = 0; i < j->runtimes_n; i++) {
		struct runtime *p = &j->runtimes[i];
		struct job *job;

		if (!is_due(p, now, finishing))
			continue;
		job = free_job(j);
		if (!job || !submit(j, p, job, finishing))
			waiting++;
	}
	j->waiting = waiting;
}

/* Back to the others that have been asked for: the map may have them later. */
static void put_back(struct jit *j, struct runtime *p, const struct merge_unnamed *u)
{
	if (p->frames_n >= FRAMES_MAX || array_reserve(&p->frames, &p->cap, p->frames_n + 1) < 0) {
		j->stats.dropped++;
		return;
	}
	p->frames[p->frames_n++] = p->frames[p->missed];
	p->frames[p->missed++] = *u;
}

static int add_names(struct jit *j, struct runtime *p, const struct job *job,
		     const struct worker_reply *reply, struct late_names *l)
{
	struct frame_name *names = reallocarray(l->names, l->names_n + job->n + 1, sizeof(*names));

	if (!names)
		return -ENOMEM;
	l->names = names;
	for (size_t i = 0; i < job->n; i++) {
		const char *name = i < reply->names_n ? reply->names[i].name : "";
		struct function fn = { .kind = FRAME_NATIVE,
				       .binary = p->binary,
				       .name = (char *)name,
				       .file = (char *)"" };
		uint32_t function = *name ? merge_function(j->merge, &fn) : 0;

		if (function)
			names[l->names_n++] = (struct frame_name){ .frame = job->frames[i].frame,
								   .function = function };
		else if (!*name && !job->is_last)
			put_back(j, p, &job->frames[i]);
	}
	return 0;
}

/* -ENOENT: there is none yet; a helper that died may have been another's doing. The others stay as they are. */
static void take_error(struct jit *j, struct runtime *p, const struct job *job, int error)
{
	if (error != -ENOENT && error != -EAGAIN) {
		p->is_over = true;
		j->stats.refused += error != -ESRCH;
		free(TAKE_PTR(p->frames));
		p->frames_n = p->cap = p->missed = 0;
		return;
	}
	for (size_t i = 0; i < job->n && !job->is_last; i++)
		put_back(j, p, &job->frames[i]);
}

int jit_take(struct jit *j, const struct worker_reply *reply, struct late_names *l)
{
	struct job *job = find_job(j, reply->cookie);
	struct runtime *p;
	int r = 0;

	if (!job)
		return 0; /* of a profile that has ended meanwhile */
	p = &j->runtimes[job->runtime];
	p->is_out = false;
	if (reply->error < 0)
		take_error(j, p, job, reply->error);
	else
		r = add_names(j, p, job, reply, l);
	free(job->frames);
	*job = (struct job){ 0 };
	return r;
}

size_t jit_pending(const struct jit *j)
{
	size_t n = j->waiting;

	for (size_t i = 0; i < OUT_MAX; i++)
		n += j->jobs[i].cookie != 0;
	return n;
}

void jit_stats(const struct jit *j, struct jit_stats *ret)
{
	*ret = j->stats;
}
