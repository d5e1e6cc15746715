/* SPDX-License-Identifier: Apache-2.0 */
#include "elf/probes.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "elf/note.h"

#define NOTES_BYTES_MAX (4U << 20)
#define NOTE_STAPSDT	3
#define SEMAPHORE_BYTES 2
#define REGISTER_NAMES	4 /* by width: 8, 4, 2, 1 bytes */

static const char *const probe_names[KYMO_PROBE_KIND_MAX] = {
	[KYMO_PROBE_GC_START] = "gc__start",
	[KYMO_PROBE_GC_DONE] = "gc__done",
	[KYMO_PROBE_IMPORT_START] = "import__find__load__start",
	[KYMO_PROBE_IMPORT_DONE] = "import__find__load__done",
};

/* x86-64's, by DWARF's number. */
static const char *const register_names[KYMO_REGISTERS][REGISTER_NAMES] = {
	{ "rax", "eax", "ax", "al" },	   { "rdx", "edx", "dx", "dl" },
	{ "rcx", "ecx", "cx", "cl" },	   { "rbx", "ebx", "bx", "bl" },
	{ "rsi", "esi", "si", "sil" },	   { "rdi", "edi", "di", "dil" },
	{ "rbp", "ebp", "bp", "bpl" },	   { "rsp", "esp", "sp", "spl" },
	{ "r8", "r8d", "r8w", "r8b" },	   { "r9", "r9d", "r9w", "r9b" },
	{ "r10", "r10d", "r10w", "r10b" }, { "r11", "r11d", "r11w", "r11b" },
	{ "r12", "r12d", "r12w", "r12b" }, { "r13", "r13d", "r13w", "r13b" },
	{ "r14", "r14d", "r14w", "r14b" }, { "r15", "r15d", "r15w", "r15b" },
};

/* "%eax": its number, with *at behind it; -1 for another. */
static int take_register(const char **at)
{
	size_t size;

	if (**at != '%')
		return -1;
	size = strcspn(*at + 1, " ),");
	for (int i = 0; i < KYMO_REGISTERS; i++)
		for (size_t k = 0; k < REGISTER_NAMES; k++)
			if (strlen(register_names[i][k]) == size &&
			    memcmp(*at + 1, register_names[i][k], size) == 0) {
				*at += 1 + size;
				return i;
			}
	return -1;
}

/* As strtoll, but what it would skip is no number. */
static bool take_number(const char **at, int base, int64_t *ret)
{
	char *end;

	if (**at == ' ' || (**at >= '\t' && **at <= '\r'))
		return false;
	errno = 0;
	*ret = strtoll(*at, &end, base);
	if (errno || end == *at)
		return false;
	*at = end;
	return true;
}

/* "-4@", "8@": bytes, negative where signed. */
static bool take_size(const char **at, struct kymo_probe_argument *a)
{
	int64_t size;

	if (!take_number(at, 10, &size) || **at != '@')
		return false;
	(*at)++;
	a->is_signed = size < 0;
	size = size < 0 ? -size : size;
	if (size != 1 && size != 2 && size != 4 && size != 8)
		return false;
	a->size = (uint8_t)size;
	return true;
}

static bool take_place(const char **at, struct kymo_probe_argument *a)
{
	bool constant = **at == '$', in_memory;
	int64_t number = 0;
	int reg;

	*at += constant;
	if (**at != '(' && **at != '%' && !take_number(at, 0, &number))
		return false;
	a->offset = number;
	if (constant) {
		a->kind = KYMO_ARGUMENT_CONSTANT;
		return true;
	}
	in_memory = **at == '(';
	*at += in_memory;
	reg = take_register(at);
	if (reg < 0 || (in_memory ? **at != ')' : a->offset != 0))
		return false;
	*at += in_memory;
	a->kind = in_memory ? KYMO_ARGUMENT_MEMORY : KYMO_ARGUMENT_REGISTER;
	a->reg = (uint8_t)reg;
	return true;
}

struct kymo_probe_argument elf_probe_argument(const char **at)
{
	struct kymo_probe_argument a = { 0 };
	bool known = take_size(at, &a) && take_place(at, &a);

	/* What follows at once belongs to it: "(%rax,%rbx,8)". */
	if (**at && **at != ' ')
		known = false;
	*at += strcspn(*at, " ");
	*at += strspn(*at, " ");
	return known ? a : (struct kymo_probe_argument){ 0 };
}

/* The only instruction that a probe has, in the lengths that compilers and assemblers write it. */
static bool is_no_op(const struct elf_file *f, uint64_t offset)
{
	uint8_t code[2];

	if (elf_file_read(f, offset, code, sizeof(code)) < 0)
		return false;
	return code[0] == 0x90 || (code[0] == 0x66 && code[1] == 0x90) ||
	       (code[0] == 0x0f && code[1] == 0x1f);
}

/*
 * Where an address lies in the file, if `size` bytes from there on are the file's and the segment has the
 * flag. The kernel will write there, or count up: nothing that is not a probe's may be told.
 */
static bool place(const struct elf_file *f, uint64_t vaddr, uint32_t flag, size_t size,
		  uint64_t *ret)
{
	const struct elf_segment *s = elf_file_segment(f, vaddr);

	if (!s || !(s->flags & flag) || s->file_size - (vaddr - s->vaddr) < size)
		return false;
	return !__builtin_add_overflow(vaddr - s->vaddr, s->offset, ret);
}

/* What the description begins with. prelink moved .stapsdt.base and what the note says by as much. */
struct head {
	uint64_t pc, base, semaphore;
};

static bool take_site(const struct elf_file *f, struct head h, struct elf_probe *p)
{
	const struct elf_section *base = elf_file_section(f, ".stapsdt.base");
	uint64_t moved = base ? base->vaddr - h.base : 0;

	if (!place(f, h.pc + moved, PF_X, 2, &p->offset) || !is_no_op(f, p->offset))
		return false;
	return !h.semaphore ||
	       place(f, h.semaphore + moved, PF_W, SEMAPHORE_BYTES, &p->semaphore_offset);
}

/* Provider, name and arguments: three texts with their NULs. */
static bool take_probe(const struct elf_file *f, const struct elf_note *n, struct elf_probe *p)
{
	struct reader r = { .p = n->desc, .end = n->desc + n->desc_size };
	const char *text, *texts[3];
	struct head h;
	size_t left;

	if (n->desc_size < sizeof(h))
		return false;
	h.pc = reader_u64(&r);
	h.base = reader_u64(&r);
	h.semaphore = reader_u64(&r);
	text = (const char *)r.p;
	left = (size_t)(r.end - r.p);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		size_t size = strnlen(text, left);

		if (size == left)
			return false;
		texts[i] = text;
		text += size + 1;
		left -= size + 1;
	}
	if (strcmp(texts[0], "python") != 0)
		return false;
	for (uint32_t kind = 1; kind < KYMO_PROBE_KIND_MAX; kind++)
		if (strcmp(texts[1], probe_names[kind]) == 0)
			p->site.kind = kind;
	if (!p->site.kind)
		return false;
	for (size_t i = 0; i < KYMO_PROBE_ARGUMENTS; i++)
		p->site.arguments[i] = elf_probe_argument(&texts[2]);
	return take_site(f, h, p);
}

int elf_probes_read(const struct elf_file *f, struct elf_probe ret[KYMO_PROBES_MAX],
		    uint32_t *ret_n)
{
	const struct elf_section *s = elf_file_section(f, ".note.stapsdt");
	_cleanup_free_ uint8_t *data = NULL;
	struct reader reader;
	struct elf_note n;
	int r;

	*ret_n = 0;
	if (!s || f->machine != EM_X86_64)
		return 0;
	r = elf_file_load(f, s->offset, s->size, NOTES_BYTES_MAX, &data);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	reader = (struct reader){ .p = data, .end = data + s->size };
	while (*ret_n < KYMO_PROBES_MAX && elf_note_next(&reader, &n)) {
		struct elf_probe p = { 0 };

		if (n.type == NOTE_STAPSDT && elf_note_is_named(&n, "stapsdt") &&
		    take_probe(f, &n, &p))
			ret[(*ret_n)++] = p;
	}
	return 0;
}
