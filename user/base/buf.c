/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_release(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ 0 };
}

void buf_clear(struct buf *b)
{
	b->size = 0;
}

int buf_reserve(struct buf *b, size_t more_bytes)
{
	size_t need, cap = b->cap ? b->cap : 64;
	uint8_t *p;

	if (__builtin_add_overflow(b->size, more_bytes, &need))
		return -ENOMEM;
	if (need <= b->cap)
		return 0;
	while (cap < need) {
		if (cap > SIZE_MAX / 2)
			return -ENOMEM;
		cap *= 2;
	}
	p = realloc(b->data, cap);
	if (!p)
		return -ENOMEM;
	b->data = p;
	b->cap = cap;
	return 0;
}

int buf_append(struct buf *b, const void *data, size_t size)
{
	if (!size)
		return 0;
	if (buf_reserve(b, size) < 0)
		return -ENOMEM;
	memcpy(b->data + b->size, data, size);
	b->size += size;
	return 0;
}

int buf_append_str(struct buf *b, const char *s)
{
	return buf_append(b, s, strlen(s));
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list args, again;
	int n;

	va_start(args, fmt);
	va_copy(again, args);
	n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (n < 0 || buf_reserve(b, (size_t)n + 1) < 0) {
		va_end(again);
		return -ENOMEM;
	}
	vsnprintf((char *)b->data + b->size, (size_t)n + 1, fmt, again);
	va_end(again);
	b->size += (size_t)n;
	return 0;
}

const char *buf_str(struct buf *b)
{
	if (buf_reserve(b, 1) < 0)
		return NULL;
	b->data[b->size] = 0;
	return (const char *)b->data;
}

int buf_put_varint(struct buf *b, uint64_t v)
{
	uint8_t bytes[10];
	size_t n = 0;

	while (v >= 0x80) {
		bytes[n++] = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	bytes[n++] = (uint8_t)v;
	return buf_append(b, bytes, n);
}

int buf_put_svarint(struct buf *b, int64_t v)
{
	return buf_put_varint(b, ((uint64_t)v << 1) ^ (uint64_t)(v >> 63));
}

static uint64_t fail(struct reader *r)
{
	r->failed = true;
	r->p = r->end;
	return 0;
}

uint64_t reader_varint(struct reader *r)
{
	uint64_t v = 0;

	for (unsigned int shift = 0; shift < 70; shift += 7) {
		uint8_t byte;

		if (r->p == r->end || r->failed)
			return fail(r);
		byte = *r->p++;
		if (shift == 63 && byte > 1)
			return fail(r); /* more than 64 bits */
		v |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return v;
	}
	return fail(r);
}

int64_t reader_svarint(struct reader *r)
{
	uint64_t v = reader_varint(r);

	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

const uint8_t *reader_bytes(struct reader *r, size_t size)
{
	const uint8_t *p = r->p;

	if (r->failed || (size_t)(r->end - r->p) < size) {
		fail(r);
		return NULL;
	}
	r->p += size;
	return p;
}

uint8_t reader_u8(struct reader *r)
{
	const uint8_t *p = reader_bytes(r, 1);

	return p ? *p : 0;
}

uint16_t reader_u16(struct reader *r)
{
	const uint8_t *p = reader_bytes(r, 2);

	return p ? (uint16_t)(p[0] | p[1] << 8) : 0;
}

uint32_t reader_u32(struct reader *r)
{
	const uint8_t *p = reader_bytes(r, 4);

	return p ? (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
			       (uint32_t)p[3] << 24
		 : 0;
}

uint64_t reader_u64(struct reader *r)
{
	uint64_t low = reader_u32(r), high = reader_u32(r);

	return r->failed ? 0 : low | high << 32;
}
