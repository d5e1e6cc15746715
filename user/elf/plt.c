/* SPDX-License-Identifier: Apache-2.0 */
/* A PLT has no symbols: each stub jumps through a slot of the GOT, and a relocation names the slot. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "elf/symbols.h"
#include "elf/symbols_build.h"
#include "elf/symtab.h"

#define PLT_BYTES_MAX  (1U << 20) /* 65,536 stubs */
#define RELA_BYTES_MAX (64U << 20)
#define STUB_BYTES     16

/* A slot of the GOT and the dynamic symbol whose address is put there. */
struct slot {
	uint64_t vaddr;
	uint32_t symbol;
};

struct slots {
	struct slot *items;
	size_t n, cap;
};

static int compare(const void *a, const void *b)
{
	const struct slot *x = a, *y = b;

	return x->vaddr < y->vaddr ? -1 : x->vaddr > y->vaddr;
}

static int add_slots(struct slots *slots, const struct elf_file *f, const char *section)
{
	const struct elf_section *s = elf_file_section(f, section);
	_cleanup_free_ Elf64_Rela *rela = NULL;
	int r;

	if (!s || s->type != SHT_RELA || s->size > RELA_BYTES_MAX)
		return 0;
	r = elf_file_load(f, s->offset, s->size, RELA_BYTES_MAX, (uint8_t **)&rela);
	if (r < 0)
		return r;
	for (size_t i = 0; i < s->size / sizeof(*rela); i++) {
		uint64_t type = ELF64_R_TYPE(rela[i].r_info);

		if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT)
			continue;
		if (array_reserve(&slots->items, &slots->cap, slots->n + 1) < 0)
			return -ENOMEM;
		slots->items[slots->n++] =
			(struct slot){ .vaddr = rela[i].r_offset,
				       .symbol = (uint32_t)ELF64_R_SYM(rela[i].r_info) };
	}
	return 0;
}

/* The slot through which a stub jumps: [endbr64] [bnd] jmp *disp(%rip). 0 = no such stub. */
static uint64_t stub_slot(const uint8_t *code, size_t size, uint64_t vaddr)
{
	int32_t disp;

	for (size_t i = 0; i + 6 <= size; i++) {
		if (code[i] != 0xff || code[i + 1] != 0x25)
			continue;
		memcpy(&disp, &code[i + 2], sizeof(disp));
		return vaddr + i + 6 + (uint64_t)(int64_t)disp;
	}
	return 0;
}

struct plt {
	struct symbols_build *b;
	const struct elf_file *f;
	struct slots slots;
	struct elf_symtab dynsym;
};

static int add_stub(struct plt *p, uint64_t vaddr, uint64_t offset, const uint8_t *code,
		    uint32_t size)
{
	struct slot key = { .vaddr = stub_slot(code, size, vaddr) }, *slot;
	struct symbol s = { .start = offset, .size = size, .rank = SYMBOL_LOCAL };
	const char *name;
	Elf64_Sym sym;

	if (!key.vaddr)
		return 0;
	slot = bsearch(&key, p->slots.items, p->slots.n, sizeof(key), compare);
	if (!slot || elf_symtab_at(&p->dynsym, slot->symbol, &sym) < 0)
		return 0;
	name = elf_symtab_name(&p->dynsym, &sym);
	return name[0] ? symbols_build_add(p->b, &s, name, "@plt") : 0;
}

static int add_stubs(struct plt *p, const char *section)
{
	const struct elf_section *s = elf_file_section(p->f, section);
	_cleanup_free_ uint8_t *code = NULL;
	uint32_t stub = STUB_BYTES;
	uint64_t offset;
	int r;

	if (!s || !s->size || s->size > PLT_BYTES_MAX || !elf_file_offset(p->f, s->vaddr, &offset))
		return 0;
	r = elf_file_load(p->f, s->offset, s->size, PLT_BYTES_MAX, &code);
	/* Without endbr64 a stub of .plt.got is just the jump. */
	if (r == 0 && s->size >= 8 && strcmp(section, ".plt.got") == 0 && code[0] == 0xff)
		stub = 8;
	for (uint64_t at = 0; r == 0 && at + stub <= s->size; at += stub)
		r = add_stub(p, s->vaddr + at, offset + at, code + at, stub);
	return r;
}

static int add_plt(struct plt *p)
{
	int r = add_slots(&p->slots, p->f, ".rela.plt");

	if (r == 0)
		r = add_slots(&p->slots, p->f, ".rela.dyn");
	if (r < 0 || !p->slots.n)
		return r;
	qsort(p->slots.items, p->slots.n, sizeof(*p->slots.items), compare);
	r = elf_symtab_init(&p->dynsym, p->f, SHT_DYNSYM);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = add_stubs(p, ".plt");
	if (r == 0)
		r = add_stubs(p, ".plt.sec");
	if (r == 0)
		r = add_stubs(p, ".plt.got");
	elf_symtab_release(&p->dynsym);
	return r;
}

int symbols_build_plt(struct symbols_build *b, const struct elf_file *f)
{
	struct plt p = { .b = b, .f = f };
	int r;

	if (f->machine != EM_X86_64)
		return 0;
	r = add_plt(&p);
	free(p.slots.items);
	/* A damaged PLT costs its names only. */
	return r == -ENOMEM ? r : 0;
}
