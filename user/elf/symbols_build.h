/* SPDX-License-Identifier: Apache-2.0 */
/* Inside user/elf: how a table of symbols is collected before it is sorted. */
#ifndef KYMO_ELF_SYMBOLS_BUILD_H
#define KYMO_ELF_SYMBOLS_BUILD_H

#include <stdint.h>

#include "base/buf.h"
#include "elf/file.h"

#define ELF_SYMBOLS_MAX	     (4U << 20) /* the largest browser has 1.2 million functions */
#define ELF_SYMBOL_NAME_BITS 28
#define ELF_SYMBOL_NAMES_MAX ((1U << ELF_SYMBOL_NAME_BITS) - ELF_NAME_MAX - 1)

/* Of several symbols at one address the highest rank names it. */
enum symbol_rank {
	SYMBOL_FDE,    /* no symbol: code that unwind information describes as one function */
	SYMBOL_NOTYPE, /* a label in code: assembly without .type */
	SYMBOL_LOCAL,
	SYMBOL_WEAK,
	SYMBOL_GLOBAL,
	SYMBOL_RANK_MAX,
};

struct symbol {
	uint64_t start;			      /* file offset */
	uint32_t size;			      /* 0 only while building: unsized */
	uint32_t name : ELF_SYMBOL_NAME_BITS; /* offset into names */
	uint32_t rank : 3;
	uint32_t unsized : 1; /* size is only how far it may reach */
};

struct symbols_build {
	struct symbol *items;
	size_t n, cap;
	struct buf names; /* each with its NUL; "" at 0 */
	uint64_t dropped;
};

/* 0 or -ENOMEM; at a bound the symbol is dropped and counted. */
int symbols_build_add(struct symbols_build *b, const struct symbol *s, const char *name,
		      const char *suffix);
/* "name@plt" for each stub of the PLT. 0 or -errno; a file without one is no error. */
int symbols_build_plt(struct symbols_build *b, const struct elf_file *f);
/* "+0x1c3f40", the file offset of its first byte, for each function that .eh_frame describes. 0 or -ENOMEM. */
int symbols_build_fdes(struct symbols_build *b, const struct elf_file *f);

#endif
