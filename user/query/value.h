/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be charged to stacks: a source's own weight (a cause), or a counter's change that was seen at the
 * samples of the clock (correlation, never cause). The one table of their names, units and words: --value
 * takes these names, and exports name their values by them.
 *
 * Of one row (tick_row): value_weight() is what it counts for in a query whose selection has the value; readings go
 * up and down, so what a row took back is value_shrink(). Sums over the same rows are the same everywhere.
 *
 *     for (enum value_id id = VALUE_CPU; id < VALUE_MAX; id++)
 *             if (values[id].source == row->source)
 *                     sums[id] += value_weight(id, row, page_bytes);
 */
#ifndef KYMO_QUERY_VALUE_H
#define KYMO_QUERY_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "kymo/record.h"
#include "model/tick.h"

enum value_id {
	VALUE_NONE, /* in a selection: that of its source */
	VALUE_CPU,
	VALUE_FAULT,
	VALUE_IO,
	VALUE_GC,
	VALUE_IMPORT,
	VALUE_GIL,
	VALUE_HELD,
	VALUE_SEEN_CPU, /* from here on: seen at */
	VALUE_SEEN_RSS,
	VALUE_SEEN_RSS_ANON,
	VALUE_SEEN_RSS_FILE,
	VALUE_SEEN_RSS_SHMEM,
	VALUE_SEEN_SWAP,
	VALUE_SEEN_FAULTS,
	VALUE_SEEN_MAJOR_FAULTS,
	VALUE_SEEN_READ,
	VALUE_SEEN_WRITTEN,
	VALUE_SEEN_SWITCHES,
	VALUE_SEEN_FORCED_SWITCHES,
	VALUE_MAX,
};

struct value {
	const char *name;	 /* "fault", "seen:rss"; stable */
	const char *unit;	 /* "ns", "bytes", "count" */
	const char *charges;	 /* what "1 s of" is said of: "CPU time", "growth of memory" */
	enum kymo_source source; /* of the samples that have it */
	bool is_seen;
	bool is_gauge; /* seen: a reading, which may shrink, too */
};

extern const struct value values[VALUE_MAX]; /* [VALUE_NONE] is empty */

/* VALUE_NONE = none of that name. */
enum value_id value_by_name(const char *name);
/* A source's own; VALUE_NONE for a source that has none. */
enum value_id value_of_source(enum kymo_source source);

/* In the value's unit; of a row whose source is the value's. Never wraps. */
uint64_t value_weight(enum value_id id, const struct tick_row *row, uint64_t page_bytes);
uint64_t value_shrink(enum value_id id, const struct tick_row *row, uint64_t page_bytes);

#endif
