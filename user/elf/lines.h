/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Source lines and inlined functions from DWARF, for a batch of addresses at once: nothing is indexed, one pass over the
 * units finds those that have the addresses, and only these are looked into. libdw has its own record of
 * crashes: only the sandboxed worker calls this.
 */
#ifndef KYMO_ELF_LINES_H
#define KYMO_ELF_LINES_H

#include <stddef.h>
#include <stdint.h>

#include "elf/file.h"

/* Sections and what libdw unpacks of them, of a file and its supplementary one together. */
#define ELF_LINES_BYTES_MAX (512U << 20)
/* Inlined into one another, with the function that is none: deeper ones are left out. */
#define ELF_LINES_DEPTH_MAX 64

struct elf_lines;

/* One function at an address. Texts are foreign bytes, owned by the elf_lines. */
struct elf_line {
	const char *name;    /* mangled where there is such a name; NULL = only the line is known */
	const char *file;    /* where the function is declared; NULL = unknown */
	uint32_t first_line; /* of its declaration; 0 = unknown */
	uint32_t line;	     /* that ran or called; 0 = unknown */
};

/*
 * `alt` is the supplementary file (dwz) or NULL. Both may be released afterwards. 0; -ENOENT without DWARF, -EFBIG beyond
 * ELF_LINES_BYTES_MAX, -EBADMSG, -errno.
 */
int elf_lines_new(const struct elf_file *f, const struct elf_file *alt, struct elf_lines **ret);
void elf_lines_free(struct elf_lines *l);
/*
 * Looks the addresses (of the file, not of a process) up. Ends early with what it has when this process has used
 * that much CPU time (0 = no bound). 0 or -errno. Once per elf_lines.
 */
int elf_lines_find(struct elf_lines *l, const uint64_t *addresses, size_t n, uint64_t until_cpu_ns);
/* What was found for the i-th address, the outermost function first: how many of at most `max`. */
size_t elf_lines_get(const struct elf_lines *l, size_t i, struct elf_line *out, size_t max);

#endif
