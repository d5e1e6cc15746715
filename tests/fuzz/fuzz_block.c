/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a sample block. The first byte says how: 0 = as they are; else as the payload of a
 * block whose frame and checksum are right, which is where an enemy starts. What decodes must
 * encode again, to a block that decodes to the same.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "store/block.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void frame(const uint8_t *payload, size_t size, struct buf *out)
{
	ZSTD_CCtx *z = ZSTD_createCCtx();
	size_t bound = ZSTD_compressBound(size), n;

	assert(z && buf_reserve(out, 1 + bound) == 0);
	ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, 1);
	out->data[0] = BLOCK_VERSION;
	n = ZSTD_compress2(z, out->data + 1, bound, payload, size);
	assert(!ZSTD_isError(n));
	out->size = 1 + n;
	ZSTD_freeCCtx(z);
}

static void check_same(const struct store_block *a, const struct store_block *b)
{
	assert(a->rows_n == b->rows_n && a->offsets_n == b->offsets_n);
	assert(!a->rows_n || memcmp(a->rows, b->rows, a->rows_n * sizeof(*a->rows)) == 0);
	assert(!a->offsets_n ||
	       memcmp(a->offsets_us, b->offsets_us, a->offsets_n * sizeof(*a->offsets_us)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct store_block first = { 0 }, again = { 0 };
	struct block_codec *c = NULL;
	struct buf block = { 0 };
	int r;

	if (size < 1 || block_codec_new(&c) < 0)
		return 0;
	if (data[0])
		frame(data + 1, size - 1, &block);
	else if (buf_append(&block, data + 1, size - 1) < 0)
		abort();
	r = block_decode(c, block.data, block.size, &first);
	if (r == 0) {
		r = block_encode(c, first.rows, first.rows_n, first.offsets_us, first.offsets_n,
				 &block);
		assert(r == 0);
		r = block_decode(c, block.data, block.size, &again);
		assert(r == 0);
		check_same(&first, &again);
	} else {
		assert(first.rows_n == 0 && first.offsets_n == 0);
	}
	store_block_release(&first);
	store_block_release(&again);
	buf_release(&block);
	block_codec_free(c);
	return 0;
}
