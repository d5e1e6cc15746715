/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names for file offsets: the functions of an ELF file, sorted and compact. Made once per file
 * from .symtab, or .dynsym, .gnu_debugdata and .eh_frame where it was stripped, and the PLT; then independent of the
 * file.
 */
#ifndef KYMO_ELF_SYMBOLS_H
#define KYMO_ELF_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct elf_symbols;

/* Longer names are cut. */
#define ELF_NAME_MAX 4096

/* 0; -EBADMSG, -ENOTSUP as elf_file_init; -EFBIG where its tables exceed all reason; -errno. A file without symbols gives an empty table. */
int elf_symbols_new(int fd, struct elf_symbols **ret);
int elf_symbols_new_memory(const void *data, size_t size, struct elf_symbols **ret);
void elf_symbols_free(struct elf_symbols *s);

struct elf_symbol {
	const char *name; /* owned by the table; not NUL-terminated; foreign bytes */
	size_t name_size;
	uint64_t start,
		size; /* file offset; of the piece that the symbol covers around the offset asked for */
	bool is_address; /* the file has no name for it: "+0x" and the file offset where it begins */
};

/* The innermost function that covers the file offset. 0 or -ENOENT. */
int elf_symbols_find(const struct elf_symbols *s, uint64_t offset, struct elf_symbol *ret);
size_t elf_symbols_count(const struct elf_symbols *s);
size_t elf_symbols_bytes(const struct elf_symbols *s);	   /* memory that it holds */
uint64_t elf_symbols_dropped(const struct elf_symbols *s); /* left out at a bound */

#endif
