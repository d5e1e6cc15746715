/* SPDX-License-Identifier: Apache-2.0 */
/* What each instruction of a frame description comes to, by hand-made descriptions. */
#include "unit/test.h"

#include "unit/unwind/image.h"

#define RSP KYMO_UNWIND_X86_RSP
#define RBP KYMO_UNWIND_X86_RBP
#define RBX KYMO_UNWIND_X86_RBX

/* One description of 64 bytes of code, with its table. */
struct one {
	struct image im;
	struct unwind_table *t;
};

static void one_init(struct one *o, uint16_t machine, const uint8_t *code, size_t size)
{
	image_init(&o->im, machine, 64);
	image_fde(&o->im, image_cie(&o->im), 0, 64, code, size);
	assert_int_equal(image_build(&o->im, &o->t), 0);
}

static void one_release(struct one *o)
{
	unwind_table_free(o->t);
	image_release(&o->im);
}

/* CFA = reg + offset, the return address in its usual place, fp and base untouched. */
static struct kymo_unwind_rule plain(uint8_t reg, int32_t offset)
{
	return (struct kymo_unwind_rule){ .cfa_kind = KYMO_UNWIND_CFA_REGISTER,
					  .cfa_register = reg & 31,
					  .cfa_offset = offset,
					  .ra_kind = KYMO_UNWIND_AT_CFA,
					  .ra_offset = -1 };
}

static void assert_rule(const struct one *o, uint64_t at, struct kymo_unwind_rule want)
{
	assert_memory_equal(image_rule(o->t, at), &want, sizeof(want));
}

static void assert_kind(const struct one *o, uint64_t at, enum kymo_unwind_cfa kind)
{
	struct kymo_unwind_rule want = { .cfa_kind = kind & 7 };

	assert_rule(o, at, want);
}

static void test_prologue_and_epilogue(void **state)
{
	struct kymo_unwind_rule want;
	struct one o;

	(void)state;
	one_init(&o, EM_X86_64,
		 CODE(DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 16, DW_CFA_offset | RBP, 2,
		      DW_CFA_advance_loc | 3, DW_CFA_def_cfa_register, RBP, /**/
		      DW_CFA_advance_loc | 1, DW_CFA_offset | RBX, 3,	    /**/
		      DW_CFA_advance_loc | 35, DW_CFA_restore | RBX, DW_CFA_restore | RBP,
		      DW_CFA_def_cfa, RSP, 8));
	assert_rule(&o, 0, plain(RSP, 8));
	want = plain(RSP, 16);
	want.fp_kind = KYMO_UNWIND_AT_CFA;
	want.fp_offset = -2;
	assert_rule(&o, 1, want);
	assert_rule(&o, 3, want);
	want.cfa_register = RBP;
	assert_rule(&o, 4, want);
	want.base_kind = KYMO_UNWIND_AT_CFA;
	want.base_offset = -3;
	assert_rule(&o, 5, want);
	assert_rule(&o, 39, want);
	assert_rule(&o, 40, plain(RSP, 8));
	assert_rule(&o, 63, plain(RSP, 8));
	assert_kind(&o, 64, KYMO_UNWIND_CFA_GAP);
	one_release(&o);
}

static void test_every_way_to_advance(void **state)
{
	struct one o;

	(void)state;
	one_init(&o, EM_X86_64,
		 CODE(DW_CFA_advance_loc1, 2, DW_CFA_def_cfa_offset, 16, /**/
		      DW_CFA_advance_loc2, 3, 0, DW_CFA_def_cfa_offset, 24, DW_CFA_advance_loc4, 4,
		      0, 0, 0, DW_CFA_def_cfa_offset, 32, DW_CFA_MIPS_advance_loc8, 5, 0, 0, 0, 0,
		      0, 0, 0, DW_CFA_def_cfa_offset, 40, DW_CFA_advance_loc | 0,
		      DW_CFA_def_cfa_offset, 48, DW_CFA_advance_loc4, 0xff, 0xff, 0xff, 0xff,
		      DW_CFA_def_cfa_offset, 56));
	assert_rule(&o, 1, plain(RSP, 8));
	assert_rule(&o, 2, plain(RSP, 16));
	assert_rule(&o, 5, plain(RSP, 24));
	assert_rule(&o, 9, plain(RSP, 32));
	assert_rule(&o, 14, plain(RSP, 48));
	assert_rule(&o, 63, plain(RSP, 48));
	assert_kind(&o, 64, KYMO_UNWIND_CFA_GAP);
	one_release(&o);
}

static void test_absolute_addresses(void **state)
{
	uint8_t fde[32] = { 0 },
		code[] = { DW_CFA_set_loc, 0, 0, 0, 0, 0, 0, 0, 0, DW_CFA_def_cfa_offset, 16 };
	uint64_t start = IMAGE_BASE + IMAGE_TEXT, bytes = 64, to = start + 10;
	struct one o;
	size_t cie;

	(void)state;
	image_init(&o.im, EM_X86_64, 64);
	cie = image_cie_with(&o.im, "zR", (const uint8_t[]){ 0 }, 1,
			     CODE(DW_CFA_def_cfa, RSP, 8, DW_CFA_offset | 16, 1));
	memcpy(fde, (uint32_t[]){ 4 + 16 + 1 + sizeof(code), (uint32_t)(o.im.b.size + 4 - cie) },
	       8);
	memcpy(fde + 8, &start, 8);
	memcpy(fde + 16, &bytes, 8);
	memcpy(code + 1, &to, 8);
	image_put(&o.im, fde, 25);
	image_put(&o.im, code, sizeof(code));
	assert_int_equal(image_build(&o.im, &o.t), 0);
	assert_rule(&o, 9, plain(RSP, 8));
	assert_rule(&o, 10, plain(RSP, 16));
	one_release(&o);
}

static void test_states_are_remembered(void **state)
{
	struct one o;

	(void)state;
	one_init(&o, EM_X86_64,
		 CODE(DW_CFA_def_cfa_offset, 16, DW_CFA_remember_state,				/**/
		      DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 24, DW_CFA_remember_state, /**/
		      DW_CFA_advance_loc | 1, DW_CFA_def_cfa, RBP, 32,				/**/
		      DW_CFA_advance_loc | 1, DW_CFA_restore_state,				/**/
		      DW_CFA_advance_loc | 1, DW_CFA_restore_state));
	assert_rule(&o, 0, plain(RSP, 16));
	assert_rule(&o, 1, plain(RSP, 24));
	assert_rule(&o, 2, plain(RBP, 32));
	assert_rule(&o, 3, plain(RSP, 24));
	assert_rule(&o, 4, plain(RSP, 16));
	one_release(&o);
}

/* Damage ends what is known, from its row on; what was before it stands. */
static void test_damage(void **state)
{
	const struct {
		const uint8_t *code;
		size_t size;
	} cases[] = {
		{ CODE(DW_CFA_advance_loc | 4, DW_CFA_restore_state) },
		{ CODE(DW_CFA_advance_loc | 4, DW_CFA_low_user + 1) },
		{ CODE(DW_CFA_advance_loc | 4, DW_CFA_def_cfa_offset) },
		{ CODE(DW_CFA_advance_loc | 4, DW_CFA_def_cfa_offset, 0x80, 0x80, 0x80, 0x80, 0x80,
		       0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01) },
		{ CODE(DW_CFA_advance_loc | 4, DW_CFA_def_cfa_expression, 100, DW_OP_breg7) },
		{ CODE(DW_CFA_advance_loc | 4, DW_CFA_GNU_window_save) },
		{ CODE(DW_CFA_advance_loc | 4, DW_CFA_set_loc, 0) },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct one o;

		one_init(&o, EM_X86_64, cases[i].code, cases[i].size);
		assert_rule(&o, 3, plain(RSP, 8));
		assert_kind(&o, 4, KYMO_UNWIND_CFA_UNSUPPORTED);
		assert_kind(&o, 63, KYMO_UNWIND_CFA_UNSUPPORTED);
		assert_kind(&o, 64, KYMO_UNWIND_CFA_GAP);
		assert_int_equal(o.t->counts.fdes_damaged, 1);
		assert_int_equal(o.t->counts.rows_unsupported, 1);
		one_release(&o);
	}
}

static void test_too_many_states(void **state)
{
	uint8_t code[100] = { DW_CFA_advance_loc | 1 };
	struct one o;

	(void)state;
	memset(code + 1, DW_CFA_remember_state, 32);
	one_init(&o, EM_X86_64, code, 33);
	assert_rule(&o, 1, plain(RSP, 8));
	one_release(&o);
	memset(code + 1, DW_CFA_remember_state, 33);
	one_init(&o, EM_X86_64, code, 34);
	assert_kind(&o, 1, KYMO_UNWIND_CFA_UNSUPPORTED);
	one_release(&o);
}

static void test_outermost_frame(void **state)
{
	struct one o;

	(void)state;
	one_init(&o, EM_X86_64,
		 CODE(DW_CFA_undefined, 16, DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 64));
	assert_kind(&o, 0, KYMO_UNWIND_CFA_END);
	assert_kind(&o, 1, KYMO_UNWIND_CFA_END);
	assert_int_equal(o.t->rows_n, 3); /* what the page carries, the end, the gap */
	one_release(&o);
}

static void test_where_registers_are(void **state)
{
	struct kymo_unwind_rule want;
	struct one o;

	(void)state;
	one_init(&o, EM_X86_64,
		 CODE(DW_CFA_register, 16, 5, /**/
		      DW_CFA_advance_loc | 1, DW_CFA_restore_extended, 16, DW_CFA_offset_extended,
		      RBP, 4, DW_CFA_advance_loc | 1, DW_CFA_offset_extended_sf, RBP, 0x7b, /**/
		      DW_CFA_advance_loc | 1, DW_CFA_GNU_negative_offset_extended, RBP, 6,
		      DW_CFA_advance_loc | 1, DW_CFA_val_offset, RBP, 2,       /**/
		      DW_CFA_advance_loc | 1, DW_CFA_val_offset_sf, RBP, 0x7e, /**/
		      DW_CFA_advance_loc | 1, DW_CFA_undefined, RBP,	       /**/
		      DW_CFA_advance_loc | 1, DW_CFA_same_value, RBP,	       /**/
		      DW_CFA_advance_loc | 1, DW_CFA_register, RBP, 40));
	want = plain(RSP, 8);
	want.ra_kind = KYMO_UNWIND_IN_REGISTER;
	want.ra_register = 5;
	want.ra_offset = 0;
	assert_rule(&o, 0, want);
	want = plain(RSP, 8);
	want.fp_kind = KYMO_UNWIND_AT_CFA;
	want.fp_offset = -4;
	assert_rule(&o, 1, want);
	want.fp_offset = 5;
	assert_rule(&o, 2, want);
	want.fp_offset = 6;
	assert_rule(&o, 3, want);
	want.fp_kind = KYMO_UNWIND_OF_CFA;
	want.fp_offset = -2;
	assert_rule(&o, 4, want);
	want.fp_offset = 2;
	assert_rule(&o, 5, want);
	want.fp_kind = KYMO_UNWIND_UNDEFINED;
	want.fp_offset = 0;
	assert_rule(&o, 6, want);
	assert_rule(&o, 7, plain(RSP, 8));
	want.fp_kind = KYMO_UNWIND_UNKNOWN_RULE;
	assert_rule(&o, 8, want);
	assert_int_equal(o.t->counts.values_unknown, 1);
	one_release(&o);
}

static void test_offsets_out_of_range(void **state)
{
	struct kymo_unwind_rule want = plain(RSP, 8);
	struct one o;

	(void)state;
	/* 8 * 0x8000 bytes below the CFA still fits; a word more, or no multiple of a word, does not. */
	one_init(&o, EM_X86_64,
		 CODE(DW_CFA_offset | RBP, 0x80, 0x80, 0x02,			     /**/
		      DW_CFA_advance_loc | 1, DW_CFA_offset | RBP, 0x81, 0x80, 0x02, /**/
		      DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 0xff, 0xff, 0xff, 0xff, 0x07,
		      DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 0x80, 0x80, 0x80, 0x80, 0x08,
		      DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 8, /**/
		      DW_CFA_advance_loc | 1, DW_CFA_def_cfa_register, 32));
	want.fp_kind = KYMO_UNWIND_AT_CFA;
	want.fp_offset = INT16_MIN;
	assert_rule(&o, 0, want);
	want.fp_kind = KYMO_UNWIND_UNKNOWN_RULE;
	want.fp_offset = 0;
	assert_rule(&o, 1, want);
	want.cfa_offset = INT32_MAX;
	assert_rule(&o, 2, want);
	assert_kind(&o, 3, KYMO_UNWIND_CFA_UNSUPPORTED);
	want.cfa_offset = 8;
	assert_rule(&o, 4, want);
	assert_kind(&o, 5, KYMO_UNWIND_CFA_UNSUPPORTED);
	assert_int_equal(o.t->counts.fdes_damaged, 0);
	one_release(&o);
}

static void test_signed_cfa_offsets(void **state)
{
	struct one o;

	(void)state;
	one_init(&o, EM_X86_64,
		 CODE(DW_CFA_def_cfa_sf, RBP, 0x7e, DW_CFA_advance_loc | 1,
		      DW_CFA_def_cfa_offset_sf, 0x7d));
	assert_rule(&o, 0, plain(RBP, 16));
	assert_rule(&o, 1, plain(RBP, 24));
	one_release(&o);
}

/* The CFA of signal frames, of realigned stacks, of libcrypto's assembly. */
static void test_cfa_in_memory(void **state)
{
	struct kymo_unwind_rule want = plain(RSP, 160);
	struct one o;

	(void)state;
	one_init(&o, EM_X86_64,
		 CODE(DW_CFA_def_cfa_expression, 4, DW_OP_breg7, 0xa0, 0x01, DW_OP_deref,
		      DW_CFA_advance_loc | 1, DW_CFA_def_cfa_expression, 3, DW_OP_breg6, 0x78,
		      DW_OP_deref, DW_CFA_advance_loc | 1, DW_CFA_def_cfa_expression, 5,
		      DW_OP_breg7, 8, DW_OP_deref, DW_OP_plus_uconst, 16, /**/
		      DW_CFA_advance_loc | 1, DW_CFA_def_cfa_expression, 10, DW_OP_breg7, 8,
		      DW_OP_breg9, 0, DW_OP_lit8, DW_OP_mul, DW_OP_plus, DW_OP_deref,
		      DW_OP_plus_uconst, 8, DW_CFA_advance_loc | 1, DW_CFA_def_cfa_expression, 2,
		      DW_OP_breg6, 48, DW_CFA_advance_loc | 1, DW_CFA_def_cfa_expression, 3,
		      DW_OP_bregx, 12, 8, DW_CFA_advance_loc | 1, DW_CFA_def_cfa_expression, 3,
		      DW_OP_breg6, 48, DW_OP_abs));
	want.cfa_kind = KYMO_UNWIND_CFA_DEREF;
	assert_rule(&o, 0, want);
	want.cfa_register = RBP;
	want.cfa_offset = -8;
	assert_rule(&o, 1, want);
	want.cfa_register = RSP;
	want.cfa_offset = 8;
	want.cfa_add = 2;
	assert_rule(&o, 2, want);
	want.cfa_kind = KYMO_UNWIND_CFA_INDEXED;
	want.cfa_register = 9;
	want.cfa_add = 1;
	assert_rule(&o, 3, want);
	assert_rule(&o, 4, plain(RBP, 48));
	assert_rule(&o, 5, plain(12, 8));
	assert_kind(&o, 6, KYMO_UNWIND_CFA_UNSUPPORTED);
	assert_int_equal(o.t->counts.rows_unsupported, 1);
	one_release(&o);
}

/* Hand-written code ends an expression by naming a register alone: the offset is the one before it. */
static void test_back_from_an_expression(void **state)
{
	struct kymo_unwind_rule want = plain(RSP, 16);
	struct one o;

	(void)state;
	one_init(&o, EM_X86_64,
		 CODE(DW_CFA_def_cfa_offset, 56, /**/
		      DW_CFA_advance_loc | 1, DW_CFA_def_cfa_expression, 3, DW_OP_breg7, 16,
		      DW_OP_deref, DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 48, /**/
		      DW_CFA_advance_loc | 1, DW_CFA_def_cfa_register, RBP));
	want.cfa_kind = KYMO_UNWIND_CFA_DEREF;
	assert_rule(&o, 1, want);
	assert_rule(&o, 2, want);
	assert_rule(&o, 3, plain(RBP, 48));
	one_release(&o);
}

static void test_plt(void **state)
{
	struct kymo_unwind_rule want = plain(RSP, 8);
	struct one o;

	(void)state;
	one_init(&o, EM_X86_64,
		 CODE(DW_CFA_def_cfa_expression, 11, DW_OP_breg7, 8, DW_OP_breg16, 0, DW_OP_lit15,
		      DW_OP_and, DW_OP_lit11, DW_OP_ge, DW_OP_lit3, DW_OP_shl, DW_OP_plus, /**/
		      DW_CFA_advance_loc | 16, DW_CFA_def_cfa_expression, 11, DW_OP_breg7, 8,
		      DW_OP_breg16, 0, DW_OP_lit15, DW_OP_and, DW_OP_lit9, DW_OP_ge, DW_OP_lit3,
		      DW_OP_shl, DW_OP_plus, DW_CFA_advance_loc | 16, DW_CFA_def_cfa_expression, 11,
		      DW_OP_breg7, 8, DW_OP_breg16, 0, DW_OP_lit15, DW_OP_and, DW_OP_lit9, DW_OP_ge,
		      DW_OP_lit4, DW_OP_shl, DW_OP_plus));
	want.cfa_kind = KYMO_UNWIND_CFA_PLT;
	want.cfa_register = 11;
	assert_rule(&o, 0, want);
	want.cfa_register = 9;
	assert_rule(&o, 16, want);
	assert_kind(&o, 32, KYMO_UNWIND_CFA_UNSUPPORTED);
	one_release(&o);
}

static void test_saved_by_expression(void **state)
{
	struct kymo_unwind_rule want = plain(RSP, 8);
	struct one o;

	(void)state;
	one_init(&o, EM_X86_64,
		 CODE(DW_CFA_expression, RBP, 3, DW_OP_breg7, 0xf8, 0x00, /**/
		      DW_CFA_advance_loc | 1, DW_CFA_val_expression, RBP, 3, DW_OP_breg6, 0,
		      DW_OP_deref, DW_CFA_advance_loc | 1, DW_CFA_val_expression, RBP, 2,
		      DW_OP_breg0, 0, DW_CFA_advance_loc | 1, DW_CFA_val_expression, RBP, 2,
		      DW_OP_breg0, 8, DW_CFA_advance_loc | 1, DW_CFA_expression, 16, 1,
		      DW_OP_lit0));
	want.fp_kind = KYMO_UNWIND_AT_REGISTER;
	want.fp_register = RSP;
	want.fp_offset = 15;
	assert_rule(&o, 0, want);
	want.fp_register = RBP;
	want.fp_offset = 0;
	assert_rule(&o, 1, want);
	want.fp_kind = KYMO_UNWIND_IN_REGISTER;
	want.fp_register = 0;
	assert_rule(&o, 2, want);
	want.fp_kind = KYMO_UNWIND_UNKNOWN_RULE;
	assert_rule(&o, 3, want);
	assert_kind(
		&o, 4,
		KYMO_UNWIND_CFA_UNSUPPORTED); /* without its return address a frame is the last */
	one_release(&o);
}

static void test_augmentations(void **state)
{
	/* Personality (4 bytes), language data of the descriptions, pointers; a signal frame. */
	const uint8_t plr[] = { 0x9b, 1, 2, 3, 4, 0x1b, 0x1b }, rs[] = { 0x1b };
	struct kymo_unwind_rule want = plain(RSP, 8);
	struct one o;
	size_t cie;

	(void)state;
	image_init(&o.im, EM_X86_64, 128);
	cie = image_cie_with(&o.im, "zPLR", plr, sizeof(plr),
			     CODE(DW_CFA_def_cfa, RSP, 8, DW_CFA_offset | 16, 1));
	image_fde(&o.im, cie, 0, 64, NO_CODE);
	cie = image_cie_with(&o.im, "zRS", rs, 1,
			     CODE(DW_CFA_def_cfa, RSP, 8, DW_CFA_offset | 16, 1));
	image_fde(&o.im, cie, 64, 64, NO_CODE);
	assert_int_equal(image_build(&o.im, &o.t), 0);
	assert_rule(&o, 63, want);
	want.flags = KYMO_UNWIND_SIGNAL;
	assert_rule(&o, 64, want);
	one_release(&o);
}

/* On x86-64 the return address is no register: it must be said where it is. */
static void test_no_return_address(void **state)
{
	const uint8_t encoding[] = { 0x1b };
	struct one o;

	(void)state;
	image_init(&o.im, EM_X86_64, 64);
	image_fde(&o.im, image_cie_with(&o.im, "zR", encoding, 1, CODE(DW_CFA_def_cfa, RSP, 8)), 0,
		  64, NO_CODE);
	assert_int_equal(image_build(&o.im, &o.t), 0);
	assert_kind(&o, 0, KYMO_UNWIND_CFA_UNSUPPORTED);
	one_release(&o);
}

static void test_arm64(void **state)
{
	struct kymo_unwind_rule want = { .cfa_kind = KYMO_UNWIND_CFA_REGISTER, .cfa_register = 31 };
	struct one o;

	(void)state;
	/* The code is aligned to 4; a signed return address is no damage; other registers do not matter. */
	one_init(&o, EM_AARCH64,
		 CODE(DW_CFA_advance_loc | 1, DW_CFA_GNU_window_save, /**/
		      DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 32, DW_CFA_offset | 29, 4,
		      DW_CFA_offset | 30, 3, DW_CFA_offset | 19, 2, /**/
		      DW_CFA_advance_loc | 1, DW_CFA_def_cfa_register, 29));
	assert_rule(&o, 0, want);
	assert_rule(&o, 7, want);
	want.cfa_offset = 32;
	want.ra_kind = KYMO_UNWIND_AT_CFA;
	want.ra_offset = -3;
	want.fp_kind = KYMO_UNWIND_AT_CFA;
	want.fp_offset = -4;
	assert_rule(&o, 8, want);
	want.cfa_register = 29;
	assert_rule(&o, 12, want);
	assert_int_equal(o.t->counts.fdes_damaged, 0);
	one_release(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prologue_and_epilogue),
		cmocka_unit_test(test_every_way_to_advance),
		cmocka_unit_test(test_absolute_addresses),
		cmocka_unit_test(test_states_are_remembered),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_too_many_states),
		cmocka_unit_test(test_outermost_frame),
		cmocka_unit_test(test_where_registers_are),
		cmocka_unit_test(test_offsets_out_of_range),
		cmocka_unit_test(test_signed_cfa_offsets),
		cmocka_unit_test(test_cfa_in_memory),
		cmocka_unit_test(test_back_from_an_expression),
		cmocka_unit_test(test_plt),
		cmocka_unit_test(test_saved_by_expression),
		cmocka_unit_test(test_augmentations),
		cmocka_unit_test(test_no_return_address),
		cmocka_unit_test(test_arm64),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
