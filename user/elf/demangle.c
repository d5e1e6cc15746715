/* SPDX-License-Identifier: Apache-2.0 */
#include "elf/demangle.h"

#include <errno.h>
#include <libiberty/demangle.h>
#include <setjmp.h>
#include <stdbool.h>
#include <string.h>

#define PLT "@plt"
/* Names that differ by what they return are rare; a line of a report is short. */
#define OPTIONS (DMGL_PARAMS | DMGL_ANSI | DMGL_RET_DROP)

struct output {
	char *data;
	size_t size, max;
	jmp_buf full;
};

static void append(const char *text, size_t size, void *data)
{
	struct output *o = data;

	/*
	 * A name of a few dozen bytes can stand for gigabytes, and a callback cannot say that it
	 * has enough. The library holds no memory here but, for Rust's punycode, some bytes.
	 */
	if (size > o->max - o->size)
		longjmp(o->full, 1);
	if (size) /* text may then be NULL */
		memcpy(o->data + o->size, text, size);
	o->size += size;
}

/* Rust's older names look like C++'s: they are asked first. */
static int demangle(const char *mangled, struct output *o)
{
	if (setjmp(o->full))
		return -E2BIG;
	if (rust_demangle_callback(mangled, OPTIONS, append, o) && o->size)
		return 0;
	o->size = 0;
	return cplus_demangle_v3_callback(mangled, OPTIONS, append, o) && o->size ? 0 : -ENOENT;
}

static bool may_be_mangled(const char *name, size_t size)
{
	return size > 2 && name[0] == '_' && strchr("ZRG", name[1]) && name[1];
}

int elf_demangle(const char *name, size_t name_size, char *out, size_t max, size_t *ret_size)
{
	struct output o = { .data = out, .max = max };
	char mangled[DEMANGLE_INPUT_MAX + 1];
	size_t plt = strlen(PLT);
	int r;

	if (!may_be_mangled(name, name_size))
		return -ENOENT;
	if (name_size < plt || memcmp(name + name_size - plt, PLT, plt) != 0)
		plt = 0;
	if (name_size - plt > DEMANGLE_INPUT_MAX || max < plt)
		return -E2BIG;
	memcpy(mangled, name, name_size - plt);
	mangled[name_size - plt] = '\0';
	o.max -= plt;
	r = demangle(mangled, &o);
	if (r < 0)
		return r;
	memcpy(out + o.size, PLT, plt);
	*ret_size = o.size + plt;
	return 0;
}
