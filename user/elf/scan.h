/* SPDX-License-Identifier: Apache-2.0 */
/* Finds a byte string in a part of a file, in pieces of bounded size. */
#ifndef KYMO_ELF_SCAN_H
#define KYMO_ELF_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "elf/file.h"

#define ELF_SCAN_CONTEXT 64 /* bytes around a hit that can be looked at */

struct elf_hit {
	uint64_t offset; /* in the file */
	const uint8_t *at;
	size_t before; /* bytes of the part that can be read before `at`, at most ELF_SCAN_CONTEXT */
	size_t size;   /* from `at` on: the needle and at most ELF_SCAN_CONTEXT more */
};

/* False ends the scan. */
typedef bool (*elf_scan_fn)(const struct elf_hit *hit, void *data);

/* 0 or -errno. The needle has 1 to ELF_SCAN_CONTEXT bytes. */
int elf_scan(const struct elf_file *f, uint64_t offset, uint64_t size, const void *needle,
	     size_t needle_size, elf_scan_fn fn, void *data);

#endif
