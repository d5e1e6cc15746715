/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The whole walk of a user stack (walk.bpf.h), built natively: native.h stands in for the kernel's memory and maps, and
 * what the kernel side finds in the kernel (mappings, the interpreter among them, rules) is told beforehand.
 * Include it in one .c file of a program; one thread walks at a time.
 */
#ifndef KYMO_BPF_NATIVE_WALK_H
#define KYMO_BPF_NATIVE_WALK_H

#include "lib/native.h"
#include "registers.h"

/* An executable mapping. */
struct native_mapping {
	__u64 start, end;
	__u64 offset;	   /* in the file, of its start */
	const void *rules; /* for native_target.rule; NULL = none */
};

struct native_target {
	const struct native_mapping *mappings; /* by address */
	size_t mappings_n;
	const struct kymo_unwind_rule *(*rule)(const void *rules, __u64 offset);
	/* NULL where the process is no interpreter that is known; else all three. */
	const struct kymo_python_binary *binary;
	const struct kymo_python_layout *layout;
	__u64 load_bias;
	struct kymo_unwind_file interpreter_rules; /* pages = 0: its file has none */
};

/* What is walked now. */
static const struct native_target *native_target;

/* ---- what the walkers take from vmlinux.h, mapping.bpf.h, unwind.bpf.h and interpreter.bpf.h ---- */

#define VM_EXEC 0x00000004
#define KYMO_BPF_MAPPING_H
#define KYMO_BPF_UNWIND_H
#define KYMO_BPF_INTERPRETER_H
#define barrier() __asm__ volatile("" ::: "memory")

struct thread_struct {
	unsigned long fsbase;
};

struct task_struct {
	struct thread_struct thread;
	struct pt_regs registers;
};

static struct task_struct native_task;

static inline struct task_struct *bpf_get_current_task_btf(void)
{
	return &native_task;
}

static inline struct pt_regs *bpf_task_pt_regs(struct task_struct *task)
{
	return &task->registers;
}

#include "lib/common.bpf.h"

static inline bool mapping_has(const struct scratch *s, __u64 address)
{
	return address >= s->mapping.start && address < s->mapping.end;
}

static inline int mapping_begin(__u32 slot)
{
	scratch_get(slot)->mapping.end = 0;
	return 0;
}

/* 0, or -1: no code lies there. */
static inline int mapping_find(__u32 slot, __u64 address)
{
	struct scratch *s = scratch_get(slot);
	size_t first = 0, n = native_target->mappings_n;

	while (n > 0) {
		const struct native_mapping *m = &native_target->mappings[first + n / 2];

		if (address < m->start) {
			n /= 2;
		} else if (address >= m->end) {
			first += n / 2 + 1;
			n -= n / 2 + 1;
		} else {
			s->mapping = (struct mapping){ .start = m->start,
						       .end = m->end,
						       .pgoff_bytes = m->offset,
						       .flags = VM_EXEC,
						       .file = (__u64)m->rules };
			return 0;
		}
	}
	return -1;
}

enum { RULE_FOUND, RULE_CHANGED, RULE_NOT_MAPPED };

static inline int unwind_find(struct scratch *s, __u32 slot)
{
	__u64 pc = s->native.ip - !s->native.exact;

	if (!mapping_has(s, pc) && mapping_find(slot, pc))
		return RULE_NOT_MAPPED;
	s->rule = (struct kymo_unwind_rule){ .cfa_kind = KYMO_UNWIND_CFA_GAP };
	if (s->mapping.file)
		s->rule = *native_target->rule((const void *)s->mapping.file,
					       pc - s->mapping.start + s->mapping.pgoff_bytes);
	return RULE_FOUND;
}

static inline int unwind_find_again(__u32 slot)
{
	(void)slot;
	return RULE_NOT_MAPPED; /* rules do not change under a walk */
}

static inline int interpreter_find(__u32 slot)
{
	struct scratch *s = scratch_get(slot);

	if (!native_target->binary)
		return 0;
	s->process.load_bias = native_target->load_bias;
	s->binary = *native_target->binary;
	s->layout = *native_target->layout;
	native_kernel->unwind_file = native_target->interpreter_rules;
	return 1;
}

#include "lib/walk.bpf.h"

#endif
