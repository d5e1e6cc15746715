/* SPDX-License-Identifier: Apache-2.0 */
/* Where a file's DWARF is: in itself, or in the separate files that it names. */
#ifndef KYMO_ELF_DEBUG_REFS_H
#define KYMO_ELF_DEBUG_REFS_H

#include <stdbool.h>
#include <stdint.h>

#include "elf/file.h"
#include "model/frame.h"

#define DEBUG_LINK_MAX 256
#define DEBUG_ALT_MAX  1024

struct elf_debug_refs {
	bool has_dwarf;
	struct build_id build_id; /* its own */
	/* .gnu_debuglink: the name of a file (no path in it; "" = none) and the CRC-32 of its bytes */
	char link[DEBUG_LINK_MAX];
	uint32_t link_crc;
	/* .gnu_debugaltlink, what dwz put together: its path, and its build-id (size 0 = none) */
	char alt[DEBUG_ALT_MAX];
	struct build_id alt_build_id;
};

/* 0 or -errno; what is damaged is left out. Every byte of *ret is set: it is sent as it is. */
int elf_debug_refs(const struct elf_file *f, struct elf_debug_refs *ret);
/* Of the whole file, as .gnu_debuglink has it; -EFBIG above a gigabyte. */
int elf_debug_crc(const struct elf_file *f, uint32_t *ret);

#endif
