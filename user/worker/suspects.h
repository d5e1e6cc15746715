/* SPDX-License-Identifier: Apache-2.0 */
/* Inside user/worker: files that killed or hung a helper are not tried again; device that hang rest for a minute. */
#ifndef KYMO_WORKER_SUSPECTS_H
#define KYMO_WORKER_SUSPECTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hmap.h"

struct suspects {
	struct hmap files;   /* device and inode -> the error to answer */
	struct hmap devices; /* device -> its hangs */
};

void suspects_init(struct suspects *s);
void suspects_release(struct suspects *s);
/* `hung`: it did not compute, so the file system may be to blame. */
void suspects_add(struct suspects *s, uint32_t dev, uint64_t inode, int error, bool hung);
/* 0, or the error to answer at once. */
int suspects_check(const struct suspects *s, uint32_t dev, uint64_t inode);

#endif
