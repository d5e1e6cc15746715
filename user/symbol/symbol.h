/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel symbols (from /proc/kallsyms, read once; an address -> name, module), and the book of native
 * frames that wait for names: batches per file go to the worker, answers come back.
 */
#ifndef KYMO_SYMBOL_SYMBOL_H
#define KYMO_SYMBOL_SYMBOL_H

#include <stddef.h>
#include <stdint.h>

struct kallsyms;

/* path is "/proc/kallsyms". -EACCES where addresses are hidden (kptr_restrict). About 10 MB for a distribution's kernel at most. */
int kallsyms_new(const char *path, struct kallsyms **ret);
void kallsyms_free(struct kallsyms *k);
/* Name ("" = none), module ("" = the kernel itself) and *ret_start of the symbol that covers the address. Owned by k. */
const char *kallsyms_find(const struct kallsyms *k, uint64_t address, const char **ret_module,
			  uint64_t *ret_start);
uint64_t
kallsyms_text(const struct kallsyms
		      *k); /* address of _text (or _stext): kernel offsets count from there */

/* The function of a vDSO mapped at `start` that covers the address; "" = none, or another vDSO than ours (32-bit). */
const char *vdso_find(uint64_t start, uint64_t address);

#endif
