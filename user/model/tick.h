/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One closed tick: everything that merge learned in a fixed slice of time. It owns
 * all that it points to and is handed as a whole from merge to store.
 */
#ifndef KYMO_MODEL_TICK_H
#define KYMO_MODEL_TICK_H

#include <stddef.h>
#include <stdint.h>

#include "model/frame.h"
#include "model/health.h"
#include "model/process.h"

/* Seen at: the counters' change since the thread's previous sample (RSS: since the process's). */
struct seen {
	int64_t cpu_ns;
	int64_t rss_anon_pages, rss_file_pages, rss_shmem_pages, swap_pages;
	int64_t minor_faults, major_faults;
	int64_t read_bytes, write_bytes;
	int64_t voluntary_switches, involuntary_switches;
};

#define SEEN_FIELDS 11

/* One (thread, stack, source, state) of a tick. Rows are sorted by that key. */
struct tick_row {
	uint32_t thread;
	uint32_t stack; /* 0 = empty stack */
	uint16_t source;
	uint16_t state;
	uint32_t end; /* enum kymo_end; part of the key */
	uint32_t count;
	uint64_t weight;
	struct seen seen;
	uint32_t first_offset; /* into the tick's offsets_us: `count` of them, ascending */
};

/* Exact totals of one process within the tick; gauges at its end. */
struct process_tick {
	uint32_t process;
	uint8_t ended;	    /* the process's last: totals reach its end */
	struct seen change; /* counters: the change within the tick; pages: the gauge at its end */
};

enum event_kind {
	EVENT_GC = 1,
	EVENT_IMPORT = 2,
	EVENT_OOM_KILL = 3,
	EVENT_EXEC_STORM = 4,
	EVENT_EXIT_STORM = 5,
	EVENT_KIND_MAX,
};

struct event {
	enum event_kind kind;
	uint64_t time_ns; /* CLOCK_MONOTONIC */
	uint64_t duration_ns;
	uint32_t thread, stack;
	char *fields; /* a JSON object, or NULL */
};

struct quality {
	char *counter; /* "bpf.ring_full", "sideband.lost", "end.no_rule", "kymo.cpu_ns" ... */
	int64_t value; /* the tick's change; gauges (kymo.rss_bytes) their reading */
};

/* A name found for a native frame of an earlier or this tick: late symbols never rewrite stacks. */
struct frame_name {
	uint32_t frame;
	uint32_t function;
	uint32_t line;
};

struct tick {
	uint32_t id; /* counted from 1 */
	uint64_t start_ns,
		end_ns;	  /* CLOCK_MONOTONIC: readings of the health belong to these instants */
	uint64_t wall_ns; /* at the end */
	struct health health;

	struct tick_row *rows;
	size_t rows_n;
	uint32_t *offsets_us; /* of each sample from the tick's start */
	size_t offsets_n;

	/* New since the last tick */
	struct binary *binaries;
	size_t binaries_n;
	struct function *functions;
	size_t functions_n;
	struct frame *frames;
	size_t frames_n;
	struct stack *stacks;
	size_t stacks_n;
	struct process *processes; /* new or changed (same id) */
	size_t processes_n;
	struct thread *threads; /* new or changed (same id) */
	size_t threads_n;

	struct process_tick *process_ticks;
	size_t process_ticks_n;
	struct event *events;
	size_t events_n;
	struct quality *quality;
	size_t quality_n;
};

/*
 * Names that came after their frames, with the functions that they use; also
 * build-ids of binaries (by id), which are known when the file has been read.
 */
struct late_names {
	struct function *functions;
	size_t functions_n;
	struct frame_name *names;
	size_t names_n;
	struct frame_inline *inlines; /* of frames that were told before */
	size_t inlines_n;
	struct binary *binaries; /* id and build_id count */
	size_t binaries_n;
};

void tick_free(struct tick *t); /* NULL is allowed */
void late_names_free(struct late_names *l);

#endif
