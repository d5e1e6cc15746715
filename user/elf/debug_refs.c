/* SPDX-License-Identifier: Apache-2.0 */
#include "elf/debug_refs.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "base/cleanup.h"
#include "elf/dwarf_image.h"
#include "elf/note.h"

#define SECTION_MAX   4096
#define CRC_BYTES_MAX (1U << 30)
#define PIECE_BYTES   (256U << 10)

/* The section as text of at least one byte with what stands behind its NUL; false = none of use. */
static bool load_text(const struct elf_file *f, const char *section, uint8_t **ret,
		      size_t *ret_text, size_t *ret_size)
{
	const struct elf_section *s = elf_file_section(f, section);

	if (!s || !s->size || elf_file_load(f, s->offset, s->size, SECTION_MAX, ret) < 0)
		return false;
	*ret_text = strnlen((const char *)*ret, s->size);
	*ret_size = s->size;
	return *ret_text > 0 && *ret_text < s->size;
}

/* A name, its padding to 4 bytes, a CRC. */
static void read_link(const struct elf_file *f, struct elf_debug_refs *refs)
{
	_cleanup_free_ uint8_t *data = NULL;
	size_t text, size, at;

	if (!load_text(f, ".gnu_debuglink", &data, &text, &size))
		return;
	at = (text + 4) & ~(size_t)3;
	if (text >= sizeof(refs->link) || at + sizeof(refs->link_crc) > size ||
	    strchr((char *)data, '/') || data[0] == '.')
		return;
	memcpy(refs->link, data, text);
	memcpy(&refs->link_crc, data + at, sizeof(refs->link_crc));
}

/* A path, a build-id. */
static void read_alt(const struct elf_file *f, struct elf_debug_refs *refs)
{
	_cleanup_free_ uint8_t *data = NULL;
	size_t text, size;

	if (!load_text(f, ".gnu_debugaltlink", &data, &text, &size))
		return;
	size -= text + 1;
	if (text >= sizeof(refs->alt) || !size || size > BUILD_ID_MAX)
		return;
	memcpy(refs->alt, data, text);
	refs->alt_build_id.size = (uint8_t)size;
	memcpy(refs->alt_build_id.bytes, data + text + 1, size);
}

int elf_debug_refs(const struct elf_file *f, struct elf_debug_refs *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->has_dwarf = dwarf_image_possible(f);
	read_link(f, ret);
	read_alt(f, ret);
	return elf_note_build_id(f, &ret->build_id);
}

int elf_debug_crc(const struct elf_file *f, uint32_t *ret)
{
	_cleanup_free_ uint8_t *piece = malloc(PIECE_BYTES);
	uLong crc = crc32(0, NULL, 0);
	int64_t n;

	if (!piece)
		return -ENOMEM;
	if (f->size > CRC_BYTES_MAX)
		return -EFBIG;
	for (uint64_t at = 0; at < f->size; at += (uint64_t)n) {
		n = elf_file_read_some(f, at, piece, PIECE_BYTES);
		if (n <= 0)
			return n < 0 ? (int)n : -EBADMSG;
		crc = crc32(crc, piece, (uInt)n);
	}
	*ret = (uint32_t)crc;
	return 0;
}
