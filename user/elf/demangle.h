/* SPDX-License-Identifier: Apache-2.0 */
/*
 * C++ and Rust names as people write them. The library that does it has its own long record of
 * crashes and hangs on hostile names: only the sandboxed worker calls this.
 */
#ifndef KYMO_ELF_DEMANGLE_H
#define KYMO_ELF_DEMANGLE_H

#include <stddef.h>

/* Longer ones stay as they are; it is also about what the library takes by its own limit of depth. */
#define DEMANGLE_INPUT_MAX 1000

/*
 * The name (its "@plt" kept) into out, not NUL-terminated. 0; -ENOENT: not mangled, or not as it should be; -E2BIG:
 * longer than DEMANGLE_INPUT_MAX, or than out. On a failure out holds anything.
 */
int elf_demangle(const char *name, size_t name_size, char *out, size_t max, size_t *ret_size);

#endif
