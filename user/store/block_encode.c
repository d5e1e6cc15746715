/* SPDX-License-Identifier: Apache-2.0 */
#include "store/block_codec.h"

#include <errno.h>

#include "base/array.h"
#include "base/hmap.h"

/* Smaller parts cost more in tables than they save. */
#define PART_BYTES_MIN 2048

struct block_kind_key {
	uint16_t source;
	uint16_t state;
	uint32_t end;
};

static int check_rows(const struct tick_row *rows, size_t rows_n, const uint32_t *offsets,
		      size_t offsets_n)
{
	size_t samples = 0;

	if (rows_n > BLOCK_ROWS_MAX || offsets_n > BLOCK_SAMPLES_MAX)
		return -E2BIG;
	for (size_t i = 0; i < rows_n; i++) {
		const struct tick_row *row = &rows[i];

		if (row->count == 0 || row->first_offset > offsets_n ||
		    row->count > offsets_n - row->first_offset)
			return -EINVAL;
		if (i > 0 && block_compare_rows(row - 1, row) >= 0)
			return -EINVAL;
		for (uint32_t k = 1; k < row->count; k++)
			if (offsets[row->first_offset + k] < offsets[row->first_offset + k - 1])
				return -EINVAL;
		samples += row->count;
		if (samples > offsets_n)
			return -EINVAL;
	}
	return 0;
}

static struct block_kind make_kind(const struct tick_row *row)
{
	struct block_kind k = { row->source, row->state, row->end, row->weight / row->count, 0 };

	if (row->source == KYMO_SOURCE_CPU && k.unit >= GRID_NS_MIN && k.unit <= UINT32_MAX)
		k.grid_ns = (uint32_t)k.unit;
	return k;
}

static int find_kinds(struct block_codec *c, const struct tick_row *rows, size_t rows_n)
{
	struct hmap seen;
	int r = 0;

	c->kinds_n = 0;
	hmap_init(&seen, sizeof(struct block_kind_key), sizeof(uint32_t), 0);
	for (size_t i = 0; i < rows_n && r == 0; i++) {
		const struct tick_row *row = &rows[i];
		struct block_kind_key key = { row->source, row->state, row->end };
		bool is_new;
		uint32_t *kind = hmap_put(&seen, &key, &is_new);

		if (!kind) {
			r = -ENOMEM;
			break;
		}
		if (is_new) {
			r = array_reserve(&c->kinds, &c->kinds_cap, c->kinds_n + 1);
			if (r < 0)
				break;
			*kind = (uint32_t)c->kinds_n;
			c->kinds[c->kinds_n++] = make_kind(row);
		}
		c->row_kind[i] = *kind;
	}
	hmap_release(&seen);
	return r;
}

/* Rounded so that each thread's sum stays within a microsecond of the truth. */
static void quantise_cpu(struct block_codec *c, const struct tick_row *rows, size_t rows_n)
{
	int64_t rest = 0;

	for (size_t i = 0; i < rows_n; i++) {
		int64_t ns;

		if (i == 0 || rows[i].thread != rows[i - 1].thread)
			rest = 0;
		if (__builtin_add_overflow(rows[i].seen.cpu_ns, rest, &ns))
			ns = rows[i].seen.cpu_ns;
		c->row_cpu_us[i] = ns / 1000;
		rest = ns % 1000;
	}
}

static void find_seen(struct block_codec *c, const struct tick_row *rows, size_t rows_n)
{
	for (size_t i = 0; i < rows_n; i++) {
		c->row_seen[i] = c->row_cpu_us[i] ? 1u << SEEN_CPU : 0;
		for (unsigned int f = SEEN_CPU + 1; f < SEEN_FIELDS; f++)
			if (block_seen_get(&rows[i].seen, f))
				c->row_seen[i] |= 1u << f;
	}
}

static int put_head(struct block_codec *c, size_t rows_n, const struct tick_row *rows)
{
	uint64_t samples = 0;
	int r;

	for (size_t i = 0; i < rows_n; i++)
		samples += rows[i].count;
	r = buf_put_varint(&c->raw, rows_n);
	if (r == 0)
		r = buf_put_varint(&c->raw, samples);
	if (r == 0)
		r = buf_put_varint(&c->raw, c->kinds_n);
	for (size_t i = 0; i < c->kinds_n && r == 0; i++) {
		r = buf_put_varint(&c->raw, c->kinds[i].source);
		if (r == 0)
			r = buf_put_varint(&c->raw, c->kinds[i].state);
		if (r == 0)
			r = buf_put_varint(&c->raw, c->kinds[i].end);
		if (r == 0)
			r = buf_put_varint(&c->raw, c->kinds[i].unit);
		if (r == 0)
			r = buf_put_varint(&c->raw, c->kinds[i].grid_ns);
	}
	return r;
}

static int put_keys(struct block_codec *c, const struct tick_row *rows, size_t rows_n)
{
	uint32_t thread = 0;
	int r = 0;

	for (size_t i = 0; i < rows_n && r == 0; i++) {
		r = buf_put_varint(&c->raw, rows[i].thread - thread);
		thread = rows[i].thread;
	}
	for (size_t i = 0; i < rows_n && r == 0; i++)
		r = buf_put_varint(&c->raw, c->row_kind[i]);
	for (size_t i = 0; i < rows_n && r == 0; i++)
		r = buf_put_varint(&c->raw, rows[i].count - 1);
	for (size_t i = 0; i < rows_n && r == 0; i++)
		r = buf_put_svarint(
			&c->raw,
			(int64_t)(rows[i].weight - c->kinds[c->row_kind[i]].unit * rows[i].count));
	for (size_t i = 0; i < rows_n && r == 0; i++)
		r = buf_put_varint(&c->raw, c->row_seen[i]);
	return r;
}

static int put_stacks(struct block_codec *c, const struct tick_row *rows, size_t rows_n)
{
	uint32_t stack = 0;
	int r = 0;

	for (size_t i = 0; i < rows_n && r == 0; i++) {
		if (i == 0 || rows[i].thread != rows[i - 1].thread)
			stack = 0;
		r = buf_put_varint(&c->raw, rows[i].stack - stack);
		stack = rows[i].stack;
	}
	return r;
}

static int put_seen(struct block_codec *c, const struct tick_row *rows, size_t rows_n)
{
	int r = 0;

	for (unsigned int f = 0; f < SEEN_FIELDS; f++)
		for (size_t i = 0; i < rows_n && r == 0; i++)
			if (c->row_seen[i] & 1u << f)
				r = buf_put_svarint(
					&c->raw, f == SEEN_CPU ? c->row_cpu_us[i]
							       : block_seen_get(&rows[i].seen, f));
	return r;
}

/* Of one row: the lines into the raw buffer, the differences into `differences`. */
static int put_row_grid(struct block_codec *c, const uint32_t *own, uint32_t count,
			uint32_t grid_ns, int64_t *phase)
{
	const int64_t grid_us = grid_ns / 1000;
	uint64_t last = 0;
	int r = 0;

	for (uint32_t k = 0; k < count && r == 0; k++) {
		int64_t at = block_phase_on(*phase, grid_ns) - grid_us, difference;
		uint64_t line = ((uint64_t)(own[k] - at) * 1000 + grid_ns / 2) / grid_ns;

		/* Two phases may round the later offset to the earlier line. */
		line = line < last ? last : line;
		difference = own[k] - at - block_line_us(line, grid_ns);
		r = buf_put_varint(&c->raw, line - last);
		if (r == 0)
			r = buf_put_svarint(&c->differences, difference);
		*phase = at + difference;
		last = line;
	}
	return r;
}

static int put_row_plain(const uint32_t *own, uint32_t count, struct buf *differences)
{
	int r = buf_put_varint(differences, own[0]);

	for (uint32_t k = 1; k < count && r == 0; k++)
		r = buf_put_varint(differences, own[k] - own[k - 1]);
	return r;
}

static int put_offsets(struct block_codec *c, const struct tick_row *rows, size_t rows_n,
		       const uint32_t *offsets)
{
	int64_t phase = 0;
	int r = 0;

	buf_clear(&c->differences);
	for (size_t i = 0; i < rows_n && r == 0; i++) {
		const uint32_t *own = offsets + rows[i].first_offset;
		uint32_t grid_ns = c->kinds[c->row_kind[i]].grid_ns;

		r = grid_ns ? put_row_grid(c, own, rows[i].count, grid_ns, &phase)
			    : put_row_plain(own, rows[i].count, &c->differences);
	}
	c->part_end[PART_GRID] = c->raw.size;
	return r == 0 ? buf_append(&c->raw, c->differences.data, c->differences.size) : r;
}

/* One frame; a flush (a block with tables of its own) behind each part that is worth it. */
static int compress_parts(struct block_codec *c, ZSTD_outBuffer *out)
{
	ZSTD_inBuffer in = { c->raw.data, 0, 0 };
	size_t start = 0, left;

	ZSTD_CCtx_reset(c->compress, ZSTD_reset_session_only);
	ZSTD_CCtx_setPledgedSrcSize(c->compress, c->raw.size);
	for (int part = 0; part < PART_MAX; part++) {
		bool last = part == PART_MAX - 1;

		if (!last && (c->part_end[part] - start < PART_BYTES_MIN ||
			      c->raw.size - c->part_end[part] < PART_BYTES_MIN))
			continue;
		in.size = start = c->part_end[part];
		left = ZSTD_compressStream2(c->compress, out, &in,
					    last ? ZSTD_e_end : ZSTD_e_flush);
		if (left) /* an error: the output has room for all */
			return -ENOMEM;
	}
	return 0;
}

static int compress(struct block_codec *c, struct buf *out)
{
	/* Each flush adds a block's header. */
	size_t bound = ZSTD_compressBound(c->raw.size) + (size_t)PART_MAX * 64;
	ZSTD_outBuffer z = { .size = bound };
	uint8_t version = BLOCK_VERSION;
	int r;

	buf_clear(out);
	r = buf_reserve(out, 1 + bound);
	if (r == 0)
		r = buf_append(out, &version, 1);
	if (r < 0)
		return r;
	z.dst = out->data + 1;
	r = compress_parts(c, &z);
	out->size += z.pos;
	if (r == 0 && out->size > BLOCK_SIZE_MAX)
		r = -E2BIG;
	return r;
}

static int put_parts(struct block_codec *c, const struct tick_row *rows, size_t rows_n,
		     const uint32_t *offsets_us)
{
	int r = put_head(c, rows_n, rows);

	if (r == 0)
		r = put_keys(c, rows, rows_n);
	c->part_end[PART_KEYS] = c->raw.size;
	if (r == 0)
		r = put_stacks(c, rows, rows_n);
	c->part_end[PART_STACKS] = c->raw.size;
	if (r == 0)
		r = put_seen(c, rows, rows_n);
	c->part_end[PART_SEEN] = c->raw.size;
	if (r == 0)
		r = put_offsets(c, rows, rows_n, offsets_us);
	c->part_end[PART_OFFSETS] = c->raw.size;
	return r;
}

int block_encode(struct block_codec *c, const struct tick_row *rows, size_t rows_n,
		 const uint32_t *offsets_us, size_t offsets_n, struct buf *out)
{
	int r = check_rows(rows, rows_n, offsets_us, offsets_n);

	if (r == 0)
		r = block_reserve_rows(c, rows_n);
	if (r == 0)
		r = find_kinds(c, rows, rows_n);
	if (r < 0)
		return r;
	quantise_cpu(c, rows, rows_n);
	find_seen(c, rows, rows_n);
	buf_clear(&c->raw);
	r = put_parts(c, rows, rows_n, offsets_us);
	if (r < 0)
		return r;
	return c->raw.size > BLOCK_RAW_MAX ? -E2BIG : compress(c, out);
}
