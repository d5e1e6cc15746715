/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside user/unwind: a bounded reader of DWARF bytes, inline (a row takes few bytes and few
 * nanoseconds). A failed get gives 0 and sets `failed` for good, as base/buf.h's reader.
 */
#ifndef KYMO_UNWIND_CURSOR_H
#define KYMO_UNWIND_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct cursor {
	const uint8_t *p, *end;
	bool failed;
};

static inline uint64_t cursor_fail(struct cursor *c)
{
	c->failed = true;
	c->p = c->end;
	return 0;
}

/* Little endian, 1 to 8 bytes. */
static inline uint64_t cursor_fixed(struct cursor *c, size_t size)
{
	uint64_t v = 0;

	if ((size_t)(c->end - c->p) < size)
		return cursor_fail(c);
	memcpy(&v, c->p, size);
	c->p += size;
	return v;
}

static inline uint8_t cursor_u8(struct cursor *c)
{
	if (c->p == c->end)
		return (uint8_t)cursor_fail(c);
	return *c->p++;
}

/* Fails above 64 bits. */
static inline uint64_t cursor_uleb(struct cursor *c)
{
	uint64_t v = 0;

	for (unsigned int shift = 0; shift < 64; shift += 7) {
		uint8_t byte = cursor_u8(c);

		v |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return v;
	}
	return cursor_fail(c);
}

static inline int64_t cursor_sleb(struct cursor *c)
{
	uint64_t v = 0;

	for (unsigned int shift = 0; shift < 64;) {
		uint8_t byte = cursor_u8(c);

		v |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
		if (byte & 0x80)
			continue;
		if (shift < 64 && (byte & 0x40))
			v |= ~0ULL << shift;
		return (int64_t)v;
	}
	return (int64_t)cursor_fail(c);
}

/* `size` bytes inside the input, as a cursor; an empty failed one when there are fewer. */
static inline struct cursor cursor_part(struct cursor *c, uint64_t size)
{
	struct cursor part = { .p = c->p, .end = c->p };

	if ((uint64_t)(c->end - c->p) < size) {
		cursor_fail(c);
		part.failed = true;
		return part;
	}
	c->p += size;
	part.end = c->p;
	return part;
}

#endif
