/* SPDX-License-Identifier: Apache-2.0 */
/* Holds a file's table against libdw: every row of every description, and what lies between. */
#ifndef KYMO_TEST_UNWIND_ORACLE_H
#define KYMO_TEST_UNWIND_ORACLE_H

#include <elfutils/libdw.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <unistd.h>

#include "base/array.h"
#include "elf/eh_frame.h"
#include "unit/unwind/expression.h"
#include "unwind/arch.h"
#include "unwind/bases.h"
#include "unwind/step.h"
#include "unwind/unwind.h"

#define ORACLE_COMPLAINTS 5

struct range {
	uint64_t start, end; /* addresses */
};

struct oracle {
	int fd;
	Elf *elf;
	Dwarf_CFI *cfi;
	struct elf_file file;
	struct unwind_table *table;
	const struct unwind_arch *arch;
	struct range *fdes;
	size_t fdes_n, fdes_cap;
	uint64_t rows;	      /* of libdw */
	uint64_t differences; /* the first few are printed */
	uint64_t unsupported; /* rows that the table says it does not know */
	uint64_t unknown;     /* rows that libdw or the evaluator here does not know */
};

/* The row that covers the offset, and where the next one starts. */
static inline const struct kymo_unwind_row *oracle_row(const struct unwind_table *t,
						       uint64_t offset, uint64_t *ret_next)
{
	uint64_t number = offset >> KYMO_UNWIND_PAGE_SHIFT;
	const struct unwind_page *page;
	uint32_t i;

	if (number < t->first_page || number - t->first_page >= t->pages_n)
		return NULL;
	page = &t->pages[number - t->first_page];
	for (i = page->rows - 1; t->rows[page->first + i].low > (uint16_t)offset; i--)
		;
	*ret_next =
		(number << KYMO_UNWIND_PAGE_SHIFT) +
		(i + 1 < page->rows ? t->rows[page->first + i + 1].low : KYMO_UNWIND_PAGE_BYTES);
	return &t->rows[page->first + i];
}

static inline void oracle_complain(struct oracle *o, uint64_t pc, const char *what)
{
	if (o->differences++ < ORACLE_COMPLAINTS)
		fprintf(stderr, "0x%llx: %s\n", (unsigned long long)pc, what);
}

static inline void oracle_compare_values(struct oracle *o, Dwarf_Frame *frame, uint64_t pc,
					 const struct unwind_frame *to,
					 const struct machine_state *m)
{
	static const char *const wrong[] = { "frame pointer", "base register" };
	const int numbers[] = { o->arch->fp, o->arch->base };

	for (int i = 0; i < 2 && numbers[i] != UNWIND_NO_REGISTER; i++) {
		uint64_t theirs = 0;
		bool known = to->known & (1U << numbers[i]);
		enum register_state state = evaluate_frame_register(frame, m, numbers[i], &theirs);

		/* libdw takes rbx, of which nothing is said, for lost; the ABI keeps it. */
		if (state == REGISTER_LOST && numbers[i] == KYMO_UNWIND_X86_RBX && known &&
		    to->registers[numbers[i]] == m->registers[numbers[i]])
			continue;
		if (state == REGISTER_UNKNOWN_OP)
			o->unknown++;
		else if (known != (state == REGISTER_FOUND) ||
			 (known && to->registers[numbers[i]] != theirs))
			oracle_complain(o, pc, wrong[i]);
	}
}

/* One pc: made-up registers go through the table's rule and through libdw's. */
static inline void oracle_compare(struct oracle *o, Dwarf_Frame *frame, uint64_t pc,
				  const struct kymo_unwind_rule *rule)
{
	struct unwind_frame to = { .pc = pc, .known = UINT32_MAX, .exact = true };
	struct machine_state m = { .pc = pc };
	uint64_t offset;
	enum register_state ra;
	bool is_value, signal;
	uint64_t theirs = 0;
	enum unwind_step step;
	Dwarf_Op *ops;
	size_t n;

	/* The stack pointer is the lowest of all, so that every CFA lies above it. */
	for (uint64_t i = 0; i < 32; i++)
		to.registers[i] = m.registers[i] = 0x7fff00000000ULL + i * 0x1000000;
	to.registers[o->arch->sp] = m.registers[o->arch->sp] = 0x10000000;
	step = unwind_step(o->arch, rule, &to, memory_read, NULL);
	if (step == UNWIND_STEP_UNSUPPORTED) {
		o->unsupported++;
		return;
	}
	if (step == UNWIND_STEP_GAP) {
		oracle_complain(o, pc, "a gap in a description");
		return;
	}
	if (dwarf_frame_cfa(frame, &ops, &n) != 0 || !evaluate(&m, ops, n, &m.cfa, &is_value)) {
		o->unknown++;
		return;
	}
	ra = evaluate_frame_register(frame, &m, dwarf_frame_info(frame, NULL, NULL, &signal),
				     &theirs);
	/* What makecontext(3) returns to: its description says nothing, its code that it leaves its stack. */
	if (step == UNWIND_STEP_END && elf_file_offset(&o->file, pc, &offset) &&
	    bases_leaves_stack(&o->file, offset))
		return;
	if ((step == UNWIND_STEP_END) != (ra == REGISTER_LOST)) {
		oracle_complain(o, pc, "end");
		return;
	}
	if (step == UNWIND_STEP_END)
		return;
	/* A description that is wrong by itself: one in arm64's loader puts a frame below its own. */
	if (step == UNWIND_STEP_NOT_ABOVE && m.cfa < m.registers[o->arch->sp])
		return;
	if (step != UNWIND_STEP_OK || to.registers[o->arch->sp] != m.cfa)
		oracle_complain(o, pc, "CFA");
	else if (to.pc != theirs)
		oracle_complain(o, pc, "return address");
	else if (to.signal != signal)
		oracle_complain(o, pc, "signal frame");
	else
		oracle_compare_values(o, frame, pc, &to, &m);
}

/* One row of libdw, [start, end): our row at its start, and no other rule until its end. */
static inline void oracle_compare_row(struct oracle *o, Dwarf_Frame *frame, uint64_t start,
				      uint64_t end)
{
	const struct kymo_unwind_row *row, *first = NULL;
	uint64_t offset, next, pc = start;

	o->rows++;
	while (pc < end) {
		if (!elf_file_offset(&o->file, pc, &offset))
			return; /* code that is not in the file */
		row = oracle_row(o->table, offset, &next);
		if (!row) {
			oracle_complain(o, pc, "no page");
			return;
		}
		if (&o->table->rules[row->rule] != unwind_table_find(o->table, offset))
			oracle_complain(o, pc, "the search finds another row");
		if (!first)
			oracle_compare(o, frame, pc, &o->table->rules[row->rule]);
		else if (row->rule != first->rule)
			oracle_complain(o, pc, "a row too many");
		first = row;
		pc += next - offset;
	}
}

static inline void oracle_compare_fde(struct oracle *o, const struct range *fde)
{
	uint64_t pc = fde->start;

	while (pc < fde->end) {
		Dwarf_Frame *frame;
		Dwarf_Addr start = pc, end = pc + 1;

		if (dwarf_cfi_addrframe(o->cfi, pc, &frame) != 0) {
			o->unknown++;
			return;
		}
		dwarf_frame_info(frame, &start, &end, &(bool){ 0 });
		if (end <= pc) {
			free(frame);
			return;
		}
		oracle_compare_row(o, frame, pc, end < fde->end ? end : fde->end);
		free(frame);
		pc = end;
	}
}

/* What no description covers must be a gap, or an end at an entry point. Returns those ends. */
static inline int oracle_compare_gap(struct oracle *o, uint64_t start, uint64_t end)
{
	uint64_t offset;
	int ends = 0;

	for (uint64_t pc = start; pc < end; pc++) {
		const struct kymo_unwind_rule *rule;

		if (!elf_file_offset(&o->file, pc, &offset))
			return ends;
		rule = unwind_table_find(o->table, offset);
		ends += rule->cfa_kind == KYMO_UNWIND_CFA_END;
		if (rule->cfa_kind != KYMO_UNWIND_CFA_END && rule->cfa_kind != KYMO_UNWIND_CFA_GAP)
			oracle_complain(o, pc, "a rule for code without a description");
	}
	return ends;
}

/* The start and size in an FDE, as its CIE's augmentation says. */
static inline bool oracle_range(const struct oracle *o, const GElf_Shdr *sh, Elf_Data *data,
				const Dwarf_FDE *fde, struct range *ret)
{
	uint64_t at = sh->sh_addr + (uint64_t)(fde->start - (const uint8_t *)data->d_buf);
	unsigned char ident[EI_NIDENT];
	uint8_t encoding = DW_EH_PE_absptr;
	Dwarf_CFI_Entry cie;
	Dwarf_Off next;
	int32_t half[2];
	uint64_t whole[2];

	memcpy(ident, elf_getident(o->elf, NULL), EI_NIDENT);
	if (dwarf_next_cfi(ident, data, true, fde->CIE_pointer, &next, &cie) != 0)
		return false;
	for (const char *a = cie.cie.augmentation, *p = (const char *)cie.cie.augmentation_data; *a;
	     a++) {
		if (*a == 'R')
			encoding = (uint8_t)*p;
		else if (*a == 'L')
			p++;
		else if (*a == 'P')
			p += (*p & 7) == DW_EH_PE_udata4 ? 5 : 9;
	}
	memcpy(half, fde->start, sizeof(half));
	memcpy(whole, fde->start, sizeof(whole));
	if (encoding == (DW_EH_PE_pcrel | DW_EH_PE_sdata4))
		*ret = (struct range){ at + (uint64_t)(int64_t)half[0], (uint32_t)half[1] };
	else if (encoding == DW_EH_PE_absptr)
		*ret = (struct range){ whole[0], whole[1] };
	else if (encoding == (DW_EH_PE_pcrel | DW_EH_PE_absptr) ||
		 encoding == (DW_EH_PE_pcrel | DW_EH_PE_sdata8))
		*ret = (struct range){ at + whole[0], whole[1] };
	else if (encoding == DW_EH_PE_udata4 || encoding == DW_EH_PE_sdata4)
		*ret = (struct range){ (uint32_t)half[0], (uint32_t)half[1] };
	else
		return false;
	ret->end += ret->start;
	return true;
}

static inline int oracle_by_start(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* The descriptions as libdw reads them. False when there are none. */
static inline bool oracle_fdes(struct oracle *o)
{
	const unsigned char *ident = (const unsigned char *)elf_getident(o->elf, NULL);
	Dwarf_Off offset = 0, next;
	Dwarf_CFI_Entry entry;
	Elf_Data *data = NULL;
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;
	size_t names;
	int r;

	if (elf_getshdrstrndx(o->elf, &names) != 0)
		return false;
	while ((scn = elf_nextscn(o->elf, scn)) && !data)
		if (gelf_getshdr(scn, &sh) &&
		    strcmp(elf_strptr(o->elf, names, sh.sh_name), ".eh_frame") == 0)
			data = elf_rawdata(scn, NULL);
	while (data && (r = dwarf_next_cfi(ident, data, true, offset, &next, &entry)) != 1) {
		if (r < 0 && next == offset)
			break;
		offset = next;
		if (r < 0 || dwarf_cfi_cie_p(&entry))
			continue;
		if (array_reserve(&o->fdes, &o->fdes_cap, o->fdes_n + 1) < 0)
			return false;
		if (oracle_range(o, &sh, data, &entry.fde, &o->fdes[o->fdes_n]))
			o->fdes_n++;
	}
	if (o->fdes_n)
		qsort(o->fdes, o->fdes_n, sizeof(*o->fdes), oracle_by_start);
	return o->fdes_n != 0;
}

/* 0; -ENOENT when the file is not there or not for this. */
static inline int oracle_open(struct oracle *o, const char *path)
{
	int r;

	*o = (struct oracle){ .fd = open(path, O_RDONLY | O_CLOEXEC) };
	if (o->fd < 0)
		return -ENOENT;
	r = unwind_table_build(o->fd, &o->table);
	if (r == 0)
		r = elf_file_init(&o->file, o->fd);
	if (r < 0)
		return r;
	o->arch = unwind_arch(o->table->machine);
	elf_version(EV_CURRENT);
	o->elf = elf_begin(o->fd, ELF_C_READ_MMAP, NULL);
	o->cfi = o->elf ? dwarf_getcfi_elf(o->elf) : NULL;
	return o->cfi && oracle_fdes(o) ? 0 : -ENOENT;
}

static inline void oracle_close(struct oracle *o)
{
	if (o->cfi)
		dwarf_cfi_end(o->cfi);
	elf_end(o->elf);
	elf_file_release(&o->file);
	unwind_table_free(o->table);
	free(o->fdes);
	if (o->fd >= 0)
		close(o->fd);
}

/* Everything. */
static inline void oracle_run(struct oracle *o)
{
	for (size_t i = 0; i < o->fdes_n; i++) {
		uint64_t end = o->fdes[i].end,
			 next = i + 1 < o->fdes_n ? o->fdes[i + 1].start : end;

		oracle_compare_fde(o, &o->fdes[i]);
		/* Fillers up to the next function's start have the rule before them. */
		if (next > end && (next - end >= 16 || next % 16))
			oracle_compare_gap(o, end, next);
	}
}

#endif
