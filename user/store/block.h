/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One tick's samples as a compressed block of columns (layout: docs/formats/profile.md).
 * Pure functions of their input: the codec only keeps memory that calls share.
 */
#ifndef KYMO_STORE_BLOCK_H
#define KYMO_STORE_BLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "model/tick.h"
#include "store/store.h"

#define BLOCK_VERSION	  1
#define BLOCK_ROWS_MAX	  (1u << 20)
#define BLOCK_SAMPLES_MAX (1u << 22)
#define BLOCK_RAW_MAX	  (32u << 20) /* bytes, decompressed */
#define BLOCK_SIZE_MAX	  (16u << 20) /* bytes, as stored */

struct block_codec;

int block_codec_new(struct block_codec **ret);
void block_codec_free(struct block_codec *c); /* NULL is allowed */
DEFINE_CLEANUP(struct block_codec *, block_codec_free);

/*
 * Replaces *out. Rows are sorted by (thread, stack, source, state, end) without equals, and have
 * `count` ascending offsets each. cpu_ns is kept in us, with the rest carried to the thread's next
 * row. 0, -EINVAL (rows break these rules), -E2BIG (more than a block holds), -ENOMEM.
 */
int block_encode(struct block_codec *c, const struct tick_row *rows, size_t rows_n,
		 const uint32_t *offsets_us, size_t offsets_n, struct buf *out);

/*
 * Takes any bytes. The block holds what encode promises: sorted rows, first_offset in order,
 * counts that add up. 0, -EBADMSG (damaged; ret is then empty), -ENOMEM.
 */
int block_decode(struct block_codec *c, const void *data, size_t size, struct store_block *ret);

#endif
