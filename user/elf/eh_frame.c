/* SPDX-License-Identifier: Apache-2.0 */
#include "elf/eh_frame.h"

#include <dwarf.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

#define DW_EH_PE_absptr	 0x00
#define DW_EH_PE_udata2	 0x02
#define DW_EH_PE_udata4	 0x03
#define DW_EH_PE_udata8	 0x04
#define DW_EH_PE_sdata2	 0x0a
#define DW_EH_PE_sdata4	 0x0b
#define DW_EH_PE_sdata8	 0x0c
#define DW_EH_PE_pcrel	 0x10
#define DW_EH_PE_omit	 0xff

#define AUGMENTATION_MAX 8
#define CIE_NONE	 SIZE_MAX
#define FIRST_MAX	 256 /* bytes of instructions for the first row; compilers write some 20 */

struct cursor {
	struct reader r;
	const struct eh_frame *e;
};

static uint64_t here(const struct cursor *c)
{
	return c->e->vaddr + (uint64_t)(c->r.p - c->e->data);
}

/* DWARF's signed LEB128 is not zigzag. */
static int64_t sleb(struct reader *r)
{
	uint64_t v = 0;
	unsigned int shift = 0;
	uint8_t byte;

	do {
		byte = reader_u8(r);
		if (shift < 64)
			v |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while ((byte & 0x80) && !r->failed && shift < 70);
	if (byte & 0x80)
		r->failed = true; /* no number is as long, and a hostile one could be megabytes */
	if (shift < 64 && (byte & 0x40))
		v |= ~0ULL << shift;
	return (int64_t)v;
}

static uint64_t read_value(struct reader *r, uint8_t format)
{
	switch (format) {
	case DW_EH_PE_absptr:
	case DW_EH_PE_udata8:
	case DW_EH_PE_sdata8:
		return reader_u64(r);
	case DW_EH_PE_udata2:
		return reader_u16(r);
	case DW_EH_PE_sdata2:
		return (uint64_t)(int64_t)(int16_t)reader_u16(r);
	case DW_EH_PE_udata4:
		return reader_u32(r);
	case DW_EH_PE_sdata4:
		return (uint64_t)(int64_t)(int32_t)reader_u32(r);
	default:
		r->failed = true; /* LEB128 pointers: no compiler writes them for code */
		return 0;
	}
}

static uint64_t read_pointer(struct cursor *c, uint8_t encoding)
{
	uint64_t base = (encoding & 0x70) == DW_EH_PE_pcrel ? here(c) : 0;

	if ((encoding & 0x80) || ((encoding & 0x70) && (encoding & 0x70) != DW_EH_PE_pcrel))
		c->r.failed = true; /* indirect, or relative to what is not known here */
	return base + read_value(&c->r, encoding & 0x0f);
}

static void read_augmentation(struct cursor *c, const char *letters, struct eh_cie *cie)
{
	struct cursor data;
	uint64_t size;
	const uint8_t *p;

	if (letters[0] != 'z')
		return;
	cie->augmented = true;
	size = reader_varint(&c->r);
	p = reader_bytes(&c->r, size);
	if (!p)
		return;
	data = (struct cursor){ .e = c->e, .r = { .p = p, .end = p + size } };
	for (letters++; *letters; letters++) {
		if (*letters == 'R')
			cie->pointer_encoding = reader_u8(&data.r);
		else if (*letters == 'P')
			read_value(&data.r, reader_u8(&data.r) & 0x0f);
		else if (*letters == 'L')
			reader_u8(&data.r);
		else if (*letters == 'S')
			cie->signal = true;
		else if (*letters != 'B')
			break;
	}
	c->r.failed |= data.r.failed;
}

static int read_cie(struct eh_frame *e, size_t at, struct eh_cie *ret)
{
	struct cursor c = { .e = e, .r = { .p = e->data + at, .end = e->data + e->size } };
	struct eh_cie cie = { .pointer_encoding = DW_EH_PE_absptr };
	char letters[AUGMENTATION_MAX + 1] = "";
	uint32_t length = reader_u32(&c.r);
	uint8_t version;
	size_t n = 0;

	if (c.r.failed || length < 4 || length > (size_t)(c.r.end - c.r.p))
		return -EBADMSG;
	c.r.end = c.r.p + length;
	if (reader_u32(&c.r) != 0)
		return -EBADMSG;
	version = reader_u8(&c.r);
	while (n < AUGMENTATION_MAX && (letters[n] = (char)reader_u8(&c.r)))
		n++;
	if (n == AUGMENTATION_MAX || (letters[0] && letters[0] != 'z'))
		return -EBADMSG;
	cie.code_align = reader_varint(&c.r);
	cie.data_align = sleb(&c.r);
	cie.return_register = version == 1 ? reader_u8(&c.r) : reader_varint(&c.r);
	read_augmentation(&c, letters, &cie);
	if (c.r.failed)
		return -EBADMSG;
	cie.instructions = c.r.p;
	cie.instructions_size = (size_t)(c.r.end - c.r.p);
	*ret = cie;
	return 0;
}

/* `c` stands behind the FDE's pointer to its CIE, which is at `cie_at`. */
static int read_fde(struct eh_frame *e, struct cursor *c, size_t cie_at, struct eh_fde *ret)
{
	uint64_t start, size;

	if (e->cie_at != cie_at) {
		e->cie_at = CIE_NONE;
		if (read_cie(e, cie_at, &e->cie) < 0)
			return -EBADMSG;
		e->cie_at = cie_at;
	}
	start = read_pointer(c, e->cie.pointer_encoding);
	size = read_value(&c->r, e->cie.pointer_encoding & 0x07);
	if (e->cie.augmented)
		reader_bytes(&c->r, reader_varint(&c->r));
	if (c->r.failed || !size || start + size < start)
		return -EBADMSG;
	*ret = (struct eh_fde){ .start = start,
				.end = start + size,
				.cie = &e->cie,
				.instructions = c->r.p,
				.instructions_size = (size_t)(c->r.end - c->r.p) };
	return 0;
}

int eh_frame_next(struct eh_frame *e, size_t *pos, struct eh_fde *ret)
{
	while (e->size - *pos >= 8) {
		struct cursor c = { .e = e,
				    .r = { .p = e->data + *pos, .end = e->data + e->size } };
		uint32_t length = reader_u32(&c.r), id;
		size_t id_at = *pos + 4;

		if (length == 0)
			return 0; /* the terminator */
		if (length < 4 || length > e->size - id_at)
			return -EBADMSG; /* 0xffffffff, the 64-bit form, too: no linker writes it */
		c.r.end = c.r.p + length;
		*pos = id_at + length;
		id = reader_u32(&c.r);
		if (id == 0 || id > id_at)
			continue; /* a CIE: read when an FDE asks for it */
		if (read_fde(e, &c, id_at - id, ret) == 0)
			return 1;
	}
	return 0;
}

/* Without a section table the pointer in PT_GNU_EH_FRAME's header leads to it: then it may go on to the segment's end. */
static int locate(const struct elf_file *f, uint64_t *ret_vaddr, uint64_t *ret_size)
{
	const struct elf_section *s = elf_file_section(f, ".eh_frame");
	const struct elf_segment *load;
	uint8_t header[12];

	if (s && s->size) {
		*ret_vaddr = s->vaddr;
		*ret_size = s->size;
		return 0;
	}
	for (size_t i = 0; i < f->segments_n; i++) {
		const struct elf_segment *seg = &f->segments[i];
		struct eh_frame at = { .data = header, .vaddr = seg->vaddr };
		struct cursor c = { .e = &at,
				    .r = { .p = header + 4, .end = header + sizeof(header) } };

		if (seg->type != PT_GNU_EH_FRAME ||
		    elf_file_read(f, seg->offset, header, sizeof(header)) < 0)
			continue;
		*ret_vaddr = read_pointer(&c, header[1]);
		load = elf_file_segment(f, *ret_vaddr);
		if (header[0] != 1 || c.r.failed || !load)
			return -EBADMSG;
		*ret_size = load->file_size - (*ret_vaddr - load->vaddr);
		return 0;
	}
	return -ENOENT;
}

int eh_frame_init(struct eh_frame *e, const struct elf_file *f)
{
	struct eh_frame n = { .cie_at = CIE_NONE };
	uint64_t offset, size;
	int r = locate(f, &n.vaddr, &size);

	if (r < 0)
		return r;
	if (!elf_file_offset(f, n.vaddr, &offset))
		return -EBADMSG;
	r = elf_file_load(f, offset, size, EH_FRAME_BYTES_MAX, &n.data);
	if (r < 0)
		return r;
	n.size = size;
	*e = n;
	return 0;
}

void eh_frame_release(struct eh_frame *e)
{
	free(e->data);
	*e = (struct eh_frame){ 0 };
}

/* The CFA rule that these instructions leave behind before the first advance. True = the code goes on. */
static bool first_cfa(struct reader *r, uint64_t *reg, uint64_t *offset)
{
	while (r->p < r->end && !r->failed) {
		uint8_t op = reader_u8(r);

		if ((op & 0xc0) == DW_CFA_advance_loc)
			return false;
		if ((op & 0xc0) == DW_CFA_offset) {
			reader_varint(r);
			continue;
		}
		if ((op & 0xc0) == DW_CFA_restore || op == DW_CFA_nop ||
		    op == DW_CFA_remember_state)
			continue;
		if (op == DW_CFA_def_cfa) {
			*reg = reader_varint(r);
			*offset = reader_varint(r);
		} else if (op == DW_CFA_def_cfa_register) {
			*reg = reader_varint(r);
		} else if (op == DW_CFA_def_cfa_offset) {
			*offset = reader_varint(r);
		} else if (op == DW_CFA_undefined || op == DW_CFA_same_value ||
			   op == DW_CFA_GNU_args_size) {
			reader_varint(r);
		} else if (op == DW_CFA_register || op == DW_CFA_offset_extended) {
			reader_varint(r);
			reader_varint(r);
		} else if (op == DW_CFA_expression || op == DW_CFA_val_expression) {
			reader_varint(r);
			reader_bytes(r, reader_varint(r));
		} else {
			*reg = op == DW_CFA_def_cfa_expression ? UINT64_MAX : *reg;
			return false;
		}
	}
	return true;
}

static struct reader first_of(const uint8_t *instructions, size_t size)
{
	return (struct reader){ .p = instructions,
				.end = instructions + (size < FIRST_MAX ? size : FIRST_MAX) };
}

bool eh_fde_is_entry(const struct eh_fde *fde)
{
	struct reader cie = first_of(fde->cie->instructions, fde->cie->instructions_size);
	struct reader own = first_of(fde->instructions, fde->instructions_size);
	uint64_t reg = 0, offset = 0;

	if (first_cfa(&cie, &reg, &offset))
		first_cfa(&own, &reg, &offset);
	return reg == 7 && offset == 8;
}
