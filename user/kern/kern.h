/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel side, from user space: loads the object, opens the perf events, reads
 * the rings, decodes. The only part that knows libbpf. Not thread-safe; one thread uses it.
 */
#ifndef KYMO_KERN_KERN_H
#define KYMO_KERN_KERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "elf/probes.h"
#include "kymo/config.h"
#include "kymo/python.h"
#include "kymo/record.h"
#include "model/process.h"
#include "model/sample.h"
#include "unwind/unwind.h"

struct kern;

#define KERN_SOURCE(source) (1U << (source))
/* What is recorded unless asked otherwise. */
#define KERN_SOURCES                                                     \
	(KERN_SOURCE(KYMO_SOURCE_CPU) | KERN_SOURCE(KYMO_SOURCE_FAULT) | \
	 KERN_SOURCE(KYMO_SOURCE_IO))

/* A prime: programs fault in cycles of powers of two, which another number would always meet at one place. */
#define KERN_FAULT_PERIOD 7
#define KERN_FAULT_MAX	  32
#define KERN_IO_MAX	  100
#define KERN_GIL_MAX	  64

struct kern_cgroup {
	uint64_t id;
	int32_t subsys; /* -1 = version 2 */
};
/*
 * A cgroup by its folder: absolute, or below the root of its hierarchy (version 2's first, then memory's). 0, or
 * -errno with *ret_message, one line.
 */
int kern_cgroup_find(const char *path, struct kern_cgroup *ret, char **ret_message);

struct kern_options {
	uint64_t cpu_period_ns;
	bool filter;  /* only processes given to kern_follow and their children */
	bool no_args; /* arguments of programs stay where they are */
	/* For kern_threads and the clock alone: births and deaths are not followed, kern_sweep cannot be asked. */
	bool threads;
	/* Only processes in this cgroup and below, as kern_cgroup_find says; id 0 = all. */
	struct kern_cgroup cgroup;
	size_t ring_bytes; /* of the sample ring; rounded up; 0 = a default by CPUs */
	uint32_t
		sources; /* KERN_SOURCE of each; 0 = cpu alone. What is not asked for is not loaded. gil and
			    held are one */
	/*
	 * Of faults, one in so many reaches the sampler (0 = KERN_FAULT_PERIOD), and of those and of
	 * blocks submitted, at most so many per CPU in 100 ms become samples, which then stand for the
	 * others (0 = KERN_*_MAX).
	 */
	uint32_t fault_period, fault_max, io_max;
	uint32_t gil_max; /* likewise of waits for a GIL, and of the times off the CPU with it */
};

/*
 * Loads and attaches; nothing is sampled before kern_start, but the sideband (process events)
 * already runs, so that a reading of /proc between the two misses nothing. -errno, with
 * *ret_message (owned by the caller, one line: what failed, on what, what to do) set on every
 * failure: not root, no BTF, kernel too old, no memory, refused by the verifier.
 */
int kern_open(const struct kern_options *options, struct kern **ret, char **ret_message);
void kern_close(struct kern *k); /* NULL is allowed */

/* A process to follow with all that it forks. -ENOSPC when too many. */
int kern_follow(struct kern *k, uint32_t pid);
/* Whether a followed process still lives (true where that cannot be told). */
bool kern_follows_any(struct kern *k);
int kern_start(struct kern *k);
int kern_stop(struct kern *k); /* no new samples; what is in the rings can still be polled */

struct kern_code {
	const struct kymo_code *head;
	const uint8_t *file, *name, *table; /* head->*_size bytes each; valid during the call */
};

struct kern_thread {
	const struct kymo_thread_name *head;
	const uint8_t *name; /* head->name_size bytes; valid during the call */
};

struct kern_handler {
	void (*sample)(void *data, const struct raw_sample *sample);
	/* A thread left the CPU with the lock (source held), as its sample, delivered at the end, will have it; may be NULL. */
	void (*begun)(void *data, const struct raw_sample *sample);
	void (*code)(void *data, const struct kern_code *code);
	void (*process)(void *data, const struct process_event *event);
	/* What a Python thread calls itself; may be NULL. As codes, before the samples of that time. */
	void (*thread)(void *data, const struct kern_thread *thread);
	/* A process runs another program, after the event of that exec, with its totals until then; may be NULL. */
	void (*replaced)(void *data, const struct kymo_task *task);
	/* A process was released, with its final totals; may be NULL. */
	void (*ended)(void *data, const struct kymo_task *task);
	/* The OOM killer chose a victim; then the stack of the thread that needed memory, which may be lost. Of
	 * every process, also where only some are followed. Both may be NULL. */
	void (*oom)(void *data, const struct kymo_oom *oom);
	void (*oom_stack)(void *data, const struct raw_sample *stack);
	void *data;
};

/*
 * Drains the rings and delivers, in order of time, everything up to until_ns (CLOCK_MONOTONIC);
 * later records wait for the next call. Codes come before the samples that use them. Lost
 * sideband records come as PROCESS_LOST. Malformed records are dropped and counted
 * (kern_stats). 0 or -errno.
 */
int kern_poll(struct kern *k, uint64_t until_ns, const struct kern_handler *handler);

/*
 * The sweep: exact counters of every thread that is wanted, now. Summed over a process's threads they
 * are the process's totals (the leader's hold what released threads left); memory stands with the leader.
 * 0 or -errno.
 */
int kern_sweep(struct kern *k, void (*each)(void *data, const struct kymo_task *task), void *data);

/*
 * Where threads stand now, of the process or (pid 0) of all that are wanted; opened with `threads`. The kernel's
 * own are left out where all are asked for. Kernel frames stand behind each. 0, also when there is no such
 * process; or -errno.
 */
int kern_threads(struct kern *k, uint32_t pid,
		 void (*each)(void *data, const struct kymo_standing *thread), void *data);

/* Cumulative, summed over CPUs, indexed by enum kymo_counter. */
int kern_counters(struct kern *k, uint64_t ret[KYMO_COUNTER_MAX]);

struct kern_stats {
	uint64_t bpf_run_ns; /* of all our programs, where the kernel measures it */
	uint64_t bpf_runs;
	bool bpf_stats;		/* the kernel measures */
	uint64_t malformed;	/* records dropped by the decoder */
	uint64_t sideband_lost; /* perf records lost */
	size_t queued;		/* records waiting for their time */
	size_t queue_dropped;	/* dropped at the queue's bound */
	uint64_t unwind_bytes;	/* of the kernel's memory, for rows and their index */
	size_t unwind_files;	/* that have rows */
};
int kern_stats(struct kern *k, struct kern_stats *ret);

/* Interpreters: plain tables for the kernel's walk. index < KYMO_PYTHON_LAYOUTS_MAX. */
int kern_set_python_layout(struct kern *k, uint32_t index, const struct kymo_python_layout *layout);
int kern_set_python_binary(struct kern *k, const struct kymo_file_key *file,
			   const struct kymo_python_binary *binary);

/*
 * Attaches the file's probes of the sources that were asked for, in all processes that map it or ever will;
 * nothing where they are attached. The path must lead to that file: it is checked. Reads a page of it and changes
 * memory of the processes, so it must not be on a file system that may leave that unanswered. 0; -ESTALE: another
 * file; -ENOSPC: KYMO_PROBE_FILES_MAX; -errno.
 */
int kern_attach_probes(struct kern *k, const struct kymo_file_key *file, const char *path,
		       const struct elf_probe *probes, size_t n);
/* Lets go of the file, which until then cannot be unmounted. */
void kern_detach_probes(struct kern *k, const struct kymo_file_key *file);

/*
 * How to unwind a file's code; the rows are copied. Replaces what was known of the file. NULL: it
 * is forgotten. 0; -ENOSPC when the tables are full; -ENOTSUP for another machine; -ENOMEM, -errno.
 */
int kern_set_unwind(struct kern *k, const struct kymo_file_key *file, const struct unwind_table *t);

#endif
