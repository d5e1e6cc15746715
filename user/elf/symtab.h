/* SPDX-License-Identifier: Apache-2.0 */
/* One symbol table of an ELF file, read in pieces, front to back. */
#ifndef KYMO_ELF_SYMTAB_H
#define KYMO_ELF_SYMTAB_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "elf/file.h"

/* No table has more symbols, no table of names more bytes: the rest is not read. */
#define ELF_SYMTAB_MAX	     (8U << 20)
#define ELF_SYMTAB_NAMES_MAX (256U << 20)

struct elf_symtab {
	const struct elf_file *file;
	uint64_t offset;
	size_t count, next;
	char *names; /* NUL-terminated as a whole */
	size_t names_size;
	Elf64_Sym *chunk;
	size_t chunk_first, chunk_n;
};

/* The table of that type (SHT_SYMTAB, SHT_DYNSYM). 0, -ENOENT when there is none, -EFBIG, -errno. */
int elf_symtab_init(struct elf_symtab *t, const struct elf_file *f, uint32_t type);
void elf_symtab_release(struct elf_symtab *t); /* also valid on zeroes */
/* The next symbol, the null symbol too: 1, 0 at the end, -errno. */
int elf_symtab_next(struct elf_symtab *t, Elf64_Sym *ret);
int elf_symtab_at(struct elf_symtab *t, size_t index, Elf64_Sym *ret); /* 0, -EBADMSG */
void elf_symtab_rewind(struct elf_symtab *t);
const char *elf_symtab_name(const struct elf_symtab *t, const Elf64_Sym *symbol); /* "" = none */
/* Whether the table's strings have this one, without loading them: for files that most likely do not. */
bool elf_symtab_mentions(const struct elf_file *f, uint32_t type, const char *name);

#endif
