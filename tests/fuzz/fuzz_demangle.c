/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a symbol's name. */
#include <stdint.h>
#include <stdlib.h>

#include "elf/demangle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char out[4096];
	size_t n = 0;

	if (elf_demangle((const char *)data, size, out, sizeof(out), &n) == 0 && n > sizeof(out))
		abort();
	return 0;
}
