/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside user/worker: files that were opened stay open while a process maps them, and for a tick after its end: the last
 * samples of a container's processes are named when its mount namespace is gone, and no path leads to their files. While
 * they are mapped they cannot be unmounted anyway; we hold nobody up for longer than that.
 */
#ifndef KYMO_WORKER_HELD_H
#define KYMO_WORKER_HELD_H

#include <stdbool.h>

#include "worker/protocol.h"

#define HELD_MAX 128

struct held {
	struct held_file {
		uint64_t inode;
		uint32_t dev, pid;
		int fd; /* meaningful where pid is not 0 */
		struct file_identity identity;
		uint64_t used;	  /* the clock when it was opened or asked for last */
		uint64_t gone_ns; /* when its process was found to have ended; 0 = it lives */
	} files[HELD_MAX];
	size_t n;
	uint64_t clock;
};

void held_release(struct held *h);
/* A copy of the descriptor is kept. */
void held_put(struct held *h, const struct worker_file *file, const struct file_identity *identity,
	      int fd);
/* A copy of the one that is held (the caller's), or -ENOENT. */
int held_get(struct held *h, const struct worker_file *file, struct file_identity *ret_identity);
/* Lets go of what nobody maps any more. False: nothing is held, no need to call again. */
bool held_expire(struct held *h);

#endif
