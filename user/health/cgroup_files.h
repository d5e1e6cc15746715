/* SPDX-License-Identifier: Apache-2.0 */
/* The files of one cgroup that are read, and what they mean. */
#ifndef KYMO_HEALTH_CGROUP_FILES_H
#define KYMO_HEALTH_CGROUP_FILES_H

#include <assert.h>

#include "health/reading.h"

/* A mounted hierarchy: version 2, or one controller of version 1. */
enum cgroup_hierarchy {
	CGROUP_V1_CPU,
	CGROUP_V1_CPUACCT,
	CGROUP_V1_MEMORY,
	CGROUP_V1_BLKIO,
	CGROUP_V2,
	CGROUP_HIERARCHY_MAX,
};

/* Word among a version 1 mount's options; NULL = version 2. */
extern const char *const cgroup_controllers[CGROUP_HIERARCHY_MAX];

enum cgroup_series {
	CGROUP_CPU_USAGE,
	CGROUP_CPU_NR_THROTTLED,
	CGROUP_CPU_THROTTLED,
	CGROUP_MEMORY_CURRENT,
	CGROUP_MEMORY_HIGH,
	CGROUP_MEMORY_MAX,
	CGROUP_MEMORY_OOM,
	CGROUP_MEMORY_OOM_KILL,
	CGROUP_PRESSURE_CPU_SOME,
	CGROUP_PRESSURE_CPU_FULL,
	CGROUP_PRESSURE_MEMORY_SOME,
	CGROUP_PRESSURE_MEMORY_FULL,
	CGROUP_PRESSURE_IO_SOME,
	CGROUP_PRESSURE_IO_FULL,
	CGROUP_IO_READ,
	CGROUP_IO_WRITE,
	CGROUP_SERIES_MAX,
};
static_assert(CGROUP_SERIES_MAX <= SERIES_MAX, "room for a member's values");

extern const struct series cgroup_series[CGROUP_SERIES_MAX];

struct cgroup_reading {
	struct reading *reading;
	struct member_set *set;
	struct member *member;
};

struct cgroup_key {
	const char *key; /* "" = the file is one number */
	enum cgroup_series series;
	uint64_t scale;
};

struct cgroup_file {
	enum cgroup_hierarchy hierarchy;
	const char *name;
	void (*read)(const struct cgroup_reading *to, const struct cgroup_file *file,
		     struct span text);
	struct cgroup_key keys[5]; /* up to an empty one */
};

#define CGROUP_FILES 13
extern const struct cgroup_file cgroup_files[CGROUP_FILES];

#endif
