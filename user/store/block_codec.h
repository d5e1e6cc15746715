/* SPDX-License-Identifier: Apache-2.0 */
/* What the two directions of the sample block share. */
#ifndef KYMO_STORE_BLOCK_CODEC_H
#define KYMO_STORE_BLOCK_CODEC_H

#include <stdint.h>
#include <string.h>
#include <zstd.h>

#include "base/buf.h"
#include "model/tick.h"
#include "store/block.h"

/* The bits of the seen-at bitmap are those of block_seen_fields: a part of the format. */
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

/* Memory for that many rows in row_*. 0 or -ENOMEM. */
int block_reserve_rows(struct block_codec *c, size_t rows_n);
extern const size_t block_seen_fields[SEEN_FIELDS]; /* offsets in struct seen, by bit */

static inline int64_t block_seen_get(const struct seen *s, unsigned int field)
{
	int64_t v;

	memcpy(&v, (const uint8_t *)s + block_seen_fields[field], sizeof(v));
	return v;
}

static inline void block_seen_set(struct seen *s, unsigned int field, int64_t v)
{
	memcpy((uint8_t *)s + block_seen_fields[field], &v, sizeof(v));
}

/* < 0, 0, > 0 as the keys of two rows compare. */
static inline int block_compare_rows(const struct tick_row *a, const struct tick_row *b)
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

/* Where the line is on the grid: whole us, so that a line and a difference are an offset again. */
static inline int64_t block_line_us(uint64_t line, uint32_t grid_ns)
{
	return (int64_t)(line * grid_ns / 1000);
}

/*
 * The phase that an offset is compared with: that of the one before, for a thread mostly stays on
 * its CPU. Brought within one line of this grid, so that lines count from -1.
 */
static inline int64_t block_phase_on(int64_t phase, uint32_t grid_ns)
{
	int64_t grid_us = grid_ns / 1000, at = phase % grid_us;

	return at < 0 ? at + grid_us : at;
}

#endif
