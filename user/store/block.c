/* SPDX-License-Identifier: Apache-2.0 */
#include "store/block_codec.h"

#include <errno.h>
#include <string.h>

#include "base/array.h"

/* The columns hold little that repeats: level 3 would save under 2 % of the bytes. */
#define BLOCK_LEVEL 1

/* The bits of the seen-at bitmap, a part of the format: the most frequent fit its first byte. */
const size_t block_seen_fields[SEEN_FIELDS] = {
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
static_assert(sizeof(struct seen) == SEEN_FIELDS * sizeof(int64_t),
	      "a field of seen is not stored");

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

int block_reserve_rows(struct block_codec *c, size_t rows_n)
{
	int r = array_reserve(&c->row_kind, &c->row_kind_cap, rows_n);

	if (r == 0)
		r = array_reserve(&c->row_seen, &c->row_seen_cap, rows_n);
	if (r == 0)
		r = array_reserve(&c->row_cpu_us, &c->row_cpu_us_cap, rows_n);
	return r;
}

void store_block_release(struct store_block *b)
{
	free(b->rows);
	free(b->offsets_us);
	*b = (struct store_block){ 0 };
}
