/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the .eh_frame of a file to a table of unwind rows (kymo/unwind.h), in the sandbox: the file
 * is foreign, read by pread alone, and may change at any moment.
 */
#ifndef KYMO_UNWIND_UNWIND_H
#define KYMO_UNWIND_UNWIND_H

#include <stddef.h>
#include <stdint.h>

#include "kymo/unwind.h"

/* Bounds of one file. Real ones, the largest seen: 110,000 FDEs, 1.1 million rows, 900 rules, 4,000 pages. */
#define UNWIND_ROWS_MAX	 (4U << 20)
#define UNWIND_RULES_MAX 4096
#define UNWIND_PAGES_MAX 65536 /* 4 GiB of file */

/* What was made and what was left out, one file. */
struct unwind_counts {
	uint32_t fdes;
	uint32_t fdes_outside; /* of no code of the file: dropped by the linker, or beyond 4 GiB */
	uint32_t fdes_damaged; /* their rows end where the damage is */
	uint32_t fdes_overlapping; /* cut where the next one starts */
	uint32_t rows_unsupported; /* described by what is not known here */
	uint32_t values_unknown;   /* the same for one register; the walk may go on */
	uint32_t rows_dropped;	   /* over one of the bounds: their code is a gap */
};

/* A page's rows in the table's array. */
struct unwind_page {
	uint32_t first, rows;
};

/* Everything is owned by the table. */
struct unwind_table {
	uint16_t machine;		/* EM_X86_64, EM_AARCH64 */
	struct kymo_unwind_rule *rules; /* the rows' `rule` is an index into them */
	struct kymo_unwind_row *rows;
	struct unwind_page *pages;
	uint32_t rules_n, rows_n, pages_n;
	uint32_t first_page; /* offset in the file >> KYMO_UNWIND_PAGE_SHIFT */
	struct unwind_counts counts;
};

/*
 * Makes the table of an ELF file. The descriptor is borrowed. 0; -ENOENT when the file has no
 * .eh_frame; -ENOTSUP for another machine; -EBADMSG, -EFBIG, -ENOMEM, -errno.
 */
int unwind_table_build(int fd, struct unwind_table **ret);
/* The same of an ELF image in memory (borrowed): offsets are those in the image. */
int unwind_table_build_memory(const void *image, size_t size, struct unwind_table **ret);
/* Of the vDSO, from this process's own auxiliary vector: all processes of a kernel have the same. -ENOENT without one. */
int unwind_table_build_vdso(struct unwind_table **ret);
void unwind_table_free(struct unwind_table *t); /* NULL is allowed */

/* The rule for the code at an offset in the file; the gap's where there is none. Owned by t, never NULL. */
const struct kymo_unwind_rule *unwind_table_find(const struct unwind_table *t, uint64_t offset);
/* Memory that the table holds. */
size_t unwind_table_bytes(const struct unwind_table *t);

#endif
