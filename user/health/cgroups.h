/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control groups, version 1 or 2, whichever holds a controller (Documentation/admin-guide/cgroup-v2.rst,
 * cgroup-v1/): found by walking the mounted hierarchies every few seconds, read through
 * descriptors that stay open.
 */
#ifndef KYMO_HEALTH_CGROUPS_H
#define KYMO_HEALTH_CGROUPS_H

#include "health/reading.h"

struct cgroups;

/* walk_ns: how long a new cgroup may stay unseen. No cgroups mounted is no error. 0 or -ENOMEM. */
int cgroups_new(int proc_fd, uint64_t walk_ns, struct cgroups **ret);
void cgroups_free(struct cgroups *c);
void cgroups_read(struct cgroups *c, struct reading *r);

#endif
