/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPython's structures as rows of data, x86-64: Include/ and Include/internal/ of each version, printed
 * by offsetof() and checked on live processes. What is the same in many versions has a name; a row
 * says what is its own.
 */
#include "python/layouts.h"

#include "base/array.h"

/* PyFrameObject and PyCodeObject up to 3.10: every frame has an eval loop. */
#define FRAMES_OF_OBJECTS                                                                 \
	.frames = KYMO_PYTHON_FRAME_DIRECT, .boundary = KYMO_PYTHON_BOUNDARY_EACH,        \
	.instruction_is_index = 1, .ts_interp = 16, .ts_frame = 24, .frame_previous = 24, \
	.frame_code = 32

#define CODE_3_6                                                                      \
	.code_first_line = 36, .code_content = 40, .code_file = 96, .code_name = 104, \
	.code_table = 112, .code_size = 120
#define CODE_3_8                                                                       \
	.code_first_line = 40, .code_content = 48, .code_file = 104, .code_name = 112, \
	.code_table = 120, .code_size = 128
/* code_content: ob_size, the number of instructions */
#define CODE_3_11                                                                     \
	.code_content = 16, .code_file = 112, .code_name = 120, .code_qualname = 128, \
	.code_table = 136, .code_size = 144

#define STRING_3_6  .string_ascii_offset = 48, .string_compact_offset = 72
#define STRING_3_12 .string_ascii_offset = 40, .string_compact_offset = 56

/* _PyInterpreterFrame; owner 3 is FRAME_OWNED_BY_CSTACK. */
#define FRAMES_3_12                                                                          \
	.boundary = KYMO_PYTHON_BOUNDARY_OWNER, .boundary_value = 3, .instruction_scale = 1, \
	.ts_interp = 16, .frame_previous = 8, .frame_code = 0, .frame_instruction = 56,      \
	.frame_boundary = 70, .frame_owner = 70, .frame_size = 72

/* Of each row: the versions (PY_VERSION_HEX) that it holds for, from the first release candidate on. */
static const struct version_range {
	uint32_t first, last;
} ranges[] = {
	{ 0x030600c0, 0x0306ffff }, { 0x030700c0, 0x030703ff }, { 0x03070400, 0x0307ffff },
	{ 0x030800c0, 0x0308ffff }, { 0x030900c0, 0x0309ffff }, { 0x030a00c0, 0x030affff },
	{ 0x030b00c0, 0x030bffff }, { 0x030c00c0, 0x030cffff }, { 0x030d00c0, 0x030dffff },
	{ 0x030e00c0, 0x030effff },
};

static const struct kymo_python_layout layouts[] = {
	{
		.version = 0x0306,
		.frame_locals = 376,
		FRAMES_OF_OBJECTS,
		CODE_3_6,
		STRING_3_6,
		.gil = KYMO_PYTHON_GIL_CURRENT,
		.instruction_scale = 1,
		.ts_thread_id = 152,
		.frame_instruction = 120,
		.frame_size = 128,
	},
	{
		/* until 3.7.4 the heads of the collector's lists were not aligned to 16 bytes (bpo-27987) */
		.version = 0x0307,
		.frame_locals = 360,
		FRAMES_OF_OBJECTS,
		CODE_3_6,
		STRING_3_6,
		.gil = KYMO_PYTHON_GIL_RUNTIME,
		.instruction_scale = 1,
		.ts_thread_id = 176,
		.frame_instruction = 104,
		.frame_size = 112,
		.runtime_key = 1420,
		.runtime_current = 1392,
		.gil_offset = 1176,
		.gc_collecting = 544,
	},
	{
		.version = 0x0307,
		.frame_locals = 360,
		FRAMES_OF_OBJECTS,
		CODE_3_6,
		STRING_3_6,
		.gil = KYMO_PYTHON_GIL_RUNTIME,
		.instruction_scale = 1,
		.ts_thread_id = 176,
		.frame_instruction = 104,
		.frame_size = 112,
		.runtime_key = 1508,
		.runtime_current = 1480,
		.gil_offset = 1264,
		.gc_collecting = 632,
	},
	{
		.version = 0x0308,
		.frame_locals = 360,
		FRAMES_OF_OBJECTS,
		CODE_3_8,
		STRING_3_6,
		.gil = KYMO_PYTHON_GIL_RUNTIME,
		.instruction_scale = 1,
		.ts_thread_id = 176,
		.frame_instruction = 104,
		.frame_size = 112,
		.runtime_key = 1396,
		.runtime_current = 1368,
		.gil_offset = 1152,
		.gc_collecting = 544,
	},
	{
		.version = 0x0309,
		.frame_locals = 360,
		FRAMES_OF_OBJECTS,
		CODE_3_8,
		STRING_3_6,
		.gil = KYMO_PYTHON_GIL_RUNTIME,
		.gc_in_interp = 1,
		.instruction_scale = 1,
		.ts_thread_id = 176,
		.frame_instruction = 104,
		.frame_size = 112,
		.runtime_key = 588,
		.runtime_current = 568,
		.gil_offset = 352,
		.gc_collecting = 816,
	},
	{
		.version = 0x030a,
		.frame_locals = 352,
		FRAMES_OF_OBJECTS,
		CODE_3_8,
		STRING_3_6,
		.gil = KYMO_PYTHON_GIL_RUNTIME,
		.gc_in_interp = 1,
		.instruction_scale = 2,
		.ts_thread_id = 176,
		.frame_instruction = 96,
		.frame_size = 104,
		.runtime_key = 588,
		.runtime_current = 568,
		.gil_offset = 352,
		.gc_collecting = 816,
	},
	{
		.version = 0x030b,
		.frame_locals = 72,
		.type_keys = 872,
		.attributes = KYMO_PYTHON_ATTRIBUTES_POINTER,
		CODE_3_11,
		STRING_3_6,
		.frames = KYMO_PYTHON_FRAME_CFRAME,
		.boundary = KYMO_PYTHON_BOUNDARY_ENTRY,
		.gil = KYMO_PYTHON_GIL_RUNTIME,
		.gc_in_interp = 1,
		.instruction_scale = 1,
		.ts_interp = 16,
		.ts_thread_id = 152,
		.ts_frame = 56,
		.cframe_current = 8,
		.cframe_previous = 16,
		.frame_previous = 48,
		.frame_code = 32,
		.frame_instruction = 56,
		.frame_boundary = 68,
		.frame_owner = 69,
		.frame_size = 72,
		.code_first_line = 72,
		.code_bytes = 184,
		.runtime_key = 596,
		.runtime_current = 576,
		.gil_offset = 360,
		.gc_collecting = 848,
	},
	{
		.version = 0x030c,
		.frame_locals = 72,
		.type_keys = 880,
		.attributes = KYMO_PYTHON_ATTRIBUTES_TAGGED,
		FRAMES_3_12,
		CODE_3_11,
		STRING_3_12,
		.frames = KYMO_PYTHON_FRAME_CFRAME,
		.gil = KYMO_PYTHON_GIL_INTERP,
		.gc_in_interp = 1,
		.ts_thread_id = 136,
		.ts_frame = 56,
		.cframe_current = 0,
		.cframe_previous = 8,
		.code_first_line = 68,
		.code_version = 92,
		.code_bytes = 192,
		.runtime_key = 1548,
		.gil_offset = 384,
		.gc_collecting = 312,
	},
	{
		.version = 0x030d,
		.frame_locals = 72,
		.type_keys = 880,
		.attributes = KYMO_PYTHON_ATTRIBUTES_INLINE,
		FRAMES_3_12,
		CODE_3_11,
		STRING_3_12,
		.frames = KYMO_PYTHON_FRAME_DIRECT,
		.gil = KYMO_PYTHON_GIL_INTERP,
		.gc_in_interp = 1,
		.ts_thread_id = 152,
		.ts_frame = 72,
		.code_first_line = 68,
		.code_version = 92,
		.code_bytes = 200,
		.runtime_key = 2164,
		.gil_offset = 16,
		.gc_collecting = 7600,
	},
	{
		/* two kinds of owner are boundaries: FRAME_OWNED_BY_INTERPRETER, FRAME_OWNED_BY_CSTACK */
		.version = 0x030e,
		.frame_locals = 80,
		.type_keys = 880,
		.attributes = KYMO_PYTHON_ATTRIBUTES_INLINE,
		CODE_3_11,
		STRING_3_12,
		.frames = KYMO_PYTHON_FRAME_DIRECT,
		.boundary = KYMO_PYTHON_BOUNDARY_OWNER,
		.boundary_value = 3,
		.gil = KYMO_PYTHON_GIL_INTERP,
		.gc_in_interp = 1,
		.instruction_scale = 1,
		.ts_interp = 16,
		.ts_thread_id = 152,
		.ts_frame = 72,
		.frame_previous = 8,
		.frame_code = 0,
		.frame_instruction = 56,
		.frame_boundary = 74,
		.frame_owner = 74,
		.frame_size = 80,
		.code_first_line = 68,
		.code_version = 92,
		.code_bytes = 208,
		.runtime_key = 2340,
		.gil_offset = 16,
		.gc_collecting = 7600,
	},
};

static_assert(ARRAY_SIZE(ranges) == ARRAY_SIZE(layouts), "a range for each row");
static_assert(ARRAY_SIZE(layouts) <= KYMO_PYTHON_LAYOUTS_MAX, "the kernel's table");

size_t python_layouts(const struct kymo_python_layout **ret)
{
	*ret = layouts;
	return ARRAY_SIZE(layouts);
}

int python_layout_find(uint32_t hexversion)
{
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		if (hexversion >= ranges[i].first && hexversion <= ranges[i].last)
			return (int)i;
	return -1;
}
