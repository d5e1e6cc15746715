/* SPDX-License-Identifier: Apache-2.0 */
#include "elf/note.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"

#define NOTES_BYTES_MAX (4U << 20)

static size_t padded(size_t size)
{
	return (size + 3) & ~(size_t)3;
}

bool elf_note_next(struct reader *r, struct elf_note *ret)
{
	uint32_t name_size = reader_u32(r), desc_size = reader_u32(r), type = reader_u32(r);
	const uint8_t *name = reader_bytes(r, padded(name_size));
	const uint8_t *desc = name ? reader_bytes(r, desc_size) : NULL;

	if (!desc)
		return false;
	/* The last one may lack its padding. */
	if (r->p < r->end)
		reader_bytes(r, padded(desc_size) - desc_size);
	*ret = (struct elf_note){ type, (const char *)name, name_size, desc, desc_size };
	return true;
}

bool elf_note_is_named(const struct elf_note *n, const char *name)
{
	return n->name_size == strlen(name) + 1 && memcmp(n->name, name, n->name_size) == 0;
}

static int find_build_id(const struct elf_file *f, uint64_t offset, uint64_t size,
			 struct build_id *ret)
{
	_cleanup_free_ uint8_t *data = NULL;
	struct reader reader;
	struct elf_note n;
	int r = elf_file_load(f, offset, size, NOTES_BYTES_MAX, &data);

	if (r < 0)
		return r == -ENOMEM ? r : 0;
	reader = (struct reader){ .p = data, .end = data + size };
	while (elf_note_next(&reader, &n)) {
		if (n.type != NT_GNU_BUILD_ID || !elf_note_is_named(&n, "GNU") ||
		    n.desc_size > BUILD_ID_MAX)
			continue;
		ret->size = (uint8_t)n.desc_size;
		memcpy(ret->bytes, n.desc, n.desc_size);
		return 0;
	}
	return 0;
}

int elf_note_build_id(const struct elf_file *f, struct build_id *ret)
{
	int r = 0;

	*ret = (struct build_id){ 0 };
	for (size_t i = 0; i < f->segments_n && r == 0 && !ret->size; i++)
		if (f->segments[i].type == PT_NOTE)
			r = find_build_id(f, f->segments[i].offset, f->segments[i].file_size, ret);
	for (size_t i = 0; i < f->sections_n && r == 0 && !ret->size; i++)
		if (f->sections[i].type == SHT_NOTE)
			r = find_build_id(f, f->sections[i].offset, f->sections[i].size, ret);
	return r;
}
