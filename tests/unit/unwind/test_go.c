/* SPDX-License-Identifier: Apache-2.0 */
/* Go's table of functions becomes rows: frames, bases, changes of stacks, returns from signals; hostile tables become none. */
#include "unit/test.h"

#include <errno.h>

#include "base/array.h"
#include "elf/gopclntab.h"
#include "unit/unwind/image.h"
#include "unwind/step.h"

#define HEAD	    72
#define DEPTHS	    0x100 /* offsets in the table */
#define FUNCTIONS   0x200
#define TABLE_BYTES 0x400
#define TEXT_BYTES  512
#define TOP	    1
#define SWITCHES    2
#define ASSEMBLY    4

/* Depths: pairs of (change, zigzag, from -1; bytes), and 0. */
static const uint8_t plain[] = { 2, 1, 16, 4, 112, 20, 127, 5, 15, 2, 0 }; /* 0, 8, 64, 0 */
static const uint8_t flat[] = { 2, 64, 0 };
static const uint8_t pushes[] = { 2, 1, 16, 63, 0 };

struct function {
	uint32_t start;
	const uint8_t *depths;
	uint8_t size, flags;
};

static void put(struct image *im, uint64_t at, const void *data, size_t size)
{
	memcpy(im->b.data + at, data, size);
}

static void put_u32(struct image *im, uint64_t at, uint32_t v)
{
	put(im, at, &v, sizeof(v));
}

static void put_u64(struct image *im, uint64_t at, uint64_t v)
{
	put(im, at, &v, sizeof(v));
}

static void put_table(struct image *im, uint64_t at, const struct function *f, size_t n)
{
	const uint8_t head[] = { 0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8 };
	uint64_t depths = DEPTHS + 1, record = FUNCTIONS + (2 * n + 1) * 4;

	put(im, at, head, sizeof(head));
	put_u64(im, at + 8, n);
	put_u64(im, at + 8 + 6 * 8, DEPTHS);
	put_u64(im, at + 8 + 7 * 8, FUNCTIONS);
	for (size_t i = 0; i < n; i++) {
		put_u32(im, at + FUNCTIONS + i * 8, f[i].start);
		put_u32(im, at + FUNCTIONS + i * 8 + 4, (uint32_t)(record - FUNCTIONS));
		put_u32(im, at + record + 16, (uint32_t)(depths - DEPTHS));
		im->b.data[at + record + 41] = f[i].flags;
		put(im, at + depths, f[i].depths, f[i].size);
		depths += f[i].size;
		record += 44;
	}
	put_u32(im, at + FUNCTIONS + n * 8, TEXT_BYTES);
}

/* An image with sections; the table says where code begins by .text. Returns where the table is. */
static uint64_t image_go(struct image *im, const struct function *f, size_t n)
{
	static const char names[] = "\0.text\0.gopclntab\0.shstrtab";
	Elf64_Shdr sh[4] = { 0 };
	uint64_t table, strings;

	image_init(im, EM_X86_64, TEXT_BYTES);
	table = im->b.size;
	assert_int_equal(buf_reserve(&im->b, TABLE_BYTES), 0);
	memset(im->b.data + table, 0, TABLE_BYTES);
	im->b.size += TABLE_BYTES;
	put_table(im, table, f, n);
	strings = im->b.size;
	image_put(im, names, sizeof(names));
	while (im->b.size % 8)
		image_put(im, "", 1);
	sh[1] = (Elf64_Shdr){ .sh_name = 1,
			      .sh_type = SHT_PROGBITS,
			      .sh_addr = IMAGE_BASE + IMAGE_TEXT,
			      .sh_offset = IMAGE_TEXT,
			      .sh_size = TEXT_BYTES };
	sh[2] = (Elf64_Shdr){ .sh_name = 7,
			      .sh_type = SHT_PROGBITS,
			      .sh_addr = IMAGE_BASE + table,
			      .sh_offset = table,
			      .sh_size = TABLE_BYTES };
	sh[3] = (Elf64_Shdr){
		.sh_name = 18, .sh_type = SHT_STRTAB, .sh_offset = strings, .sh_size = sizeof(names)
	};
	image_finish(im, 0);
	while (im->b.size % 8)
		image_put(im, "", 1);
	put_u64(im, offsetof(Elf64_Ehdr, e_shoff), im->b.size);
	put(im, offsetof(Elf64_Ehdr, e_shentsize), &(uint16_t){ sizeof(*sh) }, 2);
	put(im, offsetof(Elf64_Ehdr, e_shnum), &(uint16_t){ 4 }, 2);
	put(im, offsetof(Elf64_Ehdr, e_shstrndx), &(uint16_t){ 3 }, 2);
	put(im, offsetof(Elf64_Ehdr, e_phnum), &(uint16_t){ 1 }, 2); /* no .eh_frame */
	image_put(im, sh, sizeof(sh));
	return table;
}

static struct unwind_table *built(struct image *im)
{
	struct unwind_table *t;

	assert_int_equal(unwind_table_build_memory(im->b.data, im->b.size, &t), 0);
	return t;
}

static void assert_frame(const struct unwind_table *t, uint64_t at, uint8_t reg, int32_t offset,
			 bool fp_saved)
{
	const struct kymo_unwind_rule *rule = image_rule(t, at);

	assert_int_equal(rule->cfa_kind, KYMO_UNWIND_CFA_REGISTER);
	assert_int_equal(rule->cfa_register, reg);
	assert_int_equal(rule->cfa_offset, offset);
	assert_int_equal(rule->ra_kind, KYMO_UNWIND_AT_CFA);
	assert_int_equal(rule->ra_offset, -1);
	assert_int_equal(rule->fp_kind, fp_saved ? KYMO_UNWIND_AT_CFA : KYMO_UNWIND_SAME);
	assert_int_equal(rule->fp_offset, fp_saved ? -2 : 0);
}

static void test_frames(void **state)
{
	const struct function f[] = { { 0, plain, sizeof(plain), 0 },
				      { 64, flat, sizeof(flat), 0 } };
	struct unwind_table *t;
	struct image im;

	(void)state;
	image_go(&im, f, ARRAY_SIZE(f));
	t = built(&im);
	assert_frame(t, 0, 7, 8, false);
	assert_frame(t, 1, 7, 16, true);
	assert_frame(t, 4, 7, 16, true);
	assert_frame(t, 5, 7, 72, true);
	assert_frame(t, 24, 7, 72, true);
	assert_frame(t, 25, 7, 8, false);
	assert_int_equal(image_rule(t, 32)->cfa_kind, KYMO_UNWIND_CFA_GAP); /* behind its depths */
	assert_frame(t, 64, 7, 8, false); /* a leaf that has no frame */
	assert_frame(t, 127, 7, 8, false);
	assert_int_equal(t->counts.fdes, 2);
	unwind_table_free(t);
	image_release(&im);
}

static void test_bases(void **state)
{
	static const uint8_t signal[] = { 0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05 };
	const struct function f[] = {
		{ 0, flat, sizeof(flat), TOP | ASSEMBLY },	 /* goexit */
		{ 64, pushes, sizeof(pushes), TOP | SWITCHES },	 /* the start of a process */
		{ 128, pushes, sizeof(pushes), TOP | ASSEMBLY }, /* the handler of signals */
		{ 192, flat, sizeof(flat), ASSEMBLY },		 /* returns from it */
		{ 256, pushes, sizeof(pushes), SWITCHES },	 /* to the thread's own stack */
	};
	const struct kymo_unwind_rule *rule;
	struct unwind_table *t;
	struct image im;

	(void)state;
	image_go(&im, f, ARRAY_SIZE(f));
	put(&im, IMAGE_TEXT + 192, signal, sizeof(signal));
	t = built(&im);
	assert_int_equal(image_rule(t, 0)->cfa_kind, KYMO_UNWIND_CFA_END);
	assert_int_equal(image_rule(t, 127)->cfa_kind, KYMO_UNWIND_CFA_END);
	assert_frame(t, 130, 7, 16, true);
	rule = image_rule(t, 191); /* returned to is its first byte */
	assert_int_equal(rule->cfa_kind, KYMO_UNWIND_CFA_DEREF);
	assert_int_equal(rule->flags, KYMO_UNWIND_SIGNAL);
	assert_int_equal(rule->ra_offset, 21);
	assert_frame(t, 256, 7, 8, false);
	assert_frame(t, 257, 6, 16, true);
	assert_int_equal(image_rule(t, 257)->flags, KYMO_UNWIND_OTHER_STACK);
	unwind_table_free(t);
	image_release(&im);
}

static int read_words(void *data, uint64_t address, uint64_t *ret)
{
	const uint64_t *words = data;

	if (address < 0x1000 || address >= 0x1000 + 4 * 8)
		return -EFAULT;
	*ret = words[(address - 0x1000) / 8];
	return 0;
}

/* From the thread's stack back to that of a goroutine, which may lie below; nothing behind where none is kept. */
static void test_other_stack(void **state)
{
	const struct kymo_unwind_rule rule = { .cfa_kind = KYMO_UNWIND_CFA_REGISTER,
					       .cfa_register = 6,
					       .cfa_offset = 16,
					       .ra_kind = KYMO_UNWIND_AT_CFA,
					       .ra_offset = -1,
					       .fp_kind = KYMO_UNWIND_AT_CFA,
					       .fp_offset = -2,
					       .flags = KYMO_UNWIND_OTHER_STACK };
	uint64_t words[] = { 0x1018, 0x401234, 0, 0 };
	struct unwind_frame f = { .pc = 1, .known = 1U << 6 | 1U << 7 };

	(void)state;
	f.registers[6] = 0x1000;
	f.registers[7] = 0x7000000;
	assert_int_equal(unwind_step(unwind_arch(EM_X86_64), &rule, &f, read_words, words),
			 UNWIND_STEP_OK);
	assert_int_equal(f.pc, 0x401234);
	assert_int_equal(f.registers[7], 0x1010);
	assert_int_equal(f.registers[6], 0x1018);
	f.registers[6] = 0;
	assert_int_equal(unwind_step(unwind_arch(EM_X86_64), &rule, &f, read_words, words),
			 UNWIND_STEP_END);
}

static int build_with(uint64_t at, uint64_t value)
{
	const struct function f[] = { { 0, plain, sizeof(plain), 0 },
				      { 64, flat, sizeof(flat), 0 } };
	struct unwind_table *t = NULL;
	struct image im;
	uint64_t table = image_go(&im, f, ARRAY_SIZE(f));
	int r;

	put_u64(&im, table + at, value);
	r = unwind_table_build_memory(im.b.data, im.b.size, &t);
	unwind_table_free(t);
	image_release(&im);
	return r;
}

static void test_hostile(void **state)
{
	(void)state;
	assert_int_equal(build_with(0, 0xfffffff1), -ENOENT);		 /* sizes of 0 */
	assert_int_equal(build_with(0, 0x08010000fffffffbULL), -ENOENT); /* of Go 1.2 */
	assert_int_equal(build_with(8, UINT64_MAX), -ENOENT);		 /* functions */
	assert_int_equal(build_with(8, 1000), -ENOENT);
	assert_int_equal(build_with(8 + 6 * 8, UINT64_MAX), -ENOENT);	   /* depths */
	assert_int_equal(build_with(8 + 7 * 8, TABLE_BYTES - 4), -ENOENT); /* records */
	assert_int_equal(build_with(FUNCTIONS, 0xffffffff00000000ULL), 0); /* one record far away */
	assert_int_equal(build_with(DEPTHS, UINT64_MAX), 0);		   /* no number ends */
	/* any eight bytes anywhere: no crash, no endless loop */
	for (uint64_t at = 0; at < TABLE_BYTES - 8; at++)
		for (int i = 0; i < 4; i++)
			(void)build_with(at, (at + 1) * 0x9e3779b97f4a7c15ULL * (uint64_t)(i + 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_bases),
		cmocka_unit_test(test_other_stack),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
