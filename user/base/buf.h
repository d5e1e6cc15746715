/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing byte buffer. Zero-initialised is empty and valid. A failed append
 * leaves the buffer as it was and returns -ENOMEM. Not NUL-terminated, except
 * after buf_printf and buf_str.
 */
#ifndef KYMO_BASE_BUF_H
#define KYMO_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *data;
	size_t size; /* bytes used */
	size_t cap;  /* bytes allocated */
};

void buf_release(struct buf *b);
void buf_clear(struct buf *b); /* keeps the allocation */
int buf_reserve(struct buf *b, size_t more_bytes);
int buf_append(struct buf *b, const void *data, size_t size);
int buf_append_str(struct buf *b, const char *s); /* without its NUL */
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* NUL-terminates (the NUL is not counted in size); NULL when out of memory. */
const char *buf_str(struct buf *b);

/* LEB128, and zigzag for signed values. */
int buf_put_varint(struct buf *b, uint64_t v);
int buf_put_svarint(struct buf *b, int64_t v);

/* A bounded reader over foreign bytes: every get checks, a failed get sets
 * `failed` for good and returns 0, so a decoder may test once at its end. */
struct reader {
	const uint8_t *p, *end;
	bool failed;
};

uint64_t reader_varint(struct reader *r);
int64_t reader_svarint(struct reader *r);
uint8_t reader_u8(struct reader *r);
uint16_t reader_u16(struct reader *r); /* little endian */
uint32_t reader_u32(struct reader *r);
uint64_t reader_u64(struct reader *r);
/* A pointer to `size` bytes inside the input, or NULL (and failed). */
const uint8_t *reader_bytes(struct reader *r, size_t size);

#endif
