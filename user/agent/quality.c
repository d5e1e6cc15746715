/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/quality.h"

#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"

static const char *const own_names[QUALITY_OWN_MAX] = {
	[QUALITY_SIDEBAND_LOST] = "sideband.lost",
	[QUALITY_MALFORMED] = "ring.malformed",
	[QUALITY_QUEUE_DROPPED] = "ring.queue_dropped",
	[QUALITY_NO_MAPPING] = "frames.no_mapping",
	[QUALITY_NO_CODE] = "frames.no_code",
	[QUALITY_FILES_FAILED] = "files.failed",
	[QUALITY_NAMES_FAILED] = "names.failed",
	[QUALITY_UNWIND_FAILED] = "unwind.failed",
	[QUALITY_LINES_FAILED] = "lines.failed",
	[QUALITY_MAPS_REFUSED] = "maps.refused",
	[QUALITY_FILES_DROPPED] = "files.dropped",
	[QUALITY_PROC_DROPPED] = "processes.dropped",
	[QUALITY_PROBES_FAILED] = "probes.failed",
	[QUALITY_PROBES_ABSENT] = "probes.absent",
	[QUALITY_ACCOUNTS_DROPPED] = "accounts.dropped",
	[QUALITY_ACCOUNTS_VANISHED] = "accounts.vanished",
	[QUALITY_TICKS_HOLLOW] = "writer.ticks_without_samples",
	[QUALITY_CPU_NS] = "kymo.cpu_ns",
	[QUALITY_BPF_NS] = "kymo.bpf_ns",
	[QUALITY_BPF_RUNS] = "kymo.bpf_runs",
};

static const char *const bpf_names[KYMO_COUNTER_MAX] = {
#define KYMO_COUNTER(name, text, meaning) [KYMO_COUNTER_##name] = "bpf." text,
#include "kymo/counters.def"
#undef KYMO_COUNTER
};

static int put_change(struct merge *merge, const char *name, uint64_t now, uint64_t *before)
{
	uint64_t change = now - *before;

	*before = now;
	return change ? merge_quality(merge, name, (int64_t)change) : 0;
}

static void read_own(const struct quality_sources *from, uint64_t own[QUALITY_OWN_MAX],
		     int64_t *ret_unwind_bytes)
{
	struct kern_stats kern = { 0 };
	struct files_stats files;
	struct resolve_stats resolve;
	struct proc_stats procs;
	struct accounts_stats accounts;

	(void)kern_stats(from->kern, &kern);
	files_stats(from->files, &files);
	resolve_stats(from->resolve, &resolve);
	proc_table_stats(from->procs, &procs);
	accounts_stats(from->accounts, &accounts);
	own[QUALITY_SIDEBAND_LOST] = kern.sideband_lost;
	own[QUALITY_MALFORMED] = kern.malformed;
	own[QUALITY_QUEUE_DROPPED] = kern.queue_dropped;
	own[QUALITY_NO_MAPPING] = resolve.no_mapping;
	own[QUALITY_NO_CODE] = resolve.no_code;
	own[QUALITY_FILES_FAILED] = files.failed_inspect;
	own[QUALITY_NAMES_FAILED] = files.failed_names;
	own[QUALITY_UNWIND_FAILED] = files.failed_unwind;
	own[QUALITY_LINES_FAILED] = files.failed_lines;
	own[QUALITY_MAPS_REFUSED] = files.refused_maps;
	own[QUALITY_FILES_DROPPED] = files.dropped;
	own[QUALITY_PROC_DROPPED] = procs.dropped;
	own[QUALITY_PROBES_FAILED] = probes_failed(from->probes);
	own[QUALITY_PROBES_ABSENT] = from->probes ? files.no_probes : 0;
	own[QUALITY_ACCOUNTS_DROPPED] = accounts.dropped;
	own[QUALITY_ACCOUNTS_VANISHED] = accounts.vanished;
	own[QUALITY_TICKS_HOLLOW] = writer_dropped(from->writer);
	own[QUALITY_CPU_NS] = clock_process_cpu_ns();
	own[QUALITY_BPF_NS] = kern.bpf_run_ns;
	own[QUALITY_BPF_RUNS] = kern.bpf_runs;
	*ret_unwind_bytes = (int64_t)kern.unwind_bytes;
}

/* Our resident memory: second field of /proc/self/statm, in pages (proc(5)). */
static int64_t own_rss_bytes(void)
{
	struct buf text = { 0 };
	long long pages = 0;

	if (file_read(-1, "/proc/self/statm", 256, &text) == 0 &&
	    sscanf((const char *)text.data, "%*s %lld", &pages) != 1)
		pages = 0;
	buf_release(&text);
	return pages * sysconf(_SC_PAGESIZE);
}

int quality_tick(struct quality_state *state, const struct quality_sources *from,
		 struct merge *merge)
{
	uint64_t bpf[KYMO_COUNTER_MAX], own[QUALITY_OWN_MAX] = { 0 };
	int64_t rss = own_rss_bytes(), unwind_bytes;
	int r;

	r = kern_counters(from->kern, bpf);
	if (r < 0)
		return r;
	for (size_t i = 0; i < KYMO_COUNTER_MAX; i++) {
		r = put_change(merge, bpf_names[i], bpf[i], &state->bpf[i]);
		if (r < 0)
			return r;
	}
	read_own(from, own, &unwind_bytes);
	for (size_t i = 0; i < QUALITY_OWN_MAX; i++) {
		r = put_change(merge, own_names[i], own[i], &state->own[i]);
		if (r < 0)
			return r;
	}
	r = rss > 0 ? merge_quality(merge, "kymo.rss_bytes", rss) : 0;
	return r < 0 ? r : merge_quality(merge, "kymo.unwind_bytes", unwind_bytes);
}

uint64_t quality_lost(const struct quality_state *state)
{
	return state->bpf[KYMO_COUNTER_RING_FULL] + state->bpf[KYMO_COUNTER_NESTED] +
	       state->own[QUALITY_MALFORMED] + state->own[QUALITY_QUEUE_DROPPED];
}
