/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which processes are Python, and where their interpreter lies: found once per memory map by
 * looking for a file of python_binaries among its executable mappings, then kept in
 * python_processes.
 */
#ifndef KYMO_BPF_INTERPRETER_H
#define KYMO_BPF_INTERPRETER_H

#include "lib/mapping.bpf.h"

/*
 * Bounds of one search: leaves of the tree (up to 16 mappings each), executable mappings with a
 * file.
 */
#define SEARCH_LEAVES_MAX 48
#define SEARCH_FILES_MAX  64
/*
 * A process without an interpreter that has mapped more code since is looked at again this late, each
 * time twice as late: its first faults come from ld.so, which has still to map libpython, a dlopen may
 * come at any time.
 */
#define SEARCH_AGAIN_NS	     1000000ULL
#define SEARCH_DOUBLINGS_MAX 10

enum interpreter_try {
	TRY_OTHER = 0, /* no executable mapping of a file */
	TRY_FILE = 1,  /* of some other file */
	TRY_FOUND = 2, /* an interpreter's text: s->process is set */
};

static __always_inline int interpreter_try_mapping(struct scratch *s, const struct mapping *m)
{
	struct kymo_python_binary *binary;
	struct kymo_file_key key;

	if (!(m->flags & VM_EXEC) || file_key_read(&key, m->file))
		return TRY_OTHER;
	binary = bpf_map_lookup_elem(&python_binaries, &key);
	if (!binary)
		return TRY_FILE;
	s->process.file = key;
	s->process.load_bias = m->start - (m->pgoff_bytes + binary->text_offset_bias);
	s->process.found = 1;
	return TRY_FOUND;
}

/*
 * One slot of the leaf in s->maple. Slots behind the leaf's last may hold what was there before,
 * the sixteenth also metadata: only a mapping that lies where the pivots say is one.
 */
__weak __noinline int interpreter_try_slot(__u32 slot, __u32 index)
{
	struct scratch *s = scratch_get(slot);
	struct mapping m = { 0 };
	__u64 i = index;

	opaque(i);
	i &= 15;
	if (!s || !s->maple.node[MAPLE_RANGE_SLOT + i])
		return TRY_OTHER;
	if (mapping_read(&m, s->maple.node[MAPLE_RANGE_SLOT + i]))
		return TRY_OTHER;
	if (i > 0 && s->maple.node[i] != m.start - 1)
		return TRY_OTHER;
	if (i < MAPLE_RANGE_PIVOTS && s->maple.node[MAPLE_PIVOT_AT + i] &&
	    s->maple.node[MAPLE_PIVOT_AT + i] != m.end - 1)
		return TRY_OTHER;
	return interpreter_try_mapping(s, &m);
}

/* All of the leaf in s->maple: how many files it has, or -1 when the interpreter was found. */
__weak __noinline int interpreter_try_leaf(__u32 slot)
{
	int files = 0, r;

	for (__u32 i = 0; i < 16; i++) {
		r = interpreter_try_slot(slot, i);
		if (r == TRY_FOUND)
			return -1;
		files += r == TRY_FILE;
	}
	return files;
}

/*
 * The program itself first, then from the top of the memory map down: libraries are mapped early,
 * so they lie above whatever the program mapped later. 1: found.
 */
__weak __noinline int interpreter_search(__u32 slot)
{
	struct scratch *s = scratch_get(slot);
	struct task_struct *task = bpf_get_current_task_btf();
	struct mm_struct *mm = task->mm;
	__u64 address;
	int files = 0, r;

	if (!s || !mm)
		return 0;
	if (mapping_find(slot, mm->start_code) == 0 &&
	    interpreter_try_mapping(s, &s->mapping) == TRY_FOUND)
		return 1;
	address = mm->start_stack;
	for (__u32 i = 0; i < SEARCH_LEAVES_MAX; i++) {
		if (maple_find(slot, address))
			return 0;
		r = interpreter_try_leaf(slot);
		if (r < 0)
			return 1;
		files += r;
		if (files > SEARCH_FILES_MAX || !s->maple.leaf_first)
			return 0;
		address = s->maple.leaf_first - 1;
	}
	return 0;
}

static __always_inline bool same_memory(const struct python_process *known,
					const struct mm_struct *mm)
{
	return known->mm == (__u64)mm && known->start_stack == mm->start_stack;
}

static __always_inline __u64 search_delay(const struct python_process *known)
{
	__u32 doublings = known->searches;

	return SEARCH_AGAIN_NS << (doublings < SEARCH_DOUBLINGS_MAX ? doublings
								    : SEARCH_DOUBLINGS_MAX);
}

static __always_inline bool process_known(const struct python_process *known,
					  const struct mm_struct *mm, __u64 now_ns)
{
	if (!same_memory(known, mm))
		return false;
	if (known->found)
		return true;
	return known->generation == python_generation &&
	       (known->exec_pages == mm->exec_vm ||
		now_ns - known->checked_ns < search_delay(known));
}

/* Into s->process, from the cache or by a search. */
static __always_inline void process_get(struct scratch *s, __u32 slot, const struct mm_struct *mm)
{
	const struct kymo_sample *head = &s->record.head;
	struct process_key key = { .start_ns = head->who.process_start_ns, .pid = head->who.pid };
	struct python_process *known = bpf_map_lookup_elem(&python_processes, &key);

	if (known && process_known(known, mm, head->head.time_ns)) {
		s->process = *known;
		return;
	}
	s->process = (struct python_process){
		.mm = (__u64)mm,
		.start_stack = mm->start_stack,
		.exec_pages = mm->exec_vm,
		.checked_ns = head->head.time_ns,
		.generation = python_generation,
		.searches = known && same_memory(known, mm) ? known->searches + 1 : 0,
	};
	interpreter_search(slot);
	bpf_map_update_elem(&python_processes, &key, &s->process, BPF_ANY);
}

/* s->binary and s->layout of s->process: 1, or 0 where they are not known. */
static __always_inline int interpreter_take(struct scratch *s)
{
	struct kymo_python_binary *binary;
	struct kymo_python_layout *layout;
	__u32 index;

	binary = bpf_map_lookup_elem(&python_binaries, &s->process.file);
	if (!binary)
		return 0;
	s->binary = *binary;
	index = s->binary.layout;
	layout = bpf_map_lookup_elem(&python_layouts, &index);
	if (!layout || !layout->version)
		return 0;
	s->layout = *layout;
	return 1;
}

/* As interpreter_find, of processes in which it has found one before: nothing is searched. */
static __always_inline int interpreter_known(struct scratch *s, const struct task_struct *task,
					     const struct mm_struct *mm)
{
	struct process_key key = { .start_ns = task->group_leader->start_boottime,
				   .pid = task->tgid };
	struct python_process *known = bpf_map_lookup_elem(&python_processes, &key);

	if (!known || !known->found || !same_memory(known, mm))
		return 0;
	s->process = *known;
	return interpreter_take(s);
}

/*
 * Whether the current process is an interpreter: then s->process, s->binary and s->layout are set.
 */
__weak __noinline int interpreter_find(__u32 slot)
{
	struct scratch *s = scratch_get(slot);
	struct task_struct *task = bpf_get_current_task_btf();
	struct mm_struct *mm = task->mm;

	if (!s || !mm || !python_generation)
		return 0;
	process_get(s, slot, mm);
	return s->process.found ? interpreter_take(s) : 0;
}

#endif
