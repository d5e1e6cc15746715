/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of proc: what its files share. Nobody else includes this. */
#ifndef KYMO_PROC_STATE_H
#define KYMO_PROC_STATE_H

#include "base/hmap.h"
#include "base/strings.h"
#include "proc/proc.h"

#define PROC_PROCESSES_MAX	  65536
#define PROC_PROCESS_MAPPINGS_MAX 8192
#define PROC_MAPPINGS_MAX	  500000
#define PROC_PATHS_MAX		  65536
#define PROC_FILES_MAX		  65536
#define PROC_CMDLINE_MAX	  KYMO_ARGS_MAX
#define PROC_PATH_MAX		  4096

/* Shared by a process and the children that it forked, until one of them changes its own. */
struct mapping_list {
	uint32_t users;
	size_t n, cap;
	struct proc_mapping items[]; /* sorted by start, without overlaps */
};

enum start_precision {
	START_UNKNOWN, /* born_ns is about right, from a fork event; or 0: not known at all */
	START_JIFFIES, /* from /proc/PID/stat: rounded down to ticks */
	START_EXACT,   /* from the kernel */
};

/* One life of a pid. */
struct life {
	struct proc_process p;	   /* first: proc_find hands it out */
	struct mapping_list *list; /* NULL = none */
	struct life *older;	   /* an earlier life of the pid, newest first */
	enum start_precision precision;
	uint64_t born_ns;    /* CLOCK_BOOTTIME */
	uint64_t scanned_ns; /* CLOCK_MONOTONIC: events before this are part of what was read */
	uint64_t exit_ns;
	uint32_t scan;	  /* number of the last scan that saw it */
	bool unread;	  /* nothing was read yet: its events began in the middle */
	bool exe_stale;	  /* exe, cmdline and uid are from before the last exec */
	bool asked_stale; /* handed out while exe_stale */
	uint64_t exec_ns; /* CLOCK_MONOTONIC of the last exec */
	bool wanted;	  /* its files are told */
	bool exe_next;	  /* the next file mapped is the executable: it comes first after an exec */
};

struct file_identity {
	uint64_t inode, generation;
	uint64_t dev;
};

struct proc_table {
	int proc_fd;
	proc_new_file new_file, again;
	void *data;
	struct hmap by_pid; /* uint32_t -> struct life *, the newest */
	struct hmap files;  /* struct kymo_file_key -> uint8_t: told */
	struct strings *paths;
	size_t paths_refused;
	uint64_t tick_ns; /* of start times in /proc/PID/stat */
	uint64_t scan_ns; /* when all of /proc was read last */
	uint32_t scan;
	bool rescan; /* events were lost */
	bool want_named;
	struct proc_stats stats;
};

/* table.c: lives */
struct life *life_newest(const struct proc_table *t, uint32_t pid); /* NULL = not known */
/* A new life in front of the older ones, which are marked as exited at now_ns. NULL at the
 * bound. */
struct life *life_new(struct proc_table *t, uint32_t pid, uint64_t now_ns);
/* Of its pid the newest, as if it had never been known. */
void life_forget_newest(struct proc_table *t, struct life *l);
/* Replaces a string of info by a copy, made valid UTF-8; the old one stays when memory is short. */
int life_set_text(char **place, const char *text, size_t size);

/* mappings.c */
int mappings_insert(struct proc_table *t, struct life *l, const struct proc_mapping *m);
void mappings_clear(struct proc_table *t, struct life *l);
void mappings_share(struct life *to, const struct life *from);
/* Interned, " (deleted)" removed, "//anon" as "". */
const char *paths_intern(struct proc_table *t, const char *path, bool *ret_is_file);
/* To whom it is of interest; once for each file. */
void files_tell(struct proc_table *t, const struct life *l, const struct proc_mapping *m);

/* read.c: one process's files. -errno when it is gone. */
struct proc_stat {
	char comm[KYMO_COMM_SIZE];
	char state;
	uint32_t parent_pid, threads;
	uint64_t start_ticks;
	bool kernel; /* a kernel thread: it never has a memory map */
};
int read_stat(int proc_fd, uint32_t pid, struct proc_stat *ret);
void read_identity(struct proc_table *t,
		   struct life *l); /* uid, exe, cmdline; what cannot be read stays */
/*
 * 1, -errno; 0: its memory map has gone (or it has none), and what was known of it stays.
 */
int read_mappings(struct proc_table *t, struct life *l);
/* Arguments that each end with a NUL, separated by spaces then. 0 or -ENOMEM. */
int life_set_cmdline(struct life *l, const char *args, size_t size);

/* scan.c: reads one process whole; *ret is its life, NULL at the bound. */
int scan_process(struct proc_table *t, uint32_t pid, struct life **ret);

#endif
