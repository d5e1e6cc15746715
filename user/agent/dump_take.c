/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One process: where its threads stand, as the kernel has it; their memory is walked, and the kernel asked again. A thread that
 * was on no CPU both times, and has not left one meanwhile, stood still: its stack is right. The others are tried
 * again with those that are left, soon after the kernel was asked, or met running by the clock.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/dump_state.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "kern/decode.h"

/* Walked, or waited for while it ran, so often in vain. */
#define TRIES_MAX   60
#define THREADS_MAX 65536
#define PAUSE_NS    NS_PER_MSEC

/* include/linux/sched.h: task_struct.__state */
#define TASK_INTERRUPTIBLE   0x1
#define TASK_UNINTERRUPTIBLE 0x2
#define TASK_STOPPED	     0x4
#define TASK_TRACED	     0x8
#define TASK_DEAD	     0xb0 /* parked ones have no user stack either */

struct standing {
	struct {
		struct kymo_standing head;
		uint64_t kernel[KYMO_KERNEL_FRAMES_MAX];
	} at;
	uint32_t tid;
	unsigned tries;
	bool seen;   /* when the kernel was asked last */
	bool walked; /* since then */
	enum dump_how how;
	void *sample; /* owned */
};

struct turn {
	struct dumper *dumper;
	uint32_t pid;
	uint64_t start_ns;
	struct standing *threads;
	size_t n, cap;
	struct hmap by_tid; /* uint32_t -> uint32_t index */
	struct dump_server server;
	bool read; /* its memory can be */
};

static void turn_release(struct turn *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->threads[i].sample);
	free(t->threads);
	hmap_release(&t->by_tid);
	dump_server_stop(&t->server);
}

/* ---- what the kernel says ---- */

static struct standing *standing_of(struct turn *t, const struct kymo_standing *thread)
{
	bool new;
	uint32_t *index = hmap_put(&t->by_tid, &thread->who.tid, &new);

	if (!index)
		return NULL;
	if (new) {
		if (array_reserve(&t->threads, &t->cap, t->n + 1) < 0) {
			hmap_remove(&t->by_tid, &thread->who.tid);
			return NULL;
		}
		*index = (uint32_t)t->n;
		t->threads[t->n++] = (struct standing){ .tid = thread->who.tid };
	}
	return &t->threads[*index];
}

static bool stood_still(const struct kymo_standing *before, const struct kymo_standing *now)
{
	return !((before->flags | now->flags) & KYMO_STANDING_ON_CPU) &&
	       before->switches == now->switches &&
	       before->who.thread_start_ns == now->who.thread_start_ns;
}

static void on_thread(void *data, const struct kymo_standing *thread)
{
	struct turn *t = data;
	struct standing *s;

	if (thread->who.pid != t->pid)
		return;
	s = standing_of(t, thread);
	if (!s)
		return;
	s->seen = true;
	if (s->walked && stood_still(&s->at.head, thread)) {
		s->how = DUMP_STOOD;
	} else if (s->how == DUMP_MISSED) {
		free(TAKE_PTR(s->sample));
		memcpy(&s->at, thread, thread->head.size);
	}
	s->walked = false;
}

/* Those that have ended are none any more. */
static int ask_kernel(struct turn *t)
{
	int r;

	for (size_t i = 0; i < t->n; i++)
		t->threads[i].seen = false;
	r = kern_threads(t->dumper->kern, t->pid, on_thread, t);
	return r < 0 ? r : dump_drain(t->dumper);
}

/* ---- walks ---- */

static bool is_left(const struct standing *s)
{
	return s->seen && s->how == DUMP_MISSED && s->tries < TRIES_MAX;
}

static bool is_walkable(const struct standing *s)
{
	return is_left(s) && !(s->at.head.flags & KYMO_STANDING_ON_CPU);
}

/* Threads that were tried less often come first. */
static size_t choose(struct turn *t, struct standing *ret[DUMP_BATCH])
{
	size_t n = 0;

	for (unsigned tries = 0; tries < TRIES_MAX && n < DUMP_BATCH; tries++)
		for (size_t i = 0; i < t->n && n < DUMP_BATCH; i++)
			if (t->threads[i].tries == tries && is_walkable(&t->threads[i]))
				ret[n++] = &t->threads[i];
	return n;
}

/* What the process's memory has not given is not asked for again. */
static void give_up_reading(struct turn *t, int error)
{
	t->read = false;
	for (size_t i = 0; i < t->n; i++)
		if (t->threads[i].how == DUMP_MISSED && error == -ETIMEDOUT)
			t->threads[i].how = DUMP_UNREAD;
}

static int walk(struct turn *t, struct standing *const batch[], size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = dump_server_ask(&t->server, &batch[i]->at.head);
	for (size_t i = 0; i < n && r == 0; i++) {
		r = dump_server_answer(&t->server, t->dumper, &batch[i]->sample);
		batch[i]->walked = r == 0;
		batch[i]->tries++;
	}
	if (r == 0 || r == -ENOMEM)
		return r;
	give_up_reading(t, r);
	return 0;
}

/* ---- the clock ---- */

static void take_samples(struct turn *t)
{
	for (size_t i = 0; i < t->n; i++) {
		struct standing *s = &t->threads[i];
		void **sample = hmap_get(&t->dumper->samples, &s->tid);
		const struct kymo_sample *head = sample ? *sample : NULL;

		if (!head || s->how != DUMP_MISSED || head->head.time_ns < t->start_ns ||
		    head->who.thread_start_ns != s->at.head.who.thread_start_ns)
			continue;
		if (s->seen && !(s->at.head.flags & KYMO_STANDING_ON_CPU) && s->tries < TRIES_MAX)
			continue; /* it stands now */
		free(s->sample);
		s->sample = TAKE_PTR(*sample);
		s->how = DUMP_SAMPLED;
	}
}

static bool any_left(struct turn *t)
{
	bool any = false;

	for (size_t i = 0; i < t->n; i++)
		any |= is_left(&t->threads[i]);
	return any;
}

static void wait_for_the_clock(struct turn *t)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };

	for (size_t i = 0; i < t->n; i++)
		t->threads[i].tries += is_left(&t->threads[i]);
	nanosleep(&pause, NULL);
}

static int rounds(struct turn *t)
{
	struct standing *batch[DUMP_BATCH];
	int r = ask_kernel(t);

	while (r == 0) {
		size_t n = t->read ? choose(t, batch) : 0;

		take_samples(t);
		if (!any_left(t))
			break;
		if (n)
			r = walk(t, batch, n);
		else
			wait_for_the_clock(t);
		if (r == 0)
			r = ask_kernel(t);
	}
	return r;
}

/* ---- what becomes of it ---- */

static enum dump_state state_of(const struct standing *s)
{
	const struct kymo_standing *t = &s->at.head;

	if (s->how == DUMP_SAMPLED || t->flags & KYMO_STANDING_ON_CPU)
		return DUMP_RUNS;
	if ((t->flags & KYMO_STANDING_NO_MM && !(t->flags & KYMO_STANDING_KERNEL)) ||
	    t->state & TASK_DEAD)
		return DUMP_ENDED;
	if (t->state & (TASK_STOPPED | TASK_TRACED))
		return DUMP_STOPPED;
	if (t->state & TASK_UNINTERRUPTIBLE)
		return DUMP_BLOCKED;
	return t->state & TASK_INTERRUPTIBLE ? DUMP_SLEEPS : DUMP_RUNNABLE;
}

/* Its row of the tick, which has its frames when they are named. */
static int add_row(struct dumper *d, const struct proc_process *proc, uint32_t process,
		   const struct standing *s, struct row_owner owner)
{
	const struct kymo_sample *head = s->sample;
	const struct sample_frame *frames;
	struct row_owner *place;
	struct raw_sample sample;
	uint32_t thread;
	size_t n;

	if (decode_sample(s->sample, head->head.size, &sample) < 0)
		return -EBADMSG;
	thread = merge_thread(d->merge, process, &head->who, NULL);
	place = thread ? hmap_put(&d->rows, &thread, NULL) : NULL;
	if (!place)
		return -ENOMEM;
	*place = owner;
	n = resolve_sample(d->resolve, &sample, proc, process, &frames);
	return merge_sample(d->merge, head, thread, frames, n);
}

/* The first thread's root frame is the program, no Thread's: Python calls it so. */
static const char *name_of(const struct dumper *d, const struct standing *s)
{
	const struct kymo_who *who = &s->at.head.who;
	const struct kymo_sample *head = s->sample;
	const char *name =
		python_thread_names_find(d->thread_names, who->tid, who->thread_start_ns);

	if (!name[0] && head && who->tid == who->pid && head->state & KYMO_STATE_PYTHON)
		return "MainThread";
	return name;
}

static int fill_thread(const struct dumper *d, const struct standing *s, struct dump_thread *ret)
{
	const struct kymo_sample *head = s->sample;

	*ret = (struct dump_thread){ .tid = s->tid,
				     .ident = s->at.head.fs_base,
				     .state = state_of(s),
				     .how = s->how,
				     .at_ns = head ? head->head.time_ns : 0,
				     .bits = head ? head->state : 0,
				     .end = head ? (enum kymo_end)head->end : KYMO_END_NONE };
	memcpy(ret->comm, s->at.head.who.comm, sizeof(ret->comm));
	ret->name = strdup(name_of(d, s));
	return ret->name ? 0 : -ENOMEM;
}

/* They were looked at one after the other: of those that held the lock then, the last one does now. */
static void choose_holder(struct dump_process *p)
{
	struct dump_thread *last = NULL;

	for (size_t i = 0; i < p->threads_n; i++) {
		struct dump_thread *t = &p->threads[i];

		if (!(t->bits & KYMO_STATE_GIL_HOLDING))
			continue;
		if (!last || t->at_ns > last->at_ns)
			last = t;
		t->held_gil = true;
	}
	if (last)
		last->held_gil = false;
}

static int compare_standing(const void *pa, const void *pb)
{
	const struct standing *a = pa, *b = pb;

	return a->tid < b->tid ? -1 : a->tid > b->tid;
}

static struct dump_process *add_process(struct dump *dump, const struct turn *t)
{
	struct dump_process *all =
		reallocarray(dump->processes, dump->processes_n + 1, sizeof(*dump->processes));
	struct dump_process *p;

	if (!all)
		return NULL;
	dump->processes = all;
	p = &all[dump->processes_n];
	*p = (struct dump_process){ .pid = t->pid, .threads = calloc(t->n, sizeof(*p->threads)) };
	if (!p->threads)
		return NULL;
	dump->processes_n++;
	return p;
}

static int hand_over(struct turn *t, const struct proc_process *proc)
{
	struct dumper *d = t->dumper;
	struct process info = proc->info;
	struct dump_process *p = add_process(d->dump, t);
	uint32_t process;
	int r = 0;

	if (!p)
		return -ENOMEM;
	memcpy(p->comm, info.comm, sizeof(p->comm));
	p->cmdline = strdup(info.cmdline ? info.cmdline : "");
	process = merge_process(d->merge, &info);
	if (!p->cmdline || !process)
		return -ENOMEM;
	qsort(t->threads, t->n, sizeof(*t->threads), compare_standing);
	for (size_t i = 0; i < t->n && r == 0; i++) {
		const struct standing *s = &t->threads[i];
		const struct row_owner owner = { (uint32_t)(d->dump->processes_n - 1),
						 (uint32_t)p->threads_n };

		if (!s->seen && s->how == DUMP_MISSED)
			continue; /* ended meanwhile */
		p->bits_32 |= (s->at.head.flags & KYMO_STANDING_32_BIT) != 0;
		r = fill_thread(d, s, &p->threads[p->threads_n++]);
		if (r == 0 && s->sample)
			r = add_row(d, proc, process, s, owner);
	}
	choose_holder(p);
	return r;
}

static int begin_reading(struct turn *t, const struct proc_process *proc)
{
	_cleanup_close_ int memory_fd = -1;
	_cleanup_free_ struct walk_mapping *mappings = NULL;
	struct walk_process process;
	char path[32];
	int r;

	snprintf(path, sizeof(path), "/proc/%u/mem", t->pid);
	memory_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (memory_fd < 0)
		return -errno;
	r = dump_tables_process(&t->dumper->tables, proc, &process, &mappings);
	if (r == 0)
		r = dump_server_start(&t->server, &process, memory_fd);
	t->read = r == 0;
	return r;
}

int dump_take(struct dumper *d, uint32_t pid)
{
	_cleanup_(turn_release) struct turn t = {
		.dumper = d, .pid = pid, .start_ns = clock_mono_ns(), .server = DUMP_SERVER_NONE
	};
	const struct proc_process *proc;
	int r;

	hmap_init(&t.by_tid, sizeof(uint32_t), sizeof(uint32_t), THREADS_MAX);
	r = ask_kernel(&t);
	if (r < 0 || !t.n)
		return r < 0 ? r : -ESRCH;
	if (t.threads[0].at.head.flags & KYMO_STANDING_KERNEL && t.threads[0].tid == pid)
		return -ENODATA;
	r = proc_scan(d->procs, pid);
	proc = r == 0 ? proc_find(d->procs, &t.threads[0].at.head.who) : NULL;
	if (!proc)
		return r < 0 ? r : -ENOMEM;
	r = begin_reading(&t, proc);
	if (r < 0)
		return r == -ENOENT ? -ESRCH : r;
	r = rounds(&t);
	/* Events that came meanwhile may have moved it. */
	proc = r == 0 ? proc_find(d->procs, &t.threads[0].at.head.who) : NULL;
	if (!proc)
		return r < 0 ? r : -ENOMEM;
	return hand_over(&t, proc);
}
