/* SPDX-License-Identifier: Apache-2.0 */
#include "store/block.h"

#include <errno.h>
#include <string.h>
#include <zstd.h>

#include "base/array.h"
#include "base/hmap.h"

/*
 * Level 1 because the columns hold little that repeats at a distance: level 3 takes twice the
 * time for 2 % of the bytes.
 */
#define BLOCK_LEVEL 1

/* The bits of the seen-at bitmap, in the order of the format: the most frequent fit its first byte. */
static const size_t seen_fields[SEEN_FIELDS] = {
	offsetof(struct seen, cpu_ns),
	offsetof(struct seen, rss_anon_pages),
	offsetof(struct seen, minor_faults),
	offsetof(struct seen, voluntary_switches),
	offsetof(struct seen, involuntary_switches),
	offsetof(struct seen, rss_file_pages),
	offsetof(struct seen, read_bytes),
	offsetof(struct seen, write_bytes),
	offsetof(struct seen, rss_shmem_pages),
	offsetof(struct seen, swap_pages),
	offsetof(struct seen, major_faults),
};
static_assert(sizeof(struct seen) == SEEN_FIELDS * sizeof(int64_t), "a field of seen is not stored");

#define SEEN_CPU 0

/*
 * What rows of one kind share. Their weight is near count * unit; where that is the period of a
 * timer, their offsets lie near a grid of it (0 = no grid), from a phase that a CPU keeps.
 */
struct block_kind {
	uint16_t source;
	uint16_t state;
	uint32_t end;
	uint64_t unit;
	uint32_t grid_ns;
};

/* Faster timers gain nothing by it; lines then count in 32 bits with room to spare. */
#define GRID_NS_MIN 10000

/* Columns whose bytes are alike: each part is compressed with statistics of its own. */
enum block_part {
	PART_KEYS, /* head, thread, kind, count, weight, seen bitmap */
	PART_STACKS,
	PART_SEEN,
	PART_GRID, /* which line of the grid */
	PART_OFFSETS,
	PART_MAX,
};

/* Smaller parts cost more in tables than they save. */
#define PART_BYTES_MIN 2048

struct block_kind_key {
	uint16_t source;
	uint16_t state;
	uint32_t end;
};

struct block_codec {
	ZSTD_CCtx *compress;
	ZSTD_DCtx *expand;
	struct buf raw, differences;
	size_t part_end[PART_MAX];
	struct block_kind *kinds;
	size_t kinds_n, kinds_cap;
	/* Per row */
	uint32_t *row_kind;
	size_t row_kind_cap;
	uint32_t *row_seen; /* bitmap */
	size_t row_seen_cap;
	int64_t *row_cpu_us;
	size_t row_cpu_us_cap;
};

int block_codec_new(struct block_codec **ret)
{
	_cleanup_(block_codec_freep) struct block_codec *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->compress = ZSTD_createCCtx();
	c->expand = ZSTD_createDCtx();
	if (!c->compress || !c->expand)
		return -ENOMEM;
	ZSTD_CCtx_setParameter(c->compress, ZSTD_c_compressionLevel, BLOCK_LEVEL);
	ZSTD_CCtx_setParameter(c->compress, ZSTD_c_checksumFlag, 1);
	*ret = TAKE_PTR(c);
	return 0;
}

void block_codec_free(struct block_codec *c)
{
	if (!c)
		return;
	ZSTD_freeCCtx(c->compress);
	ZSTD_freeDCtx(c->expand);
	buf_release(&c->raw);
	buf_release(&c->differences);
	free(c->kinds);
	free(c->row_kind);
	free(c->row_seen);
	free(c->row_cpu_us);
	free(c);
}

static int64_t seen_get(const struct seen *s, unsigned int field)
{
	int64_t v;

	memcpy(&v, (const uint8_t *)s + seen_fields[field], sizeof(v));
	return v;
}

static void seen_set(struct seen *s, unsigned int field, int64_t v)
{
	memcpy((uint8_t *)s + seen_fields[field], &v, sizeof(v));
}

/* < 0, 0, > 0 as the keys of two rows compare. */
static int row_compare(const struct tick_row *a, const struct tick_row *b)
{
	if (a->thread != b->thread)
		return a->thread < b->thread ? -1 : 1;
	if (a->stack != b->stack)
		return a->stack < b->stack ? -1 : 1;
	if (a->source != b->source)
		return a->source < b->source ? -1 : 1;
	if (a->state != b->state)
		return a->state < b->state ? -1 : 1;
	if (a->end != b->end)
		return a->end < b->end ? -1 : 1;
	return 0;
}

static int block_reserve_rows(struct block_codec *c, size_t rows_n)
{
	int r = array_reserve(&c->row_kind, &c->row_kind_cap, rows_n);

	if (r == 0)
		r = array_reserve(&c->row_seen, &c->row_seen_cap, rows_n);
	if (r == 0)
		r = array_reserve(&c->row_cpu_us, &c->row_cpu_us_cap, rows_n);
	return r;
}

/* ---- encoding ---- */

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
		if (i > 0 && row_compare(row - 1, row) >= 0)
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
			if (seen_get(&rows[i].seen, f))
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
		r = buf_put_svarint(&c->raw,
				    (int64_t)(rows[i].weight -
					      c->kinds[c->row_kind[i]].unit * rows[i].count));
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
				r = buf_put_svarint(&c->raw, f == SEEN_CPU ?
								     c->row_cpu_us[i] :
								     seen_get(&rows[i].seen, f));
	return r;
}

/* Where the line is on the grid: whole us, so that a line and a difference are an offset again. */
static int64_t line_us(uint64_t line, uint32_t grid_ns)
{
	return (int64_t)(line * grid_ns / 1000);
}

/*
 * The phase that an offset is compared with: that of the one before, for a thread mostly stays on
 * its CPU. Brought within one line of this grid, so that lines count from -1.
 */
static int64_t phase_on(int64_t phase, uint32_t grid_ns)
{
	int64_t grid_us = grid_ns / 1000, at = phase % grid_us;

	return at < 0 ? at + grid_us : at;
}

/* Of one row: the lines into the raw buffer, the differences into `differences`. */
static int put_row_grid(struct block_codec *c, const uint32_t *own, uint32_t count, uint32_t grid_ns,
			int64_t *phase)
{
	const int64_t grid_us = grid_ns / 1000;
	uint64_t last = 0;
	int r = 0;

	for (uint32_t k = 0; k < count && r == 0; k++) {
		int64_t at = phase_on(*phase, grid_ns) - grid_us, difference;
		uint64_t line = ((uint64_t)(own[k] - at) * 1000 + grid_ns / 2) / grid_ns;

		/* Two phases may round the later offset to the earlier line. */
		line = line < last ? last : line;
		difference = own[k] - at - line_us(line, grid_ns);
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

		r = grid_ns ? put_row_grid(c, own, rows[i].count, grid_ns, &phase) :
			      put_row_plain(own, rows[i].count, &c->differences);
	}
	c->part_end[PART_GRID] = c->raw.size;
	return r == 0 ? buf_append(&c->raw, c->differences.data, c->differences.size) : r;
}

/* One frame, with a flush (its own block, with its own tables) behind each part that is worth it. */
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
		left = ZSTD_compressStream2(c->compress, out, &in, last ? ZSTD_e_end : ZSTD_e_flush);
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

/* ---- decoding: every byte is hostile ---- */

#define ZSTD_MAGIC_SIZE	    4
#define ZSTD_FLAG_CHECKSUM  (1 << 2) /* of the frame header descriptor, RFC 8878, 3.1.1.1.1 */

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

static uint32_t get_bounded(struct reader *r, uint64_t max)
{
	uint64_t v = reader_varint(r);

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
		k->unit = reader_varint(in);
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
				    (uint64_t)reader_svarint(in);
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
		if (i > 0 && row_compare(&b->rows[i - 1], &b->rows[i]) >= 0)
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
			v = reader_svarint(in);
			if (f == SEEN_CPU && __builtin_mul_overflow(v, 1000, &v)) {
				in->failed = true;
				v = 0;
			}
			seen_set(&b->rows[i].seen, f, v);
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
	int64_t at = phase_on(*phase, grid_ns) - grid_ns / 1000;
	int64_t difference = reader_svarint(in);

	if (difference < -(int64_t)UINT32_MAX || difference > (int64_t)UINT32_MAX) {
		in->failed = true;
		return 0;
	}
	*phase = at + difference;
	at += line_us(line, grid_ns) + difference;
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
			own[k] = grid_ns ? get_near_line(in, own[k], grid_ns, &phase) :
					   get_delta(in, last);
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

void store_block_release(struct store_block *b)
{
	free(b->rows);
	free(b->offsets_us);
	*b = (struct store_block){ 0 };
}
