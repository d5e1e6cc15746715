/* SPDX-License-Identifier: Apache-2.0 */
/* Processes and threads as a profile has them; and what happens to them, in order of time. */
#ifndef KYMO_MODEL_PROCESS_H
#define KYMO_MODEL_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "kymo/record.h"

/* One execution of a pid: an exec keeps the process and changes comm and exe. Strings owned by the holder. */
struct process {
	uint32_t id; /* counted from 1 within a profile */
	uint32_t pid;
	uint32_t parent_pid;
	uint32_t uid;
	uint32_t execs;	   /* how many programs the pid ran before this one, as far as was seen */
	uint64_t start_ns; /* CLOCK_BOOTTIME, as the kernel's start_boottime */
	uint64_t cgroup_id;
	char comm[KYMO_COMM_SIZE];
	char *exe;     /* path as in its mount namespace; "" = unknown or kernel thread */
	char *cmdline; /* arguments separated by spaces, bounded; "" = unknown */
};

struct thread {
	uint32_t id;
	uint32_t process;
	uint32_t tid;
	uint64_t start_ns;
	char comm[KYMO_COMM_SIZE];
	char *name; /* that it gave itself (threading.Thread); NULL, "" = none. Owned by the holder */
};

/* What a thread is shown as. */
static inline const char *thread_shown(const struct thread *t)
{
	return t->name && *t->name ? t->name : t->comm;
}

enum process_event_kind {
	PROCESS_MMAP = 1,
	PROCESS_COMM = 2,
	PROCESS_EXEC = 3, /* COMM with the exec flag: the old mappings are gone */
	PROCESS_FORK = 4,
	PROCESS_EXIT = 5,
	PROCESS_LOST = 6, /* events were lost before this one: `lost` says how many */
	PROCESS_ARGS = 7, /* the program of the EXEC before it is in place */
};

/* From the perf sideband (include/uapi/linux/perf_event.h, PERF_RECORD_*); ARGS from our own program. */
struct process_event {
	enum process_event_kind kind;
	uint64_t time_ns; /* CLOCK_MONOTONIC */
	uint32_t pid, tid;
	uint32_t parent_pid; /* FORK */
	char comm[KYMO_COMM_SIZE];
	/* MMAP: executable mappings only */
	uint64_t start, end, pgoff_bytes;
	uint64_t inode;
	uint64_t
		inode_generation; /* tells files apart that had the inode one after the other; 0 = unknown */
	uint32_t dev;		  /* major << 20 | minor */
	const char *path; /* owned by the giver, valid during the call */
	uint64_t lost;
	/* ARGS: each ended by a NUL (cut at KYMO_ARGS_MAX); size 0 = not told */
	uint32_t uid;
	uint32_t args_size;
	const char *args; /* as path */
};

#endif
