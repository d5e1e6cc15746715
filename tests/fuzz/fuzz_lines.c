/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a file with DWARF, and as one that names others. What is found can be read to its end. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "elf/debug_refs.h"
#include "elf/lines.h"

#define ADDRESSES 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile size_t sink;

static void read_all(const struct elf_lines *l)
{
	struct elf_line found[ELF_LINES_DEPTH_MAX];

	for (size_t i = 0; i <= ADDRESSES; i++) {
		size_t n = elf_lines_get(l, i, found, ELF_LINES_DEPTH_MAX);

		if (n > (i < ADDRESSES ? ELF_LINES_DEPTH_MAX : 0))
			abort();
		for (size_t k = 0; k < n; k++)
			sink += (found[k].name ? strlen(found[k].name) : 0) +
				(found[k].file ? strlen(found[k].file) : 0);
	}
}

static void find(const struct elf_file *f)
{
	uint64_t addresses[ADDRESSES];
	struct elf_lines *l;

	for (uint64_t i = 0; i < ADDRESSES; i++)
		addresses[i] = 0x80 + i * 8;
	/* The file as its own supplement: references across lead back into it. */
	if (elf_lines_new(f, f, &l) < 0)
		return;
	(void)elf_lines_find(l, addresses, ADDRESSES, clock_process_cpu_ns() + NS_PER_SEC);
	read_all(l);
	elf_lines_free(l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct elf_debug_refs refs;
	struct elf_file f;

	if (elf_file_init_memory(&f, data, size) < 0)
		return 0;
	if (elf_debug_refs(&f, &refs) == 0 &&
	    (refs.link[DEBUG_LINK_MAX - 1] || refs.alt[DEBUG_ALT_MAX - 1] ||
	     refs.alt_build_id.size > BUILD_ID_MAX || strchr(refs.link, '/')))
		abort();
	find(&f);
	elf_file_release(&f);
	return 0;
}
