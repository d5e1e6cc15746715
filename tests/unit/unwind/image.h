/* SPDX-License-Identifier: Apache-2.0 */
/* Small ELF images with the frame descriptions that a test wants: code without bytes, and .eh_frame. */
#ifndef KYMO_TEST_UNWIND_IMAGE_H
#define KYMO_TEST_UNWIND_IMAGE_H

#include <assert.h>
#include <dwarf.h>
#include <elf.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "unwind/unwind.h"

#define IMAGE_BASE 0x400000ULL /* address of offset 0 */
#define IMAGE_TEXT 0x1000ULL   /* offset of the code */
#define IMAGE_HDR  0x200ULL

struct image {
	struct buf b;
	uint64_t frame; /* offset of .eh_frame, behind the code */
	uint16_t machine;
};

/* Instructions as an argument: CODE(DW_CFA_nop, ...). */
#define CODE(...) (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })
#define NO_CODE	  (const uint8_t *)"", 0

static inline void image_put(struct image *im, const void *data, size_t size)
{
	assert(buf_append(&im->b, data, size) == 0);
}

static inline void image_put_u32(struct image *im, uint32_t v)
{
	image_put(im, &v, sizeof(v));
}

static inline void image_set_u32(struct image *im, size_t at, uint32_t v)
{
	memcpy(im->b.data + at, &v, sizeof(v));
}

static inline void image_init(struct image *im, uint16_t machine, uint64_t text_bytes)
{
	*im = (struct image){ .machine = machine, .frame = IMAGE_TEXT + text_bytes };
	assert(buf_reserve(&im->b, im->frame) == 0);
	memset(im->b.data, 0, im->frame);
	im->b.size = im->frame;
}

static inline void image_release(struct image *im)
{
	buf_release(&im->b);
}

/* A CIE as compilers write it; augmentation data of the caller's. Returns its place. */
static inline size_t image_cie_with(struct image *im, const char *letters,
				    const uint8_t *augmentation, uint8_t augmentation_size,
				    const uint8_t *code, size_t size)
{
	const uint8_t x86[] = { 1, 0x78, 16 }, arm64[] = { 4, 0x78, 30 };
	size_t at = im->b.size;

	image_put_u32(im, 0); /* length, set below */
	image_put_u32(im, 0);
	image_put(im, &(uint8_t){ 1 }, 1);
	image_put(im, letters, strlen(letters) + 1);
	image_put(im, im->machine == EM_X86_64 ? x86 : arm64, 3);
	image_put(im, &augmentation_size, 1);
	image_put(im, augmentation, augmentation_size);
	image_put(im, code, size);
	image_set_u32(im, at, (uint32_t)(im->b.size - at - 4));
	return at;
}

/* CFA = sp + 8, return address below it; arm64: CFA = sp. */
static inline size_t image_cie(struct image *im)
{
	const uint8_t encoding[] = { 0x1b };

	if (im->machine == EM_X86_64)
		return image_cie_with(im, "zR", encoding, 1,
				      CODE(DW_CFA_def_cfa, 7, 8, DW_CFA_offset | 16, 1));
	return image_cie_with(im, "zR", encoding, 1, CODE(DW_CFA_def_cfa, 31, 0));
}

/* The addresses are those of IMAGE_TEXT + start and so on. */
static inline void image_fde(struct image *im, size_t cie, uint64_t start, uint64_t bytes,
			     const uint8_t *code, size_t size)
{
	size_t at = im->b.size;

	image_put_u32(im, 0);
	image_put_u32(im, (uint32_t)(at + 4 - cie));
	image_put_u32(im, (uint32_t)(IMAGE_TEXT + start - im->b.size));
	image_put_u32(im, (uint32_t)bytes);
	image_put(im, &(uint8_t){ 0 }, 1);
	image_put(im, code, size);
	image_set_u32(im, at, (uint32_t)(im->b.size - at - 4));
}

/* The headers, when all else is there. `entry` 0 or as for image_fde. */
static inline void image_finish(struct image *im, uint64_t entry)
{
	Elf64_Ehdr eh = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
				       1 },
			  .e_type = ET_DYN,
			  .e_machine = im->machine,
			  .e_entry = entry ? IMAGE_BASE + IMAGE_TEXT + entry : 0,
			  .e_phoff = sizeof(eh),
			  .e_phentsize = sizeof(Elf64_Phdr),
			  .e_phnum = 2 };
	const uint8_t hdr[] = { 1, 0x1b, 0xff, 0xff };
	Elf64_Phdr ph[2];

	image_put_u32(im, 0); /* the terminator */
	ph[0] = (Elf64_Phdr){ .p_type = PT_LOAD,
			      .p_flags = PF_R | PF_X,
			      .p_vaddr = IMAGE_BASE,
			      .p_filesz = im->b.size,
			      .p_memsz = im->b.size };
	ph[1] = (Elf64_Phdr){ .p_type = PT_GNU_EH_FRAME,
			      .p_offset = IMAGE_HDR,
			      .p_vaddr = IMAGE_BASE + IMAGE_HDR,
			      .p_filesz = 12,
			      .p_memsz = 12 };
	memcpy(im->b.data, &eh, sizeof(eh));
	memcpy(im->b.data + sizeof(eh), ph, sizeof(ph));
	memcpy(im->b.data + IMAGE_HDR, hdr, sizeof(hdr));
	image_set_u32(im, IMAGE_HDR + 4, (uint32_t)(im->frame - IMAGE_HDR - 4));
}

static inline int image_build(struct image *im, struct unwind_table **ret)
{
	image_finish(im, 0);
	return unwind_table_build_memory(im->b.data, im->b.size, ret);
}

/* The rule at an offset in the code. */
static inline const struct kymo_unwind_rule *image_rule(const struct unwind_table *t, uint64_t at)
{
	return unwind_table_find(t, IMAGE_TEXT + at);
}

#endif
