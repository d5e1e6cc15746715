/* SPDX-License-Identifier: Apache-2.0 */
/* Growth of plain arrays: `array_reserve(&items, &cap, need)` where items is a typed pointer. */
#ifndef KYMO_BASE_ARRAY_H
#define KYMO_BASE_ARRAY_H

#include <stddef.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* 0, or -ENOMEM with everything left as it was. Doubles, so appends are amortised. */
int array_reserve_bytes(void **items, size_t *cap, size_t need, size_t item_size);
#define array_reserve(items, cap, need) \
	array_reserve_bytes((void **)(items), (cap), (need), sizeof(**(items)))

#endif
