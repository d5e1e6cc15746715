/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files that processes map, and what the worker finds out about them: build-ids,
 * interpreters, names of frames. Jobs go out and answers come in without waiting.
 */
#ifndef KYMO_AGENT_FILES_H
#define KYMO_AGENT_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/probes.h"
#include "kern/kern.h"
#include "merge/merge.h"
#include "proc/proc.h"
#include "python/python.h"
#include "worker/worker.h"

struct files;

/* Borrows all; probes may be NULL. */
int files_new(struct kern *kern, struct merge *merge, struct worker *worker, struct probes *probes,
	      struct files **ret);
void files_free(struct files *f);

/* Who walks stacks beside the kernel side is told what that is told. */
struct files_observer {
	/* The rules of a file, given away. */
	void (*rules)(void *data, const struct kymo_file_key *file, struct unwind_table *t);
	void (*python)(void *data, const struct kymo_file_key *file,
		       const struct kymo_python_binary *binary);
	void *data;
};
/* Symbols are all that is asked for: DWARF takes far longer to read. */
void files_without_lines(struct files *f);
/* Before the first file is seen; borrowed. */
void files_observe(struct files *f, const struct files_observer *observer);

/* A file that a process maps; inspected once. Also a fresher way to reach a known one. */
void files_seen(struct files *f, uint32_t pid, const struct proc_mapping *mapping);
/* Mapped once more: it may have been written over since. */
void files_seen_again(struct files *f, uint32_t pid, const struct proc_mapping *mapping);
/* A program that is about to be run: looked into before it is. `path` is in our own mount namespace. */
void files_expect(struct files *f, const char *path);
/* The binary of a file mapping, for merge; 0 = no memory or at a bound. */
uint32_t files_binary(struct files *f, uint32_t pid, const struct proc_mapping *mapping);

/* A frame in memory without a file, whose binary that is: its process may write a perf map. */
void files_memory(struct files *f, uint32_t binary, const struct kymo_who *who);

/* What came; NULL when nothing did. The caller owns both. */
struct files_names {
	struct late_names *current;
	struct late_names *retired; /* for the profile before (files_renew) */
};
/*
 * Hands waiting files and unnamed frames to the worker, takes its answers: interpreters go
 * to the kernel side, names into *ret.
 */
int files_pump(struct files *f, struct files_names *ret);
/*
 * A new profile begins, right behind a closed tick: merge is renewed with all that is known here. Frames of the
 * old one go on to be named until files_retired_end; one that is retired already ends at once.
 */
int files_renew(struct files *f);
/* Nothing is waited for any more on behalf of the old profile (true where there is none). */
bool files_retired_named(const struct files *f);
void files_retired_end(struct files *f);
/* Once per tick: rules of files that nobody maps any more make room. */
void files_unwind_tick(struct files *f, const struct proc_table *procs, uint64_t now_ns);
/* A tick was closed and handed on: binaries that it told of may get their build-ids. */
void files_tick_closed(struct files *f);
/* Jobs and frames that still wait for an answer. */
size_t files_pending(struct files *f);
/* No more samples come: what is put off is done now. */
void files_finish(struct files *f);
/* Files waiting to be inspected: until 0, interpreters and rules for unwinding may be unknown. */
size_t files_uninspected(const struct files *f);

/* An interpreter that was sampled and has not the probes of a source. */
struct files_python {
	const char *path; /* valid until the next call */
	uint32_t pid;	  /* one that runs it, or ran it */
};
/* How many of at most `max` were filled in. */
size_t files_without_probes(const struct files *f, enum kymo_source source,
			    struct files_python *ret, size_t max);

struct files_stats {
	uint64_t failed_inspect, failed_names, failed_unwind,
		failed_lines;  /* jobs that came back with an error, cumulative */
	uint64_t dropped;      /* files beyond the bound */
	uint64_t no_probes;    /* interpreters without the probes of gc */
	uint64_t refused_maps; /* perf maps that were not read, for whose or what they are */
	uint32_t
		unknown_python; /* hexversion of the last interpreter that cannot be walked; 0 = none */
	enum python_support unknown_python_why;
};
void files_stats(const struct files *f, struct files_stats *ret);

#endif
