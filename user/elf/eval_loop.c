/* SPDX-License-Identifier: Apache-2.0 */
#include "elf/eval_loop.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "elf/eh_frame.h"
#include "elf/file.h"

#define LOOP_BYTES_MAX (4U << 20) /* 30 to 60 KB in every build seen */
#define FDES_MAX       (1U << 20)

/* One FDE, and the jumps out of the hot part that end in it. */
struct part {
	uint64_t start, end;
	bool entry; /* begins as a function does */
	uint32_t jumps;
};

struct parts {
	struct part *items; /* by address */
	size_t n, cap;
};

static int compare(const void *a, const void *b)
{
	const struct part *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static int parts_read(struct parts *p, const struct elf_file *f)
{
	_cleanup_(eh_frame_release) struct eh_frame e = { 0 };
	struct eh_fde fde;
	size_t pos = 0;
	int r = eh_frame_init(&e, f);

	if (r < 0)
		return r;
	while ((r = eh_frame_next(&e, &pos, &fde)) > 0 && p->n < FDES_MAX) {
		if (array_reserve(&p->items, &p->cap, p->n + 1) < 0)
			return -ENOMEM;
		p->items[p->n++] = (struct part){ .start = fde.start,
						  .end = fde.end,
						  .entry = eh_fde_is_entry(&fde) };
	}
	if (p->n)
		qsort(p->items, p->n, sizeof(*p->items), compare);
	return 0;
}

static struct part *parts_find(const struct parts *p, uint64_t vaddr)
{
	size_t low = 0, high = p->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (p->items[mid].start <= vaddr)
			low = mid + 1;
		else
			high = mid;
	}
	return low && vaddr < p->items[low - 1].end ? &p->items[low - 1] : NULL;
}

/* A direct jump at p (jmp or jcc with a 32-bit displacement): its size, or 0. */
static size_t direct_jump(const uint8_t *p, size_t size, int32_t *ret_disp)
{
	size_t opcode = 0;

	if (p[0] == 0xe9)
		opcode = 1;
	else if (p[0] == 0x0f && size > 1 && (p[1] & 0xf0) == 0x80)
		opcode = 2;
	if (!opcode || size < opcode + 4)
		return 0;
	memcpy(ret_disp, p + opcode, 4);
	return opcode + 4;
}

/*
 * Every byte is tried as a jump, without decoding what stands before it. A byte taken wrongly would
 * have to lead into a part of another function that was split off, which is a few in 100,000 of
 * what 32 bits can hold.
 */
static void count_jumps(struct parts *parts, const struct part *hot, const uint8_t *code,
			size_t size)
{
	for (size_t i = 0; i < size; i++) {
		struct part *target;
		int32_t disp = 0;
		size_t n = direct_jump(code + i, size - i, &disp);
		uint64_t to = hot->start + i + n + (uint64_t)(int64_t)disp;

		if (!n || (to >= hot->start && to < hot->end))
			continue;
		target = parts_find(parts, to);
		if (target)
			target->jumps++;
	}
}

/* A jump to another function's start is a tail call; none leads into its middle. */
static bool is_cold(const struct part *p)
{
	return !p->entry && p->jumps > 0;
}

/* The cold parts behind the hot one, those with most jumps first. */
static void add_cold(const struct parts *parts, const struct part *hot, uint64_t bias,
		     struct elf_facts *facts)
{
	const struct part *best[KYMO_PYTHON_EVAL_RANGES - 1] = { NULL };

	for (size_t i = 0; i < parts->n; i++) {
		const struct part *p = &parts->items[i];

		if (p == hot || !is_cold(p))
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(best); k++) {
			const struct part *was = best[k];

			if (was && was->jumps >= p->jumps)
				continue;
			best[k] = p;
			p = was;
			if (!p)
				break;
		}
	}
	for (size_t k = 0; k < ARRAY_SIZE(best) && best[k]; k++)
		facts->eval[k + 1] =
			(struct kymo_file_range){ best[k]->start - bias, best[k]->end - bias };
}

/* Parts that have a name but no direct jump that leads there (a jump table's, or dead ones). */
static void add_named(const struct elf_file *f, const struct eval_symbols *symbols, uint64_t bias,
		      struct elf_facts *facts)
{
	size_t k = 1;

	while (k < KYMO_PYTHON_EVAL_RANGES && facts->eval[k].end)
		k++;
	for (size_t i = 0; i < symbols->cold_n && k < KYMO_PYTHON_EVAL_RANGES; i++) {
		uint64_t start = symbols->cold[i].vaddr - bias, end = start + symbols->cold[i].size;
		bool known = end <= start || end > f->size;

		for (size_t n = 0; n < k; n++)
			known |= start >= facts->eval[n].start && start < facts->eval[n].end;
		if (!known)
			facts->eval[k++] = (struct kymo_file_range){ start, end };
	}
}

/* [endbr64] push %rbp; mov %rsp,%rbp, in either encoding of the move. */
static bool sets_up_rbp(const uint8_t *code, size_t size)
{
	static const uint8_t endbr[] = { 0xf3, 0x0f, 0x1e, 0xfa };
	static const uint8_t store[] = { 0x55, 0x48, 0x89, 0xe5 },
			     load[] = { 0x55, 0x48, 0x8b, 0xec };

	if (size >= sizeof(endbr) && memcmp(code, endbr, sizeof(endbr)) == 0) {
		code += sizeof(endbr);
		size -= sizeof(endbr);
	}
	return size >= sizeof(store) &&
	       (memcmp(code, store, sizeof(store)) == 0 || memcmp(code, load, sizeof(load)) == 0);
}

/* The hot part: the FDE around the address, else what the symbol says. */
static int find_hot(const struct parts *parts, const struct elf_segment *seg, uint64_t vaddr,
		    uint64_t size, struct part *ret)
{
	const struct part *p = parts_find(parts, vaddr);
	uint64_t seg_end = seg->vaddr + seg->file_size;

	if (p)
		*ret = *p;
	else if (size && size <= seg_end - vaddr)
		*ret = (struct part){ .start = vaddr, .end = vaddr + size };
	else
		return -ENOENT;
	if (ret->start < seg->vaddr || ret->end > seg_end || ret->end - ret->start > LOOP_BYTES_MAX)
		return -EBADMSG;
	return 0;
}

static int find(struct parts *parts, const struct elf_file *f, const struct eval_symbols *symbols,
		struct elf_facts *facts)
{
	uint64_t vaddr = symbols->hot.vaddr;
	const struct elf_segment *seg = elf_file_segment(f, vaddr);
	_cleanup_free_ uint8_t *code = NULL;
	struct part hot;
	uint64_t bias;
	int r;

	if (!seg || !(seg->flags & PF_X))
		return -ENOENT;
	r = parts_read(parts, f);
	if (r == -ENOMEM)
		return r;
	r = find_hot(parts, seg, vaddr, symbols->hot.size, &hot);
	if (r < 0)
		return r;
	bias = seg->vaddr - seg->offset;
	r = elf_file_load(f, hot.start - bias, hot.end - hot.start, LOOP_BYTES_MAX, &code);
	if (r < 0)
		return r;
	facts->text_offset_bias = bias;
	facts->eval[0] = (struct kymo_file_range){ hot.start - bias, hot.end - bias };
	if (f->machine == EM_X86_64) {
		facts->eval_frame_pointers =
			sets_up_rbp(code + (vaddr - hot.start), hot.end - vaddr);
		count_jumps(parts, &hot, code, hot.end - hot.start);
		add_cold(parts, parts_find(parts, vaddr), bias, facts);
	}
	add_named(f, symbols, bias, facts);
	return 0;
}

int eval_loop_find(const struct elf_file *f, const struct eval_symbols *symbols,
		   struct elf_facts *facts)
{
	struct parts parts = { 0 };
	int r = find(&parts, f, symbols, facts);

	free(parts.items);
	return r;
}
