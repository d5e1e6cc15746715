/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One step from a frame to its caller by a rule, as the kernel side does it, over memory that a
 * function reads: for tests of the rows and for walking recorded stacks.
 */
#ifndef KYMO_UNWIND_STEP_H
#define KYMO_UNWIND_STEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kymo/unwind.h"
#include "unwind/arch.h"

#define UNWIND_REGISTERS 32

struct unwind_frame {
	uint64_t pc;
	uint64_t registers[UNWIND_REGISTERS]; /* by DWARF's numbers */
	uint32_t known; /* a bit per register that holds what it held in this frame */
	bool exact;	/* the pc was interrupted; else it is a return address: look up pc - 1 */
	bool signal;	/* set by a step: the frame stepped from was made for a signal handler */
};

enum unwind_step {
	UNWIND_STEP_OK = 0,
	UNWIND_STEP_END,	 /* the outermost frame: the stack is whole */
	UNWIND_STEP_GAP,	 /* no rule */
	UNWIND_STEP_UNSUPPORTED, /* a rule that is not known here */
	UNWIND_STEP_LOST,	 /* the rule needs a register that no frame kept */
	UNWIND_STEP_UNREADABLE,	 /* memory that could not be read */
	UNWIND_STEP_NOT_ABOVE,	 /* the caller's frame would not lie above: not a stack */
	UNWIND_STEP_MAX,
};

/* Reads 8 bytes of the stack. 0 or a negative number. */
typedef int (*unwind_read_fn)(void *data, uint64_t address, uint64_t *ret);

/* *frame becomes its caller's where the answer is UNWIND_STEP_OK, else it is untouched. */
enum unwind_step unwind_step(const struct unwind_arch *arch, const struct kymo_unwind_rule *rule,
			     struct unwind_frame *frame, unwind_read_fn read, void *data);

#endif
