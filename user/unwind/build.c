/* SPDX-License-Identifier: Apache-2.0 */
#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/auxv.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/hmap.h"
#include "elf/eh_frame.h"
#include "elf/file.h"
#include "elf/gopclntab.h"
#include "unwind/bases.h"
#include "unwind/fdes.h"
#include "unwind/go.h"
#include "unwind/program.h"
#include "unwind/rows.h"
#include "unwind/unwind.h"

#define SEGMENTS_MAX   16    /* of code: linkers make one, rarely a few */
#define CIES_MAX       65530 /* those behind stand for descriptions of no CIE */
#define CIE_END	       65535 /* the code is the base of a stack */
#define CIE_GO	       65534 /* a function of Go, its number in Go's table */
#define FDES_MAX       (1U << 20)
#define OFFSETS_MAX    ((uint64_t)UNWIND_PAGES_MAX << KYMO_UNWIND_PAGE_SHIFT)
#define CODE_ALIGN     16
#define ENTRY_CODE_MAX 256 /* of an entry point without a description; the loader's has about 100 */

/* Code as it is in the file. */
struct segment {
	uint64_t vaddr, end; /* addresses */
	uint64_t bias;	     /* address - offset in the file */
};

struct build {
	const struct unwind_arch *arch;
	struct elf_file file;
	struct eh_frame section;
	struct gopclntab go;
	struct segment segments[SEGMENTS_MAX];
	size_t segments_n;
	struct fdes fdes;
	struct program_cie *cies;
	size_t cies_n, cies_cap;
	struct hmap cie_ids; /* offset of its instructions in the section -> uint16_t */
	const uint8_t *last_cie;
	uint16_t last_cie_id;
	uint64_t entry; /* offset in the file; 0 = none */
	uint32_t gaps;	/* looked into */
	struct rows rows;
	struct unwind_counts counts;
};

static void build_release(struct build *b)
{
	elf_file_release(&b->file);
	eh_frame_release(&b->section);
	gopclntab_release(&b->go);
	fdes_release(&b->fdes);
	free(b->cies);
	hmap_release(&b->cie_ids);
	rows_release(&b->rows);
}

static void find_segments(struct build *b)
{
	for (size_t i = 0; i < b->file.segments_n && b->segments_n < SEGMENTS_MAX; i++) {
		const struct elf_segment *s = &b->file.segments[i];
		uint64_t size = s->file_size;

		if (s->type != PT_LOAD || !(s->flags & PF_X) || s->offset >= OFFSETS_MAX)
			continue;
		if (size > OFFSETS_MAX - 1 - s->offset)
			size = OFFSETS_MAX - 1 - s->offset;
		b->segments[b->segments_n++] = (struct segment){ .vaddr = s->vaddr,
								 .end = s->vaddr + size,
								 .bias = s->vaddr - s->offset };
	}
}

static const struct segment *segment_of(const struct build *b, uint64_t vaddr)
{
	for (size_t i = 0; i < b->segments_n; i++)
		if (vaddr >= b->segments[i].vaddr && vaddr < b->segments[i].end)
			return &b->segments[i];
	return NULL;
}

static int cie_id(struct build *b, const struct eh_cie *cie, uint16_t *ret)
{
	uint64_t key = (uint64_t)(cie->instructions - b->section.data);
	uint16_t *id;
	bool is_new;

	if (cie->instructions == b->last_cie) {
		*ret = b->last_cie_id;
		return 0;
	}
	id = hmap_put(&b->cie_ids, &key, &is_new);
	if (!id)
		return b->cie_ids.count == CIES_MAX ? -ENOSPC : -ENOMEM;
	if (is_new) {
		if (array_reserve(&b->cies, &b->cies_cap, b->cies_n + 1) < 0)
			return -ENOMEM;
		program_cie_init(&b->cies[b->cies_n], b->arch, cie);
		*id = (uint16_t)b->cies_n++;
	}
	b->last_cie = cie->instructions;
	*ret = b->last_cie_id = *id;
	return 0;
}

static int add_fde(struct build *b, const struct eh_fde *from)
{
	const struct segment *s = segment_of(b, from->start);
	uint64_t end;
	uint16_t cie;
	int r;

	if (!s || b->fdes.n == FDES_MAX) {
		b->counts.fdes_outside++;
		return 0;
	}
	r = cie_id(b, from->cie, &cie);
	if (r == -ENOSPC) {
		b->counts.fdes_damaged++;
		return 0;
	}
	if (r < 0)
		return r;
	end = from->end < s->end ? from->end : s->end;
	return fdes_add(&b->fdes,
			(struct fde){ .start = (uint32_t)(from->start - s->bias),
				      .end = (uint32_t)(end - s->bias),
				      .code = (uint32_t)(from->instructions - b->section.data),
				      .code_size = (uint32_t)from->instructions_size,
				      .cie = cie,
				      .segment = (uint16_t)(s - b->segments) });
}

static int collect(struct build *b)
{
	struct eh_fde fde;
	size_t pos = 0;
	int r;

	while ((r = eh_frame_next(&b->section, &pos, &fde)) == 1) {
		r = add_fde(b, &fde);
		if (r < 0)
			return r;
	}
	b->counts.fdes_damaged += r < 0; /* the rest of the section is not reached */
	b->counts.fdes = (uint32_t)b->fdes.n;
	return 0;
}

/*
 * Between two functions there are fillers up to the next multiple of 16, which nothing runs: they
 * may keep the rule before them, and a fifth of all rows is saved. Compilers that align functions
 * put none into so little room.
 */
static bool is_padding(uint64_t start, uint64_t end)
{
	return end - start < CODE_ALIGN && end % CODE_ALIGN == 0 && start != 0;
}

/* A gap from `start` on, and a base behind it: its address stands for a return address, so the byte before counts. */
static int add_base(struct build *b, uint64_t start, uint64_t base)
{
	int r = base - start > 1 ? rows_add(&b->rows, start, rule_of_kind(KYMO_UNWIND_CFA_GAP)) : 0;

	return r < 0 ? r
		     : rows_add(&b->rows, base > start ? base - 1 : base,
				rule_of_kind(KYMO_UNWIND_CFA_END));
}

/* What lies between two descriptions: nothing, or an entry point that has none. */
static int add_gap(struct build *b, uint64_t start, uint64_t end)
{
	const struct rule_words gap = rule_of_kind(KYMO_UNWIND_CFA_GAP);
	uint64_t base, base_end;
	int r = 0;

	if (start >= end || is_padding(start, end))
		return 0;
	if (b->entry && b->entry >= start && b->entry < end) {
		r = start < b->entry ? rows_add(&b->rows, start, gap) : 0;
		if (r == 0)
			r = rows_add(&b->rows, b->entry, rule_of_kind(KYMO_UNWIND_CFA_END));
		start = b->entry + ENTRY_CODE_MAX;
	}
	if (r == 0 && end - start <= BASES_GAP_MAX && b->gaps++ < BASES_GAPS_MAX &&
	    bases_find_exit(&b->file, start, end, &base, &base_end)) {
		r = add_base(b, start, base);
		start = base_end;
	}
	return r == 0 && start < end ? rows_add(&b->rows, start, gap) : r;
}

static int add_rows(struct build *b, const struct fde *fde)
{
	const uint64_t bias = b->segments[fde->segment].bias;
	const uint8_t *code = b->section.data + fde->code;
	struct cursor c = { .p = code, .end = code + fde->code_size };
	struct program p;
	int r = 0;

	program_init(&p, &b->cies[fde->cie], c, fde->start + bias);
	while (r == 0 && p.next < fde->end + bias && program_next(&p)) {
		b->counts.rows_unsupported += p.rule.low == KYMO_UNWIND_CFA_UNSUPPORTED;
		r = rows_add(&b->rows, p.start - bias, p.rule);
	}
	b->counts.fdes_damaged += p.code.failed;
	b->counts.values_unknown += p.values_unknown;
	return r;
}

static int add_go_rows(struct build *b, const struct fde *fde)
{
	struct gopclntab_function f;
	struct gopclntab_depth d = { 0 };
	enum go_kind kind;
	uint64_t at = fde->start;
	int r = 0;

	if (!gopclntab_function(&b->go, fde->code, &f))
		return rows_add(&b->rows, at, rule_of_kind(KYMO_UNWIND_CFA_GAP));
	d.at = f.depths;
	kind = go_kind(&b->go, &f, &b->file, f.start - b->segments[fde->segment].bias);
	if (kind != GO_PLAIN && kind != GO_SWITCHES)
		return rows_add(&b->rows, at, go_rule(kind, 0));
	while (r == 0 && at < fde->end && gopclntab_next(&b->go, &d)) {
		r = rows_add(&b->rows, at, go_rule(kind, d.depth));
		at = fde->start + d.end;
	}
	return r == 0 && at < fde->end ? rows_add(&b->rows, at, rule_of_kind(KYMO_UNWIND_CFA_GAP))
				       : r;
}

/* Its description says nothing of its own, and there is room before it, where no call can stand. */
static bool is_base(const struct build *b, const struct fde *fde, uint64_t end_before)
{
	const uint8_t *code = b->section.data + fde->code;
	uint32_t size = fde->end - fde->start;

	if (size < BASES_START_MIN || size > BASES_START_MAX || end_before >= fde->start)
		return false;
	for (uint32_t i = 0; i < fde->code_size; i++)
		if (code[i]) /* not DW_CFA_nop */
			return false;
	return bases_leaves_stack(&b->file, fde->start);
}

static int make_rows(struct build *b)
{
	uint64_t end = 0;
	int r;

	for (size_t i = 0; i < b->fdes.n; i++) {
		struct fde *fde = &b->fdes.items[i];

		if (fde->cie != CIE_GO && is_base(b, fde, end)) {
			fde->cie = CIE_END;
			fde->start--;
		}
		r = add_gap(b, end, fde->start);
		if (r == 0 && fde->cie == CIE_END)
			r = rows_add(&b->rows, fde->start, rule_of_kind(KYMO_UNWIND_CFA_END));
		else if (r == 0)
			r = fde->cie == CIE_GO ? add_go_rows(b, fde) : add_rows(b, fde);
		if (r < 0)
			return r;
		end = b->fdes.items[i].end;
	}
	return add_gap(b, end, OFFSETS_MAX);
}

static int add_go(struct build *b, uint32_t number)
{
	struct gopclntab_function f;
	const struct segment *s;
	uint64_t end;

	if (!gopclntab_function(&b->go, number, &f))
		return 0;
	s = segment_of(b, f.start);
	if (!s || b->fdes.n == FDES_MAX) {
		b->counts.fdes_outside++;
		return 0;
	}
	end = f.end < s->end ? f.end : s->end;
	/* Handlers return to its first byte. */
	if (f.start > s->vaddr && go_kind(&b->go, &f, &b->file, f.start - s->bias) == GO_SIGNAL)
		f.start--;
	return fdes_add(&b->fdes, (struct fde){ .start = (uint32_t)(f.start - s->bias),
						.end = (uint32_t)(end - s->bias),
						.code = number,
						.cie = CIE_GO,
						.segment = (uint16_t)(s - b->segments) });
}

/* A file of Go has a table of its own; where C is linked in, .eh_frame beside it. */
static int collect_go(struct build *b)
{
	int r = b->file.machine == EM_X86_64 ? gopclntab_init(&b->go, &b->file) : -ENOENT;

	for (uint32_t i = 0; r == 0 && i < b->go.functions_n; i++)
		r = add_go(b, i);
	return r == -ENOMEM ? r : 0;
}

static int build(struct build *b)
{
	uint64_t entry = 0;
	int r;

	b->arch = unwind_arch(b->file.machine);
	if (!b->arch)
		return -ENOTSUP;
	find_segments(b);
	r = collect_go(b);
	if (r < 0)
		return r;
	r = eh_frame_init(&b->section, &b->file);
	if (r == -ENOENT && b->fdes.n)
		r = 0;
	if (r == 0)
		r = rows_init(&b->rows);
	if (r < 0)
		return r;
	hmap_init(&b->cie_ids, sizeof(uint64_t), sizeof(uint16_t), CIES_MAX);
	r = collect(b);
	if (r < 0)
		return r;
	r = fdes_order(&b->fdes);
	if (r < 0)
		return r;
	b->counts.fdes_overlapping = (uint32_t)r;
	if (unwind_arch_entry(b->arch, &b->file, &entry) && segment_of(b, entry))
		b->entry = entry - segment_of(b, entry)->bias;
	return make_rows(b);
}

static int build_table(struct build *b, struct unwind_table **ret)
{
	struct unwind_table *t;
	int r = build(b);

	if (r < 0)
		return r;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->machine = b->file.machine;
	t->counts = b->counts;
	rows_take(&b->rows, t);
	*ret = t;
	return 0;
}

int unwind_table_build(int fd, struct unwind_table **ret)
{
	_cleanup_(build_release) struct build b = { 0 };
	int r = elf_file_init(&b.file, fd);

	return r < 0 ? r : build_table(&b, ret);
}

int unwind_table_build_memory(const void *image, size_t size, struct unwind_table **ret)
{
	_cleanup_(build_release) struct build b = { 0 };
	int r = elf_file_init_memory(&b.file, image, size);

	return r < 0 ? r : build_table(&b, ret);
}

int unwind_table_build_vdso(struct unwind_table **ret)
{
	const Elf64_Ehdr *image = (const void *)getauxval(AT_SYSINFO_EHDR);

	if (!image)
		return -ENOENT;
	/* The linker puts the section table last. */
	return unwind_table_build_memory(
		image, image->e_shoff + (size_t)image->e_shnum * image->e_shentsize, ret);
}
