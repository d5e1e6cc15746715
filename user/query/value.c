/* SPDX-License-Identifier: Apache-2.0 */
#include "query/value.h"

#include <string.h>

const struct value values[VALUE_MAX] = {
	[VALUE_NONE] = { "", "", "", 0, false, false },
	[VALUE_CPU] = { "cpu", "ns", "CPU time", KYMO_SOURCE_CPU, false, false },
	[VALUE_FAULT] = { "fault", "bytes", "memory faulted in", KYMO_SOURCE_FAULT, false, false },
	[VALUE_IO] = { "io", "bytes", "disk traffic", KYMO_SOURCE_IO, false, false },
	[VALUE_GC] = { "gc", "ns", "time in collections", KYMO_SOURCE_GC, false, false },
	[VALUE_IMPORT] = { "import", "ns", "time in imports", KYMO_SOURCE_IMPORT, false, false },
	[VALUE_GIL] = { "gil", "ns", "time waiting for the GIL", KYMO_SOURCE_GIL, false, false },
	[VALUE_HELD] = { "held", "ns", "time off the CPU with the GIL", KYMO_SOURCE_HELD, false,
			 false },
#define SEEN(text, unit, charges, is_gauge)                                  \
	{                                                                    \
		"seen:" text, unit, charges, KYMO_SOURCE_CPU, true, is_gauge \
	}
	[VALUE_SEEN_CPU] = SEEN("cpu", "ns", "CPU time of the thread", false),
	[VALUE_SEEN_RSS] = SEEN("rss", "bytes", "growth of memory", true),
	[VALUE_SEEN_RSS_ANON] = SEEN("rss_anon", "bytes", "growth of memory of its own", true),
	[VALUE_SEEN_RSS_FILE] = SEEN("rss_file", "bytes", "growth of mapped files", true),
	[VALUE_SEEN_RSS_SHMEM] = SEEN("rss_shmem", "bytes", "growth of shared memory", true),
	[VALUE_SEEN_SWAP] = SEEN("swap", "bytes", "growth of swapped memory", true),
	[VALUE_SEEN_FAULTS] = SEEN("faults", "count", "page faults", false),
	[VALUE_SEEN_MAJOR_FAULTS] = SEEN("major_faults", "count", "major page faults", false),
	[VALUE_SEEN_READ] = SEEN("read", "bytes", "bytes read from storage", false),
	[VALUE_SEEN_WRITTEN] = SEEN("written", "bytes", "bytes written to storage", false),
	[VALUE_SEEN_SWITCHES] = SEEN("switches", "count", "context switches", false),
	[VALUE_SEEN_FORCED_SWITCHES] =
		SEEN("forced_switches", "count", "forced context switches", false),
#undef SEEN
};

enum value_id value_by_name(const char *name)
{
	for (enum value_id id = VALUE_CPU; id < VALUE_MAX; id++)
		if (strcmp(values[id].name, name) == 0)
			return id;
	return VALUE_NONE;
}

enum value_id value_of_source(enum kymo_source source)
{
	for (enum value_id id = VALUE_CPU; id < VALUE_SEEN_CPU; id++)
		if (values[id].source == source)
			return id;
	return VALUE_NONE;
}

/* Wide enough for any sum of two or three fields and its product with a page's size. */
static __int128 change(enum value_id id, const struct seen *s, uint64_t page_bytes)
{
	const __int128 page = page_bytes;

	switch (id) {
	case VALUE_SEEN_CPU:
		return s->cpu_ns;
	case VALUE_SEEN_RSS:
		return ((__int128)s->rss_anon_pages + s->rss_file_pages + s->rss_shmem_pages) *
		       page;
	case VALUE_SEEN_RSS_ANON:
		return s->rss_anon_pages * page;
	case VALUE_SEEN_RSS_FILE:
		return s->rss_file_pages * page;
	case VALUE_SEEN_RSS_SHMEM:
		return s->rss_shmem_pages * page;
	case VALUE_SEEN_SWAP:
		return s->swap_pages * page;
	case VALUE_SEEN_FAULTS:
		return (__int128)s->minor_faults + s->major_faults;
	case VALUE_SEEN_MAJOR_FAULTS:
		return s->major_faults;
	case VALUE_SEEN_READ:
		return s->read_bytes;
	case VALUE_SEEN_WRITTEN:
		return s->write_bytes;
	case VALUE_SEEN_SWITCHES:
		return (__int128)s->voluntary_switches + s->involuntary_switches;
	case VALUE_SEEN_FORCED_SWITCHES:
		return s->involuntary_switches;
	default:
		return 0;
	}
}

static uint64_t saturated(__int128 v)
{
	return v <= 0 ? 0 : v > UINT64_MAX ? UINT64_MAX : (uint64_t)v;
}

/* page_bytes stands in a foreign file: with 32 bits the product cannot overflow. */
static uint64_t sane_page(uint64_t page_bytes)
{
	return page_bytes > UINT32_MAX ? UINT32_MAX : page_bytes;
}

uint64_t value_weight(enum value_id id, const struct tick_row *row, uint64_t page_bytes)
{
	if (!values[id].is_seen)
		return row->weight;
	return saturated(change(id, &row->seen, sane_page(page_bytes)));
}

uint64_t value_shrink(enum value_id id, const struct tick_row *row, uint64_t page_bytes)
{
	return saturated(-change(id, &row->seen, sane_page(page_bytes)));
}
