/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps a database as it is for as long as it is read, by SQLite's own locks, and says how much of
 * its WAL counts. The shared memory beside it belongs to the writer, who may be an enemy: it is
 * read once and checked, never mapped, and never written.
 */
#ifndef KYMO_STORE_HOLD_H
#define KYMO_STORE_HOLD_H

#include <stdint.h>

struct hold {
	int shm_fd;	    /* holds the locks on the WAL; -1 = nobody has the database open */
	uint64_t wal_bytes; /* what of the WAL has been committed; UINT64_MAX: SQLite finds out */
	uint8_t salt[8];    /* of that WAL */
};

#define HOLD_NONE ((struct hold){ .shm_fd = -1, .wal_bytes = UINT64_MAX })

/*
 * Locks the file itself against all who would write into it without a WAL, or end one. -EAGAIN:
 * somebody is doing that now. Goes with the descriptor.
 */
int hold_file(int fd);

/*
 * Of a database in WAL mode. When others have it open: locks it against checkpoints and against
 * its WAL being started anew. 0, or -EAGAIN: not at this instant.
 */
int hold_wal(int dir_fd, const char *name, struct hold *ret);
/* -EAGAIN: the WAL is not the one that the shared memory tells of. */
int hold_check_wal(const struct hold *h, int wal_fd);
void hold_release(struct hold *h);

#endif
