/* SPDX-License-Identifier: Apache-2.0 */
/*
 * struct _Py_DebugOffsets (Include/internal/pycore_debug_offsets.h), with which _PyRuntime begins from 3.13 on: what the
 * interpreter says of its own layout. It differs between minor versions: which word is which, as data.
 */
#include <stddef.h>
#include <string.h>

#include "base/array.h"
#include "python/layouts.h"

#define FIELD(f) offsetof(struct kymo_python_layout, f)

/* The fields of 16 bits that the table has too. */
static const uint8_t fields[] = {
	FIELD(ts_interp),  FIELD(ts_frame),	     FIELD(ts_thread_id), FIELD(frame_previous),
	FIELD(frame_code), FIELD(frame_instruction), FIELD(frame_owner),  FIELD(code_file),
	FIELD(code_name),  FIELD(code_qualname),     FIELD(code_table),	  FIELD(code_first_line),
	FIELD(code_bytes),
};

static const struct words {
	uint16_t version;
	uint8_t gil; /* the interpreter state's pointer to its lock */
	uint8_t of_field[ARRAY_SIZE(fields)];
} tables[] = {
	{ 0x030d, 14, { 22, 23, 24, 29, 30, 31, 33, 35, 36, 37, 38, 39, 43 } },
	{ 0x030e, 15, { 25, 26, 27, 32, 33, 34, 36, 40, 41, 42, 43, 44, 48 } },
};

static bool agrees(const struct words *w, const struct elf_facts *facts,
		   const struct kymo_python_layout *row)
{
	if (facts->python_offsets[w->gil] != row->gil_offset)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		uint16_t ours;

		memcpy(&ours, (const uint8_t *)row + fields[i], sizeof(ours));
		if (facts->python_offsets[w->of_field[i]] != ours)
			return false;
	}
	return true;
}

bool python_offsets_agree(const struct elf_facts *facts, const struct kymo_python_layout *row)
{
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		if (facts->python_offsets_n && tables[i].version == row->version)
			return agrees(&tables[i], facts, row);
	return true;
}
