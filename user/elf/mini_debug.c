/* SPDX-License-Identifier: Apache-2.0 */
#include "elf/mini_debug.h"

#include <errno.h>
#include <lzma.h>

#include "base/cleanup.h"

#define STEP_BYTES (1U << 20)

static int error_of(lzma_ret r)
{
	switch (r) {
	case LZMA_MEM_ERROR:
		return -ENOMEM;
	case LZMA_MEMLIMIT_ERROR:
		return -EFBIG;
	default:
		return -EBADMSG;
	}
}

/* Memory follows what comes out, never what a header says will. */
static int unpack(lzma_stream *z, struct buf *out)
{
	lzma_ret r = LZMA_OK;

	while (r != LZMA_STREAM_END) {
		size_t before;

		if (out->size >= MINI_DEBUG_BYTES_MAX)
			return -EFBIG;
		if (buf_reserve(out, STEP_BYTES) < 0)
			return -ENOMEM;
		before = out->cap - out->size;
		z->next_out = out->data + out->size;
		z->avail_out = before;
		r = lzma_code(z, LZMA_FINISH);
		out->size += before - z->avail_out;
		if (r != LZMA_OK && r != LZMA_STREAM_END)
			return error_of(r);
	}
	return 0;
}

int mini_debug_unpack(const struct elf_file *f, struct buf *ret)
{
	const struct elf_section *s = elf_file_section(f, ".gnu_debugdata");
	_cleanup_free_ uint8_t *packed = NULL;
	lzma_stream z = LZMA_STREAM_INIT;
	int r;

	if (!s || !s->size)
		return -ENOENT;
	r = elf_file_load(f, s->offset, s->size, MINI_DEBUG_PACKED_MAX, &packed);
	if (r < 0)
		return r;
	if (lzma_stream_decoder(&z, MINI_DEBUG_XZ_MEMORY, 0) != LZMA_OK)
		return -ENOMEM;
	z.next_in = packed;
	z.avail_in = s->size;
	r = unpack(&z, ret);
	lzma_end(&z);
	return r;
}
