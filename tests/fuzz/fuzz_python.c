/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as the memory of a Python process: its thread state, frames, code objects, names and line tables, under each layout.
 * The first byte says which; pointers lead into the input, so that there is something behind most of them. What the
 * walk copies out is read as the agent reads it: names become text, every instruction a line.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "python/python.h"
#include "unit/support/python_walk.h"

#define MEMORY_AT   0x10000U
#define CODES_MAX   64
#define TLS	    16
#define KEY_VADDR   8
#define FUTEX_ADDED 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct memory {
	const uint8_t *bytes;
	size_t size;
	struct python_codes *codes;
};

static volatile size_t sink;

/* Addresses are taken modulo the input's size: nearly all can be read. */
static int read_memory(void *data, void *to, size_t size, uint64_t address)
{
	const struct memory *m = data;
	uint64_t at;

	if (address < 16 || size > m->size)
		return -1;
	at = address % m->size;
	for (size_t i = 0; i < size; i++)
		((uint8_t *)to)[i] = m->bytes[(at + i) % m->size];
	return 0;
}

static int output(void *data, const void *record, size_t size)
{
	const struct kymo_code *head = record;
	const struct memory *m = data;
	const uint8_t *file = (const uint8_t *)(head + 1), *name, *table;
	size_t file_padded = (head->file_size + 7U) & ~7U,
	       name_padded = (head->name_size + 7U) & ~7U;
	struct python_code *code;

	if (head->head.size != size || head->file_size > KYMO_CODE_FILE_MAX ||
	    head->name_size > KYMO_CODE_NAME_MAX || head->table_size > KYMO_LINE_TABLE_MAX ||
	    sizeof(*head) + file_padded + name_padded + head->table_size > size)
		abort();
	name = file + file_padded;
	table = name + name_padded;
	if (python_codes_add(m->codes, head, file, name, table) < 0)
		return 0;
	code = python_codes_find(m->codes, head->pid, head->process_start_ns, head->address,
				 head->generation);
	if (!code)
		return 0;
	sink += strlen(code->name) + strlen(code->file);
	for (int32_t at = -1; at < 64; at++)
		sink += python_codes_line(code, at);
	sink += python_codes_line(code, INT32_MAX);
	return 0;
}

static void check(const struct walk_result *r)
{
	if (r->n > KYMO_USER_FRAMES_MAX || r->end >= KYMO_END_MAX)
		abort();
	for (size_t i = 0; i < r->n; i++)
		if (r->frames[i].kind != KYMO_FRAME_PYTHON || r->frames[i].instruction < -1)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct walk_result result;
	const struct kymo_python_layout *layouts;
	struct memory m = { .bytes = data + 1, .size = size - 1 };
	struct walk_input in = { .data = &m, .read = read_memory, .output = output };
	size_t n = python_layouts(&layouts);

	if (size < 64)
		return 0;
	if (python_codes_new(CODES_MAX, &m.codes) < 0)
		abort();
	in.layout = layouts[data[0] % 16 % n];
	in.rest = data[0] & 0x10;
	in.load_bias = MEMORY_AT;
	in.binary = (struct kymo_python_binary){ .key_vaddr = KEY_VADDR, .tls_specific = TLS };
	in.binary.torn.end = data[0] & 0x20 ? UINT64_MAX : 0;
	in.leaf_pc = MEMORY_AT;
	in.futex = MEMORY_AT + FUTEX_ADDED;
	/* The thread's own block: that the state must lead back to. */
	memcpy(&in.fs_base, data + 1, sizeof(in.fs_base));
	python_walk(&in, &result);
	check(&result);
	python_codes_process_ended(m.codes, WALK_PID, WALK_PROCESS_START_NS);
	python_codes_free(m.codes);
	return 0;
}
