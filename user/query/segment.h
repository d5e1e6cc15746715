/* SPDX-License-Identifier: Apache-2.0 */
/* Inside query: one file of a profile, with its tables and the ways into them. */
#ifndef KYMO_QUERY_SEGMENT_H
#define KYMO_QUERY_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hmap.h"
#include "query/idmap.h"
#include "query/query.h"
#include "store/store.h"

struct segment {
	char *path;
	struct store_reader *reader;
	bool loaded; /* the following are valid */
	struct store_tables tables;
	struct idmap binaries, functions, frames, stacks, processes, threads;
	/* By frame index + 1: where the next frame's inlines begin in tables.inlines; [0] is 0. */
	uint32_t *inlines_end;
};

struct profile {
	char *path;
	struct segment *segments;
	size_t segments_n;
	struct profile_tick *ticks;
	size_t ticks_n, ticks_cap;
	char **notes;
	size_t notes_n, notes_cap;
	size_t notes_more; /* not kept */
	char *message;	   /* about the last failure */
};

/* Gives back what it holds; its memory is the holder's. */
void segment_release(struct segment *s);

/* Reads the tables, once. 0 or -errno (message set). */
int segment_load(struct profile *p, struct segment *s);

/* Ids of the segment's selected ticks, as keys: *ret is made anew. 0 or -ENOMEM. */
int segment_select_ticks(const struct profile *p, const struct query_selection *s, uint32_t segment,
			 struct hmap *ret);

/* By id; NULL when the profile has none of that id. */
const struct binary *segment_binary(const struct segment *s, uint32_t id);
const struct function *segment_function(const struct segment *s, uint32_t id);
const struct frame *segment_frame(const struct segment *s, uint32_t id);

/* What is inlined at a frame (index + 1), the outermost first: index of the first of *ret_n in tables.inlines. */
uint32_t segment_inlines(const struct segment *s, uint32_t frame_index, uint32_t *ret_n);

/* Keeps the reader's own line about a failed call. Returns error. */
int profile_fail(struct profile *p, const struct segment *s, int error);

#endif
