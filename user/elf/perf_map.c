/* SPDX-License-Identifier: Apache-2.0 */
#include "elf/perf_map.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define PIECE_BYTES (256U << 10)
/* Numbers and as much of the name as is kept. */
#define LINE_BYTES (PERF_MAP_NAME_MAX + 64)

struct wanted {
	uint64_t address;
	size_t index;
};

struct search {
	struct wanted *wanted; /* ascending by address */
	size_t n;
	struct perf_map_name *names;
};

static int compare(const void *pa, const void *pb)
{
	const struct wanted *a = pa, *b = pb;

	return a->address < b->address ? -1 : a->address > b->address;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A number and the space behind it; false where there is none. */
static bool take_hex(const char **p, const char *end, uint64_t *ret)
{
	const char *at = *p;
	size_t digits = 0;

	if (end - at > 2 && at[0] == '0' && (at[1] == 'x' || at[1] == 'X'))
		at += 2;
	for (*ret = 0; at < end && digit(*at) >= 0; at++, digits++)
		*ret = *ret << 4 | (uint64_t)digit(*at);
	if (!digits || digits > 16 || at == end || *at != ' ')
		return false;
	*p = at + 1;
	return true;
}

static void take_line(struct search *s, const char *line, size_t size, uint64_t offset)
{
	const char *p = line, *end = line + size;
	size_t low = 0, high = s->n;
	uint64_t start, length;

	if (!take_hex(&p, end, &start) || !take_hex(&p, end, &length) || p == end)
		return;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (s->wanted[middle].address < start)
			low = middle + 1;
		else
			high = middle;
	}
	size = (size_t)(end - p) < PERF_MAP_NAME_MAX ? (size_t)(end - p) : PERF_MAP_NAME_MAX;
	for (; low < s->n && s->wanted[low].address - start < length; low++)
		s->names[s->wanted[low].index] =
			(struct perf_map_name){ offset + (uint64_t)(p - line), size };
}

/* The whole lines of a piece (at the file's end all of it): how many bytes they take. */
static size_t take_piece(struct search *s, const char *piece, size_t size, uint64_t offset,
			 bool last)
{
	size_t at = 0;

	while (at < size) {
		const char *newline = memchr(piece + at, '\n', size - at);
		size_t length = newline ? (size_t)(newline - piece) - at : size - at;

		if (!newline && !last && at > 0)
			break;
		/* A line longer than the piece: its start is all that is kept of any. */
		take_line(s, piece + at, length < LINE_BYTES ? length : LINE_BYTES, offset + at);
		at += length + !!newline;
	}
	return at;
}

static int search(struct search *s, const struct elf_file *f)
{
	_cleanup_free_ char *piece = malloc(PIECE_BYTES);
	uint64_t at = 0;

	if (!piece)
		return -ENOMEM;
	while (at < f->size) {
		int64_t n = elf_file_read_some(f, at, piece, PIECE_BYTES);

		if (n <= 0)
			return (int)n; /* shorter by now */
		at += take_piece(s, piece, (size_t)n, at, at + (uint64_t)n >= f->size);
	}
	return 0;
}

int perf_map_find(const struct elf_file *f, const uint64_t *addresses, size_t n,
		  struct perf_map_name *ret)
{
	struct search s = { .wanted = calloc(n + 1, sizeof(*s.wanted)), .n = n, .names = ret };
	int r;

	if (!s.wanted)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		s.wanted[i] = (struct wanted){ addresses[i], i };
		ret[i] = (struct perf_map_name){ 0 };
	}
	qsort(s.wanted, n, sizeof(*s.wanted), compare);
	r = n ? search(&s, f) : 0;
	free(s.wanted);
	return r;
}
