/* SPDX-License-Identifier: Apache-2.0 */
/* How descriptions become rows and pages: order, overlaps, gaps, entry points, bounds. */
#include "unit/test.h"

#include <errno.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "unit/unwind/image.h"

#define PAGE KYMO_UNWIND_PAGE_BYTES

static void assert_cfa(const struct unwind_table *t, uint64_t at, int32_t offset)
{
	const struct kymo_unwind_rule *rule = image_rule(t, at);

	assert_int_equal(rule->cfa_kind, KYMO_UNWIND_CFA_REGISTER);
	assert_int_equal(rule->cfa_offset, offset);
}

static void assert_kind(const struct unwind_table *t, uint64_t at, enum kymo_unwind_cfa kind)
{
	assert_int_equal(image_rule(t, at)->cfa_kind, kind);
}

static void test_any_order(void **state)
{
	struct unwind_table *t;
	struct image im;
	size_t cie;

	(void)state;
	image_init(&im, EM_X86_64, 512);
	cie = image_cie(&im);
	image_fde(&im, cie, 256, 64, CODE(DW_CFA_def_cfa_offset, 32));
	image_fde(&im, cie, 0, 64, CODE(DW_CFA_def_cfa_offset, 16));
	image_fde(&im, image_cie(&im), 64, 64, CODE(DW_CFA_def_cfa_offset, 24));
	assert_int_equal(image_build(&im, &t), 0);
	assert_cfa(t, 0, 16);
	assert_cfa(t, 63, 16);
	assert_cfa(t, 64, 24);
	assert_cfa(t, 127, 24);
	assert_kind(t, 128, KYMO_UNWIND_CFA_GAP);
	assert_kind(t, 255, KYMO_UNWIND_CFA_GAP);
	assert_cfa(t, 256, 32);
	assert_kind(t, 320, KYMO_UNWIND_CFA_GAP);
	assert_kind(t, UINT64_MAX - IMAGE_TEXT, KYMO_UNWIND_CFA_GAP);
	assert_int_equal(t->counts.fdes, 3);
	assert_int_equal(t->counts.fdes_overlapping, 0);
	unwind_table_free(t);
	image_release(&im);
}

/* The next start ends a description, for good; of two with one start the first in the file holds. */
static void test_overlaps(void **state)
{
	struct unwind_table *t;
	struct image im;
	size_t cie;

	(void)state;
	image_init(&im, EM_X86_64, 512);
	cie = image_cie(&im);
	image_fde(&im, cie, 0, 200, CODE(DW_CFA_def_cfa_offset, 16));
	image_fde(&im, cie, 50, 50, CODE(DW_CFA_def_cfa_offset, 24));
	image_fde(&im, cie, 300, 50, CODE(DW_CFA_def_cfa_offset, 32));
	image_fde(&im, cie, 300, 60, CODE(DW_CFA_def_cfa_offset, 40));
	assert_int_equal(image_build(&im, &t), 0);
	assert_cfa(t, 49, 16);
	assert_cfa(t, 50, 24);
	assert_cfa(t, 99, 24);
	assert_kind(t, 100, KYMO_UNWIND_CFA_GAP);
	assert_cfa(t, 300, 32);
	assert_cfa(t, 349, 32);
	assert_kind(t, 350, KYMO_UNWIND_CFA_GAP);
	assert_int_equal(t->counts.fdes_overlapping, 2);
	unwind_table_free(t);
	image_release(&im);
}

/* What a linker dropped (address 0), what is elsewhere, what goes on behind the code's end. */
static void test_outside(void **state)
{
	struct unwind_table *t;
	struct image im;
	size_t cie;

	(void)state;
	image_init(&im, EM_X86_64, 512);
	cie = image_cie(&im);
	image_fde(&im, cie, 0 - IMAGE_TEXT - IMAGE_BASE, 64, NO_CODE);
	image_fde(&im, cie, 0x10000000, 64, NO_CODE);
	image_fde(&im, cie, 64, 0x70000000, NO_CODE);
	image_fde(&im, cie, 96, 0, NO_CODE);
	assert_int_equal(image_build(&im, &t), 0);
	assert_int_equal(t->counts.fdes_outside, 2);
	assert_int_equal(t->counts.fdes, 1);
	assert_cfa(t, 64, 8);
	assert_cfa(t, im.b.size - IMAGE_TEXT - 1, 8);
	assert_kind(t, im.b.size - IMAGE_TEXT, KYMO_UNWIND_CFA_GAP);
	unwind_table_free(t);
	image_release(&im);
}

/* Fillers in front of an aligned function keep the rule before them, longer or other gaps are gaps. */
static void test_fillers(void **state)
{
	struct unwind_table *t;
	struct image im;
	size_t cie;

	(void)state;
	image_init(&im, EM_X86_64, 512);
	cie = image_cie(&im);
	image_fde(&im, cie, 0, 1, NO_CODE);
	image_fde(&im, cie, 16, 15, NO_CODE);
	image_fde(&im, cie, 48, 5, NO_CODE);
	image_fde(&im, cie, 60, 4, NO_CODE);
	assert_int_equal(image_build(&im, &t), 0);
	assert_cfa(t, 15, 8);
	assert_kind(t, 31, KYMO_UNWIND_CFA_GAP);
	assert_cfa(t, 48, 8);
	assert_kind(t, 53, KYMO_UNWIND_CFA_GAP);
	assert_kind(t, 59, KYMO_UNWIND_CFA_GAP);
	assert_cfa(t, 60, 8);
	unwind_table_free(t);
	image_release(&im);
}

static void entry_case(const uint8_t *code, size_t size, bool described, enum kymo_unwind_cfa want)
{
	struct unwind_table *t;
	struct image im;
	size_t cie;

	image_init(&im, EM_X86_64, 1024);
	memcpy(im.b.data + IMAGE_TEXT + 100, code, size);
	cie = image_cie(&im);
	image_fde(&im, cie, 0, 64, NO_CODE);
	image_fde(&im, cie, 512, 64, NO_CODE);
	if (described)
		image_fde(&im, cie, 100, 64, NO_CODE);
	image_finish(&im, 100);
	assert_int_equal(unwind_table_build_memory(im.b.data, im.b.size, &t), 0);
	assert_kind(t, 99, KYMO_UNWIND_CFA_GAP);
	assert_kind(t, 100, want);
	assert_kind(t, 160, want);
	assert_kind(t, 356, KYMO_UNWIND_CFA_GAP);
	assert_cfa(t, 512, 8);
	unwind_table_free(t);
	image_release(&im);
}

/* The loader's start has no description: it is an end. An entry point that is no start is a gap like any other. */
static void test_entry_points(void **state)
{
	(void)state;
	entry_case(CODE(0x48, 0x89, 0xe7, 0xe8), false, KYMO_UNWIND_CFA_END);
	entry_case(CODE(0xf3, 0x0f, 0x1e, 0xfa, 0x31, 0xed), false, KYMO_UNWIND_CFA_END);
	entry_case(CODE(0x55, 0x48, 0x89, 0xe5), false, KYMO_UNWIND_CFA_GAP);
	entry_case(CODE(0x48, 0x89, 0xe7, 0xe8), true, KYMO_UNWIND_CFA_REGISTER);
}

/* A page starts with what the one before ends with; pages where nothing starts share a row. */
static void test_pages_carry(void **state)
{
	struct unwind_table *t;
	struct image im;
	size_t cie;

	(void)state;
	image_init(&im, EM_X86_64, 12 * PAGE);
	cie = image_cie(&im);
	/* Offsets in the file: IMAGE_TEXT more. */
	image_fde(&im, cie, 3 * PAGE - IMAGE_TEXT - 10, 4 * PAGE + 30,
		  CODE(DW_CFA_advance_loc | 5, DW_CFA_def_cfa_offset, 16));
	image_fde(&im, cie, 9 * PAGE - IMAGE_TEXT, PAGE, NO_CODE);
	assert_int_equal(image_build(&im, &t), 0);
	assert_int_equal(t->first_page, 2);
	assert_int_equal(t->pages_n, 9); /* 2 to 10: the last has the gap behind the end */
	assert_kind(t, 3 * PAGE - IMAGE_TEXT - 11, KYMO_UNWIND_CFA_GAP);
	assert_cfa(t, 3 * PAGE - IMAGE_TEXT - 6, 8);
	for (uint64_t page = 3; page < 7; page++) {
		assert_cfa(t, page * PAGE - IMAGE_TEXT, 16);
		assert_cfa(t, page * PAGE - IMAGE_TEXT + PAGE - 1, 16);
	}
	assert_cfa(t, 7 * PAGE - IMAGE_TEXT + 19, 16);
	assert_kind(t, 7 * PAGE - IMAGE_TEXT + 20, KYMO_UNWIND_CFA_GAP);
	assert_kind(t, 9 * PAGE - IMAGE_TEXT - 1, KYMO_UNWIND_CFA_GAP);
	assert_cfa(t, 9 * PAGE - IMAGE_TEXT, 8);
	assert_kind(t, 10 * PAGE - IMAGE_TEXT, KYMO_UNWIND_CFA_GAP);
	assert_int_equal(t->pages[1].first, t->pages[4].first); /* 3 to 6 */
	assert_int_equal(t->rows_n, 3 + 1 + 2 + 1 + 1 + 1);
	unwind_table_free(t);
	image_release(&im);
}

/* `rows` descriptions' worth of rows, one a byte, each other than the last. */
static void many_rows(struct image *im, size_t cie, uint64_t start, size_t rows)
{
	_cleanup_free_ uint8_t *code = malloc(rows * 3);

	for (size_t i = 0; i < rows; i++)
		memcpy(code + i * 3,
		       (uint8_t[]){ DW_CFA_def_cfa_offset, (uint8_t)(8 + i % 8 * 8),
				    DW_CFA_advance_loc | 1 },
		       3);
	image_fde(im, cie, start, rows, code, rows * 3);
}

/* No page has more rows than a chunk holds: its rest is a gap, the next page is whole again. */
static void test_page_is_capped(void **state)
{
	struct unwind_table *t;
	struct image im;
	size_t cie;

	(void)state;
	image_init(&im, EM_X86_64, 3 * PAGE);
	cie = image_cie(&im);
	many_rows(&im, cie, PAGE - IMAGE_TEXT, 20000);
	image_fde(&im, cie, PAGE + 20000 - IMAGE_TEXT, PAGE, CODE(DW_CFA_def_cfa_offset, 72));
	assert_int_equal(image_build(&im, &t), 0);
	for (uint64_t i = 0; i < KYMO_UNWIND_CHUNK_ROWS - 1; i++)
		assert_cfa(t, PAGE - IMAGE_TEXT + i, 8 + i % 8 * 8);
	assert_kind(t, PAGE - IMAGE_TEXT + KYMO_UNWIND_CHUNK_ROWS - 1, KYMO_UNWIND_CFA_GAP);
	assert_kind(t, 2 * PAGE - IMAGE_TEXT - 1, KYMO_UNWIND_CFA_GAP);
	assert_cfa(t, 2 * PAGE - IMAGE_TEXT, 72);
	assert_int_equal(t->pages[0].rows, KYMO_UNWIND_CHUNK_ROWS);
	assert_true(t->counts.rows_dropped > 3000);
	unwind_table_free(t);
	image_release(&im);
}

static void test_rules_are_capped(void **state)
{
	uint8_t code[6 * 5000];
	struct unwind_table *t;
	struct image im;
	size_t n = 0;

	(void)state;
	for (uint32_t i = 0; i < 5000; i++) {
		code[n++] = DW_CFA_def_cfa_offset;
		code[n++] = (uint8_t)(0x80 | (i & 0x7f));
		code[n++] = (uint8_t)(i >> 7);
		code[n++] = DW_CFA_advance_loc | 1;
	}
	image_init(&im, EM_X86_64, 5000);
	image_fde(&im, image_cie(&im), 0, 5000, code, n);
	assert_int_equal(image_build(&im, &t), 0);
	assert_int_equal(t->rules_n, UNWIND_RULES_MAX);
	assert_cfa(t, 4000, 4000);
	assert_kind(t, 4999, KYMO_UNWIND_CFA_UNSUPPORTED);
	assert_int_equal(t->counts.rows_dropped,
			 5000 - (UNWIND_RULES_MAX - KYMO_UNWIND_RULE_FIXED));
	unwind_table_free(t);
	image_release(&im);
}

static void test_rows_are_capped(void **state)
{
	const size_t pages = 260;
	struct unwind_table *t;
	struct image im;
	size_t cie;

	(void)state;
	image_init(&im, EM_X86_64, (pages + 2) * PAGE);
	cie = image_cie(&im);
	for (size_t i = 1; i <= pages; i++)
		many_rows(&im, cie, i * PAGE - IMAGE_TEXT, KYMO_UNWIND_CHUNK_ROWS - 2);
	assert_int_equal(image_build(&im, &t), 0);
	assert_in_range(t->rows_n, UNWIND_ROWS_MAX, UNWIND_ROWS_MAX + 2 * pages);
	assert_true(t->counts.rows_dropped > 0);
	assert_cfa(t, PAGE - IMAGE_TEXT + 1, 16);
	assert_kind(t, pages * PAGE - IMAGE_TEXT + 100, KYMO_UNWIND_CFA_GAP);
	unwind_table_free(t);
	image_release(&im);
}

/* 4 GiB of a sparse file's code: a page for each, one row for all. */
static void test_huge_code(void **state)
{
	_cleanup_fclose_ FILE *f = tmpfile();
	struct unwind_table *t;
	Elf64_Phdr ph[2];
	struct image im;

	(void)state;
	image_init(&im, EM_X86_64, 64);
	image_fde(&im, image_cie(&im), 0, UINT32_MAX, NO_CODE);
	image_finish(&im, 0);
	memcpy(ph, im.b.data + sizeof(Elf64_Ehdr), sizeof(ph));
	ph[0].p_filesz = ph[0].p_memsz = 1ULL << 40;
	memcpy(im.b.data + sizeof(Elf64_Ehdr), ph, sizeof(ph));
	assert_int_equal(fwrite(im.b.data, 1, im.b.size, f), im.b.size);
	fflush(f);
	assert_int_equal(ftruncate(fileno(f), 1LL << 40), 0);
	/* Without sections .eh_frame may go on to the segment's end, which is over its bound. */
	assert_int_equal(unwind_table_build(fileno(f), &t), -EFBIG);
	assert_int_equal(ftruncate(fileno(f), 60 << 20), 0);
	assert_int_equal(unwind_table_build(fileno(f), &t), 0);
	assert_cfa(t, (60 << 20) - IMAGE_TEXT - 1, 8);
	assert_in_range(t->pages_n, 960, 961);
	assert_in_range(t->rows_n, 3, 4);
	unwind_table_free(t);
	image_release(&im);
}

static void test_not_for_us(void **state)
{
	struct unwind_table *t = NULL;
	struct image im;
	int fds[2];

	(void)state;
	image_init(&im, EM_S390, 64);
	assert_int_equal(image_build(&im, &t), -ENOTSUP);
	image_release(&im);
	image_init(&im, EM_X86_64, 64);
	image_finish(&im, 0);
	memset(im.b.data + sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr), 0, sizeof(Elf64_Phdr));
	assert_int_equal(unwind_table_build_memory(im.b.data, im.b.size, &t), -ENOENT);
	assert_int_equal(unwind_table_build_memory("text", 4, &t), -EBADMSG);
	assert_int_equal(unwind_table_build_memory("", 0, &t), -EBADMSG);
	image_release(&im);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(unwind_table_build(fds[0], &t), -ESPIPE);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(unwind_table_build(-1, &t), -EBADF);
	assert_null(t);
}

static void test_vdso(void **state)
{
	struct unwind_table *t;

	(void)state;
	assert_int_equal(unwind_table_build_vdso(&t), 0);
	assert_true(t->counts.fdes > 0);
	assert_int_equal(t->counts.fdes_damaged, 0);
	assert_int_equal(t->counts.rows_unsupported, 0);
	unwind_table_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_order),	cmocka_unit_test(test_overlaps),
		cmocka_unit_test(test_outside),		cmocka_unit_test(test_fillers),
		cmocka_unit_test(test_entry_points),	cmocka_unit_test(test_pages_carry),
		cmocka_unit_test(test_page_is_capped),	cmocka_unit_test(test_rules_are_capped),
		cmocka_unit_test(test_rows_are_capped), cmocka_unit_test(test_huge_code),
		cmocka_unit_test(test_not_for_us),	cmocka_unit_test(test_vdso),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
