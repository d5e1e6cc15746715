/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a perf map: what is found lies in the file, and stands behind two numbers that have the address. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "elf/perf_map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint64_t addresses[] = { 0,	  1,   0x10, 0x1000, 0x1010, 0x7f48b8005e80,
					      UINT64_MAX, 0x10 };
	const struct elf_file f = { .fd = -1, .memory = data, .size = size };
	struct perf_map_name names[ARRAY_SIZE(addresses)];

	if (perf_map_find(&f, addresses, ARRAY_SIZE(addresses), names) < 0)
		abort();
	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
		const struct perf_map_name *n = &names[i];

		if (n->size > PERF_MAP_NAME_MAX || n->offset > size || n->size > size - n->offset)
			abort();
		if (n->size && (n->offset < 4 || memchr(data + n->offset, '\n', n->size)))
			abort();
	}
	if (names[2].offset != names[7].offset)
		abort();
	return 0;
}
