/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three independent traces of the version are in every build, stripped or not:
 *   - the cache tag "cpython-38", which tells the minor version;
 *   - sys.hexversion, in code: mov $0x030812f0,%edi; call PyLong_FromLong;
 *   - the string "3.8.18", often only as the tail of another one (linkers merge tails).
 * Any of the last two may mislead alone (a version of some other library that is linked in), so the one
 * that both have wins.
 */
#include "elf/python_version.h"

#include <ctype.h>
#include <elf.h>
#include <stdio.h>
#include <string.h>

#include "elf/scan.h"

#define CANDIDATES_MAX 32

struct candidates {
	uint32_t items[CANDIDATES_MAX];
	size_t n;
};

struct search {
	unsigned int minor; /* 0 = not known yet */
	struct candidates in_code, in_text;
};

static void add(struct candidates *c, uint32_t hexversion)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->items[i] == hexversion)
			return;
	if (c->n < CANDIDATES_MAX)
		c->items[c->n++] = hexversion;
}

/* Decimal digits at *p, at most two; -1 = none. */
static int number(const uint8_t **p, const uint8_t *end)
{
	int v = -1;

	for (int i = 0; i < 2 && *p < end && isdigit(**p); i++)
		v = (v < 0 ? 0 : v * 10) + *(*p)++ - '0';
	return v;
}

static bool on_tag(const struct elf_hit *hit, void *data)
{
	struct search *s = data;
	const uint8_t *p = hit->at + strlen("cpython-3"), *end = hit->at + hit->size;
	int minor = number(&p, end);

	/* "cpython-38", "cpython-36m-x86_64-linux-gnu" */
	if (minor < 3 || p == end || (*p && *p != '-' && *p != 'm' && *p != 'd' && *p != '.'))
		return true;
	s->minor = (unsigned int)minor;
	return false;
}

/* Release level and serial: a, b, c and f; final has serial 0. */
static bool is_level(uint8_t level)
{
	return level == 0xf0 || ((level & 0xf0) >= 0xa0 && (level & 0xf0) <= 0xc0);
}

static bool on_code(const struct elf_hit *hit, void *data)
{
	struct search *s = data;

	/* The hit is the two high bytes of the immediate: bf LEVEL MICRO [MINOR 03] e8 */
	if (hit->before < 3 || hit->size < 3 || hit->at[-3] != 0xbf || hit->at[2] != 0xe8 ||
	    !is_level(hit->at[-2]))
		return true;
	add(&s->in_code, 0x03000000U | s->minor << 16 | (uint32_t)hit->at[-1] << 8 | hit->at[-2]);
	return true;
}

static bool on_text(const struct elf_hit *hit, void *data)
{
	struct search *s = data;
	const uint8_t *p = hit->at, *end = hit->at + hit->size;
	uint32_t level = 0xf0;
	int micro, serial;

	if (hit->before && (isdigit(hit->at[-1]) || hit->at[-1] == '.'))
		return true;
	p += s->minor > 9 ? 5 : 4; /* "3.8." */
	micro = number(&p, end);
	if (micro < 0 || p == end)
		return true;
	if (*p == 'a' || *p == 'b' || *p == 'r') {
		level = *p == 'a' ? 0xa0 : *p == 'b' ? 0xb0 : 0xc0;
		p += *p == 'r' ? 2 : 1;
		serial = p < end ? number(&p, end) : -1;
		if (serial < 0 || serial > 15)
			return true;
		level |= (uint32_t)serial;
	}
	if (p < end && *p == '+')
		p++;
	if (p < end && *p == 0)
		add(&s->in_text, 0x03000000U | s->minor << 16 | (uint32_t)micro << 8 | level);
	return true;
}

static void scan_segments(const struct elf_file *f, uint32_t flags, const void *needle, size_t size,
			  elf_scan_fn fn, struct search *s)
{
	for (size_t i = 0; i < f->segments_n; i++) {
		const struct elf_segment *seg = &f->segments[i];

		if (seg->type == PT_LOAD && (seg->flags & flags) == flags)
			(void)elf_scan(f, seg->offset, seg->file_size, needle, size, fn, s);
	}
}

static uint32_t choose(const struct search *s)
{
	for (size_t i = 0; i < s->in_code.n; i++)
		for (size_t k = 0; k < s->in_text.n; k++)
			if (s->in_code.items[i] == s->in_text.items[k])
				return s->in_code.items[i];
	if (s->in_code.n == 1)
		return s->in_code.items[0];
	if (s->in_code.n == 0 && s->in_text.n == 1)
		return s->in_text.items[0];
	return 0;
}

uint32_t python_version_search(const struct elf_file *f)
{
	struct search s = { 0 };
	uint8_t high[2];
	char text[8];

	scan_segments(f, PF_R, "cpython-3", strlen("cpython-3"), on_tag, &s);
	if (!s.minor)
		return 0;
	high[0] = (uint8_t)s.minor;
	high[1] = 3;
	if (f->machine == EM_X86_64)
		scan_segments(f, PF_X, high, sizeof(high), on_code, &s);
	snprintf(text, sizeof(text), "3.%u.", s.minor);
	scan_segments(f, PF_R, text, strlen(text), on_text, &s);
	return choose(&s);
}
