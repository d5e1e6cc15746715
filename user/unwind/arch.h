/* SPDX-License-Identifier: Apache-2.0 */
/* Inside user/unwind: what differs between the machines whose .eh_frame is read. */
#ifndef KYMO_UNWIND_ARCH_H
#define KYMO_UNWIND_ARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "elf/file.h"

#define UNWIND_NO_REGISTER 255

/* DWARF's numbers. */
struct unwind_arch {
	uint16_t machine;
	uint8_t sp, fp;
	uint8_t base; /* or UNWIND_NO_REGISTER */
	uint8_t pc;   /* as expressions name it; or UNWIND_NO_REGISTER */
	/* Where a signal frame keeps the registers 0 to 15 (struct sigcontext): words above its stack
	 * pointer. NULL: not known. Leaf code is described by any of them. */
	const uint8_t *signal_words;
	uint8_t ra; /* where a function that saves it nowhere still has it; or UNWIND_NO_REGISTER */
};

/* NULL for a machine that is not known. */
const struct unwind_arch *unwind_arch(uint16_t machine);

/*
 * Whether the file's entry point, which has no description, is the start of a process: the loader
 * and some C libraries leave it out. Older linkers give libraries an entry point that is none, so
 * its first instructions decide. *ret_vaddr is untouched when it is not.
 */
bool unwind_arch_entry(const struct unwind_arch *arch, const struct elf_file *f,
		       uint64_t *ret_vaddr);

#endif
