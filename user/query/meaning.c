/* SPDX-License-Identifier: Apache-2.0 */
/* What the counters of quality mean, in words for people. */
#include <string.h>

#include "base/array.h"
#include "query/query.h"

static const struct {
	const char *counter, *meaning;
	bool is_gauge;
} texts[] = {
#define KYMO_COUNTER(name, text, meaning) { "bpf." text, meaning, false },
#include "kymo/counters.def"
#undef KYMO_COUNTER
	{ "accounts.dropped", "processes without an account: too many at once", false },
	{ "accounts.vanished",
	  "processes whose end was not told: accounts may lack their last part", false },
	{ "files.dropped", "binaries not looked into: too many", false },
	{ "files.failed", "binaries that could not be read: no symbols, no unwinding by table",
	  false },
	{ "frames.no_code", "Python frames without a name: their code object never arrived",
	  false },
	{ "frames.no_mapping", "native frames outside all mappings that are known", false },
	{ "health.span_ns", "time that reading the host's health took, in the slowest tick", true },
	{ "kymo.bpf_ns", "CPU time of kymo's programs in the kernel", false },
	{ "kymo.bpf_runs", "runs of kymo's programs in the kernel", false },
	{ "kymo.cpu_ns", "CPU time of kymo itself", false },
	{ "kymo.rss_bytes", "memory of kymo itself, at most", true },
	{ "kymo.unwind_bytes", "memory of rules for unwinding in the kernel, at most", true },
	{ "lines.failed", "binaries whose DWARF could not be read: symbols without lines", false },
	{ "maps.refused",
	  "perf maps not read: too large, another user's, a link, or no regular file", false },
	{ "merge.binaries_dropped", "binaries left out: too many", false },
	{ "merge.early", "samples whose time lay beyond their tick's end", false },
	{ "merge.events_dropped", "events left out: too many in one tick", false },
	{ "merge.functions_dropped", "functions left out: too many", false },
	{ "merge.identities_forgotten",
	  "times that all processes or threads were forgotten: too many; known ones have new rows",
	  false },
	{ "merge.late", "samples that came after their tick was closed: charged to the next",
	  false },
	{ "merge.quality_dropped", "counters such as these left out: too many", false },
	{ "merge.samples_dropped", "samples lost: too many in one tick", false },
	{ "merge.stacks_dropped", "stacks left out: too many", false },
	{ "names.failed", "binaries whose symbols could not be read", false },
	{ "probes.absent",
	  "interpreters that were built without probes: their collections are not seen", false },
	{ "probes.failed", "interpreters whose probes could not be attached", false },
	{ "processes.dropped", "processes not followed: too many at once", false },
	{ "ring.malformed", "records of the kernel side that made no sense: left out", false },
	{ "ring.queue_dropped", "samples lost: they came faster than they were resolved", false },
	{ "sideband.lost", "events of processes lost in the kernel: mappings or names may lack",
	  false },
	{ "store.samples_dropped", "samples lost: their tick was too large for its block", false },
	{ "unwind.failed",
	  "binaries without rules for unwinding, or damaged ones: walked by frame pointers",
	  false },
	{ "writer.ticks_without_samples", "ticks written without samples: the disk was too slow",
	  false },
};

const char *query_quality_meaning(const char *counter, bool *ret_is_gauge)
{
	*ret_is_gauge = false;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (strcmp(texts[i].counter, counter) == 0) {
			*ret_is_gauge = texts[i].is_gauge;
			return texts[i].meaning;
		}
	return NULL;
}

const char *const query_unnamed_reasons[QUERY_UNNAMED_MAX] = {
	[QUERY_NAMED] = "",
	[QUERY_NO_SYMBOL] = "no symbol covers it",
	[QUERY_BY_ADDRESS] = "stripped; its commonest function",
	[QUERY_NOT_READ] = "its file could not be read, or has no build-id and no symbol there",
	[QUERY_MEMORY] = "made at run time: in no file",
	[QUERY_NOT_MAPPED] = "outside all mappings that were known",
};
