// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* USDT probes of CPython: a sample, with what the probe tells, at the end of each collection and import. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "lib/sample.bpf.h"
#include "lib/task_account.bpf.h"

#include "kymo/probe.h"

/* Set while samples are taken: probes are attached before, so that what runs is known from the first on. */
volatile __u32 probes_on = 0;

/* By the cookie of the attachment. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KYMO_PROBE_FILES_MAX *KYMO_PROBES_MAX);
	__type(key, __u32);
	__type(value, struct kymo_probe_site);
} probe_sites SEC(".maps");

/* Where struct pt_regs has them, by DWARF's number. */
static const __u8 register_at[KYMO_REGISTERS] = {
	offsetof(struct pt_regs, ax),  offsetof(struct pt_regs, dx),  offsetof(struct pt_regs, cx),
	offsetof(struct pt_regs, bx),  offsetof(struct pt_regs, si),  offsetof(struct pt_regs, di),
	offsetof(struct pt_regs, bp),  offsetof(struct pt_regs, sp),  offsetof(struct pt_regs, r8),
	offsetof(struct pt_regs, r9),  offsetof(struct pt_regs, r10), offsetof(struct pt_regs, r11),
	offsetof(struct pt_regs, r12), offsetof(struct pt_regs, r13), offsetof(struct pt_regs, r14),
	offsetof(struct pt_regs, r15),
};

/* What an argument holds. 0, or -1: not known. */
static __always_inline int argument_read(const struct pt_regs *regs,
					 const struct kymo_probe_argument *a, __s64 *ret)
{
	__u32 reg = a->reg & (KYMO_REGISTERS - 1), size = a->size;
	__u64 value = 0, shift;

	if (a->kind == KYMO_ARGUMENT_CONSTANT) {
		*ret = a->offset;
		return 0;
	}
	if (a->kind == KYMO_ARGUMENT_UNKNOWN || !size || size > sizeof(value))
		return -1;
	if (read_kernel(&value, sizeof(value), (__u64)regs + register_at[reg]))
		return -1;
	if (a->kind == KYMO_ARGUMENT_MEMORY) {
		__u64 address = value + a->offset;

		value = 0;
		if (read_user(&value, size, address))
			return -1;
	}
	shift = 64 - 8 * size;
	value <<= shift;
	*ret = a->is_signed ? (__s64)value >> shift : (__s64)(value >> shift);
	return 0;
}

static __always_inline __s64 rss_bytes(struct mm_struct *mm)
{
	struct kymo_counters c;

	memory_exact(&c, mm);
	return (c.rss_anon_pages + c.rss_file_pages + c.rss_shmem_pages) * (__s64)config.page_bytes;
}

/* The current thread's entry, made or made anew where there is none of this thread and program; NULL at the bound. */
static __always_inline struct probe_thread *thread_enter(struct task_struct *task,
							 struct mm_struct *mm)
{
	__u32 tid = task->pid;
	struct probe_thread *t = bpf_map_lookup_elem(&probe_threads, &tid);
	struct probe_thread new = { .start_ns = task->start_boottime, .mm = (__u64)mm };

	if (t && probe_is_of(t, task, mm))
		return t;
	if (t)
		probe_count_unfinished(t);
	if (bpf_map_update_elem(&probe_threads, &tid, &new, BPF_ANY))
		count(KYMO_COUNTER_PROBE_LIMIT);
	return bpf_map_lookup_elem(&probe_threads, &tid);
}

/* Of this thread and program; NULL: nothing is going on. */
static __always_inline struct probe_thread *thread_find(struct task_struct *task,
							struct mm_struct *mm)
{
	__u32 tid = task->pid;
	struct probe_thread *t = bpf_map_lookup_elem(&probe_threads, &tid);

	return t && probe_is_of(t, task, mm) ? t : NULL;
}

static __always_inline void begin(struct task_struct *task, struct mm_struct *mm, __u32 level,
				  __s32 generation)
{
	struct probe_key key = { .tid = task->pid, .level = level };
	struct probe_begun begun = { .generation = generation };

	begun.rss_bytes = rss_bytes(mm);
	begun.start_ns = bpf_ktime_get_ns();
	if (bpf_map_update_elem(&probes_begun, &key, &begun, BPF_ANY))
		count(KYMO_COUNTER_PROBE_LIMIT);
}

/* No part of on_python_probe, on whose stack the walk stands: before 6.2 all frames have 512 bytes together. */
static __noinline void on_start(struct pt_regs *ctx, const struct kymo_probe_site *site,
				struct task_struct *task, struct mm_struct *mm)
{
	struct probe_thread *t = thread_enter(task, mm);
	__s64 generation = -1;
	__u32 level = 0;

	if (!t)
		return;
	if (site->kind == KYMO_PROBE_GC_START) {
		if (argument_read(ctx, &site->arguments[0], &generation))
			generation = -1;
		/* Left without its end, by a longjmp of an extension. */
		if (t->collecting)
			count(KYMO_COUNTER_PROBE_UNFINISHED);
		t->collecting = 1;
	} else {
		level = ++t->imports;
		if (level > PROBE_DEPTH_MAX) {
			count(KYMO_COUNTER_PROBE_LIMIT);
			return;
		}
	}
	begin(task, mm, level, (__s32)generation);
}

/* What ends here, taken off the thread: its level, or -1 when its start was not seen. */
static __always_inline int level_left(struct probe_thread *t, bool gc)
{
	if (!t || (gc ? !t->collecting : !t->imports))
		return -1;
	if (!gc)
		return t->imports--;
	t->collecting = 0;
	return 0;
}

static __always_inline void take_name(struct kymo_probe *p, const struct pt_regs *ctx,
				      const struct kymo_probe_argument *a)
{
	__s64 address;

	p->name[0] = 0;
	if (argument_read(ctx, a, &address) == 0 &&
	    bpf_probe_read_user_str(p->name, sizeof(p->name), (void *)address) < 0)
		p->name[0] = 0;
}

static __always_inline void probe_fill(struct kymo_probe *p, const struct pt_regs *ctx,
				       const struct kymo_probe_site *site,
				       const struct probe_begun *begun, __u32 level)
{
	bool gc = site->kind == KYMO_PROBE_GC_DONE;

	__builtin_memset(p, 0, sizeof(*p));
	p->start_ns = begun->start_ns;
	p->rss_before_bytes = begun->rss_bytes;
	p->generation = begun->generation;
	p->depth = level ? level - 1 : 0;
	if (!gc)
		take_name(p, ctx, &site->arguments[0]);
	p->value_known = argument_read(ctx, &site->arguments[gc ? 0 : 1], &p->value) == 0;
}

/* Time is the innermost import's own: weights add up to what passed. */
static __always_inline void nested_add(__u32 tid, __u32 level, __u64 ns)
{
	struct probe_key key = { .tid = tid, .level = level };
	struct probe_begun *outer = bpf_map_lookup_elem(&probes_begun, &key);

	if (outer)
		outer->nested_ns += ns;
}

static __always_inline void on_done(struct pt_regs *ctx, const struct kymo_probe_site *site,
				    struct task_struct *task, struct mm_struct *mm)
{
	bool gc = site->kind == KYMO_PROBE_GC_DONE;
	struct cause cause = { .context = CONTEXT_UPROBE,
			       .source = gc ? KYMO_SOURCE_GC : KYMO_SOURCE_IMPORT,
			       .state = gc ? KYMO_STATE_IN_GC : 0,
			       .probe = true };
	__u64 now = bpf_ktime_get_ns(), duration;
	int level = level_left(thread_find(task, mm), gc);
	struct probe_key key = { .tid = task->pid, .level = level };
	struct probe_begun *begun = level < 0 ? NULL : bpf_map_lookup_elem(&probes_begun, &key);
	struct scratch *s;

	if (!begun) {
		count(KYMO_COUNTER_PROBE_NO_START);
		return;
	}
	duration = now - begun->start_ns;
	if (level > 1)
		nested_add(task->pid, level - 1, duration);
	s = sample_scratch(CONTEXT_UPROBE);
	if (s) {
		cause.weight = duration > begun->nested_ns ? duration - begun->nested_ns : 0;
		probe_fill(&s->probe, ctx, site, begun, level);
		s->probe.duration_ns = duration;
		s->probe.rss_after_bytes = rss_bytes(mm);
		sample_write(ctx, s, &cause);
		s->busy = 0;
	}
	bpf_map_delete_elem(&probes_begun, &key);
}

SEC("uprobe")
int on_python_probe(struct pt_regs *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct mm_struct *mm = user_mm(task);
	__u32 key = bpf_get_attach_cookie(ctx);
	struct kymo_probe_site *site = bpf_map_lookup_elem(&probe_sites, &key);

	if (!site || !mm || !probes_on || !wanted(task))
		return 0;
	if (site->kind == KYMO_PROBE_GC_START || site->kind == KYMO_PROBE_IMPORT_START)
		on_start(ctx, site, task, mm);
	else
		on_done(ctx, site, task, mm);
	return 0;
}
