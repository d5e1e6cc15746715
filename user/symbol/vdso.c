/* SPDX-License-Identifier: Apache-2.0 */
/* The vDSO is the kernel's file, in our own memory as in every process's: nobody else writes it. */
#include <elf.h>
#include <string.h>
#include <sys/auxv.h>

#include "symbol/symbol.h"

/* A 32-bit process has another vDSO, and all its addresses lie below. */
#define ADDRESSES_32 (1ULL << 32)

static const Elf64_Shdr *find_section(const Elf64_Ehdr *image, Elf64_Word type)
{
	const Elf64_Shdr *sections = (const void *)((const char *)image + image->e_shoff);

	for (Elf64_Half i = 0; i < image->e_shnum; i++)
		if (sections[i].sh_type == type)
			return &sections[i];
	return NULL;
}

static const Elf64_Ehdr *own_vdso(void)
{
	const Elf64_Ehdr *image = (const void *)getauxval(AT_SYSINFO_EHDR);

	if (!image || memcmp(image->e_ident, ELFMAG, SELFMAG) != 0 ||
	    image->e_ident[EI_CLASS] != ELFCLASS64 || !image->e_shoff ||
	    image->e_shentsize != sizeof(Elf64_Shdr))
		return NULL;
	return image;
}

/* It is linked to address 0: what lies so far from its start has that address. */
static const char *find_symbol(const Elf64_Ehdr *image, uint64_t offset)
{
	const Elf64_Shdr *dynsym = find_section(image, SHT_DYNSYM), *sections;
	const Elf64_Sym *symbols;
	const char *base = (const char *)image, *strings, *weak = "";

	if (!dynsym)
		return "";
	sections = (const void *)(base + image->e_shoff);
	symbols = (const void *)(base + dynsym->sh_offset);
	strings = base + sections[dynsym->sh_link].sh_offset;
	for (size_t i = 0; i < dynsym->sh_size / sizeof(*symbols); i++) {
		const Elf64_Sym *s = &symbols[i];

		if (ELF64_ST_TYPE(s->st_info) != STT_FUNC || offset < s->st_value ||
		    offset - s->st_value >= s->st_size)
			continue;
		/* "clock_gettime" is a weak alias, and another function's name in libc. */
		if (ELF64_ST_BIND(s->st_info) == STB_GLOBAL)
			return strings + s->st_name;
		weak = strings + s->st_name;
	}
	return weak;
}

const char *vdso_find(uint64_t start, uint64_t address)
{
	const Elf64_Ehdr *image = own_vdso();

	if (!image || start < ADDRESSES_32 || address < start)
		return "";
	return find_symbol(image, address - start);
}
