/* SPDX-License-Identifier: Apache-2.0 */
#include "elf/inspect.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "elf/eval_loop.h"
#include "elf/file.h"
#include "elf/note.h"
#include "elf/probes.h"
#include "elf/python_version.h"
#include "elf/symtab.h"

#define INTERP_BYTES_MAX  4096
#define DYNAMIC_BYTES_MAX (1U << 20)
#define NEEDED_BYTES	  10 /* of a name: enough to tell it */
#define EVAL_NAME	  "_PyEval_EvalFrameDefault"

enum wanted {
	WANTED_EVAL,
	WANTED_RUNTIME,
	WANTED_CODE_TYPE,
	WANTED_VERSION,
	WANTED_TSTATE_CURRENT,
	WANTED_TLS_KEY,
	WANTED_INTERP_HEAD,
	WANTED_MAX,
};

static const char *const wanted_names[] = {
	[WANTED_EVAL] = EVAL_NAME,
	[WANTED_RUNTIME] = "_PyRuntime",
	[WANTED_CODE_TYPE] = "PyCode_Type",
	[WANTED_VERSION] = "Py_Version",		    /* 3.11+ */
	[WANTED_TSTATE_CURRENT] = "_PyThreadState_Current", /* 3.6 */
	[WANTED_TLS_KEY] = "autoTLSkey",		    /* 3.6, static */
	[WANTED_INTERP_HEAD] = "interp_head",		    /* 3.6, static */
};
static_assert(ARRAY_SIZE(wanted_names) == WANTED_MAX, "a name for each");

struct symbols {
	struct {
		uint64_t vaddr, size;
	} found[WANTED_MAX]; /* vaddr 0 = not there */
	struct eval_symbols eval;
};

static void take_symbol(struct symbols *s, const char *name, const Elf64_Sym *sym)
{
	for (size_t i = 0; i < WANTED_MAX; i++) {
		if (s->found[i].vaddr || strcmp(name, wanted_names[i]) != 0)
			continue;
		s->found[i].vaddr = sym->st_value;
		s->found[i].size = sym->st_size;
	}
	/* gcc: ".cold"; clang: ".cold.1" ... */
	if (s->eval.cold_n < ARRAY_SIZE(s->eval.cold) &&
	    strncmp(name, EVAL_NAME ".cold", strlen(EVAL_NAME ".cold")) == 0)
		s->eval.cold[s->eval.cold_n++] =
			(struct eval_symbol){ sym->st_value, sym->st_size };
}

static int search_table(const struct elf_file *f, uint32_t type, struct symbols *s)
{
	_cleanup_(elf_symtab_release) struct elf_symtab t = { 0 };
	Elf64_Sym sym;
	int r = elf_symtab_init(&t, f, type);

	if (r < 0)
		return r;
	while ((r = elf_symtab_next(&t, &sym)) > 0) {
		const char *name = elf_symtab_name(&t, &sym);

		if (sym.st_shndx != SHN_UNDEF && sym.st_value)
			take_symbol(s, name, &sym);
	}
	return r;
}

/* The interpreter's symbols, from .dynsym first: 3.6's static ones, and those of a program that exports none, are in .symtab. */
static int search_symbols(const struct elf_file *f, struct symbols *s)
{
	static const uint32_t types[] = { SHT_DYNSYM, SHT_SYMTAB };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		int r;

		/* Few files are interpreters, and some have 100 MB of names: look before loading. */
		if (!s->found[WANTED_EVAL].vaddr && !elf_symtab_mentions(f, types[i], EVAL_NAME))
			continue;
		r = search_table(f, types[i], s);
		if (r == -ENOMEM)
			return r;
	}
	return 0;
}

/* struct _Py_DebugOffsets: a cookie, the version, whether it is free-threaded, then the offsets. */
enum {
	DEBUG_VERSION = 1,
	DEBUG_FREE_THREADED = 2,
};

/* From 3.13 on _PyRuntime begins with a table of its own layout. */
static void read_offsets(const struct elf_file *f, const struct symbols *s, struct elf_facts *facts)
{
	uint64_t words[ELF_PYTHON_OFFSETS_MAX];

	if (!s->found[WANTED_RUNTIME].vaddr ||
	    elf_file_read_vaddr(f, s->found[WANTED_RUNTIME].vaddr, words, sizeof(words)) < 0 ||
	    memcmp(words, "xdebugpy", sizeof(words[0])) != 0 || words[DEBUG_VERSION] >> 24 != 3)
		return;
	facts->python_free_threaded = words[DEBUG_FREE_THREADED] != 0;
	facts->python_offsets_n = ELF_PYTHON_OFFSETS_MAX;
	for (size_t i = 0; i < ELF_PYTHON_OFFSETS_MAX; i++)
		facts->python_offsets[i] = words[i] > UINT32_MAX ? UINT32_MAX : (uint32_t)words[i];
}

/* 3.11+ exports it; the table of offsets has it too. */
static uint32_t hexversion(const struct elf_file *f, const struct symbols *s,
			   const struct elf_facts *facts)
{
	uint64_t version;

	if (s->found[WANTED_VERSION].vaddr &&
	    elf_file_read_vaddr(f, s->found[WANTED_VERSION].vaddr, &version, sizeof(version)) ==
		    0 &&
	    version >> 24 == 3)
		return (uint32_t)version;
	if (facts->python_offsets_n)
		return facts->python_offsets[DEBUG_VERSION];
	return python_version_search(f);
}

static int inspect_python(const struct elf_file *f, struct elf_facts *facts)
{
	struct symbols s = { 0 };
	int r = search_symbols(f, &s);

	if (r < 0)
		return r;
	if (!s.found[WANTED_EVAL].vaddr ||
	    (!s.found[WANTED_RUNTIME].vaddr && !s.found[WANTED_TSTATE_CURRENT].vaddr))
		return 0;
	s.eval.hot = (struct eval_symbol){ s.found[WANTED_EVAL].vaddr, s.found[WANTED_EVAL].size };
	r = eval_loop_find(f, &s.eval, facts);
	if (r < 0)
		return r == -ENOMEM ? r : 0; /* named so, but no code: no interpreter */
	facts->has_python = true;
	facts->runtime_vaddr = s.found[WANTED_RUNTIME].vaddr;
	facts->code_type_vaddr = s.found[WANTED_CODE_TYPE].vaddr;
	facts->thread_state_current_vaddr = s.found[WANTED_TSTATE_CURRENT].vaddr;
	facts->tls_key_vaddr = s.found[WANTED_TLS_KEY].vaddr;
	facts->interp_head_vaddr = s.found[WANTED_INTERP_HEAD].vaddr;
	read_offsets(f, &s, facts);
	facts->python_hexversion = hexversion(f, &s, facts);
	return elf_probes_read(f, facts->probes, &facts->probes_n);
}

static enum elf_libc libc_of_interp(const struct elf_file *f, const struct elf_segment *s)
{
	_cleanup_free_ char *path = NULL;

	if (elf_file_load(f, s->offset, s->file_size, INTERP_BYTES_MAX, (uint8_t **)&path) < 0)
		return ELF_LIBC_OTHER;
	if (strstr(path, "/ld-linux"))
		return ELF_LIBC_GNU;
	return strstr(path, "/ld-musl-") ? ELF_LIBC_MUSL : ELF_LIBC_OTHER;
}

/* glibc is "libc.so.6"; musl "libc.musl-x86_64.so.1" as Alpine names it, else "libc.so". */
static enum elf_libc libc_by_name(const char name[NEEDED_BYTES])
{
	if (memcmp(name, "libc.so.6", sizeof("libc.so.6")) == 0)
		return ELF_LIBC_GNU;
	if (memcmp(name, "libc.musl-", strlen("libc.musl-")) == 0 ||
	    memcmp(name, "libc.so", sizeof("libc.so")) == 0)
		return ELF_LIBC_MUSL;
	return ELF_LIBC_UNTOLD;
}

static enum elf_libc libc_needed(const struct elf_file *f, const struct elf_segment *s)
{
	enum elf_libc libc = ELF_LIBC_UNTOLD;
	_cleanup_free_ Elf64_Dyn *dyn = NULL;
	uint64_t strings = 0;
	char name[NEEDED_BYTES];

	if (elf_file_load(f, s->offset, s->file_size, DYNAMIC_BYTES_MAX, (uint8_t **)&dyn) < 0)
		return libc;
	for (size_t i = 0; i < s->file_size / sizeof(*dyn); i++)
		if (dyn[i].d_tag == DT_STRTAB)
			strings = dyn[i].d_un.d_ptr;
	for (size_t i = 0; i < s->file_size / sizeof(*dyn) && strings && !libc; i++)
		if (dyn[i].d_tag == DT_NEEDED &&
		    elf_file_read_vaddr(f, strings + dyn[i].d_un.d_val, name, sizeof(name)) == 0)
			libc = libc_by_name(name);
	return libc;
}

static enum elf_libc libc_of(const struct elf_file *f)
{
	enum elf_libc libc = ELF_LIBC_UNTOLD;

	for (size_t i = 0; i < f->segments_n; i++) {
		const struct elf_segment *s = &f->segments[i];

		if (s->type == PT_INTERP)
			return libc_of_interp(f, s);
		if (s->type == PT_DYNAMIC)
			libc = libc_needed(f, s);
	}
	return libc;
}

static int inspect(const struct elf_file *f, struct elf_facts *ret)
{
	struct elf_facts facts;
	int r;

	memset(&facts, 0, sizeof(facts)); /* its padding too: it is sent as bytes */
	facts.is_elf = true;
	facts.libc = libc_of(f);
	r = elf_note_build_id(f, &facts.build_id);
	if (r == 0)
		r = inspect_python(f, &facts);
	if (r == 0)
		*ret = facts;
	return r;
}

int elf_inspect(int fd, struct elf_facts *ret)
{
	_cleanup_(elf_file_release) struct elf_file f = { .fd = -1 };
	int r = elf_file_init(&f, fd);

	return r < 0 ? r : inspect(&f, ret);
}

int elf_inspect_memory(const void *data, size_t size, struct elf_facts *ret)
{
	_cleanup_(elf_file_release) struct elf_file f = { .fd = -1 };
	int r = elf_file_init_memory(&f, data, size);

	return r < 0 ? r : inspect(&f, ret);
}
