/* SPDX-License-Identifier: Apache-2.0 */
/* Where coroutines begin: what their libraries put where a return address belongs, told by the code there. */
#include "unit/test.h"

#include "unit/unwind/image.h"

#define START_CONTEXT 0x48, 0x89, 0xdc, 0x48, 0x8b, 0x3c, 0x24, 0x48, 0x85, 0xff
#define CALL	      0xe8, 1, 2, 3, 4
#define XOR_RDI	      0x48, 0x31, 0xff
#define HALT	      0xf4

static void kinds(struct image *im, uint64_t at, enum kymo_unwind_cfa before,
		  enum kymo_unwind_cfa want)
{
	struct unwind_table *t;

	assert_int_equal(image_build(im, &t), 0);
	assert_int_equal(image_rule(t, at - 2)->cfa_kind, before);
	assert_int_equal(image_rule(t, at - 1)->cfa_kind, want);
	assert_int_equal(image_rule(t, at)->cfa_kind, want);
	unwind_table_free(t);
	image_release(im);
}

/* A function at 64, with the one before up to `end_before`. */
static void context_case(const uint8_t *code, size_t size, uint64_t end_before, uint64_t bytes,
			 bool described, enum kymo_unwind_cfa want)
{
	struct image im;
	size_t cie;

	image_init(&im, EM_X86_64, 512);
	memcpy(im.b.data + IMAGE_TEXT + 64, code, size);
	cie = image_cie(&im);
	image_fde(&im, cie, 0, end_before, NO_CODE);
	if (described)
		image_fde(&im, cie, 64, bytes, CODE(DW_CFA_def_cfa_offset, 16));
	else
		image_fde(&im, cie, 64, bytes, NO_CODE);
	kinds(&im, 64, want == KYMO_UNWIND_CFA_END ? KYMO_UNWIND_CFA_GAP : want, want);
}

/* A return address is looked up by the byte before it, so that belongs to the base; unless a call may stand there. */
static void test_context_starts(void **state)
{
	(void)state;
	context_case(CODE(START_CONTEXT), 57, 60, false, KYMO_UNWIND_CFA_END);
	context_case(CODE(0xf3, 0x0f, 0x1e, 0xfa, START_CONTEXT), 57, 60, false,
		     KYMO_UNWIND_CFA_END);
	context_case(CODE(START_CONTEXT), 65, 60, false, KYMO_UNWIND_CFA_REGISTER);
	context_case(CODE(START_CONTEXT), 57, 60, true, KYMO_UNWIND_CFA_REGISTER);
	context_case(CODE(START_CONTEXT), 57, 200, false, KYMO_UNWIND_CFA_REGISTER);
	context_case(CODE(0x48, 0x89, 0xdf, 0x48, 0x8b), 57, 60, false, KYMO_UNWIND_CFA_REGISTER);
}

static void exit_case(const uint8_t *code, size_t size, uint64_t gap, enum kymo_unwind_cfa want)
{
	struct image im;
	size_t cie;

	image_init(&im, EM_X86_64, 100000);
	memcpy(im.b.data + IMAGE_TEXT + 100, code, size);
	cie = image_cie(&im);
	image_fde(&im, cie, 0, 32, NO_CODE);
	image_fde(&im, cie, 32 + gap, 16, NO_CODE);
	kinds(&im, 100, KYMO_UNWIND_CFA_GAP, want);
}

static void test_exits_in_gaps(void **state)
{
	(void)state;
	exit_case(CODE(XOR_RDI, CALL, HALT), 480, KYMO_UNWIND_CFA_END);
	exit_case(CODE(XOR_RDI, CALL, HALT), 100 - 32 + 9, KYMO_UNWIND_CFA_END);
	exit_case(CODE(XOR_RDI, CALL, 0x90), 480, KYMO_UNWIND_CFA_GAP);
	exit_case(CODE(0x31, 0xff, CALL, HALT), 480, KYMO_UNWIND_CFA_GAP);
	/* Code without descriptions throughout is not searched. */
	exit_case(CODE(XOR_RDI, CALL, HALT), 90000, KYMO_UNWIND_CFA_GAP);
}

static void test_end_of_exit(void **state)
{
	struct unwind_table *t;
	struct image im;
	size_t cie;

	(void)state;
	image_init(&im, EM_X86_64, 512);
	memcpy(im.b.data + IMAGE_TEXT + 100, CODE(XOR_RDI, CALL, HALT));
	cie = image_cie(&im);
	image_fde(&im, cie, 0, 32, NO_CODE);
	image_fde(&im, cie, 300, 16, NO_CODE);
	assert_int_equal(image_build(&im, &t), 0);
	assert_int_equal(image_rule(t, 108)->cfa_kind, KYMO_UNWIND_CFA_END);
	assert_int_equal(image_rule(t, 109)->cfa_kind, KYMO_UNWIND_CFA_GAP);
	assert_int_equal(image_rule(t, 300)->cfa_kind, KYMO_UNWIND_CFA_REGISTER);
	unwind_table_free(t);
	image_release(&im);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_context_starts),
		cmocka_unit_test(test_exits_in_gaps),
		cmocka_unit_test(test_end_of_exit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
