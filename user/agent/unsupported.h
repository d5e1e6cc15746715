/* SPDX-License-Identifier: Apache-2.0 */
/* Interpreters that cannot be walked: each version and reason is told once. */
#ifndef KYMO_AGENT_UNSUPPORTED_H
#define KYMO_AGENT_UNSUPPORTED_H

#include <stdbool.h>
#include <stdint.h>

#include "python/python.h"

struct unsupported {
	uint64_t told[PYTHON_SUPPORT_MAX]; /* a bit for each minor version */
};

/* As files_stats has it, 0 and 0 = none. True once for each: then it is to be told. */
bool unsupported_is_new(struct unsupported *u, uint32_t version, enum python_support why);
void unsupported_tell(uint32_t version, enum python_support why);

#endif
