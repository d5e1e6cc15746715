/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Go's own table of functions (.gopclntab, in stripped files too), of Go 1.18 and later: where each begins, and
 * how far the stack pointer is from where it was at its entry, for every instruction. Go writes no .eh_frame.
 */
#ifndef KYMO_ELF_GOPCLNTAB_H
#define KYMO_ELF_GOPCLNTAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "elf/file.h"

#define GOPCLNTAB_BYTES_MAX	(128U << 20) /* the largest seen: 40 MB, of a container runtime */
#define GOPCLNTAB_FUNCTIONS_MAX (1U << 20)

struct gopclntab {
	uint8_t *data;
	size_t size;
	uint64_t text; /* address that functions are relative to */
	uint32_t functions_n;
	uint64_t functions, depths; /* where these tables begin in data */
	bool has_lines;		    /* 1.20 and later: a function's record is longer */
};

enum gopclntab_flag {
	GOPCLNTAB_TOP = 1 << 0,	     /* the outermost of its stack: it has no caller */
	GOPCLNTAB_SWITCHES = 1 << 1, /* it sets the stack pointer: depths do not hold */
	GOPCLNTAB_ASSEMBLY = 1 << 2,
};

struct gopclntab_function {
	uint64_t start, end; /* addresses */
	uint32_t depths;     /* where its depths begin in data */
	uint8_t flags;	     /* enum gopclntab_flag */
};

/* A range of a function's code in which the stack pointer lies `depth` bytes below the return address. */
struct gopclntab_depth {
	uint64_t end; /* of the range: bytes from the function's start */
	int64_t depth;
	uint64_t at; /* where the next one stands in data */
	bool begun;
};

/* 0; -ENOENT when the file has none, -ENOTSUP for that of another version, -EBADMSG, -EFBIG, -errno. */
int gopclntab_init(struct gopclntab *g, const struct elf_file *f);
void gopclntab_release(struct gopclntab *g); /* also valid on zeroes */
/* The function of that number, below functions_n. False where it is damaged. */
bool gopclntab_function(const struct gopclntab *g, uint32_t number, struct gopclntab_function *ret);
/* The next range; *d starts as { .at = the function's depths }. False at the end, and where it is damaged. */
bool gopclntab_next(const struct gopclntab *g, struct gopclntab_depth *d);

#endif
