/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an ELF file: symbols, build-id, frame descriptions, interpreter facts, probes. */
#include <stdint.h>
#include <stdlib.h>

#include "elf/inspect.h"
#include "elf/probes.h"
#include "elf/symbols.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever it told is what the kernel side takes for granted. */
static void read_probes(const uint8_t *data, size_t size)
{
	struct elf_probe probes[KYMO_PROBES_MAX];
	struct elf_file f;
	uint32_t n = 0;

	if (elf_file_init_memory(&f, data, size) < 0)
		return;
	if (elf_probes_read(&f, probes, &n) == 0)
		for (uint32_t i = 0; i < n; i++)
			if (probes[i].offset >= size || probes[i].semaphore_offset >= size ||
			    !probes[i].site.kind || probes[i].site.kind >= KYMO_PROBE_KIND_MAX)
				abort();
	elf_file_release(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct elf_symbols *s = NULL;
	struct elf_symbol found;
	struct elf_facts facts;

	(void)elf_inspect_memory(data, size, &facts);
	read_probes(data, size);
	if (elf_symbols_new_memory(data, size, &s) < 0)
		return 0;
	for (size_t at = 0; at < size; at += 1 + size / 64)
		if (elf_symbols_find(s, at, &found) == 0 && found.name_size >= ELF_NAME_MAX)
			abort();
	elf_symbols_free(s);
	return 0;
}
