/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The profile as a file (SQLite; schema in store/schema.c, described in docs/formats/profile.md).
 * A writer appends closed ticks, one transaction each; a reader never changes a byte,
 * reads what a killed writer left, and trusts nothing.
 */
#ifndef KYMO_STORE_STORE_H
#define KYMO_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "model/tick.h"

/* Written. Format 2, which has no names of threads, is read as well. */
#define STORE_FORMAT_VERSION 3
#define STORE_FORMAT_OLDEST  2

/* ---- writer (any one thread) ---- */
struct store;

/*
 * Creates `path` 0600 for uid:gid without following links; an existing profile (or empty file) of that
 * user's is first renamed to path.old (with its -wal); any other file there is refused. Every failure sets *ret_message (owned
 * by the caller; one line). 0 or -errno.
 */
int store_create(const char *path, uid_t uid, gid_t gid, struct store **ret, char **ret_message);
/* The same in a folder that is held open: of the path the last part counts, the rest is for messages. */
int store_create_at(int folder_fd, const char *path, uid_t uid, gid_t gid, struct store **ret,
		    char **ret_message);
/* Text facts about the recording: "host", "kernel", "kymo.version", "period_ns.cpu", "tick_ns", "cpus", ... */
int store_set_meta(struct store *s, const char *key, const char *value);
/* -ENOSPC when the disk is full: nothing of this tick was written, all before it is intact. */
int store_write_tick(struct store *s, const struct tick *tick);
int store_write_names(struct store *s, const struct late_names *names);
/*
 * The clean end: meta "ended" set, one ordinary file, no -wal beside it. Also after -ENOSPC.
 * -EBUSY: a reader has not let go for 5 s; the profile is whole and ended, with its -wal beside
 * it. -ESTALE: the file at the path is no longer the one that was written. Nothing can be written afterwards, whatever it returns.
 */
int store_finish(struct store *s);
void store_close(
	struct store
		*s); /* NULL is allowed; without store_finish the profile says it did not end */
uint64_t store_bytes(const struct store *s); /* file and WAL now */

/* ---- reader ---- */
/* Not for the profile that this process writes: closing a file drops all its locks on it. */
struct store_reader;

/* Whether what is there (links are followed) begins as a profile does. */
bool store_is_profile(const char *path);
/* Every failure sets *ret_message: no such file, not a regular file, not a kymo profile, newer format, damaged where. */
int store_open(const char *path, struct store_reader **ret, char **ret_message);
void store_reader_close(struct store_reader *r);
unsigned
store_format(const struct store_reader *r); /* STORE_FORMAT_OLDEST to STORE_FORMAT_VERSION */
/* NULL when absent; valid until close. */
const char *store_meta(struct store_reader *r, const char *key);
/* All of them, by key: false behind the last. */
bool store_meta_at(struct store_reader *r, size_t i, const char **ret_key, const char **ret_value);
bool store_ended(struct store_reader *r);	/* the recording had its clean end */
bool store_is_recorded(struct store_reader *r); /* its recorder is alive */
/* After a failed call: one line about it, owned by r. */
const char *store_reader_message(struct store_reader *r);

struct store_tick {
	uint32_t id;
	uint64_t start_ns, end_ns, wall_ns;
	struct health health; /* host columns only; no labels */
	uint32_t rows;	      /* of its sample block */
};

/* Whole tables, ids checked (dense from 1 is not promised: look up by the reader's own index). Owned by the caller's
 * struct store_tables, released by store_tables_release. stacks[] is sorted by id, parent < id holds. */
struct store_tables {
	struct binary *binaries;
	size_t binaries_n;
	struct function *functions;
	size_t functions_n;
	struct frame *frames;
	size_t frames_n;
	struct frame_inline *inlines; /* by frame, then depth */
	size_t inlines_n;
	struct stack *stacks;
	size_t stacks_n;
	struct process *processes;
	size_t processes_n;
	struct thread *threads;
	size_t threads_n;
};

int store_read_tables(struct store_reader *r, struct store_tables *ret);
void store_tables_release(struct store_tables *t);
/* Ascending by id. *ret is malloced. */
int store_read_ticks(struct store_reader *r, struct store_tick **ret, size_t *ret_n);

/* Zero-initialised is empty and valid. */
struct store_block {
	struct tick_row *rows;
	size_t rows_n, rows_cap;
	uint32_t *offsets_us;
	size_t offsets_n, offsets_cap;
};

/* Decodes one tick's samples; reuses the block's memory across calls. -EBADMSG when damaged. */
int store_read_block(struct store_reader *r, uint32_t tick, struct store_block *block);
void store_block_release(struct store_block *b);

struct store_quality {
	uint32_t tick;
	const char *counter; /* valid during the call */
	int64_t value;
};
int store_read_quality(struct store_reader *r,
		       int (*each)(void *data, const struct store_quality *q), void *data);

struct store_label {
	uint32_t tick;
	uint32_t id;			    /* the metric's */
	const char *metric, *labels, *unit; /* valid during the call */
	int64_t value;
};
int store_read_labels(struct store_reader *r, int (*each)(void *data, const struct store_label *l),
		      void *data);

/* Every row of process_tick, by tick. */
int store_read_process_ticks(struct store_reader *r,
			     int (*each)(void *data, uint32_t tick, const struct process_tick *p),
			     void *data);
/*
 * The counters asked for, summed over the processes of each tick, saturated; all else is 0. A tick without accounts
 * has none. SQLite adds: much cheaper than reading them all.
 */
enum store_sum { STORE_SUM_CPU, STORE_SUM_FAULTS };
int store_sum_process_ticks(struct store_reader *r, enum store_sum what,
			    int (*each)(void *data, uint32_t tick, const struct process_tick *p),
			    void *data);
int store_read_events(struct store_reader *r,
		      int (*each)(void *data, uint32_t tick, const struct event *e), void *data);

/* What the labelled values are of: name, labels and unit of an id; valid during the call. */
int store_read_metrics(struct store_reader *r,
		       int (*each)(void *data, const struct health_metric *m), void *data);

/* Tables of a row per (tick, something), one tick at a time and row by row. */
struct store_list;
enum store_list_kind { STORE_LIST_QUALITY, STORE_LIST_LABEL, STORE_LIST_PROCESS_TICK };

struct store_item {
	struct store_quality quality; /* texts are valid until the next row */
	struct store_label label;
	struct process_tick process;
};

int store_list_open(struct store_reader *r, enum store_list_kind kind, struct store_list **ret);
void store_list_close(struct store_list *l); /* before its reader; NULL is allowed */
/* Begins the rows of that tick. */
void store_list_start(struct store_list *l, uint32_t tick);
/* 1 with a row of the list's kind, 0 at the tick's end, or -errno. */
int store_list_next(struct store_list *l, struct store_item *ret);

struct store_size {
	const char *table; /* with its indices; valid during the call */
	uint64_t bytes;
};
/* Where the file's bytes go, per table: reads every page. -ENOTSUP where SQLite has no dbstat. */
int store_read_sizes(struct store_reader *r, int (*each)(void *data, const struct store_size *s),
		     void *data);

#endif
