/* SPDX-License-Identifier: Apache-2.0 */
/* Where CPython's eval loop lies in a binary: its hot part, and the parts that the compiler split off. */
#ifndef KYMO_ELF_EVAL_LOOP_H
#define KYMO_ELF_EVAL_LOOP_H

#include "elf/inspect.h"

struct elf_file;

/* What the symbol tables say of it. */
struct eval_symbols {
	struct eval_symbol {
		uint64_t vaddr, size; /* size 0 = unknown */
	} hot, cold[KYMO_PYTHON_EVAL_RANGES -
		    1]; /* cold: "_PyEval_EvalFrameDefault.cold", in unstripped files */
	size_t cold_n;
};

/*
 * Fills eval, eval_frame_pointers and text_offset_bias. 0; -ENOENT when the address is no code; -EBADMSG; -errno.
 */
int eval_loop_find(const struct elf_file *f, const struct eval_symbols *symbols,
		   struct elf_facts *facts);

#endif
