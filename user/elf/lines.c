/* SPDX-License-Identifier: Apache-2.0 */
#include "elf/lines.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <libelf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "elf/dwarf_image.h"

#define WALK_DEPTH_MAX 200 /* entries within one another; real ones have some 30 */
#define WALK_DIES_MAX  (100U << 20)
#define CLOCK_EVERY    1024

/* DWARF in memory. */
struct dwarf {
	struct buf image;
	Elf *elf;
	Dwarf *dw;
};

struct address {
	uint64_t address;
	size_t index;	   /* as asked */
	Dwarf_Die *scopes; /* the function, and what is inlined there */
	size_t scopes_n, cap;
	struct elf_line *lines; /* made of them */
	size_t lines_n;
	bool is_in_unit; /* of the unit at hand */
};

struct elf_lines {
	struct dwarf main, alt;
	struct address *addresses; /* ascending */
	size_t n;
	size_t *by_index; /* as asked -> place in addresses */
	uint64_t dies, until_cpu_ns;
	bool enough; /* a bound is reached */
};

static void dwarf_close(struct dwarf *d)
{
	if (d->dw)
		dwarf_end(d->dw);
	if (d->elf)
		elf_end(d->elf);
	buf_release(&d->image);
}

void elf_lines_free(struct elf_lines *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->n; i++) {
		free(l->addresses[i].scopes);
		free(l->addresses[i].lines);
	}
	free(l->addresses);
	free(l->by_index);
	dwarf_close(&l->main);
	dwarf_close(&l->alt);
	free(l);
}
DEFINE_CLEANUP(struct elf_lines *, elf_lines_free);

static int open_dwarf(struct dwarf *d, const struct elf_file *f, uint64_t *bytes_left)
{
	int r = dwarf_image_make(f, bytes_left, &d->image);

	if (r < 0)
		return r;
	elf_version(EV_CURRENT);
	d->elf = elf_memory((char *)d->image.data, d->image.size);
	d->dw = d->elf ? dwarf_begin_elf(d->elf, DWARF_C_READ, NULL) : NULL;
	return d->dw ? 0 : -EBADMSG;
}

int elf_lines_new(const struct elf_file *f, const struct elf_file *alt, struct elf_lines **ret)
{
	_cleanup_(elf_lines_freep) struct elf_lines *l = calloc(1, sizeof(*l));
	uint64_t bytes_left = ELF_LINES_BYTES_MAX;
	int r;

	if (!l)
		return -ENOMEM;
	r = open_dwarf(&l->main, f, &bytes_left);
	if (r < 0)
		return r;
	/* Without it names are missing that the main file only refers to; the lines are all there. */
	if (alt && open_dwarf(&l->alt, alt, &bytes_left) == 0)
		dwarf_setalt(l->main.dw, l->alt.dw);
	*ret = TAKE_PTR(l);
	return 0;
}

static bool is_enough(struct elf_lines *l)
{
	if (!l->enough && ++l->dies % CLOCK_EVERY == 0)
		l->enough = l->dies > WALK_DIES_MAX ||
			    (l->until_cpu_ns && clock_process_cpu_ns() > l->until_cpu_ns);
	return l->enough;
}

static size_t lower_bound(const struct elf_lines *l, uint64_t address)
{
	size_t low = 0, high = l->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (l->addresses[middle].address < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The functions that an entry adds to those at an address. */
static int take_scope(struct address *a, const Dwarf_Die *die, int tag)
{
	if (tag == DW_TAG_subprogram)
		a->scopes_n = 0;
	else if (tag != DW_TAG_inlined_subroutine || a->scopes_n == ELF_LINES_DEPTH_MAX)
		return 0;
	if (array_reserve(&a->scopes, &a->cap, a->scopes_n + 1) < 0)
		return -ENOMEM;
	a->scopes[a->scopes_n++] = *die;
	return 0;
}

/* How many of our addresses the entry has (counted per range), or -ENOMEM. */
static int64_t take_ranges(struct elf_lines *l, Dwarf_Die *die, int tag)
{
	Dwarf_Addr base = 0, start = 0, end = 0;
	ptrdiff_t at = 0;
	int64_t hits = 0;

	while (!is_enough(l) && (at = dwarf_ranges(die, at, &base, &start, &end)) > 0) {
		/* 0: code that the linker left out. */
		for (size_t i = start ? lower_bound(l, start) : l->n;
		     i < l->n && l->addresses[i].address < end; i++) {
			if (tag == DW_TAG_compile_unit)
				l->addresses[i].is_in_unit = true;
			else if (take_scope(&l->addresses[i], die, tag) < 0)
				return -ENOMEM;
			hits++;
		}
	}
	return hits;
}

static bool has_ranges(Dwarf_Die *die)
{
	return dwarf_hasattr(die, DW_AT_low_pc) || dwarf_hasattr(die, DW_AT_ranges);
}

static int walk(struct elf_lines *l, Dwarf_Die *parent, unsigned int depth);

static int visit(struct elf_lines *l, Dwarf_Die *die, unsigned int depth)
{
	int tag = dwarf_tag(die);
	int64_t hits;

	switch (tag) {
	case DW_TAG_subprogram:
	case DW_TAG_inlined_subroutine:
	case DW_TAG_lexical_block:
	case DW_TAG_try_block:
	case DW_TAG_catch_block:
		if (!has_ranges(die))
			return tag == DW_TAG_lexical_block ? walk(l, die, depth + 1) : 0;
		hits = take_ranges(l, die, tag);
		return hits > 0 ? walk(l, die, depth + 1) : (int)hits;
	/* Rust has its functions in them. */
	case DW_TAG_namespace:
	case DW_TAG_module:
	case DW_TAG_structure_type:
	case DW_TAG_class_type:
	case DW_TAG_union_type:
	case DW_TAG_enumeration_type:
		return walk(l, die, depth + 1);
	default:
		return 0;
	}
}

static int walk(struct elf_lines *l, Dwarf_Die *parent, unsigned int depth)
{
	Dwarf_Die die;
	int r = 0;

	if (depth > WALK_DEPTH_MAX || dwarf_child(parent, &die) != 0)
		return 0;
	do
		r = visit(l, &die, depth);
	while (r == 0 && !is_enough(l) && dwarf_siblingof(&die, &die) == 0);
	return r;
}

static const char *name_of(Dwarf_Die *die)
{
	Dwarf_Attribute a;
	const char *name = NULL;

	if (dwarf_attr_integrate(die, DW_AT_linkage_name, &a) ||
	    dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &a))
		name = dwarf_formstring(&a);
	return name ? name : dwarf_diename(die);
}

static uint32_t call_line(Dwarf_Die *die)
{
	Dwarf_Attribute a;
	Dwarf_Word line;

	if (!dwarf_attr(die, DW_AT_call_line, &a) || dwarf_formudata(&a, &line) < 0)
		return 0;
	return line > UINT32_MAX ? 0 : (uint32_t)line;
}

static struct elf_line describe(Dwarf_Die *die)
{
	struct elf_line l = { .name = name_of(die), .file = dwarf_decl_file(die) };
	int line;

	if (dwarf_decl_line(die, &line) == 0 && line > 0)
		l.first_line = (uint32_t)line;
	return l;
}

/* Scopes of the address -> its lines, while the unit at hand is its own. */
static int make_lines(struct address *a, Dwarf_Die *unit)
{
	Dwarf_Line *at = dwarf_getsrc_die(unit, a->address);
	int line = 0;

	if (at && dwarf_lineno(at, &line) < 0)
		line = 0;
	if (!a->scopes_n && !at)
		return 0;
	a->lines_n = a->scopes_n ? a->scopes_n : 1;
	a->lines = calloc(a->lines_n, sizeof(*a->lines));
	if (!a->lines) {
		a->lines_n = 0;
		return -ENOMEM;
	}
	for (size_t i = 0; i < a->scopes_n; i++) {
		a->lines[i] = describe(&a->scopes[i]);
		if (i > 0)
			a->lines[i - 1].line = call_line(&a->scopes[i]);
	}
	a->lines[a->lines_n - 1].line = line > 0 ? (uint32_t)line : 0;
	if (!a->scopes_n)
		a->lines[0].file = dwarf_linesrc(at, NULL, NULL);
	return 0;
}

static int look_into(struct elf_lines *l, Dwarf_Die *unit)
{
	int64_t hits = take_ranges(l, unit, DW_TAG_compile_unit);
	int r;

	if (hits <= 0)
		return (int)hits;
	r = walk(l, unit, 0);
	for (size_t i = 0; i < l->n; i++) {
		struct address *a = &l->addresses[i];

		/* Of a walk that was broken off the innermost functions may be missing: nothing is better. */
		if (r == 0 && a->is_in_unit && !a->lines && !l->enough)
			r = make_lines(a, unit);
		free(TAKE_PTR(a->scopes));
		a->scopes_n = a->cap = 0;
		a->is_in_unit = false;
	}
	return r;
}

static int compare_addresses(const void *pa, const void *pb)
{
	const struct address *a = pa, *b = pb;

	if (a->address != b->address)
		return a->address < b->address ? -1 : 1;
	return a->index < b->index ? -1 : a->index > b->index;
}

static int take_addresses(struct elf_lines *l, const uint64_t *addresses, size_t n)
{
	l->addresses = calloc(n, sizeof(*l->addresses));
	l->by_index = calloc(n, sizeof(*l->by_index));
	if (!l->addresses || !l->by_index)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		l->addresses[i] = (struct address){ .address = addresses[i], .index = i };
	l->n = n;
	qsort(l->addresses, n, sizeof(*l->addresses), compare_addresses);
	for (size_t i = 0; i < n; i++)
		l->by_index[l->addresses[i].index] = i;
	return 0;
}

int elf_lines_find(struct elf_lines *l, const uint64_t *addresses, size_t n, uint64_t until_cpu_ns)
{
	Dwarf_CU *unit = NULL;
	Dwarf_Die die;
	uint8_t type;
	int r;

	if (!n)
		return 0;
	r = l->addresses ? -EINVAL : take_addresses(l, addresses, n);
	l->until_cpu_ns = until_cpu_ns;
	while (r == 0 && !is_enough(l) &&
	       dwarf_get_units(l->main.dw, unit, &unit, NULL, &type, &die, NULL) == 0)
		if (type == DW_UT_compile || type == DW_UT_skeleton)
			r = look_into(l, &die);
	return r;
}

size_t elf_lines_get(const struct elf_lines *l, size_t i, struct elf_line *out, size_t max)
{
	const struct address *a;
	size_t n;

	if (i >= l->n)
		return 0;
	a = &l->addresses[l->by_index[i]];
	n = a->lines_n < max ? a->lines_n : max;
	if (n)
		memcpy(out, a->lines, n * sizeof(*out));
	return n;
}
