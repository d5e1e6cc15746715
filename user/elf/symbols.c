/* SPDX-License-Identifier: Apache-2.0 */
#include "elf/symbols.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "elf/mini_debug.h"
#include "elf/symbols_build.h"
#include "elf/symtab.h"

struct elf_symbols {
	struct symbol *items; /* sorted, not overlapping */
	size_t n;
	char *names;
	size_t names_size;
	uint64_t dropped;
};

DEFINE_CLEANUP(struct elf_symbols *, elf_symbols_free);

void elf_symbols_free(struct elf_symbols *s)
{
	if (!s)
		return;
	free(s->items);
	free(s->names);
	free(s);
}

int symbols_build_add(struct symbols_build *b, const struct symbol *s, const char *name,
		      const char *suffix)
{
	size_t size = strnlen(name, ELF_NAME_MAX - 1), names_size = b->names.size;

	if (b->n >= ELF_SYMBOLS_MAX || names_size + size + strlen(suffix) > ELF_SYMBOL_NAMES_MAX) {
		b->dropped++;
		return 0;
	}
	if (array_reserve(&b->items, &b->cap, b->n + 1) < 0 ||
	    buf_append(&b->names, name, size) < 0 ||
	    buf_append(&b->names, suffix, strlen(suffix) + 1) < 0) {
		b->names.size = names_size;
		return -ENOMEM;
	}
	b->items[b->n] = *s;
	b->items[b->n++].name = (uint32_t)names_size;
	return 0;
}

static bool rank_of(const Elf64_Sym *sym, enum symbol_rank *ret)
{
	switch (ELF64_ST_TYPE(sym->st_info)) {
	case STT_FUNC:
	case STT_GNU_IFUNC:
		break;
	case STT_NOTYPE:
		*ret = SYMBOL_NOTYPE;
		return true;
	default:
		return false;
	}
	switch (ELF64_ST_BIND(sym->st_info)) {
	case STB_GLOBAL:
	case STB_GNU_UNIQUE:
		*ret = SYMBOL_GLOBAL;
		break;
	case STB_WEAK:
		*ret = SYMBOL_WEAK;
		break;
	default:
		*ret = SYMBOL_LOCAL;
	}
	return true;
}

/* How far a symbol without a size may reach: its section's end, else its segment's. */
static uint64_t reach(const struct elf_file *table, const struct elf_segment *seg,
		      const Elf64_Sym *sym)
{
	const struct elf_section *s;

	if (sym->st_shndx < table->sections_n) {
		s = &table->sections[sym->st_shndx];
		if (sym->st_value >= s->vaddr && sym->st_value - s->vaddr < s->size)
			return s->size - (sym->st_value - s->vaddr);
	}
	return seg->file_size - (sym->st_value - seg->vaddr);
}

/* Of a table that stands in that file or in `table`, which has the same addresses. False: it names no code of f. */
static bool symbol_of(const struct elf_file *f, const struct elf_file *table, const Elf64_Sym *sym,
		      struct symbol *ret)
{
	const struct elf_segment *seg;
	enum symbol_rank rank;
	uint64_t size;

	if (sym->st_shndx == SHN_UNDEF || !rank_of(sym, &rank))
		return false;
	seg = elf_file_segment(f, sym->st_value);
	if (!seg || !(seg->flags & PF_X))
		return false;
	size = sym->st_size;
	if (!size)
		size = reach(table, seg, sym);
	if (size > seg->file_size - (sym->st_value - seg->vaddr))
		size = seg->file_size - (sym->st_value - seg->vaddr);
	*ret = (struct symbol){ .start = sym->st_value - seg->vaddr + seg->offset,
				.size = size > UINT32_MAX ? UINT32_MAX : (uint32_t)size,
				.rank = rank,
				.unsized = !sym->st_size };
	return true;
}

/* Labels that tools put into code; they name nothing. ARM's mapping symbols start with '$'. */
static bool is_label(const char *name)
{
	return name[0] == '.' || name[0] == '$' || strcmp(name, "__ehdr_start") == 0 ||
	       strcmp(name, "_GLOBAL_OFFSET_TABLE_") == 0;
}

static int add_table(struct symbols_build *b, const struct elf_file *f,
		     const struct elf_file *table, uint32_t type)
{
	_cleanup_(elf_symtab_release) struct elf_symtab t = { 0 };
	Elf64_Sym sym;
	int r = elf_symtab_init(&t, table, type);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	while ((r = elf_symtab_next(&t, &sym)) > 0) {
		struct symbol s;
		const char *name;

		if (!symbol_of(f, table, &sym, &s))
			continue;
		name = elf_symtab_name(&t, &sym);
		if (!name[0] || (s.rank == SYMBOL_NOTYPE && is_label(name)))
			continue;
		r = symbols_build_add(b, &s, name, "");
		if (r < 0)
			return r;
	}
	return r;
}

/* By address; at one address the best name first. */
static int compare(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	if (x->unsized != y->unsized)
		return x->unsized ? 1 : -1;
	if (x->rank != y->rank)
		return x->rank > y->rank ? -1 : 1;
	if (x->size != y->size)
		return x->size > y->size ? -1 : 1;
	return x->name < y->name ? -1 : x->name > y->name;
}

struct flatten {
	struct symbol *out;
	size_t out_n, out_cap;
	struct symbol *open; /* symbols that cover the current address, the innermost last */
	size_t open_n, open_cap;
	uint64_t at; /* covered or known empty up to here */
};

static int emit(struct flatten *f, const struct symbol *s, uint64_t start, uint64_t end)
{
	if (start >= end)
		return 0;
	if (array_reserve(&f->out, &f->out_cap, f->out_n + 1) < 0)
		return -ENOMEM;
	f->out[f->out_n] = *s;
	f->out[f->out_n].start = start;
	f->out[f->out_n++].size = (uint32_t)(end - start);
	return 0;
}

/* Gives out what the open symbols cover before `until`, the innermost first. */
static int advance(struct flatten *f, uint64_t until)
{
	while (f->open_n) {
		const struct symbol *s = &f->open[f->open_n - 1];
		uint64_t end = s->start + s->size;
		int r = emit(f, s, f->at, end < until ? end : until);

		if (r < 0)
			return r;
		if (f->at < end)
			f->at = end < until ? end : until;
		if (end > until)
			return 0;
		f->open_n--;
	}
	return 0;
}

static int flatten_one(struct flatten *f, const struct symbol *s)
{
	int r = advance(f, s->start);

	if (r < 0)
		return r;
	/* A label inside a function is no function; the next symbol ends one without a size. */
	if (f->open_n && f->open[f->open_n - 1].unsized)
		f->open_n--;
	else if (f->open_n && (s->unsized || s->rank == SYMBOL_FDE))
		return 0;
	if (array_reserve(&f->open, &f->open_cap, f->open_n + 1) < 0)
		return -ENOMEM;
	f->open[f->open_n++] = *s;
	f->at = s->start;
	return 0;
}

/* Sorted symbols that may nest and overlap -> pieces that do not: what starts last is innermost. */
static int flatten(struct symbols_build *b, struct symbol **ret, size_t *ret_n)
{
	struct flatten f = { 0 };
	int r = 0;

	if (b->n)
		qsort(b->items, b->n, sizeof(*b->items), compare);
	for (size_t i = 0; i < b->n && r == 0; i++)
		if (i == 0 || b->items[i].start != b->items[i - 1].start)
			r = flatten_one(&f, &b->items[i]);
	if (r == 0)
		r = advance(&f, UINT64_MAX);
	free(f.open);
	if (r < 0) {
		free(f.out);
		return r;
	}
	*ret = f.out;
	*ret_n = f.out_n;
	return 0;
}

static int finish(struct symbols_build *b, struct elf_symbols **ret)
{
	_cleanup_(elf_symbols_freep) struct elf_symbols *s = calloc(1, sizeof(*s));
	void *smaller;
	int r;

	if (!s)
		return -ENOMEM;
	r = flatten(b, &s->items, &s->n);
	if (r < 0)
		return r;
	s->dropped = b->dropped;
	s->names_size = b->names.size;
	s->names = (char *)TAKE_PTR(b->names.data);
	smaller = s->n ? realloc(s->items, s->n * sizeof(*s->items)) : NULL;
	if (smaller)
		s->items = smaller;
	smaller = s->names_size ? realloc(s->names, s->names_size) : NULL;
	if (smaller)
		s->names = smaller;
	*ret = TAKE_PTR(s);
	return 0;
}

/* What a stripped file may still have: the local functions, compressed. One that is damaged is as good as none. */
static int add_mini_debug(struct symbols_build *b, const struct elf_file *f)
{
	_cleanup_(elf_file_release) struct elf_file mini = { .fd = -1 };
	_cleanup_(buf_release) struct buf bytes = { 0 };
	int r = mini_debug_unpack(f, &bytes);

	if (r == 0)
		r = elf_file_init_memory(&mini, bytes.data, bytes.size);
	if (r == 0)
		r = add_table(b, f, &mini, SHT_SYMTAB);
	return r == -ENOMEM ? r : 0;
}

static int build(const struct elf_file *f, struct elf_symbols **ret)
{
	struct symbols_build b = { 0 };
	int r = add_table(&b, f, f, SHT_SYMTAB);

	if (r == 0 && b.n == 0) {
		r = add_table(&b, f, f, SHT_DYNSYM);
		if (r == 0)
			r = add_mini_debug(&b, f);
		if (r == 0)
			r = symbols_build_fdes(&b, f);
	}
	if (r == 0)
		r = symbols_build_plt(&b, f);
	if (r == 0)
		r = finish(&b, ret);
	free(b.items);
	buf_release(&b.names);
	return r;
}

int elf_symbols_new(int fd, struct elf_symbols **ret)
{
	_cleanup_(elf_file_release) struct elf_file f = { .fd = -1 };
	int r = elf_file_init(&f, fd);

	return r < 0 ? r : build(&f, ret);
}

int elf_symbols_new_memory(const void *data, size_t size, struct elf_symbols **ret)
{
	_cleanup_(elf_file_release) struct elf_file f = { .fd = -1 };
	int r = elf_file_init_memory(&f, data, size);

	return r < 0 ? r : build(&f, ret);
}

/* Static programs keep the version in the name: "memcpy@@GLIBC_2.14". */
static size_t without_version(const char *name, size_t size)
{
	const char *at = memchr(name, '@', size);

	if (!at || at == name || strcmp(at, "@plt") == 0)
		return size;
	return (size_t)(at - name);
}

int elf_symbols_find(const struct elf_symbols *s, uint64_t offset, struct elf_symbol *ret)
{
	size_t low = 0, high = s->n;
	const struct symbol *found;
	const char *name;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->items[mid].start <= offset)
			low = mid + 1;
		else
			high = mid;
	}
	if (!low)
		return -ENOENT;
	found = &s->items[low - 1];
	if (offset - found->start >= found->size)
		return -ENOENT;
	name = s->names + found->name;
	*ret = (struct elf_symbol){ .name = name,
				    .name_size = without_version(name, strlen(name)),
				    .start = found->start,
				    .size = found->size,
				    .is_address = found->rank == SYMBOL_FDE };
	return 0;
}

size_t elf_symbols_count(const struct elf_symbols *s)
{
	return s->n;
}

size_t elf_symbols_bytes(const struct elf_symbols *s)
{
	return sizeof(*s) + s->n * sizeof(*s->items) + s->names_size;
}

uint64_t elf_symbols_dropped(const struct elf_symbols *s)
{
	return s->dropped;
}
