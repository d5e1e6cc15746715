/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes and their executable mappings: one reading of /proc at the start, kept true by the
 * sideband's events in order of time. Bounded; what is dropped at a bound is counted.
 */
#ifndef KYMO_PROC_PROC_H
#define KYMO_PROC_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/process.h"

struct proc_mapping {
	uint64_t start, end, pgoff_bytes;
	uint64_t inode;
	uint64_t inode_generation; /* 0 = unknown: /proc does not tell */
	uint32_t dev;
	/* Interned. "" = anonymous; "[vdso]"; "/usr/lib/x.so": as mapped, " (deleted)" removed. */
	const char *path;
	bool is_file;
};

struct proc_process {
	struct process info; /* id unset; exe and cmdline filled when they could be read */
	bool exited;
	/* private from here on */
	const struct proc_mapping *mappings; /* sorted by start; shared with forked children */
	size_t mappings_n;
};

struct proc_table;

/* A file is mapped that no process of interest had mapped before (by device, inode and its generation); after 65,536 files
 * it may be told again. Called during scan, apply, find and want. */
typedef void (*proc_new_file)(void *data, uint32_t pid, const struct proc_mapping *mapping);

int proc_table_new(const char *proc, proc_new_file new_file, void *data, struct proc_table **ret);
/* Before any reading: the same of a file that was told before, which may have been written over since. */
void proc_tell_again(struct proc_table *t, proc_new_file again);
void proc_table_free(struct proc_table *t);
/* From now on, before any reading: files are told of processes that were named by proc_want, and of their children. */
void proc_want_named(struct proc_table *t);
/* Read from /proc where it is not known. Nothing to do where all are wanted, or it is already. 0 or -ENOMEM. */
int proc_want(struct proc_table *t, uint32_t pid);
/* Reads all of /proc (pid 0) or one process. Processes that vanish meanwhile are no error. */
int proc_scan(struct proc_table *t, uint32_t pid);
int proc_apply(struct proc_table *t, const struct process_event *e);
/* Found, or made from /proc and `who` when it was not known (its reading may fail: then comm is
 * all there is). The pointer is valid until the next scan, apply or find. NULL = no memory.
 * start_ns of a different life of the pid makes a new process. */
struct proc_process *proc_find(struct proc_table *t, const struct kymo_who *who);
/* The newest life of a pid, as events and readings have it so far: nothing is read for it. NULL = not known. Valid
 * until the next scan, apply or find. */
const struct proc_process *proc_newest(const struct proc_table *t, uint32_t pid);
/* The process of an ARGS event just applied, where proc_find had handed it out without what the event told;
 * else NULL. Valid as proc_find's. */
const struct proc_process *proc_named_late(struct proc_table *t, uint32_t pid);
const struct proc_mapping *proc_find_mapping(const struct proc_process *p, uint64_t address);
/* Whether a process that lives maps the file; *ret_pid is one that does, `likely` if it is one. */
bool proc_maps_file(const struct proc_table *t, uint32_t likely, uint32_t dev, uint64_t inode,
		    uint32_t *ret_pid);
/* Forgets processes whose exit is older than before_ns: their last samples have been delivered. */
void proc_forget_exited(struct proc_table *t, uint64_t before_ns);
/*
 * The process that a thread belongs to: itself for a process. 0, or -ENOENT, -ESRCH: no such thread, or one
 * of a process that has ended and that its parent has not waited for.
 */
int proc_of_thread(const char *proc, uint32_t tid, uint32_t *ret_pid);
/* All descendants of pid now (children of children too), from /proc. *ret malloced. */
int proc_descendants(const char *proc, uint32_t pid, uint32_t **ret, size_t *ret_n);

struct proc_stats {
	size_t processes, mappings;
	uint64_t dropped;
};
void proc_table_stats(const struct proc_table *t, struct proc_stats *ret);

#endif
