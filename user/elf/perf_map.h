/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Perf maps: what runtimes that make code in memory write of it, a line each: "START SIZE NAME", in hex. Code moves and
 * addresses are used again: the last line that has an address names it.
 */
#ifndef KYMO_ELF_PERF_MAP_H
#define KYMO_ELF_PERF_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "elf/file.h"

#define PERF_MAP_NAME_MAX 4096 /* bytes: the rest is cut */

/* Where a name stands in the file; size 0 = none. */
struct perf_map_name {
	uint64_t offset;
	size_t size;
};

/*
 * Goes through the whole file (any bytes: f has its size and where to read, nothing else of it is used) and keeps nothing but the
 * answers: ret[i] is of addresses[i]. Lines that are none are passed over. 0 or -errno.
 */
int perf_map_find(const struct elf_file *f, const uint64_t *addresses, size_t n,
		  struct perf_map_name *ret);

#endif
