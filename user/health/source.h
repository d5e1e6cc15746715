/* SPDX-License-Identifier: Apache-2.0 */
/* The instruments: a file and the function that reads its text, one source_*.c each. */
#ifndef KYMO_HEALTH_SOURCE_H
#define KYMO_HEALTH_SOURCE_H

#include "health/reading.h"

/* What the sources keep between readings. */
struct instruments {
	struct reading reading;
	int proc_fd;
	int sys_fd; /* -1 = no sysfs beside proc */
	uint64_t jiffy_ns;
	struct member_set cpus, disks, interfaces, softirqs;
	bool real_interfaces; /* the reading before had an interface with a device */
};

struct source {
	const char *path; /* below proc */
	void (*read)(struct instruments *in, const struct source *source, struct span text);
	int columns[2]; /* pressure: some, full; -1 = none */
};

/* A key of "key value" lines and the column that it adds to. */
struct source_key {
	const char *key;
	enum health_column column;
	uint64_t scale;
};

/* Adds the number behind the key, if the line's first word is one of the table's. Where the key
 * was found is kept in *hint: files keep their order. */
void source_key_line(struct reading *r, const struct source_key *keys, size_t keys_n, size_t *hint,
		     struct span line);

void source_stat(struct instruments *in, const struct source *source, struct span text);
void source_meminfo(struct instruments *in, const struct source *source, struct span text);
void source_vmstat(struct instruments *in, const struct source *source, struct span text);
/* Stalled time of a tick, of what was stalled between two readings with so much time between them. */
int64_t pressure_of_tick(int64_t stalled_ns, uint64_t tick_ns, uint64_t between_ns);
void source_pressure(struct instruments *in, const struct source *source, struct span text);
void source_diskstats(struct instruments *in, const struct source *source, struct span text);
void source_loadavg(struct instruments *in, const struct source *source, struct span text);
void source_softirqs(struct instruments *in, const struct source *source, struct span text);
void source_net_dev(struct instruments *in, const struct source *source, struct span text);
void source_net_snmp(struct instruments *in, const struct source *source, struct span text);
void source_softnet(struct instruments *in, const struct source *source, struct span text);

extern const struct series cpu_series[], disk_series[], interface_series[], softirq_series[];
extern const size_t cpu_series_n, disk_series_n, interface_series_n, softirq_series_n;

#endif
