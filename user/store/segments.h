/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A long recording: a folder of profiles in sequence, each whole in itself. Their names are the
 * instant at which they begin, in UTC, so that their order is that of their names:
 * 20260131T143000.123Z.kymo. What else lies in the folder is not ours, and not touched.
 */
#ifndef KYMO_STORE_SEGMENTS_H
#define KYMO_STORE_SEGMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SEGMENT_NAME_SIZE sizeof("20260131T143000.123Z.kymo")

struct segment_names {
	char (*items)[SEGMENT_NAME_SIZE]; /* ascending; owned */
	size_t n, cap;
};
void segment_names_release(struct segment_names *names);

/*
 * Makes the folder (0700, for uid:gid) or takes the one that is there, and locks it for one recorder. Not
 * through a link. 0 with the descriptor, which holds the lock; -errno with *ret_message.
 */
int segments_folder_open(const char *path, uid_t uid, gid_t gid, int *ret_fd, char **ret_message);
/* The regular files of that pattern, by name alone. 0 or -errno; *ret must be empty. */
int segments_list(int folder_fd, struct segment_names *ret);
/* Whether the name is a segment's. */
bool segment_name_valid(const char *name);
/* A name for what begins at wall_ns, behind all that are there, wherever the clock was set meanwhile. */
int segment_name_next(int folder_fd, uint64_t wall_ns, char ret[SEGMENT_NAME_SIZE]);
/*
 * Removes the oldest but `keep` (at least 1) with what a killed recorder left beside them: profiles of kymo
 * that nobody is recording, never through a link. 0, or -errno of the first that could not be removed.
 */
int segments_prune(int folder_fd, size_t keep);

#endif
