/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol/symbol.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/text.h"

/* A distribution's kernel has about 200,000 lines (12 MB), a third of them code. */
#define BYTES_MAX      (256U << 20)
#define SYMBOLS_MAX    (2U << 20)
#define NAMES_MAX      (64U << 20)
#define MODULES_MAX    UINT16_MAX
#define NAME_MAX_BYTES 512 /* the kernel's own limit, KSYM_NAME_LEN */
#define CHUNK_BYTES    (64 << 10)
/* The last symbol before a gap (a module's end) has no end of its own: no function is longer. */
#define REACH_BYTES (1U << 20)

/* 16 bytes a symbol. */
struct ksym {
	uint64_t address;
	uint32_t name;	 /* offset into names; 0 = not code: a symbol before it ends here */
	uint16_t module; /* index into modules; 0 = the kernel */
	uint8_t rank;	 /* of names at one address the highest wins */
	uint8_t pad;
};

struct kallsyms {
	struct ksym *items; /* sorted by address, one for each */
	size_t n, cap;
	struct buf names;  /* NUL-terminated strings; "" at 0 */
	uint32_t *modules; /* offsets into names */
	size_t modules_n, modules_cap;
	uint64_t text;
	bool any_address;
};

DEFINE_CLEANUP(struct kallsyms *, kallsyms_free);

void kallsyms_free(struct kallsyms *k)
{
	if (!k)
		return;
	free(k->items);
	free(k->modules);
	buf_release(&k->names);
	free(k);
}

struct line {
	uint64_t address;
	char type;
	const char *name, *module; /* not terminated */
	size_t name_size, module_size;
};

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

static bool parse_address(const char **p, const char *end, uint64_t *ret)
{
	uint64_t v = 0;
	int digits = 0;

	for (; *p < end && hex_digit(**p) >= 0 && digits < 16; (*p)++, digits++)
		v = v << 4 | (uint64_t)hex_digit(**p);
	*ret = v;
	return digits > 0 && *p < end && **p == ' ';
}

/* "ffffffff81000000 T _text", with "\t[module]" behind it */
static bool parse_line(const char *p, const char *end, struct line *ret)
{
	struct line l = { 0 };
	const char *tab;

	if (!parse_address(&p, end, &l.address) || end - p < 4 || p[2] != ' ')
		return false;
	l.type = p[1];
	l.name = p + 3;
	tab = memchr(l.name, '\t', (size_t)(end - l.name));
	l.name_size = (size_t)((tab ? tab : end) - l.name);
	if (tab && end - tab > 3 && tab[1] == '[' && end[-1] == ']') {
		l.module = tab + 2;
		l.module_size = (size_t)(end - 1 - l.module);
	}
	if (l.name_size > NAME_MAX_BYTES)
		l.name_size = NAME_MAX_BYTES;
	if (l.module_size > NAME_MAX_BYTES)
		l.module_size = NAME_MAX_BYTES;
	*ret = l;
	return l.name_size > 0;
}

static int add_text(struct kallsyms *k, const char *text, size_t size, uint32_t *ret)
{
	size_t at = k->names.size;
	int r;

	if (at + 3 * size + 1 > NAMES_MAX)
		return -EFBIG;
	r = text_append_utf8(&k->names, text, size);
	if (r == 0)
		r = buf_append(&k->names, "", 1);
	if (r < 0) {
		k->names.size = at;
		return r;
	}
	*ret = (uint32_t)at;
	return 0;
}

static const char *text_at(const struct kallsyms *k, uint32_t offset)
{
	return (const char *)k->names.data + offset;
}

/* A module's symbols stand together, so the last one is mostly it. 0 where there is no room for more. */
static int find_module(struct kallsyms *k, const struct line *l, uint16_t *ret)
{
	uint32_t name;
	int r;

	*ret = 0;
	if (!l->module_size)
		return 0;
	for (size_t i = k->modules_n; i-- > 1;) {
		const char *known = text_at(k, k->modules[i]);

		if (strncmp(known, l->module, l->module_size) == 0 && !known[l->module_size]) {
			*ret = (uint16_t)i;
			return 0;
		}
	}
	if (k->modules_n >= MODULES_MAX)
		return 0;
	if (array_reserve(&k->modules, &k->modules_cap, k->modules_n + 1) < 0)
		return -ENOMEM;
	r = add_text(k, l->module, l->module_size, &name);
	if (r < 0)
		return r;
	*ret = (uint16_t)k->modules_n;
	k->modules[k->modules_n++] = name;
	return 0;
}

static bool is(const struct line *l, const char *name)
{
	return l->name_size == strlen(name) && memcmp(l->name, name, l->name_size) == 0;
}

/* 0 = not code. Marks of the linker script name nothing where a function starts at the same place. */
static uint8_t rank_of(const struct line *l)
{
	bool mark = is(l, "_text") || is(l, "_stext") || is(l, "_sinittext") ||
		    is(l, "__init_begin") || is(l, "_etext") || is(l, "_einittext");

	switch (l->type) {
	case 'T':
		return mark ? 1 : 4;
	case 't':
		return mark ? 1 : 3;
	case 'W':
	case 'w':
		return 2;
	default:
		return 0;
	}
}

static int add_line(struct kallsyms *k, const struct line *l)
{
	struct ksym s = { .address = l->address, .rank = rank_of(l) };
	int r;

	k->any_address |= l->address != 0;
	if (is(l, "_text") || (is(l, "_stext") && !k->text))
		k->text = l->address;
	/* Of a run of data only the first ends what stands before it. */
	if (!s.rank && k->n && !k->items[k->n - 1].rank && l->address >= k->items[k->n - 1].address)
		return 0;
	if (k->n >= SYMBOLS_MAX)
		return -EFBIG;
	if (array_reserve(&k->items, &k->cap, k->n + 1) < 0)
		return -ENOMEM;
	if (s.rank) {
		r = find_module(k, l, &s.module);
		if (r == 0)
			r = add_text(k, l->name, l->name_size, &s.name);
		if (r < 0)
			return r;
	}
	k->items[k->n++] = s;
	return 0;
}

/* Whole lines of a chunk; a line that is longer than the chunk, or not one, is left out. */
static int add_chunk(struct kallsyms *k, const char *p, const char *end)
{
	while (p < end) {
		const char *eol = memchr(p, '\n', (size_t)(end - p));
		struct line l;
		int r = 0;

		if (!eol)
			return 0;
		if (parse_line(p, eol, &l))
			r = add_line(k, &l);
		if (r < 0)
			return r;
		p = eol + 1;
	}
	return 0;
}

static int read_all(struct kallsyms *k, int fd)
{
	_cleanup_free_ char *chunk = malloc(CHUNK_BYTES + 1);
	size_t held = 0, total = 0;

	if (!chunk)
		return -ENOMEM;
	for (;;) {
		ssize_t n = read(fd, chunk + held, CHUNK_BYTES - held);
		const char *last;
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		total += (size_t)n;
		if (total > BYTES_MAX)
			return -EFBIG;
		held += (size_t)n;
		if (!n)
			chunk[held++] = '\n'; /* the last line may lack its own */
		last = memrchr(chunk, '\n', held);
		if (last) {
			r = add_chunk(k, chunk, chunk + held);
			if (r < 0)
				return r;
			held -= (size_t)(last + 1 - chunk);
			memmove(chunk, last + 1, held);
		} else if (held == CHUNK_BYTES) {
			held = 0; /* no line is so long */
		}
		if (!n)
			return 0;
	}
}

static int compare(const void *a, const void *b)
{
	const struct ksym *x = a, *y = b;

	if (x->address != y->address)
		return x->address < y->address ? -1 : 1;
	if (x->rank != y->rank)
		return x->rank > y->rank ? -1 : 1;
	return x->name < y->name ? -1 : x->name > y->name;
}

/* Sorted, one symbol for an address; memory to measure. */
static void finish(struct kallsyms *k)
{
	size_t out = 0;
	void *smaller;

	if (k->n)
		qsort(k->items, k->n, sizeof(*k->items), compare);
	for (size_t i = 0; i < k->n; i++)
		if (!out || k->items[out - 1].address != k->items[i].address)
			k->items[out++] = k->items[i];
	k->n = out;
	smaller = k->n ? realloc(k->items, k->n * sizeof(*k->items)) : NULL;
	if (smaller)
		k->items = smaller;
	smaller = realloc(k->names.data, k->names.size);
	if (smaller)
		k->names.data = smaller;
}

int kallsyms_new(const char *path, struct kallsyms **ret)
{
	_cleanup_(kallsyms_freep) struct kallsyms *k = calloc(1, sizeof(*k));
	_cleanup_close_ int fd = -1;
	int r;

	if (!k)
		return -ENOMEM;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (buf_append(&k->names, "", 1) < 0 || array_reserve(&k->modules, &k->modules_cap, 1) < 0)
		return -ENOMEM;
	k->modules[k->modules_n++] = 0;
	r = read_all(k, fd);
	if (r < 0)
		return r;
	/* kptr_restrict does not refuse: it shows zeroes. */
	if (!k->any_address)
		return k->n ? -EACCES : -ENODATA;
	finish(k);
	*ret = TAKE_PTR(k);
	return 0;
}

const char *kallsyms_find(const struct kallsyms *k, uint64_t address, const char **ret_module,
			  uint64_t *ret_start)
{
	size_t low = 0, high = k->n;
	const struct ksym *s;

	*ret_module = "";
	*ret_start = 0;
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (k->items[mid].address <= address)
			low = mid + 1;
		else
			high = mid;
	}
	if (!low)
		return "";
	s = &k->items[low - 1];
	if (!s->name || address - s->address >= REACH_BYTES)
		return "";
	*ret_module = text_at(k, k->modules[s->module]);
	*ret_start = s->address;
	return text_at(k, s->name);
}

uint64_t kallsyms_text(const struct kallsyms *k)
{
	return k->text;
}
