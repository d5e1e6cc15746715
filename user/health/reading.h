/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One reading: what the sources write into. Fixed columns are summed up over a reading and compared
 * with the one before at its end. Things that come in numbers (CPUs, devices, interfaces) stand in
 * sets; each member keeps its own last values.
 */
#ifndef KYMO_HEALTH_READING_H
#define KYMO_HEALTH_READING_H

#include "health/scan.h"
#include "model/health.h"

#define SERIES_MAX	16 /* values of one member */
#define MEMBER_NAME_MAX 512
#define SET_MEMBERS_MAX 4096 /* CPUs, devices, ... beyond are counted as read errors */

/* One value of each member of a set. */
struct series {
	const char *metric;
	const char *label; /* beside the member's own: "cpu.mode=user", or "" */
	const char *unit;
	enum health_kind kind;
	int column; /* of the changes' sum over the members that count for the host; -1 = none */
};

struct member {
	char *name;
	uint64_t last[SERIES_MAX];
	uint32_t metric[SERIES_MAX]; /* ids; 0 = not told yet */
	uint32_t renewed;	     /* the ids of which they are */
	uint32_t had;		     /* bits: values of the reading before */
	uint32_t has;		     /* bits: of this one */
	uint64_t seen;		     /* the last reading that had it */
	bool counts;		     /* for the host's sum */
	bool shown;		     /* labelled values of its own */
	bool real;		     /* interfaces: a device is below */
};

struct member_set {
	const char *key; /* label of the member's name: "cpu" */
	const struct series *series;
	size_t series_n;
	struct member *members;
	size_t n, cap;
	size_t next; /* where the next one probably is: files keep their order */
};

struct reading {
	uint64_t number; /* of the reading, from 1 */
	uint64_t now[HEALTH_MAX], last[HEALTH_MAX];
	bool has[HEALTH_MAX], had[HEALTH_MAX];
	/* Columns that are sums of members' changes. */
	int64_t change[HEALTH_MAX];
	bool changed[HEALTH_MAX], spoiled[HEALTH_MAX];

	uint32_t metric_last;
	uint32_t renewed; /* times that the ids started anew */
	struct health_label *labels;
	size_t labels_n, labels_cap;
	struct health_metric *metrics; /* new ones */
	size_t metrics_n, metrics_cap;
	uint32_t errors;
	int failed; /* -ENOMEM, kept until the end */
};

void reading_release(struct reading *r);
void reading_begin(struct reading *r);
/* Moves the result out; only the first reading gives nothing but gauges. 0 or -ENOMEM. */
int reading_end(struct reading *r, struct health *ret);

/* Adds to a fixed column: value * scale. Too large for 63 bits: absent, and an error. */
void reading_add(struct reading *r, enum health_column column, uint64_t value, uint64_t scale);

/* The member of this name, made when it is new (*ret_new may be NULL). NULL at a bound or when
 * the name came already in this reading. */
struct member *set_member(struct reading *r, struct member_set *set, const struct span *name,
			  bool *ret_new);
/* A value of the member in this reading; of two, the first counts. */
void set_value(struct reading *r, struct member_set *set, struct member *m, size_t series,
	       uint64_t value, uint64_t scale);
void set_release(struct member_set *set);

#endif
