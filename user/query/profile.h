/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An open recording, and the only way to read one for export and cmd: a profile, or a folder of
 * them in sequence (its segments). What is common to its segments (ticks, meta) is read at once, the
 * tables of stacks and names at the first query. Nothing here changes a byte of the files.
 */
#ifndef KYMO_QUERY_PROFILE_H
#define KYMO_QUERY_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/health.h"

struct profile;

/* One tick, of any segment. Ascending in time. */
struct profile_tick {
	uint32_t segment; /* index */
	uint32_t id;	  /* within its segment */
	/* CLOCK_MONOTONIC of the first segment; those of later boots go on by the wall clock */
	uint64_t start_ns, end_ns;
	int64_t shift_ns; /* what was added to the segment's own times */
	uint64_t wall_ns; /* at its end */
	uint32_t rows;
	struct health health; /* host columns only */
};

/* Every failure sets *ret_message (owned by the caller; one line). 0 or -errno. */
int profile_open(const char *path, struct profile **ret, char **ret_message);
void profile_close(struct profile *p); /* NULL is allowed */
/* Whether an ordinary file there (links are followed) is a profile, of whatever format. */
bool profile_is_one(const char *path);
/* One line each about segments that are left out, or were cut off before others; owned by p. */
const char *const *profile_notes(const struct profile *p, size_t *ret_n);
size_t profile_segments(const struct profile *p); /* files that are read */

const char *profile_path(const struct profile *p);
unsigned profile_format(const struct profile *p); /* version of the (first) file's format */
/* A text fact of the first segment; NULL when absent. Valid until close. */
const char *profile_meta(const struct profile *p, const char *key);
/* The same as a number; `missing` when it is absent or none. */
uint64_t profile_meta_u64(const struct profile *p, const char *key, uint64_t missing);
bool profile_ended(const struct profile *p); /* the last segment had its clean end */
/* Owned by p. */
const struct profile_tick *profile_ticks(const struct profile *p, size_t *ret_n);
uint64_t profile_start_wall_ns(const struct profile *p); /* since 1970; 0 without ticks */
uint64_t
profile_duration_ns(const struct profile *p); /* from the first tick's start to the last's end */

/* What the profile consists of. */
struct profile_counts {
	uint64_t binaries, functions, frames, stacks, processes, threads;
	uint64_t rows, samples;
	uint64_t file_bytes; /* of all segments, with what a killed writer left beside them */
};
int profile_count(struct profile *p, struct profile_counts *ret);

struct profile_size {
	char table[64];
	uint64_t bytes;
};
/* Bytes per table, the largest first; *ret is malloced. -ENOTSUP where they cannot be told. */
int profile_sizes(struct profile *p, struct profile_size **ret, size_t *ret_n);

/* After a failed call on p (a query, too): one line about it, with the file, owned by p. */
const char *profile_message(struct profile *p);

#endif
