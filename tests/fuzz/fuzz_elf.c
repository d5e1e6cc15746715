/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an ELF file: symbols, build-id, frame descriptions, interpreter facts. */
#include <stdint.h>
#include <stdlib.h>

#include "elf/inspect.h"
#include "elf/symbols.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct elf_symbols *s = NULL;
	struct elf_symbol found;
	struct elf_facts facts;

	(void)elf_inspect_memory(data, size, &facts);
	if (elf_symbols_new_memory(data, size, &s) < 0)
		return 0;
	for (size_t at = 0; at < size; at += 1 + size / 64)
		if (elf_symbols_find(s, at, &found) == 0 && found.name_size >= ELF_NAME_MAX)
			abort();
	elf_symbols_free(s);
	return 0;
}
