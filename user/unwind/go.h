/* SPDX-License-Identifier: Apache-2.0 */
/* Inside user/unwind: rules of Go's functions, from Go's own table. */
#ifndef KYMO_UNWIND_GO_H
#define KYMO_UNWIND_GO_H

#include "elf/gopclntab.h"
#include "unwind/words.h"

/* What a function is to the walk. */
enum go_kind {
	GO_PLAIN,
	GO_END,	     /* the base of a goroutine or of a thread */
	GO_SWITCHES, /* calls go on on another stack */
	GO_SIGNAL,   /* returns from a signal handler */
};

enum go_kind go_kind(const struct gopclntab *g, const struct gopclntab_function *f,
		     const struct elf_file *file, uint64_t offset);
/* For code of which the stack pointer is `depth` below the return address. */
struct rule_words go_rule(enum go_kind kind, int64_t depth);

#endif
