/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "python/python.h"

#define REPLACEMENT 0xfffd

static uint32_t character(const uint8_t *p, unsigned kind)
{
	uint32_t c = p[0];

	for (unsigned i = 1; i < kind; i++)
		c |= (uint32_t)p[i] << (8 * i);
	/* CPython keeps lone surrogates (undecodable bytes of a path); NUL would end the text. */
	if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return REPLACEMENT;
	return c;
}

static size_t encode(uint32_t c, uint8_t out[4])
{
	if (c < 0x80) {
		out[0] = (uint8_t)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (uint8_t)(0xc0 | c >> 6);
		out[1] = (uint8_t)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (uint8_t)(0xe0 | c >> 12);
		out[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		out[2] = (uint8_t)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (uint8_t)(0xf0 | c >> 18);
	out[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
	out[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
	out[3] = (uint8_t)(0x80 | (c & 0x3f));
	return 4;
}

int python_text(struct buf *out, const uint8_t *text, size_t size, unsigned kind)
{
	size_t before = out->size;

	if (kind != 1 && kind != 2 && kind != 4)
		return -EINVAL;
	for (size_t i = 0; i + kind <= size; i += kind) {
		uint8_t utf8[4];

		if (buf_append(out, utf8, encode(character(text + i, kind), utf8)) < 0) {
			out->size = before;
			return -ENOMEM;
		}
	}
	return 0;
}
