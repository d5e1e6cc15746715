/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <errno.h>

#include "python/python.h"

static struct elf_facts facts_of(uint32_t hexversion)
{
	return (struct elf_facts){ .is_elf = true,
				   .has_python = true,
				   .libc = ELF_LIBC_GNU,
				   .python_hexversion = hexversion,
				   .runtime_vaddr = 0x100000,
				   .code_type_vaddr = 0x200000,
				   .thread_state_current_vaddr = 0x300000,
				   .tls_key_vaddr = 0x400000,
				   .eval = { { 0x1000, 0x9000 }, { 0x500, 0x600 } } };
}

static const struct kymo_python_layout *layout_of(const struct kymo_python_binary *b)
{
	const struct kymo_python_layout *layouts;

	assert_true(b->layout < python_layouts(&layouts));
	return &layouts[b->layout];
}

static void each_version_has_its_row(void **state)
{
	(void)state;
	for (uint32_t minor = 6; minor <= 14; minor++) {
		struct elf_facts facts = facts_of(0x030007f0 | minor << 16 | 0x400);
		struct kymo_python_binary b;

		assert_int_equal(python_binary(&facts, &b), 0);
		assert_int_equal(layout_of(&b)->version, 0x0300 | minor);
		assert_int_equal(b.code_type_vaddr, 0x200000);
		assert_int_equal(b.eval[1].start, 0x500);
		assert_int_equal(b.tls_specific, 0x310);
	}
}

/* Where a thread has the values of its keys: a static program does not say which C library it has. */
static void the_c_library_says_where_values_are(void **state)
{
	static const struct {
		enum elf_libc libc;
		uint32_t specific, values;
	} want[] = { { ELF_LIBC_GNU, 0x310, 0 },
		     { ELF_LIBC_MUSL, 0, 0x80 },
		     { ELF_LIBC_UNTOLD, 0x310, 0x80 } };
	struct elf_facts facts = facts_of(0x030b02f0);
	struct kymo_python_binary b;

	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		facts.libc = want[i].libc;
		assert_int_equal(python_binary(&facts, &b), 0);
		assert_int_equal(b.tls_specific, want[i].specific);
		assert_int_equal(b.tls_values, want[i].values);
	}
}

/* 3.7.4 moved what lies behind the collector's lists in _PyRuntime. */
static void patch_levels_differ(void **state)
{
	struct elf_facts facts = facts_of(0x030703f0);
	struct kymo_python_binary b;

	(void)state;
	assert_int_equal(python_binary(&facts, &b), 0);
	assert_int_equal(b.key_vaddr, 0x100000 + 1420);
	facts.python_hexversion = 0x030704f0;
	assert_int_equal(python_binary(&facts, &b), 0);
	assert_int_equal(b.key_vaddr, 0x100000 + 1508);
}

/* What the kernel side reads at once must hold what it looks for. */
static void rows_fit_what_is_read(void **state)
{
	const struct kymo_python_layout *l;
	size_t n = python_layouts(&l);

	(void)state;
	for (; n > 0; n--, l++) {
		assert_true(l->ts_thread_id + 8 <= KYMO_PYTHON_THREAD_STATE_BYTES);
		assert_true(l->ts_frame + 8 <= KYMO_PYTHON_THREAD_STATE_BYTES);
		assert_true(l->frame_size <= KYMO_PYTHON_HEAD_BYTES);
		assert_true(l->frame_previous + 8 <= l->frame_size);
		assert_true(l->frame_code + 8 <= l->frame_size);
		assert_true(l->frame_instruction + 8 <= l->frame_size);
		assert_true(l->frame_boundary < l->frame_size);
		assert_true(l->code_size <= KYMO_PYTHON_HEAD_BYTES);
		assert_true(l->code_table + 8 <= l->code_size);
		assert_true(l->code_qualname + 8 <= l->code_size);
		assert_true(l->code_version + 4 <= l->code_size);
		/* they are read in whole words */
		assert_int_equal((l->frame_previous | l->frame_code | l->frame_instruction |
				  l->code_file | l->code_name | l->code_qualname | l->code_table |
				  l->code_content | l->ts_frame | l->ts_interp | l->ts_thread_id) &
					 7,
				 0);
		assert_int_equal((l->code_first_line | l->code_version) & 3, 0);
	}
}

static void key_and_lock_are_found(void **state)
{
	struct elf_facts facts = facts_of(0x03060ff0);
	struct kymo_python_binary b;

	(void)state;
	assert_int_equal(python_binary(&facts, &b), 0);
	assert_int_equal(b.key_vaddr, 0x400000);
	assert_int_equal(b.gil_vaddr, 0x300000);
	assert_int_equal(b.torn.end, 0);
	facts.python_hexversion = 0x030b02f0;
	assert_int_equal(python_binary(&facts, &b), 0);
	assert_int_equal(b.key_vaddr, 0x100000 + 596);
	assert_int_equal(b.gil_vaddr + KYMO_PYTHON_GIL_HOLDER, 0x100000 + 368);
	assert_int_equal(b.torn.start, 0x1000);
	assert_true(b.torn.end > 0x1000 + 0xa5 && b.torn.end < 0x1200);
	facts.python_hexversion = 0x030d00f0;
	assert_int_equal(python_binary(&facts, &b), 0);
	assert_int_equal(b.torn.end, 0);
}

static void what_is_not_known_is_refused(void **state)
{
	struct kymo_python_binary b = { .layout = 1234 };
	struct elf_facts facts = facts_of(0x030b02f0);

	(void)state;
	facts.has_python = false;
	assert_int_equal(python_binary(&facts, &b), -ENOENT);
	facts = facts_of(0x030b02f0);
	facts.libc = ELF_LIBC_OTHER;
	assert_int_equal(python_binary(&facts, &b), -ENOTSUP);
	facts = facts_of(0);
	assert_int_equal(python_binary(&facts, &b), -ENOTSUP);
	facts = facts_of(0x030500f0);
	assert_int_equal(python_binary(&facts, &b), -ENOTSUP);
	facts = facts_of(0x04000000);
	assert_int_equal(python_binary(&facts, &b), -ENOTSUP);
	facts = facts_of(0x030c00a7); /* alpha 7: not the layout of the release */
	assert_int_equal(python_binary(&facts, &b), -ENOTSUP);
	facts = facts_of(0x03060ff0); /* stripped: the key's symbol is a local one */
	facts.tls_key_vaddr = 0;
	assert_int_equal(python_binary(&facts, &b), -ENOTSUP);
	facts = facts_of(0x030b02f0);
	facts.runtime_vaddr = 0;
	assert_int_equal(python_binary(&facts, &b), -ENOTSUP);
	assert_int_equal(b.layout, 1234);
}

/* The words of 3.14's table; it wins over what we believe of that version. */
static void the_interpreters_own_table_is_asked(void **state)
{
	struct elf_facts facts = facts_of(0x030e0af0);
	const struct {
		uint8_t word;
		uint16_t value;
	} words[] = { { 15, 16 },  { 25, 16 },	{ 26, 72 }, { 27, 152 }, { 32, 8 },
		      { 33, 0 },   { 34, 56 },	{ 36, 74 }, { 40, 112 }, { 41, 120 },
		      { 42, 128 }, { 43, 136 }, { 44, 68 }, { 48, 208 } };
	struct kymo_python_binary b;

	(void)state;
	facts.python_offsets_n = ELF_PYTHON_OFFSETS_MAX;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		facts.python_offsets[words[i].word] = words[i].value;
	assert_int_equal(python_support(&facts), PYTHON_SUPPORTED);
	assert_int_equal(python_binary(&facts, &b), 0);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		facts.python_offsets[words[i].word] += 8;
		assert_int_equal(python_support(&facts), PYTHON_LAYOUT_CHANGED);
		assert_int_equal(python_binary(&facts, &b), -ENOTSUP);
		facts.python_offsets[words[i].word] -= 8;
	}
}

static void the_reason_is_told(void **state)
{
	struct elf_facts facts = facts_of(0x030d00f0);
	struct kymo_python_binary b;

	(void)state;
	facts.python_free_threaded = true;
	assert_int_equal(python_support(&facts), PYTHON_FREE_THREADED);
	assert_int_equal(python_binary(&facts, &b), -ENOTSUP);
	facts = facts_of(0x030f00f0);
	assert_int_equal(python_support(&facts), PYTHON_VERSION_UNKNOWN);
	facts = facts_of(0x030e00f0);
	facts.libc = ELF_LIBC_OTHER;
	assert_int_equal(python_support(&facts), PYTHON_LIBC_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_version_has_its_row),
		cmocka_unit_test(the_c_library_says_where_values_are),
		cmocka_unit_test(patch_levels_differ),
		cmocka_unit_test(rows_fit_what_is_read),
		cmocka_unit_test(key_and_lock_are_found),
		cmocka_unit_test(what_is_not_known_is_refused),
		cmocka_unit_test(the_interpreters_own_table_is_asked),
		cmocka_unit_test(the_reason_is_told),
	};

	return cmocka_run_group_tests_name("python binary", tests, NULL, NULL);
}
