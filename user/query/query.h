/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Selection and aggregation over a profile: which samples, and what they add up to, per node of
 * the tree of stacks, per function, per process and per tick. One pass over the sample blocks,
 * in C: measured, SQL takes ten times as long.
 */
#ifndef KYMO_QUERY_QUERY_H
#define KYMO_QUERY_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kymo/record.h"
#include "model/frame.h"
#include "model/process.h"
#include "model/tick.h"
#include "query/profile.h"
#include "query/value.h"

/* Zeroes select every cpu sample. */
struct query_selection {
	enum kymo_source source; /* 0 = KYMO_SOURCE_CPU */
	/*
	 * query_run: what weighs; VALUE_NONE = the weight of source. Another one names its samples: source does
	 * not count then. Not for rows, which have all.
	 */
	enum value_id value;
	/*
	 * Whole ticks, as health exists only for these: a tick is in when its middle lies in
	 * [since_ns, until_ns), both counted from the profile's first tick; until_ns 0 = its end.
	 */
	uint64_t since_ns, until_ns;
	uint32_t pid;	  /* 0 = all */
	const char *comm; /* of the process, exact; NULL = all */
	/* Further conditions on a tick (its health); NULL = none. */
	bool (*tick)(void *data, const struct profile_tick *t);
	void *tick_data;
	bool with_stops;      /* also where stacks stop that are not whole */
	bool with_seen;	      /* also sum what was seen at the nodes */
	bool merge_processes; /* the tree starts at the stacks, not at the comms: smaller, faster */
};

bool query_selects_tick(const struct profile *p, const struct query_selection *s,
			const struct profile_tick *t);

/* By its pid and comm alone. */
bool query_selects_process(const struct query_selection *s, const struct process *p);

/* Sums saturate: hostile weights cannot wrap to something that looks right. */
struct query_value {
	uint64_t weight; /* in the value's unit */
	uint64_t count;	 /* samples */
};

enum query_item_kind {
	/* Below FRAME_KIND_MAX: enum frame_kind. */
	QUERY_ITEM_PROCESS = FRAME_KIND_MAX, /* the root frame of its stacks: the comm */
	QUERY_ITEM_KIND_MAX,
};

extern const char *const query_item_kind_names[QUERY_ITEM_KIND_MAX];

/*
 * What a frame is shown as: a function, or a binary's code that has no name. The same
 * function has one item, whatever segment, offset or line it comes from.
 */
/* Why native code has no name. */
enum query_unnamed {
	QUERY_NAMED,
	QUERY_NO_SYMBOL,  /* its file was read: no symbol covers it */
	QUERY_BY_ADDRESS, /* so, too, but its unwind information tells functions apart */
	QUERY_NOT_READ, /* its file has no build-id that is known: it could not be read, or has none */
	QUERY_MEMORY,	  /* made at run time: not in a file */
	QUERY_NOT_MAPPED, /* outside all mappings that were known */
	QUERY_UNNAMED_MAX,
};

struct query_item {
	unsigned kind;
	enum query_unnamed unnamed;
	const char *name;	  /* never empty: "[libc.so.6]" for its code without a name */
	const char *file;	  /* source file; "" = unknown */
	const char *binary;	  /* path; "" = none */
	uint32_t line;		  /* where the function starts; 0 = unknown */
	struct query_value self;  /* ran itself */
	struct query_value total; /* was on the stack: once per sample, however often it recurs */
};

/*
 * A node of the tree of stacks, root first: a process's comm (unless merge_processes), then frames from the outermost to
 * the one that ran. Parents come before their children; node 0 is the common root.
 */
struct query_node {
	uint32_t parent;
	uint32_t item;
	uint32_t first_child, next_sibling; /* 0 = none; by weight, the heaviest first */
	struct query_value self, total;
};

struct query_process {
	uint32_t pid;
	uint64_t start_ns;
	const char *comm, *exe, *cmdline;
	struct query_value value;
};

/* Of one selected tick. */
struct query_tick {
	size_t tick; /* index into profile_ticks */
	struct query_value total;
	uint32_t item; /* the function with the most self weight; 0 = no sample */
	struct query_value item_self;
};

/* Stacks of one program that stop in one binary for one reason. */
struct query_stop {
	const char *comm;
	const char *binary; /* path; "" = not in a binary */
	enum kymo_end end;
	uint32_t item; /* the last frame, at the commonest offset; 0 = there is no user frame */
	uint64_t samples;
	uint64_t offset, offset_samples; /* the commonest, and how many have it */
};

/* Neither whole nor without a user stack for good reason. */
bool query_is_broken_end(enum kymo_end end);

struct query_result {
	enum value_id value; /* never VALUE_NONE, but for a source that has none */
	enum kymo_source source;
	struct query_value total;
	uint64_t shrunk; /* of a gauge: what rows took back; weights are what others grew by */
	struct query_value written; /* source io: what of it are writes */
	struct query_item *items;   /* [0] is empty */
	size_t items_n;
	struct query_node *nodes; /* [0] is the root */
	size_t nodes_n;
	struct seen *seen;		 /* with_seen: per node, of its samples alone; else NULL */
	struct query_process *processes; /* those with samples, heaviest first */
	size_t processes_n;
	struct query_tick *ticks;
	size_t ticks_n;
	uint64_t ends[KYMO_END_MAX]; /* samples by why their user stack ended where it did */
	struct query_stop *stops;    /* with_stops: the commonest first */
	size_t stops_n;
	uint64_t duration_ns;	 /* of the selected ticks together */
	uint32_t damaged_ticks;	 /* whose samples could not be read: not in any figure */
	uint32_t sampled_ticks;	 /* that have samples, selected or not, and could be read */
	struct strings *strings; /* owns the texts */
};

/* 0 or -errno (profile_message says why). */
int query_run(struct profile *p, const struct query_selection *s, struct query_result **ret);
void query_free(struct query_result *r); /* NULL is allowed */

/* The heaviest first; equal ones by the other weight, then by name. */
enum query_order { QUERY_BY_SELF, QUERY_BY_TOTAL, QUERY_BY_SAMPLES /* self */, QUERY_BY_NAME };

/* Indices of the items that are functions (no processes) and were on a stack. *ret is malloced. */
int query_functions(const struct query_result *r, enum query_order order, uint32_t **ret,
		    size_t *ret_n);

/*
 * Of faults and blocks, which are the kernel's work: the result's items with `self` charged to what the kernel worked for, the
 * program's own function that is the innermost on the stack; where there is none, the innermost of Python's
 * library, then of others. The kernel's have no count but the last, "[kernel alone]". Totals stay, as does their sum.
 * *ret is malloced, its texts are the result's. 0 or -ENOMEM.
 */
int query_charge(const struct query_result *r, struct query_item **ret, size_t *ret_n);

/* Those of them whose code has no name, by total weight; an item's why in words. */
int query_unnamed_items(const struct query_result *r, uint32_t **ret, size_t *ret_n);
extern const char *const query_unnamed_reasons[QUERY_UNNAMED_MAX];

/* What went wrong, by name: quality counters over the selected ticks. */
struct query_quality {
	char *counter;
	int64_t sum, max;
	uint32_t ticks; /* that have it */
};
int query_quality(struct profile *p, const struct query_selection *s, struct query_quality **ret,
		  size_t *ret_n);
void query_quality_free(struct query_quality *q, size_t n);
/* In words; NULL for one that this build does not know. Of a gauge the maximum tells, not the sum. */
const char *query_quality_meaning(const char *counter, bool *ret_is_gauge);
/* The counter's sum; 0 when it is absent. */
int64_t query_quality_sum(const struct query_quality *q, size_t n, const char *counter);

/*
 * The part of a source path that tells files apart: behind site-packages, dist-packages or
 * lib/pythonX.Y, else all of it. Points into path.
 */
const char *query_short_path(const char *path);
/* What code without a name is called after the binary that it lies in (NULL = none): "[libc.so.6]". out, or static. */
#define QUERY_CODE_NAME_SIZE 280
const char *query_code_name(const struct binary *b, char out[QUERY_CODE_NAME_SIZE]);
/*
 * What a native function is called: as it is named, but "[python3.11+0x1c3f40]" for the "+0x1c3f40" that functions
 * of stripped files are stored as (elf/symbols.h). Returns its name or out.
 */
const char *query_native_name(const struct function *fn, const struct binary *b,
			      char out[QUERY_CODE_NAME_SIZE]);
const char *query_base_name(const char *path); /* behind the last slash; points into path */

#endif
