/* SPDX-License-Identifier: Apache-2.0 */
/* The frame descriptions (FDE) of .eh_frame: which code each covers, and its instructions. */
#ifndef KYMO_ELF_EH_FRAME_H
#define KYMO_ELF_EH_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "elf/file.h"

#define EH_FRAME_BYTES_MAX (64U << 20) /* the largest seen: 20 MB, of a compiler */

struct eh_frame {
	uint8_t *data;
	size_t size;
	uint64_t vaddr;
	size_t cie_at; /* the CIE that was read last: most FDEs share a few */
	struct eh_cie {
		uint64_t code_align;
		int64_t data_align;
		uint64_t return_register;
		const uint8_t *instructions;
		size_t instructions_size;
		uint8_t pointer_encoding;
		bool augmented; /* FDEs have augmentation data */
		bool signal;
	} cie;
};

struct eh_fde {
	uint64_t start, end;	  /* addresses, end exclusive */
	const struct eh_cie *cie; /* until the next eh_frame_next */
	const uint8_t *instructions;
	size_t instructions_size;
};

/* 0; -ENOENT when the file has none, -EFBIG, -EBADMSG, -errno. Found by name, else by its program header. */
int eh_frame_init(struct eh_frame *e, const struct elf_file *f);
void eh_frame_release(struct eh_frame *e); /* also valid on zeroes */
/* The next FDE, in the order of the section; *pos starts at 0. 1, 0 at the end, -EBADMSG. Damaged FDEs are left out. */
int eh_frame_next(struct eh_frame *e, size_t *pos, struct eh_fde *ret);
/*
 * Whether the rule at its first instruction is that of a function's entry on x86-64 (CFA = RSP + 8).
 * Code that a compiler split off a function ("cold") starts in the middle of that function's frame.
 */
bool eh_fde_is_entry(const struct eh_fde *fde);

#endif
