/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The mapping of an address, from the kernel's own tree of the current task's memory map
 * (include/linux/maple_tree.h): no table per process to keep true. Probe reads alone: the tree may
 * change under us on another CPU (nodes are freed by RCU, and we run inside a grace period) or be
 * half written where the interrupt hit its writer; so what is found is checked for the address.
 */
#ifndef KYMO_BPF_MAPPING_H
#define KYMO_BPF_MAPPING_H

#include "lib/common.bpf.h"
#include "flavors.h"

/* Ten entries a node above the leaves: 8 levels hold more than vm.max_map_count can be set to. */
#define MAPLE_LEVELS_MAX    8
#define MAPLE_NODE_MASK	    255
#define MAPLE_TYPE_SHIFT    3
#define MAPLE_TYPE_MASK	    15
#define MAPLE_ROOT_TAG_MASK 3
#define MAPLE_ROOT_TAG	    2
#define PAGE_SHIFT	    12

/*
 * maple_range_64 and leaves: parent, 15 pivots, 16 slots; maple_arange_64: parent, 9 pivots, 10
 * slots.
 */
#define MAPLE_PIVOT_AT	    1
#define MAPLE_RANGE_PIVOTS  15
#define MAPLE_RANGE_SLOT    16
#define MAPLE_ARANGE_PIVOTS 9
#define MAPLE_ARANGE_SLOT   10

/*
 * 1 where the range that the pivot ends lies below the page. Without a branch, which keeps the
 * verifier on one path: mappings end at pages, so a pivot is the last byte of a page; unused pivots
 * are 0 and, one subtracted, above all pages.
 */
static __always_inline __u64 pivot_below(__u64 pivot, __u64 page)
{
	__u64 difference = ((pivot - 1) >> PAGE_SHIFT) - page;

	opaque(difference); /* else clang makes a branch of it */
	return difference >> 63;
}

static __always_inline __u64 pivots_below(const __u64 *node, __u32 pivots, __u64 page)
{
	__u64 n = 0;

#pragma unroll
	for (__u32 i = 0; i < pivots; i++)
		n += pivot_below(node[MAPLE_PIVOT_AT + i], page);
	return n;
}

/* One level down: the entry of the range with the page. */
static __always_inline __u64 maple_entry(struct maple_search *m, __u64 type, __u64 page)
{
	__u64 at, slots;

	if (type == KYMO_MAPLE_ARANGE_64) {
		at = pivots_below(m->node, MAPLE_ARANGE_PIVOTS, page);
		slots = MAPLE_ARANGE_SLOT;
	} else {
		at = pivots_below(m->node, MAPLE_RANGE_PIVOTS, page);
		slots = MAPLE_RANGE_SLOT;
	}
	opaque(at);
	at &= 15;
	/* node[at] is the pivot before the range; in front of the first it is the parent. */
	if (at)
		m->first = m->node[at] + 1;
	return m->node[slots + at];
}

/*
 * Finds the range with the address: s->maple.first, .entry (0: a gap), and its leaf: .node,
 * .leaf_first. 0 or -1.
 */
__weak __noinline int maple_find(__u32 slot, __u64 address)
{
	struct scratch *s = scratch_get(slot);
	struct task_struct *task = bpf_get_current_task_btf();
	struct mm_struct *mm = task->mm;
	__u64 node, type;

	if (!s || !mm)
		return -1;
	node = (__u64)mm->mm_mt.ma_root;
	if ((node & MAPLE_ROOT_TAG_MASK) != MAPLE_ROOT_TAG)
		return -1;
	s->maple.first = 0;
	for (__u32 level = 0; level < MAPLE_LEVELS_MAX; level++) {
		type = (node >> MAPLE_TYPE_SHIFT) & MAPLE_TYPE_MASK;
		if (read_kernel(s->maple.node, MAPLE_NODE_BYTES, node & ~(__u64)MAPLE_NODE_MASK))
			return -1;
		s->maple.leaf_first = s->maple.first;
		node = maple_entry(&s->maple, type, address >> PAGE_SHIFT);
		if (type <= KYMO_MAPLE_LEAF_64) {
			s->maple.entry = node;
			return 0;
		}
	}
	return -1;
}

static __always_inline int mapping_read(struct mapping *to, __u64 vma_address)
{
	struct vm_area_struct *vma = (void *)vma_address;
	__u64 pgoff = 0;

	if (bpf_core_read(&to->start, sizeof(to->start), &vma->vm_start) ||
	    bpf_core_read(&to->end, sizeof(to->end), &vma->vm_end) ||
	    bpf_core_read(&to->flags, sizeof(to->flags), &vma->vm_flags) ||
	    bpf_core_read(&pgoff, sizeof(pgoff), &vma->vm_pgoff) ||
	    bpf_core_read(&to->file, sizeof(to->file), &vma->vm_file))
		return -1;
	to->pgoff_bytes = pgoff << PAGE_SHIFT;
	return 0;
}

/* Whether the last one that was found has it: saves the call of mapping_find. */
static __always_inline bool mapping_has(const struct scratch *s, __u64 address)
{
	return address >= s->mapping.start && address < s->mapping.end;
}

/* What file a struct file's address stands for. 0 or -1. */
static __always_inline int file_key_read(struct kymo_file_key *to, __u64 file_address)
{
	struct file *file = (void *)file_address;
	struct super_block *super;
	struct inode *inode;

	*to = (struct kymo_file_key){ 0 };
	if (!file || bpf_core_read(&inode, sizeof(inode), &file->f_inode) ||
	    bpf_core_read(&super, sizeof(super), &inode->i_sb) ||
	    bpf_core_read(&to->inode, sizeof(to->inode), &inode->i_ino) ||
	    bpf_core_read(&to->dev, sizeof(to->dev), &super->s_dev))
		return -1;
	return 0;
}

/* The vDSO is mapped without a file: the memory map knows where. */
static __always_inline bool mapping_is_vdso(const struct mapping *m)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct mm_struct *mm = task->mm;

	return !m->file && mm && (__u64)mm->context.vdso == m->start;
}

/* The tables of the file that m maps. */
static __always_inline void mapping_tables(struct mapping *m)
{
	struct kymo_file_key key = { 0 };
	struct kymo_unwind_file *file = NULL;

	m->tables.pages = 0;
	if (!(m->flags & VM_EXEC) || (m->file ? file_key_read(&key, m->file) : !mapping_is_vdso(m)))
		return;
	file = bpf_map_lookup_elem(&unwind_files, &key);
	if (file)
		m->tables = *file;
}

static __always_inline struct mapping_set *mapping_set_get(const struct scratch *s, __u32 slot)
{
	struct mapping_cache *cache = bpf_map_lookup_elem(&mapping_caches, &slot);
	__u64 i = s->mapping_set;

	if (!cache)
		return NULL;
	opaque(i);
	i &= MAPPING_SETS - 1;
	return &cache->sets[i];
}

/* 0: this kernel does not tell. */
static __always_inline __u64 mapping_sequence(struct mm_struct *mm)
{
	struct mm_struct___since_6_4 *as_int = (void *)mm;
	struct mm_struct___since_6_13 *as_seqcount = (void *)mm;
	__u32 sequence = 0;

	if (bpf_core_field_exists(as_seqcount->mm_lock_seq.sequence))
		bpf_core_read(&sequence, sizeof(sequence), &as_seqcount->mm_lock_seq.sequence);
	else if (bpf_core_field_exists(as_int->mm_lock_seq))
		bpf_core_read(&sequence, sizeof(sequence), &as_int->mm_lock_seq);
	else
		return 0;
	return sequence | 1ULL << 32;
}

/*
 * Once per walk: what was found in this memory map before stays known if the map has not changed since. Who
 * changes it holds its lock, and counts before it lets go: so an entry that was read from a half-changed map
 * is not found again after.
 */
__weak __noinline int mapping_begin(__u32 slot)
{
	struct scratch *s = scratch_get(slot);
	struct task_struct *task = bpf_get_current_task_btf();
	struct mm_struct *mm = task->mm;
	struct mapping_set *set;
	__u64 sequence, start_ns;

	if (!s || !mm)
		return -1;
	s->mapping.end = 0;
	s->generation = unwind_generation;
	s->mapping_set = s->record.head.who.pid;
	set = mapping_set_get(s, slot);
	if (!set)
		return -1;
	sequence = mapping_sequence(mm);
	start_ns = s->record.head.who.process_start_ns;
	if (sequence && set->mm == (__u64)mm && set->sequence == sequence &&
	    set->generation == s->generation && set->start_stack == mm->start_stack &&
	    set->process_start_ns == start_ns)
		return 0;
	set->mm = (__u64)mm;
	set->sequence = sequence;
	set->generation = s->generation;
	set->start_stack = mm->start_stack;
	set->process_start_ns = start_ns;
	set->added = 0;
#pragma unroll
	for (int i = 0; i < MAPPINGS_PER_SET; i++)
		set->mappings[i].end = 0;
	return 0;
}

/* Among those found before, into s->mapping. */
static __always_inline bool mapping_again(struct scratch *s, const struct mapping_set *set,
					  __u64 address)
{
	for (int i = 0; i < MAPPINGS_PER_SET; i++) {
		if (address >= set->mappings[i].start && address < set->mappings[i].end) {
			s->mapping = set->mappings[i];
			return true;
		}
	}
	return false;
}

/*
 * The mapping with the address, into s->mapping, which is also the cache of the last one. 0, or -1:
 * none.
 */
__weak __noinline int mapping_find(__u32 slot, __u64 address)
{
	struct scratch *s = scratch_get(slot);
	struct mapping_set *set;
	__u64 at;

	if (!s)
		return -1;
	if (mapping_has(s, address))
		return 0;
	set = mapping_set_get(s, slot);
	if (!set)
		return -1;
	if (mapping_again(s, set, address))
		return 0;
	s->mapping.end = 0;
	if (maple_find(slot, address) || !s->maple.entry)
		return -1;
	if (mapping_read(&s->mapping, s->maple.entry) || address < s->mapping.start ||
	    address >= s->mapping.end) {
		s->mapping.end = 0;
		return -1;
	}
	mapping_tables(&s->mapping);
	at = set->added++;
	opaque(at);
	at &= MAPPINGS_PER_SET - 1;
	set->mappings[at] = s->mapping;
	return 0;
}

#endif
