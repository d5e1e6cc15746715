/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPython's three line tables: Objects/lnotab_notes.txt (up to 3.9; 3.10), Objects/locations.md
 * (3.11+). Tables come from memory that others own: a truncated entry ends the table, sums wrap.
 */
#include <stdbool.h>

#include "python/python.h"

/* Pairs (bytes of code, signed lines); a pair's line counts from its end on. */
static uint32_t line_lnotab(const uint8_t *p, size_t size, uint32_t line, uint32_t at)
{
	uint32_t address = 0;

	for (size_t i = 0; i + 2 <= size; i += 2) {
		address += p[i];
		if (address > at)
			break;
		line += (uint32_t)(int8_t)p[i + 1];
	}
	return line;
}

/* Pairs (bytes of code, signed lines) that a range has of its own; -128 = it has no line. */
static uint32_t line_pep626(const uint8_t *p, size_t size, uint32_t first_line, uint32_t at)
{
	uint32_t line = first_line, end = 0;

	for (size_t i = 0; i + 2 <= size; i += 2) {
		int8_t delta = (int8_t)p[i + 1];

		end += p[i];
		if (delta != -128)
			line += (uint32_t)delta;
		if (at < end)
			return delta == -128 ? first_line : line;
	}
	return first_line;
}

/* An entry's first byte: 1, four bits of kind, three of length. */
enum location {
	LOCATION_SHORT_MAX = 9,	  /* up to here: the line before; one byte behind */
	LOCATION_ONE_LINE_0 = 10, /* 10, 11, 12: so many lines on; two bytes behind */
	LOCATION_ONE_LINE_2 = 12,
	LOCATION_NO_COLUMNS = 13, /* a signed varint behind */
	LOCATION_LONG = 14,	  /* and three varints more */
	LOCATION_NONE = 15,
};

/* Six bits a byte, least significant first, bit 6 = more follow. */
static uint32_t location_varint(struct reader *r)
{
	uint32_t value = 0;
	uint8_t byte;
	unsigned shift = 0;

	do {
		byte = reader_u8(r);
		if (shift < 32)
			value |= (uint32_t)(byte & 63) << shift;
		shift += 6;
	} while (byte & 64);
	return value;
}

static uint32_t location_svarint(struct reader *r)
{
	uint32_t value = location_varint(r);

	return value & 1 ? 0 - (value >> 1) : value >> 1;
}

/* Reads what is behind an entry's first byte: how many lines on. */
static uint32_t location_lines(struct reader *r, unsigned kind)
{
	uint32_t lines;

	if (kind <= LOCATION_SHORT_MAX) {
		reader_bytes(r, 1);
		return 0;
	}
	if (kind <= LOCATION_ONE_LINE_2) {
		reader_bytes(r, 2);
		return kind - LOCATION_ONE_LINE_0;
	}
	if (kind == LOCATION_NONE)
		return 0;
	lines = location_svarint(r);
	if (kind == LOCATION_LONG)
		for (int i = 0; i < 3; i++)
			location_varint(r);
	return lines;
}

static uint32_t line_locations(const uint8_t *table, size_t size, uint32_t first_line, uint32_t at)
{
	struct reader r = { .p = table, .end = table + size };
	uint32_t line = first_line, end = 0;

	while (r.p < r.end) {
		uint8_t head = reader_u8(&r);
		unsigned kind = head >> 3 & 15;

		line += location_lines(&r, kind);
		end += ((head & 7u) + 1) * 2;
		if (r.failed)
			break;
		if (at < end)
			return kind == LOCATION_NONE ? first_line : line;
	}
	return first_line;
}

uint32_t python_line(uint16_t version, const uint8_t *table, size_t table_size, uint32_t first_line,
		     int32_t instruction)
{
	if (instruction < 0 || !table_size)
		return first_line;
	if (version <= 0x0309)
		return line_lnotab(table, table_size, first_line, (uint32_t)instruction);
	if (version == 0x030a)
		return line_pep626(table, table_size, first_line, (uint32_t)instruction);
	return line_locations(table, table_size, first_line, (uint32_t)instruction);
}
