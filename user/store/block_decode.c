/* SPDX-License-Identifier: Apache-2.0 */
/* Every byte is hostile. */
#include "store/block_codec.h"

#include <errno.h>
#include <string.h>

#include "base/array.h"

#define ZSTD_MAGIC_SIZE	   4
#define ZSTD_FLAG_CHECKSUM (1 << 2) /* of the frame header descriptor, RFC 8878, 3.1.1.1.1 */

static int expand(struct block_codec *c, const uint8_t *data, size_t size)
{
	unsigned long long raw_size;
	size_t n;

	if (size < 1 + ZSTD_MAGIC_SIZE + 1 || size > BLOCK_SIZE_MAX || data[0] != BLOCK_VERSION)
		return -EBADMSG;
	data++;
	size--;
	/* Exactly one frame, with its size and checksum told. */
	raw_size = ZSTD_getFrameContentSize(data, size);
	if (raw_size > BLOCK_RAW_MAX) /* the error codes are the highest values */
		return -EBADMSG;
	if (!(data[ZSTD_MAGIC_SIZE] & ZSTD_FLAG_CHECKSUM) ||
	    ZSTD_findFrameCompressedSize(data, size) != size)
		return -EBADMSG;
	buf_clear(&c->raw);
	if (buf_reserve(&c->raw, raw_size + 1) < 0)
		return -ENOMEM;
	n = ZSTD_decompressDCtx(c->expand, c->raw.data, raw_size, data, size);
	if (ZSTD_isError(n) || n != raw_size)
		return -EBADMSG;
	c->raw.size = raw_size;
	return 0;
}

/* Nearly all numbers are one byte or two. */
static inline uint64_t get_varint(struct reader *r)
{
	const uint8_t *p = r->p;

	if (r->end - p >= 2 && !r->failed) {
		if (!(p[0] & 0x80)) {
			r->p = p + 1;
			return p[0];
		}
		if (p[1] && !(p[1] & 0x80)) {
			r->p = p + 2;
			return (p[0] & 0x7fu) | (uint64_t)p[1] << 7;
		}
	}
	return reader_varint(r);
}

static inline int64_t get_svarint(struct reader *r)
{
	uint64_t v = get_varint(r);

	return (int64_t)(v >> 1 ^ -(v & 1));
}

static inline uint32_t get_bounded(struct reader *r, uint64_t max)
{
	uint64_t v = get_varint(r);

	if (v <= max)
		return (uint32_t)v;
	r->failed = true;
	return 0;
}

/* The sum of a running value and a delta, kept within 32 bits. */
static uint32_t get_delta(struct reader *r, uint32_t base)
{
	return base + get_bounded(r, UINT32_MAX - base);
}

static int get_kinds(struct block_codec *c, struct reader *in)
{
	size_t n = get_bounded(in, BLOCK_ROWS_MAX);

	/* Five bytes each, at least: the input bounds the allocation. */
	if (in->failed || n > (size_t)(in->end - in->p) / 5)
		return -EBADMSG;
	if (array_reserve(&c->kinds, &c->kinds_cap, n) < 0)
		return -ENOMEM;
	for (c->kinds_n = 0; c->kinds_n < n; c->kinds_n++) {
		struct block_kind *k = &c->kinds[c->kinds_n];

		k->source = (uint16_t)get_bounded(in, UINT16_MAX);
		k->state = (uint16_t)get_bounded(in, UINT16_MAX);
		k->end = get_bounded(in, UINT32_MAX);
		k->unit = get_varint(in);
		k->grid_ns = get_bounded(in, UINT32_MAX);
		if (k->grid_ns && k->grid_ns < GRID_NS_MIN)
			in->failed = true;
	}
	return in->failed ? -EBADMSG : 0;
}

#define ROW_BYTES_MIN 7 /* thread, stack, kind, count, weight, seen, one offset */

static int get_head(struct block_codec *c, struct reader *in, struct store_block *b)
{
	size_t rows_n = get_bounded(in, BLOCK_ROWS_MAX);
	size_t samples_n = get_bounded(in, BLOCK_SAMPLES_MAX);
	int r;

	if (in->failed || rows_n > (size_t)(in->end - in->p) / ROW_BYTES_MIN ||
	    samples_n > (size_t)(in->end - in->p) || samples_n < rows_n)
		return -EBADMSG;
	r = get_kinds(c, in);
	if (r < 0)
		return r;
	if (array_reserve(&b->rows, &b->rows_cap, rows_n) < 0 ||
	    array_reserve(&b->offsets_us, &b->offsets_cap, samples_n) < 0 ||
	    block_reserve_rows(c, rows_n) < 0)
		return -ENOMEM;
	b->rows_n = rows_n;
	b->offsets_n = samples_n;
	if (rows_n)
		memset(b->rows, 0, rows_n * sizeof(*b->rows));
	return 0;
}

static void get_keys(struct block_codec *c, struct reader *in, struct store_block *b)
{
	size_t samples = 0;
	uint32_t thread = 0;

	for (size_t i = 0; i < b->rows_n; i++)
		b->rows[i].thread = thread = get_delta(in, thread);
	for (size_t i = 0; i < b->rows_n; i++) {
		c->row_kind[i] = get_bounded(in, UINT32_MAX);
		if (c->row_kind[i] >= c->kinds_n) {
			in->failed = true;
			return;
		}
		b->rows[i].source = c->kinds[c->row_kind[i]].source;
		b->rows[i].state = c->kinds[c->row_kind[i]].state;
		b->rows[i].end = c->kinds[c->row_kind[i]].end;
	}
	for (size_t i = 0; i < b->rows_n; i++) {
		b->rows[i].count = get_bounded(in, BLOCK_SAMPLES_MAX - 1) + 1;
		b->rows[i].first_offset = (uint32_t)samples;
		samples += b->rows[i].count;
		if (samples > b->offsets_n) {
			in->failed = true;
			return;
		}
	}
	if (samples != b->offsets_n)
		in->failed = true;
	/* Modulo 2^64 on both sides, so that every weight has its difference. */
	for (size_t i = 0; i < b->rows_n; i++)
		b->rows[i].weight = c->kinds[c->row_kind[i]].unit * b->rows[i].count +
				    (uint64_t)get_svarint(in);
	for (size_t i = 0; i < b->rows_n; i++)
		c->row_seen[i] = get_bounded(in, (1u << SEEN_FIELDS) - 1);
}

static void get_stacks(struct reader *in, struct store_block *b)
{
	uint32_t stack = 0;

	for (size_t i = 0; i < b->rows_n; i++) {
		if (i == 0 || b->rows[i].thread != b->rows[i - 1].thread)
			stack = 0;
		b->rows[i].stack = stack = get_delta(in, stack);
		if (i > 0 && block_compare_rows(&b->rows[i - 1], &b->rows[i]) >= 0)
			in->failed = true;
	}
}

static void get_seen(struct block_codec *c, struct reader *in, struct store_block *b)
{
	for (unsigned int f = 0; f < SEEN_FIELDS; f++)
		for (size_t i = 0; i < b->rows_n; i++) {
			int64_t v;

			if (!(c->row_seen[i] & 1u << f))
				continue;
			v = get_svarint(in);
			if (f == SEEN_CPU && __builtin_mul_overflow(v, 1000, &v)) {
				in->failed = true;
				v = 0;
			}
			block_seen_set(&b->rows[i].seen, f, v);
		}
}

/* The lines are kept where the offsets will be. */
static void get_lines(struct block_codec *c, struct reader *in, struct store_block *b)
{
	for (size_t i = 0; i < b->rows_n; i++) {
		uint32_t *own = b->offsets_us + b->rows[i].first_offset, at = 0;

		if (!c->kinds[c->row_kind[i]].grid_ns)
			continue;
		for (uint32_t k = 0; k < b->rows[i].count; k++)
			own[k] = at = get_delta(in, at);
	}
}

static uint32_t get_near_line(struct reader *in, uint32_t line, uint32_t grid_ns, int64_t *phase)
{
	int64_t at = block_phase_on(*phase, grid_ns) - grid_ns / 1000;
	int64_t difference = get_svarint(in);

	if (difference < -(int64_t)UINT32_MAX || difference > (int64_t)UINT32_MAX) {
		in->failed = true;
		return 0;
	}
	*phase = at + difference;
	at += block_line_us(line, grid_ns) + difference;
	if (at >= 0 && at <= (int64_t)UINT32_MAX)
		return (uint32_t)at;
	in->failed = true;
	return 0;
}

static void get_offsets(struct block_codec *c, struct reader *in, struct store_block *b)
{
	int64_t phase = 0;

	for (size_t i = 0; i < b->rows_n; i++) {
		uint32_t *own = b->offsets_us + b->rows[i].first_offset, last = 0;
		uint32_t grid_ns = c->kinds[c->row_kind[i]].grid_ns;

		for (uint32_t k = 0; k < b->rows[i].count; k++) {
			own[k] = grid_ns ? get_near_line(in, own[k], grid_ns, &phase)
					 : get_delta(in, last);
			if (own[k] < last)
				in->failed = true;
			last = own[k];
		}
	}
}

static int get_parts(struct block_codec *c, struct reader *in, struct store_block *b)
{
	get_keys(c, in, b);
	/* The counts say where the offsets go: nothing is stored by counts that do not add up. */
	if (!in->failed)
		get_stacks(in, b);
	if (!in->failed)
		get_seen(c, in, b);
	if (!in->failed)
		get_lines(c, in, b);
	if (!in->failed)
		get_offsets(c, in, b);
	return in->failed || in->p != in->end ? -EBADMSG : 0;
}

int block_decode(struct block_codec *c, const void *data, size_t size, struct store_block *ret)
{
	struct reader in;
	int r;

	ret->rows_n = ret->offsets_n = 0;
	r = expand(c, data, size);
	if (r < 0)
		return r;
	in = (struct reader){ c->raw.data, c->raw.data + c->raw.size, false };
	r = get_head(c, &in, ret);
	if (r == 0)
		r = get_parts(c, &in, ret);
	if (r < 0)
		ret->rows_n = ret->offsets_n = 0;
	return r;
}
