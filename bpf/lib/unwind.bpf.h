/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From a pc to its rule: mapping, file, page of 64 KiB, row (kymo/unwind.h). */
#ifndef KYMO_BPF_UNWIND_H
#define KYMO_BPF_UNWIND_H

#include "lib/mapping.bpf.h"

/* All bits where the row is at or below `low`; else none. Without a branch: one path to verify. */
static __always_inline __u32 bits_if_below(__u32 row, __u32 low)
{
	__u64 difference = (__u64)low - row;

	opaque(difference); /* else clang makes a branch of it */
	return (difference >> 63) - 1;
}

/* The rule that holds at `low` in a page. */
static __always_inline __u32 unwind_search(const struct kymo_unwind_chunk *chunk,
					   const struct kymo_unwind_page *page, __u32 low)
{
	__u32 first = page->first, n = page->rows, half, below;
	__u64 at;

	for (int i = 0; i < KYMO_UNWIND_SEARCH_STEPS; i++) {
		if (n <= 1)
			break;
		half = n / 2;
		at = first + half;
		opaque(at);
		at &= KYMO_UNWIND_CHUNK_ROWS - 1;
		below = bits_if_below(chunk->rows[at].low, low);
		first += half & below;
		n = ((n - half) & below) | (half & ~below);
	}
	at = first;
	opaque(at);
	at &= KYMO_UNWIND_CHUNK_ROWS - 1;
	return chunk->rows[at].rule;
}

/* The rule at `low` in the page of that number. */
__weak __noinline __u32 unwind_search_page(__u32 number, __u32 low)
{
	struct kymo_unwind_chunk *chunk;
	struct kymo_unwind_page *page;
	__u32 key = number;
	void *pool;

	page = bpf_map_lookup_elem(&unwind_pages, &key);
	if (!page)
		return KYMO_UNWIND_RULE_GAP;
	key = page->chunk / KYMO_UNWIND_POOL_CHUNKS;
	pool = bpf_map_lookup_elem(&unwind_pools, &key);
	if (!pool)
		return KYMO_UNWIND_RULE_GAP;
	key = page->chunk % KYMO_UNWIND_POOL_CHUNKS;
	chunk = bpf_map_lookup_elem(pool, &key);
	return chunk ? unwind_search(chunk, page, low) : KYMO_UNWIND_RULE_GAP;
}

/*
 * An entry: generation of the tables (25 bits), page (18), those bits of its offset that do not choose the
 * entry (5), rule (16). Of a generation that comes again after 33 million changes of tables nothing is left.
 */
#define RULE_CACHE_LOW_BITS 11
static_assert(RULE_CACHE_ENTRIES == 1 << RULE_CACHE_LOW_BITS, "an entry is chosen by so many bits");
static_assert(KYMO_UNWIND_PAGES_MAX <= 1 << 18, "pages do not fit into an entry");

static __always_inline __u32 unwind_rule_id(const struct scratch *s, __u64 offset)
{
	__u64 index = (offset >> KYMO_UNWIND_PAGE_SHIFT) - s->mapping.tables.first_page, at, tag;
	struct rule_cache *cache;
	__u32 zero = 0, id, number, low = offset & (KYMO_UNWIND_PAGE_BYTES - 1);

	if (index >= s->mapping.tables.pages)
		return KYMO_UNWIND_RULE_GAP;
	number = s->mapping.tables.page_base + index;
	cache = bpf_map_lookup_elem(&rule_caches, &zero);
	if (!cache)
		return KYMO_UNWIND_RULE_GAP;
	tag = (__u64)s->generation << 39 | (__u64)number << 21 | low >> RULE_CACHE_LOW_BITS << 16;
	at = low ^ number * 1031;
	opaque(at);
	at &= RULE_CACHE_ENTRIES - 1;
	id = cache->entries[at] & 0xffff;
	if ((cache->entries[at] ^ id) == tag)
		return id;
	id = unwind_search_page(number, low) & 0xffff;
	cache->entries[at] = tag | id;
	return id;
}

enum { RULE_FOUND, RULE_CHANGED, RULE_NOT_MAPPED };

/*
 * The rule of the frame at hand, the gap's where none is known, into s->rule. What was read may have been
 * overwritten meanwhile by another file's: then the tables have another generation by now. (On x86-64 no read goes before an earlier one.)
 */
static __always_inline int unwind_find(struct scratch *s, __u32 slot)
{
	/* A call may be the last instruction of its function. */
	__u64 pc = s->native.ip - !s->native.exact;
	struct kymo_unwind_rule *rule;
	__u32 id;

	if (!mapping_has(s, pc) && mapping_find(slot, pc))
		return RULE_NOT_MAPPED;
	id = unwind_rule_id(s,
			    pc - s->mapping.start + (s->mapping.file ? s->mapping.pgoff_bytes : 0));
	rule = bpf_map_lookup_elem(&unwind_rules, &id);
	if (!rule)
		return RULE_NOT_MAPPED;
	s->rule = *rule;
	barrier();
	return unwind_generation == s->generation ? RULE_FOUND : RULE_CHANGED;
}

/* The same by the tables as they are now, in the rare case that they changed under the walk. */
__weak __noinline int unwind_find_again(__u32 slot)
{
	struct scratch *s = scratch_get(slot);

	if (!s || mapping_begin(slot))
		return RULE_NOT_MAPPED;
	return unwind_find(s, slot);
}

#endif
