/* SPDX-License-Identifier: Apache-2.0 */
#include "elf/gopclntab.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"

/* src/internal/abi/symtab.go of Go */
#define MAGIC_1_18 0xfffffff0U
#define MAGIC_1_20 0xfffffff1U

#define WORD	   8
#define HEAD_BYTES (8 + 8 * WORD)
/* struct _func (src/runtime/runtime2.go) */
#define FUNCTION_PCSP  16
#define FUNCTION_ID    36 /* four more where lines are told; the flags are the byte behind */
#define FUNCTION_BYTES 44

/* struct moduledata (src/runtime/symtab.go): the table's address first, later that of the code. */
#define MODULE_TEXT	 (8 + 6 * 24 + 3 * WORD)
#define MODULE_DATA_MAX	 (64U << 20)
#define MODULE_DATA_STEP 65536

enum { HEAD_FUNCTIONS = 0, HEAD_TEXT = 2, HEAD_DEPTHS = 6, HEAD_RECORDS = 7 };

static uint32_t get_u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t get_u64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t head_word(const struct gopclntab *g, int number)
{
	return get_u64(g->data + 8 + number * WORD);
}

/* The word of the module's description that says where code begins; 0: not found in this section. */
static uint64_t text_in(const struct elf_file *f, const struct elf_section *s, uint64_t table)
{
	_cleanup_free_ uint8_t *data = NULL;
	uint64_t size = s->size < MODULE_DATA_MAX ? s->size : MODULE_DATA_MAX;

	if (size < MODULE_TEXT + WORD || elf_file_load(f, s->offset, size, size, &data) < 0)
		return 0;
	for (uint64_t at = 0; at + MODULE_TEXT + WORD <= size; at += WORD)
		if (get_u64(data + at) == table)
			return get_u64(data + at + MODULE_TEXT);
	return 0;
}

/*
 * From Go 1.26 on the table does not say where code begins, and in position independent files a relocation
 * says it: the module's description does, or code begins with .text (it does but where C is linked in).
 */
static uint64_t find_text(const struct elf_file *f, uint64_t table)
{
	static const char *const names[] = { ".go.module", ".noptrdata", ".data.rel.ro", ".data" };
	const struct elf_section *s;
	uint64_t text = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names) && !text; i++) {
		s = elf_file_section(f, names[i]);
		if (s)
			text = text_in(f, s, table);
	}
	s = elf_file_section(f, ".text");
	return text ? text : s ? s->vaddr : 0;
}

static int read_head(struct gopclntab *g, const struct elf_file *f, uint64_t vaddr)
{
	uint32_t magic;
	uint64_t functions;

	if (g->size < HEAD_BYTES)
		return -EBADMSG;
	magic = get_u32(g->data);
	if ((magic != MAGIC_1_18 && magic != MAGIC_1_20) || g->data[6] != 1 || g->data[7] != WORD)
		return -ENOTSUP;
	g->has_lines = magic == MAGIC_1_20;
	functions = head_word(g, HEAD_FUNCTIONS);
	g->depths = head_word(g, HEAD_DEPTHS);
	g->functions = head_word(g, HEAD_RECORDS);
	if (functions > GOPCLNTAB_FUNCTIONS_MAX)
		return -EFBIG;
	if (g->depths > g->size || g->functions > g->size ||
	    (functions * 2 + 1) * 4 > g->size - g->functions)
		return -EBADMSG;
	g->functions_n = (uint32_t)functions;
	g->text = head_word(g, HEAD_TEXT);
	if (!g->text)
		g->text = find_text(f, vaddr);
	return g->text ? 0 : -EBADMSG;
}

int gopclntab_init(struct gopclntab *g, const struct elf_file *f)
{
	const struct elf_section *s = elf_file_section(f, ".gopclntab");
	int r;

	*g = (struct gopclntab){ 0 };
	if (!s)
		s = elf_file_section(f, ".data.rel.ro.gopclntab");
	if (!s)
		return -ENOENT;
	r = elf_file_load(f, s->offset, s->size, GOPCLNTAB_BYTES_MAX, &g->data);
	if (r < 0)
		return r;
	g->size = s->size;
	r = read_head(g, f, s->vaddr);
	if (r < 0)
		gopclntab_release(g);
	return r;
}

void gopclntab_release(struct gopclntab *g)
{
	free(g->data);
	*g = (struct gopclntab){ 0 };
}

bool gopclntab_function(const struct gopclntab *g, uint32_t number, struct gopclntab_function *ret)
{
	const uint8_t *entry = g->data + g->functions + (uint64_t)number * 8;
	uint64_t record = g->functions + get_u32(entry + 4), depths;
	size_t flags = FUNCTION_ID + 1 + (g->has_lines ? 4 : 0);

	if (record > g->size || g->size - record < FUNCTION_BYTES)
		return false;
	depths = get_u32(g->data + record + FUNCTION_PCSP);
	if (g->depths + depths > UINT32_MAX)
		return false;
	*ret = (struct gopclntab_function){ .start = g->text + get_u32(entry),
					    .end = g->text + get_u32(entry + 8),
					    .depths = depths ? (uint32_t)(g->depths + depths) : 0,
					    .flags = g->data[record + flags] };
	return ret->start < ret->end;
}

static bool get_varint(const struct gopclntab *g, uint64_t *at, uint32_t *ret)
{
	uint32_t v = 0;

	for (unsigned int shift = 0; shift < 32 && *at < g->size; shift += 7) {
		uint8_t byte = g->data[(*at)++];

		v |= (uint32_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*ret = v;
			return true;
		}
	}
	return false;
}

bool gopclntab_next(const struct gopclntab *g, struct gopclntab_depth *d)
{
	uint32_t change, bytes;

	/* 0: the function has none. A change of 0 ends the list, but as the first. */
	if (!d->at || !get_varint(g, &d->at, &change) || (!change && d->begun) ||
	    !get_varint(g, &d->at, &bytes) || !bytes)
		return false;
	if (!d->begun)
		d->depth = -1;
	d->begun = true;
	d->depth += change & 1 ? -(int64_t)(change >> 1) - 1 : (int64_t)(change >> 1);
	d->end += bytes;
	return true;
}
