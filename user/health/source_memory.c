/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/meminfo and /proc/vmstat: a key and a number in each line. */
#include "base/array.h"
#include "health/source.h"

#define KIB 1024

static const struct source_key meminfo[] = {
	{ "MemTotal:", HEALTH_mem_total_bytes, KIB },
	{ "MemFree:", HEALTH_mem_free_bytes, KIB },
	{ "MemAvailable:", HEALTH_mem_available_bytes, KIB },
	{ "Buffers:", HEALTH_mem_buffers_bytes, KIB },
	{ "Cached:", HEALTH_mem_cached_bytes, KIB },
	{ "SwapTotal:", HEALTH_swap_total_bytes, KIB },
	{ "SwapFree:", HEALTH_swap_free_bytes, KIB },
	{ "Dirty:", HEALTH_mem_dirty_bytes, KIB },
	{ "Writeback:", HEALTH_mem_writeback_bytes, KIB },
	{ "AnonPages:", HEALTH_mem_anon_bytes, KIB },
	{ "Slab:", HEALTH_mem_slab_bytes, KIB },
	{ "Committed_AS:", HEALTH_mem_committed_bytes, KIB },
};

/* allocstall is told per zone, and which zones there are differs between machines. */
static const struct source_key vmstat[] = {
	{ "workingset_refault_anon", HEALTH_refault_anon_pages, 1 },
	{ "workingset_refault_file", HEALTH_refault_file_pages, 1 },
	{ "pswpin", HEALTH_swap_in_pages, 1 },
	{ "pswpout", HEALTH_swap_out_pages, 1 },
	{ "allocstall_dma", HEALTH_alloc_stalls, 1 },
	{ "allocstall_dma32", HEALTH_alloc_stalls, 1 },
	{ "allocstall_normal", HEALTH_alloc_stalls, 1 },
	{ "allocstall_high", HEALTH_alloc_stalls, 1 },
	{ "allocstall_movable", HEALTH_alloc_stalls, 1 },
	{ "allocstall_device", HEALTH_alloc_stalls, 1 },
	{ "pgfault", HEALTH_faults, 1 },
	{ "pgmajfault", HEALTH_major_faults, 1 },
	{ "pgsteal_kswapd", HEALTH_steal_kswapd_pages, 1 },
	{ "pgsteal_direct", HEALTH_steal_direct_pages, 1 },
	{ "pgscan_kswapd", HEALTH_scan_kswapd_pages, 1 },
	{ "pgscan_direct", HEALTH_scan_direct_pages, 1 },
	{ "oom_kill", HEALTH_oom_kills, 1 },
	{ "compact_stall", HEALTH_compact_stalls, 1 },
};

void source_key_line(struct reading *r, const struct source_key *keys, size_t keys_n, size_t *hint,
		     struct span line)
{
	struct span word;
	uint64_t value;

	if (!span_word(&line, &word))
		return;
	for (size_t i = 0; i < keys_n; i++) {
		size_t at = (*hint + i) % keys_n;

		if (!span_is(&word, keys[at].key))
			continue;
		*hint = at + 1;
		if (span_u64(&line, &value))
			reading_add(r, keys[at].column, value, keys[at].scale);
		else
			r->errors++;
		return;
	}
}

static void key_file(struct reading *r, const struct source_key *keys, size_t keys_n,
		     struct span text)
{
	struct span line;
	size_t hint = 0;

	while (span_line(&text, &line))
		source_key_line(r, keys, keys_n, &hint, line);
}

void source_meminfo(struct instruments *in, const struct source *source, struct span text)
{
	(void)source;
	key_file(&in->reading, meminfo, ARRAY_SIZE(meminfo), text);
}

void source_vmstat(struct instruments *in, const struct source *source, struct span text)
{
	(void)source;
	key_file(&in->reading, vmstat, ARRAY_SIZE(vmstat), text);
}
