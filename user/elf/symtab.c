/* SPDX-License-Identifier: Apache-2.0 */
#include "elf/symtab.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "elf/scan.h"

#define CHUNK_SYMBOLS 2048

static const struct elf_section *strings_of(const struct elf_file *f, const struct elf_section *s)
{
	return s->link < f->sections_n ? &f->sections[s->link] : NULL;
}

int elf_symtab_init(struct elf_symtab *t, const struct elf_file *f, uint32_t type)
{
	const struct elf_section *s = elf_file_section_of_type(f, type), *strings;
	int r;

	if (!s || s->size < sizeof(Elf64_Sym) || (s->flags & SHF_COMPRESSED))
		return -ENOENT;
	strings = strings_of(f, s);
	if (!strings)
		return -EBADMSG;
	*t = (struct elf_symtab){ .file = f,
				  .offset = s->offset,
				  .count = s->size / sizeof(Elf64_Sym) };
	if (t->count > ELF_SYMTAB_MAX)
		t->count = ELF_SYMTAB_MAX;
	t->chunk = malloc(CHUNK_SYMBOLS * sizeof(*t->chunk));
	if (!t->chunk)
		return -ENOMEM;
	t->names_size = strings->size;
	r = elf_file_load(f, strings->offset, strings->size, ELF_SYMTAB_NAMES_MAX,
			  (uint8_t **)&t->names);
	if (r < 0)
		elf_symtab_release(t);
	return r;
}

void elf_symtab_release(struct elf_symtab *t)
{
	free(t->chunk);
	free(t->names);
	*t = (struct elf_symtab){ 0 };
}

int elf_symtab_at(struct elf_symtab *t, size_t index, Elf64_Sym *ret)
{
	int r;

	if (index >= t->count)
		return -EBADMSG;
	if (index < t->chunk_first || index - t->chunk_first >= t->chunk_n) {
		size_t n = t->count - index < CHUNK_SYMBOLS ? t->count - index : CHUNK_SYMBOLS;

		r = elf_file_read(t->file, t->offset + index * sizeof(*ret), t->chunk,
				  n * sizeof(*ret));
		if (r < 0) {
			t->chunk_n = 0;
			return r;
		}
		t->chunk_first = index;
		t->chunk_n = n;
	}
	*ret = t->chunk[index - t->chunk_first];
	return 0;
}

int elf_symtab_next(struct elf_symtab *t, Elf64_Sym *ret)
{
	int r;

	if (t->next >= t->count)
		return 0;
	r = elf_symtab_at(t, t->next, ret);
	if (r < 0)
		return r;
	t->next++;
	return 1;
}

void elf_symtab_rewind(struct elf_symtab *t)
{
	t->next = 0;
}

const char *elf_symtab_name(const struct elf_symtab *t, const Elf64_Sym *symbol)
{
	return symbol->st_name < t->names_size ? t->names + symbol->st_name : "";
}

static bool found(const struct elf_hit *hit, void *data)
{
	(void)hit;
	*(bool *)data = true;
	return false;
}

bool elf_symtab_mentions(const struct elf_file *f, uint32_t type, const char *name)
{
	const struct elf_section *s = elf_file_section_of_type(f, type), *strings;
	bool mentioned = false;

	strings = s ? strings_of(f, s) : NULL;
	/* What could not be loaded afterwards: a sparse file may claim gigabytes. */
	if (!strings || strings->size > ELF_SYMTAB_NAMES_MAX)
		return false;
	elf_scan(f, strings->offset, strings->size, name, strlen(name) + 1, found, &mentioned);
	return mentioned;
}
