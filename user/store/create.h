/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A new profile's place in a folder that others may own: made aside, then moved into place
 * whole, so that at no instant a half-made profile has the name.
 */
#ifndef KYMO_STORE_CREATE_H
#define KYMO_STORE_CREATE_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"

/* Kept on the disk until it is full: enough for what the WAL still has to write into the file. */
#define CREATE_BALLAST_BYTES (8u << 20)

struct create {
	int dir_fd;
	int fd;		/* the profile; holds the recorder's lock */
	int ballast_fd; /* a file without a name; -1 = given back, or the file system has none */
	char name[NAME_MAX + 1];
};

#define CREATE_NONE ((struct create){ .dir_fd = -1, .fd = -1, .ballast_fd = -1 })

/*
 * Makes `path` with the image as its contents, moves a profile that was there (and its WAL) to path.old,
 * (in the folder folder_fd, where that is given; -1 = the path's own) and leaves an empty WAL and shared memory beside it that nobody else can have planted.
 * 0 or -errno with *ret_message set.
 */
int create_profile(int folder_fd, const char *path, uid_t uid, gid_t gid, const struct buf *image,
		   struct create *ret, char **ret_message);
/* What is under the name now: the file that was made, nothing, or somebody else's. */
enum create_place { CREATE_IN_PLACE, CREATE_GONE, CREATE_TAKEN };
enum create_place create_place(const struct create *c);
void create_release(struct create *c);
void create_free_ballast(struct create *c);

/* A recorder is alive that writes this file (open, if only for reading). */
bool create_is_recording(int fd);

#endif
