/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From a pc to its rule: mapping, file, page of 64 KiB, row (kymo/unwind.h). */
#ifndef KYMO_BPF_UNWIND_H
#define KYMO_BPF_UNWIND_H

#include "lib/mapping.bpf.h"

/* The vDSO is mapped without a file: the memory map knows where. */
static __always_inline bool mapping_is_vdso(const struct mapping *m)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct mm_struct *mm = task->mm;

	return !m->file && mm && (__u64)mm->context.vdso == m->start;
}

/* The tables of the file that s->mapping maps, into s->native.file; without pages where there are none. */
static __always_inline void unwind_file(struct scratch *s)
{
	struct kymo_file_key key = { 0 };
	struct kymo_unwind_file *file = NULL;

	if (s->native.file_end == s->mapping.end)
		return;
	s->native.file_end = s->mapping.end;
	s->native.file.pages = 0;
	if (s->mapping.file ? file_key_read(&key, s->mapping.file) : !mapping_is_vdso(&s->mapping))
		return;
	file = bpf_map_lookup_elem(&unwind_files, &key);
	if (file)
		s->native.file = *file;
}

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

static __always_inline __u32 unwind_rule_id(const struct scratch *s, __u64 offset)
{
	__u64 index = (offset >> KYMO_UNWIND_PAGE_SHIFT) - s->native.file.first_page;
	struct kymo_unwind_chunk *chunk;
	struct kymo_unwind_page *page;
	__u32 key;
	void *pool;

	if (index >= s->native.file.pages)
		return KYMO_UNWIND_RULE_GAP;
	key = s->native.file.page_base + index;
	page = bpf_map_lookup_elem(&unwind_pages, &key);
	if (!page)
		return KYMO_UNWIND_RULE_GAP;
	key = page->chunk / KYMO_UNWIND_POOL_CHUNKS;
	pool = bpf_map_lookup_elem(&unwind_pools, &key);
	if (!pool)
		return KYMO_UNWIND_RULE_GAP;
	key = page->chunk % KYMO_UNWIND_POOL_CHUNKS;
	chunk = bpf_map_lookup_elem(pool, &key);
	return chunk ? unwind_search(chunk, page, offset & (KYMO_UNWIND_PAGE_BYTES - 1))
		     : KYMO_UNWIND_RULE_GAP;
}

/* The rule of the frame at hand, into s->native.rule: the gap's where none is known. 0, or -1: its pc is not mapped. */
__weak __noinline int unwind_find(__u32 slot)
{
	struct scratch *s = scratch_get(slot);
	struct kymo_unwind_rule *rule;
	__u64 pc;
	__u32 id;

	if (!s)
		return -1;
	/* A call may be the last instruction of its function. */
	pc = s->native.ip - !s->native.exact;
	if (!mapping_has(s, pc) && mapping_find(slot, pc))
		return -1;
	unwind_file(s);
	id = unwind_rule_id(s,
			    pc - s->mapping.start + (s->mapping.file ? s->mapping.pgoff_bytes : 0));
	rule = bpf_map_lookup_elem(&unwind_rules, &id);
	if (!rule)
		return -1;
	s->native.rule = *rule;
	return 0;
}

#endif
