/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside user/unwind: where stacks of their own begin, and nothing says so. Told by the code, never by a name:
 * libraries that make coroutines put the address of such a place where a return address belongs.
 */
#ifndef KYMO_UNWIND_BASES_H
#define KYMO_UNWIND_BASES_H

#include <stdbool.h>
#include <stdint.h>

#include "elf/file.h"

#define BASES_GAP_MAX \
	4096 /* a gap that is looked into; code without descriptions may be all of a file */
#define BASES_GAPS_MAX	1024 /* of a file */
#define BASES_START_MIN 16
#define BASES_START_MAX 64

/*
 * Whether a function, of BASES_START_MIN to BASES_START_MAX bytes, whose description claims that its caller is
 * where a call would have put it, begins by leaving its stack: what makecontext(3) returns to.
 */
bool bases_leaves_stack(const struct elf_file *f, uint64_t offset);
/* Code in a gap that ends the process and has nothing behind: what boost's coroutines return to. */
bool bases_find_exit(const struct elf_file *f, uint64_t start, uint64_t end, uint64_t *ret_start,
		     uint64_t *ret_end);
/* The kernel's frame of a signal handler is gone back through here: rt_sigreturn(2), and nothing else. */
bool bases_returns_from_signal(const struct elf_file *f, uint64_t offset);

#endif
