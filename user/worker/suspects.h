/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside user/worker: what killed or hung a helper. A file is not tried again; a device on which files hang
 * rests for a minute, and so do all paths when walking them hangs: they may be made by
 * anybody, and lead past the file that was asked for, which is not to blame then.
 */
#ifndef KYMO_WORKER_SUSPECTS_H
#define KYMO_WORKER_SUSPECTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hmap.h"

/* A file whose DWARF kills the parser still has its symbols. */
enum suspect_use { SUSPECT_PLAIN, SUSPECT_LINES, SUSPECT_MAP };

struct suspects {
	struct hmap files;   /* device and inode -> the error to answer */
	struct hmap devices; /* device -> its hangs */
	struct hangs {
		uint32_t n;
		uint64_t until_ns;
	} paths;
};

void suspects_init(struct suspects *s);
void suspects_release(struct suspects *s);
/* `hung`: it did not compute, so the file system may be to blame. */
void suspects_add(struct suspects *s, uint32_t dev, uint64_t inode, enum suspect_use use, int error,
		  bool hung);
void suspects_add_path(struct suspects *s);
bool suspects_careful(const struct suspects *s); /* no paths for now */
/* 0, or the error to answer at once. */
int suspects_check(const struct suspects *s, uint32_t dev, uint64_t inode, enum suspect_use use);

#endif
