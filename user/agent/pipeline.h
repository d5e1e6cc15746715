/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of a recording, wired: records in order of time -> processes, interpreters,
 * frames -> ticks -> writer. Driven by pipeline_step; knows neither signals nor terminals.
 */
#ifndef KYMO_AGENT_PIPELINE_H
#define KYMO_AGENT_PIPELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/writer.h"
#include "kern/kern.h"
#include "python/python.h"
#include "store/store.h"

struct pipeline;

/* What was read of files, for the next start: made where /var/cache is, and may be removed at any time. */
#define PIPELINE_CACHE_FOLDER "/var/cache/kymo"

struct pipeline_options {
	uint64_t cpu_period_ns;
	uint64_t tick_ns;
	uint64_t rotate_ns; /* a new profile begins with the first tick after so long; 0 = never */
	uint32_t sources;   /* KERN_SOURCE of each */
	struct kern_cgroup cgroup; /* id 0 = all */
	bool filter;		   /* only what pipeline_follow names, and its children */
	bool no_cmdline;	   /* no process gets a command line */
};

/* Opens everything but the store; nothing is sampled yet. -errno with *ret_message, one line. */
int pipeline_open(const struct pipeline_options *options, struct pipeline **ret,
		  char **ret_message);
void pipeline_free(struct pipeline *p); /* NULL is allowed */
/* The store is borrowed until pipeline_finish, as are those that output gives (may be NULL without rotate_ns). */
int pipeline_set_store(struct pipeline *p, struct store *store, const struct writer_output *output);
int pipeline_follow(struct pipeline *p, uint32_t pid);
/* Whether any of the followed processes, or a child of theirs, still lives. */
bool pipeline_follows_any(struct pipeline *p);
/* A program that will be run: known before it starts. */
void pipeline_expect(struct pipeline *p, const char *path);
/* Waits (briefly) until the interpreters that run already are known; begins the first tick, at *ret_start_ns. */
int pipeline_start(struct pipeline *p, uint64_t *ret_start_ns);
/* One turn: drain, close the tick when it is due. 0, or -errno when the recording cannot go on. */
int pipeline_step(struct pipeline *p);
/* When the next turn is due, CLOCK_MONOTONIC. */
uint64_t pipeline_next_ns(const struct pipeline *p);
/* Stops sampling and closes the last tick. */
int pipeline_stop(struct pipeline *p);
/* Frames that still wait for their names; each call takes what has come. */
size_t pipeline_name(struct pipeline *p);
/* All is handed to the store when this returns. */
int pipeline_finish(struct pipeline *p);

struct pipeline_stats {
	uint64_t ticks;
	uint64_t recorded_ns; /* of the ticks together */
	uint64_t samples;
	uint64_t lost;	 /* samples that were taken and not kept, whatever the reason */
	uint64_t bytes;	 /* of the profile on disk */
	double cpu_busy; /* of all CPUs in the last tick, 0..1 */
	uint32_t
		unknown_python; /* hexversion of the last interpreter that cannot be walked; 0 = none */
	enum python_support unknown_python_why;
	bool kernel_names; /* kallsyms could be read */
};
/* Interpreters that were sampled and lack the probes of a source that was asked for. As files_without_probes. */
struct files_python;
size_t pipeline_without_probes(struct pipeline *p, unsigned source, struct files_python *ret,
			       size_t max);
void pipeline_stats(struct pipeline *p, struct pipeline_stats *ret);

#endif
