/* SPDX-License-Identifier: Apache-2.0 */
#include "model/tick.h"

#include <stdlib.h>

static void binaries_free(struct binary *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(b[i].path);
	free(b);
}

static void functions_free(struct function *f, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(f[i].name);
		free(f[i].file);
	}
	free(f);
}

static void processes_free(struct process *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(p[i].exe);
		free(p[i].cmdline);
	}
	free(p);
}

static void threads_free(struct thread *t, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(t[i].name);
	free(t);
}

static void events_free(struct event *e, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(e[i].fields);
	free(e);
}

static void quality_free(struct quality *q, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(q[i].counter);
	free(q);
}

void tick_free(struct tick *t)
{
	if (!t)
		return;
	health_release(&t->health);
	free(t->rows);
	free(t->offsets_us);
	binaries_free(t->binaries, t->binaries_n);
	functions_free(t->functions, t->functions_n);
	free(t->frames);
	free(t->stacks);
	processes_free(t->processes, t->processes_n);
	threads_free(t->threads, t->threads_n);
	free(t->process_ticks);
	events_free(t->events, t->events_n);
	quality_free(t->quality, t->quality_n);
	free(t);
}

void late_names_free(struct late_names *l)
{
	if (!l)
		return;
	functions_free(l->functions, l->functions_n);
	binaries_free(l->binaries, l->binaries_n);
	free(l->names);
	free(l->inlines);
	free(l);
}
