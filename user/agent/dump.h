/* SPDX-License-Identifier: Apache-2.0 */
/* The stacks of all threads of some processes, as they stand now. Nothing is stopped. */
#ifndef KYMO_AGENT_DUMP_H
#define KYMO_AGENT_DUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kymo/record.h"
#include "model/frame.h"

enum dump_state {
	DUMP_RUNS,     /* on a CPU */
	DUMP_RUNNABLE, /* waits for a CPU */
	DUMP_SLEEPS,
	DUMP_BLOCKED, /* sleeps, and no signal wakes it: a disk, a lock of the kernel */
	DUMP_STOPPED, /* by a signal or a tracer */
	DUMP_ENDED,
	DUMP_STATE_MAX,
};

/* How a stack was got. */
enum dump_how {
	DUMP_MISSED,  /* not at all: it neither stood still nor was it met running */
	DUMP_STOOD,   /* walked from outside, and the thread stood still meanwhile */
	DUMP_SAMPLED, /* by the clock, while it ran */
	DUMP_UNREAD,  /* not at all: reading its process's memory did not come to an end */
	DUMP_HOW_MAX,
};

struct dump_frame {
	enum frame_kind kind;
	bool inlined;
	const struct function *function; /* NULL = not named */
	const struct binary *binary;	 /* NULL = none */
	uint64_t offset;
	uint32_t line; /* 0 = unknown */
};

struct dump_thread {
	uint32_t tid;
	uint64_t
		ident; /* what threading.get_ident() and pthread_self() say, on glibc; 0 = unknown */
	char comm[KYMO_COMM_SIZE];
	char *name; /* threading.Thread's; "" = unknown */
	enum dump_state state;
	enum dump_how how;
	unsigned bits;	   /* enum kymo_state */
	enum kymo_end end; /* of the user stack */
	uint64_t at_ns;	   /* CLOCK_MONOTONIC: when it was looked at */
	bool held_gil;	   /* then, as the bits say, but another one was seen to hold it later */
	struct dump_frame *frames; /* leaf first */
	size_t frames_n;
};

struct dump_process {
	uint32_t pid;
	char comm[KYMO_COMM_SIZE];
	char *cmdline;		     /* "" = unknown */
	bool bits_32;		     /* its user stacks cannot be walked */
	struct dump_thread *threads; /* the first one first, then by id */
	size_t threads_n;
};

struct dump_names;

struct dump {
	struct dump_process *processes; /* by pid */
	size_t processes_n;
	struct dump_names *names; /* owns what frames point to */
};

struct dump_options {
	const uint32_t *pids;
	size_t pids_n; /* 0 = all processes but our own */
	bool lines;    /* of native code, too, with what is inlined there: takes seconds */
};

/* 0 with *ret; or -errno, already told in one line. */
int agent_dump(const struct dump_options *options, struct dump **ret);
void dump_free(struct dump *d); /* NULL is allowed */

#endif
