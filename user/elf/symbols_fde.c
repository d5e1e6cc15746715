/* SPDX-License-Identifier: Apache-2.0 */
#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "elf/eh_frame.h"
#include "elf/symbols_build.h"

static int add(struct symbols_build *b, const struct elf_file *f, const struct eh_fde *fde)
{
	const struct elf_segment *seg = elf_file_segment(f, fde->start);
	struct symbol s = { .rank = SYMBOL_FDE };
	uint64_t left, size = fde->end - fde->start;
	char name[24];

	if (!seg || !(seg->flags & PF_X) || fde->end <= fde->start)
		return 0;
	left = seg->file_size - (fde->start - seg->vaddr);
	size = size < left ? size : left;
	s.start = fde->start - seg->vaddr + seg->offset;
	s.size = size > UINT32_MAX ? UINT32_MAX : (uint32_t)size;
	snprintf(name, sizeof(name), "+0x%" PRIx64, s.start);
	return s.size ? symbols_build_add(b, &s, name, "") : 0;
}

int symbols_build_fdes(struct symbols_build *b, const struct elf_file *f)
{
	_cleanup_(eh_frame_release) struct eh_frame e = { 0 };
	struct eh_fde fde;
	size_t pos = 0;
	int r = eh_frame_init(&e, f);

	/* One that is damaged names nothing. */
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	while ((r = eh_frame_next(&e, &pos, &fde)) > 0) {
		r = add(b, f, &fde);
		if (r < 0)
			return r;
	}
	return 0;
}
