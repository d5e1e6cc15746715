/* SPDX-License-Identifier: Apache-2.0 */
/* What happened at one instant or in one stretch of time: collections, imports, OOM kills, storms. */
#ifndef KYMO_QUERY_EVENTS_H
#define KYMO_QUERY_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "query/query.h"
#include "query/rows.h"

struct query_event {
	enum event_kind kind;
	size_t tick; /* index into profile_ticks */
	uint64_t time_ns, duration_ns;
	const struct process
		*process; /* of its thread; NULL = none. Valid until the profile is closed */
	const struct thread *thread; /* NULL = none; as long */
	uint32_t segment, stack;     /* for query_event_stack */
	char *fields;		     /* a JSON object (base/json_read.h), or "" */
};

struct query_events {
	struct query_event *items; /* by tick, then by time */
	size_t n, cap;
	uint64_t dropped; /* more than are kept */
};

extern const char *const query_event_names[EVENT_KIND_MAX]; /* "gc", "OOM kill", ... */

/*
 * Those of the selected ticks. --pid and --comm select collections and imports; kills and storms are the
 * host's. 0 or -errno (profile_message says why).
 */
int query_events(struct profile *p, const struct query_selection *s, struct query_events *ret);
void query_events_release(struct query_events *e);

/*
 * The same one by one, none kept: in the order of their ends, fields valid during the call. A negative return of each()
 * ends it and is returned.
 */
int query_each_event(struct profile *p, const struct query_selection *s,
		     int (*each)(void *data, const struct query_event *e), void *data);

/* A number of its fields, without its fraction, saturated; false where there is none of that name. */
bool query_event_number(const struct query_event *e, const char *key, int64_t *ret);

/* As query_stack. */
size_t query_event_stack(const struct profile *p, const struct query_event *e,
			 struct query_frame *out, size_t max);

#endif
