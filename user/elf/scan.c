/* SPDX-License-Identifier: Apache-2.0 */
#include "elf/scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define PIECE_BYTES (256 << 10)
#define PIECE_MORE \
	(2 * ELF_SCAN_CONTEXT) /* a needle that starts in the piece, and what follows it */

struct scan {
	const void *needle;
	size_t needle_size;
	elf_scan_fn fn;
	void *data;
};

/* Hits that start in [from, from + PIECE_BYTES) of the piece. False = enough. */
static bool scan_piece(const struct scan *s, const uint8_t *piece, size_t from, size_t size,
		       uint64_t offset)
{
	const uint8_t *p = piece + from, *end = piece + size;

	while ((p = memmem(p, (size_t)(end - p), s->needle, s->needle_size))) {
		struct elf_hit hit = { .offset = offset + (uint64_t)(p - piece),
				       .at = p,
				       .before = (size_t)(p - piece),
				       .size = (size_t)(end - p) };

		if (hit.before >= from + PIECE_BYTES)
			return true; /* the next piece's */
		if (hit.before > ELF_SCAN_CONTEXT)
			hit.before = ELF_SCAN_CONTEXT;
		if (hit.size > s->needle_size + ELF_SCAN_CONTEXT)
			hit.size = s->needle_size + ELF_SCAN_CONTEXT;
		if (!s->fn(&hit, s->data))
			return false;
		p++;
	}
	return true;
}

int elf_scan(const struct elf_file *f, uint64_t offset, uint64_t size, const void *needle,
	     size_t needle_size, elf_scan_fn fn, void *data)
{
	const struct scan s = { needle, needle_size, fn, data };
	_cleanup_free_ uint8_t *piece = NULL;
	uint64_t at = 0;

	if (!needle_size || needle_size > ELF_SCAN_CONTEXT)
		return -EINVAL;
	if (offset > f->size)
		return 0;
	if (size > f->size - offset)
		size = f->size - offset;
	piece = malloc(ELF_SCAN_CONTEXT + PIECE_BYTES + PIECE_MORE);
	if (!piece)
		return -ENOMEM;
	for (; at < size; at += PIECE_BYTES) {
		size_t from = at < ELF_SCAN_CONTEXT ? at : ELF_SCAN_CONTEXT;
		uint64_t want = size - at + from;
		int64_t n;

		if (want > from + PIECE_BYTES + PIECE_MORE)
			want = from + PIECE_BYTES + PIECE_MORE;
		n = elf_file_read_some(f, offset + at - from, piece, want);
		if (n < 0)
			return (int)n;
		if ((size_t)n <= from ||
		    !scan_piece(&s, piece, from, (size_t)n, offset + at - from))
			return 0;
	}
	return 0;
}
