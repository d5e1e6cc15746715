/* SPDX-License-Identifier: Apache-2.0 */
/* The walk's result against what known.py says. */
#include <string.h>

#include "unit/support/python_known.h"
#include "unit/test.h"

struct walk {
	struct known *known;
	struct python_codes *codes;
};

static int walk_read(void *data, void *to, size_t size, uint64_t address)
{
	struct walk *w = data;

	return known_read(w->known, to, size, address);
}

static size_t padded(size_t size)
{
	return (size + 7) / 8 * 8;
}

/* A record is exactly as long as its parts, and zero between them. */
static void check_record(const struct kymo_code *head, const uint8_t *file, const uint8_t *name,
			 const uint8_t *table, size_t size)
{
	const uint8_t *end = (const uint8_t *)head + size;

	assert_int_equal(head->head.type, KYMO_RECORD_CODE);
	assert_int_equal(head->head.size, size);
	assert_int_equal(head->head.flags, 0);
	assert_int_equal(table + padded(head->table_size) - (const uint8_t *)head, size);
	for (const uint8_t *p = file + head->file_size; p < name; p++)
		assert_int_equal(*p, 0);
	for (const uint8_t *p = name + head->name_size; p < table; p++)
		assert_int_equal(*p, 0);
	for (const uint8_t *p = table + head->table_size; p < end; p++)
		assert_int_equal(*p, 0);
}

static int walk_output(void *data, const void *record, size_t size)
{
	struct walk *w = data;
	const struct kymo_code *head = record;
	const uint8_t *file = (const uint8_t *)(head + 1);
	const uint8_t *name = file + padded(head->file_size);
	const uint8_t *table = name + padded(head->name_size);

	check_record(head, file, name, table, size);
	return python_codes_add(w->codes, head, file, name, table);
}

static void check_frame(struct python_codes *codes, const struct kymo_frame *got, bool ends,
			const struct known_frame *want)
{
	struct python_code *code = python_codes_find(codes, WALK_PID, WALK_PROCESS_START_NS,
						     got->address, got->generation);

	assert_int_equal(got->kind, KYMO_FRAME_PYTHON);
	if (!code)
		fail_msg("no code object for %s", want->name);
	assert_string_equal(code->name, want->name);
	assert_string_equal(code->file, want->file);
	assert_int_equal(python_codes_line(code, got->instruction), want->line);
	assert_int_equal(ends, want->ends_loop);
}

void known_check_thread(struct known *k, const struct known_thread *t)
{
	static struct walk_result got;
	struct walk w = { .known = k };
	struct walk_input in;

	assert_int_equal(python_codes_new(256, &w.codes), 0);
	assert_int_equal(known_input(k, t, &in), 0);
	in.read = walk_read;
	in.output = walk_output;
	in.data = &w;
	python_walk(&in, &got);
	assert_int_equal(got.end, KYMO_END_NONE);
	assert_int_equal(got.state, t->state);
	assert_int_equal(got.n, t->frames_n);
	for (size_t i = 0; i < t->frames_n; i++)
		check_frame(w.codes, &got.frames[i], got.ends_loop[i], &t->frames[i]);
	for (size_t i = 0; i < KYMO_COUNTER_MAX; i++)
		assert_int_equal(got.counters[i], 0);
	python_codes_free(w.codes);
}

void known_check(struct known *k)
{
	for (size_t i = 0; i < k->threads_n; i++)
		known_check_thread(k, &k->threads[i]);
}
