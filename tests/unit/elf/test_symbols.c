/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/array.h"
#include "elf/symbols.h"
#include "unit/elf/image.h"

/* "" = no symbol covers the offset. */
static const char *name_at(const struct elf_symbols *s, uint64_t offset, char out[256])
{
	struct elf_symbol found;

	out[0] = 0;
	if (elf_symbols_find(s, offset, &found) == 0)
		snprintf(out, 256, "%.*s", (int)found.name_size, found.name);
	return out;
}

static struct elf_symbols *table_of(const struct image_symbol *symbols, size_t n)
{
	struct elf_symbols *s = NULL;
	struct image im;

	image_make(&im, symbols, n);
	assert_int_equal(elf_symbols_new_memory(im.b.data, im.b.size, &s), 0);
	image_release(&im);
	return s;
}

static void a_symbol_covers_its_bytes_and_no_more(void **state)
{
	static const struct image_symbol symbols[] = {
		{ "second", 0x1100, 0x10, FUNC_LOCAL },
		{ "first", 0x1000, 0x80, FUNC_GLOBAL },
		{ "data", 0x1200, 0x80, OBJECT },
		{ "", 0x1300, 0x80, FUNC_GLOBAL },
	};
	struct elf_symbols *s = table_of(symbols, ARRAY_SIZE(symbols));
	struct elf_symbol found;
	char name[256];

	(void)state;
	assert_string_equal(name_at(s, 0xfff, name), "");
	assert_string_equal(name_at(s, 0x1000, name), "first");
	assert_string_equal(name_at(s, 0x107f, name), "first");
	assert_string_equal(name_at(s, 0x1080, name), "");
	assert_string_equal(name_at(s, 0x1108, name), "second");
	assert_string_equal(name_at(s, 0x1110, name), "");
	assert_string_equal(name_at(s, 0x1210, name), "");
	assert_string_equal(name_at(s, 0x1310, name), "");
	assert_string_equal(name_at(s, UINT64_MAX, name), "");
	assert_int_equal(elf_symbols_find(s, 0x1050, &found), 0);
	assert_int_equal(found.start, 0x1000);
	assert_int_equal(found.size, 0x80);
	elf_symbols_free(s);
}

static void of_several_names_the_most_public_is_shown(void **state)
{
	static const struct image_symbol symbols[] = {
		{ "__libc_local", 0x1000, 0x10, FUNC_LOCAL },
		{ "weak", 0x1000, 0x10, FUNC_WEAK },
		{ "global", 0x1000, 0x10, FUNC_GLOBAL },
		{ "label", 0x1000, 0, NOTYPE },
		{ "unsized", 0x1100, 0, FUNC_GLOBAL },
		{ "sized", 0x1100, 8, FUNC_LOCAL },
		{ "memcpy@@GLIBC_2.14", 0x1200, 8, FUNC_GLOBAL },
	};
	struct elf_symbols *s = table_of(symbols, ARRAY_SIZE(symbols));
	char name[256];

	(void)state;
	assert_string_equal(name_at(s, 0x1008, name), "global");
	assert_string_equal(name_at(s, 0x1104, name), "sized");
	assert_string_equal(name_at(s, 0x1204, name), "memcpy");
	elf_symbols_free(s);
}

static void nested_and_overlapping_symbols_show_the_innermost(void **state)
{
	static const struct image_symbol symbols[] = {
		{ "outer", 0x1000, 0x100, FUNC_GLOBAL }, { "inner", 0x1040, 0x20, FUNC_GLOBAL },
		{ "deepest", 0x1048, 0x8, FUNC_GLOBAL }, { "left", 0x1200, 0x20, FUNC_GLOBAL },
		{ "right", 0x1210, 0x20, FUNC_GLOBAL },
	};
	struct elf_symbols *s = table_of(symbols, ARRAY_SIZE(symbols));
	char name[256];

	(void)state;
	assert_string_equal(name_at(s, 0x103f, name), "outer");
	assert_string_equal(name_at(s, 0x1040, name), "inner");
	assert_string_equal(name_at(s, 0x1048, name), "deepest");
	assert_string_equal(name_at(s, 0x1050, name), "inner");
	assert_string_equal(name_at(s, 0x1060, name), "outer");
	assert_string_equal(name_at(s, 0x10ff, name), "outer");
	assert_string_equal(name_at(s, 0x1100, name), "");
	assert_string_equal(name_at(s, 0x120f, name), "left");
	assert_string_equal(name_at(s, 0x1215, name), "right");
	assert_string_equal(name_at(s, 0x122f, name), "right");
	assert_string_equal(name_at(s, 0x1230, name), "");
	elf_symbols_free(s);
}

/* Assembly: no sizes. Such a name holds to the next symbol, and never inside a function that has a size. */
static void a_symbol_without_size_ends_at_the_next(void **state)
{
	static const struct image_symbol symbols[] = {
		{ "start", 0x1000, 0, FUNC_GLOBAL },   { "next", 0x1040, 0, NOTYPE },
		{ "sized", 0x1080, 0x40, FUNC_LOCAL }, { "loop_label", 0x1090, 0, NOTYPE },
		{ ".L1", 0x10d0, 0, NOTYPE },	       { "last", 0x10ff0, 0, FUNC_LOCAL },
	};
	struct elf_symbols *s = table_of(symbols, ARRAY_SIZE(symbols));
	char name[256];

	(void)state;
	assert_string_equal(name_at(s, 0x103f, name), "start");
	assert_string_equal(name_at(s, 0x1041, name), "next");
	assert_string_equal(name_at(s, 0x107f, name), "next");
	assert_string_equal(name_at(s, 0x1095, name), "sized");
	assert_string_equal(name_at(s, 0x10d0, name), "");
	assert_string_equal(name_at(s, IMAGE_TEXT + IMAGE_TEXT_SIZE - 1, name), "last");
	assert_string_equal(name_at(s, IMAGE_TEXT + IMAGE_TEXT_SIZE, name), "");
	elf_symbols_free(s);
}

static void hostile_symbols_are_cut_to_the_file(void **state)
{
	static char longest[3 * ELF_NAME_MAX];
	static const char escapes[] = "\x1b[2Jname;with\n\xff<script>";
	const struct image_symbol symbols[] = {
		{ "endless", 0x1000, UINT64_MAX, FUNC_GLOBAL },
		{ "wraps", UINT64_MAX - IMAGE_VADDR, 0x100, FUNC_GLOBAL },
		{ "outside", 0x900000, 0x100, FUNC_GLOBAL },
		{ escapes, 0x1100, 0x10, FUNC_GLOBAL },
		{ longest, 0x1200, 0x10, FUNC_GLOBAL },
	};
	struct elf_symbols *s;
	struct elf_symbol found;

	(void)state;
	memset(longest, 'x', sizeof(longest) - 1);
	s = table_of(symbols, ARRAY_SIZE(symbols));
	assert_int_equal(elf_symbols_find(s, 0x1000, &found), 0);
	assert_true(found.start + found.size <= IMAGE_TEXT + IMAGE_TEXT_SIZE);
	assert_int_equal(elf_symbols_find(s, UINT64_MAX - 0x10, &found), -ENOENT);
	assert_int_equal(elf_symbols_find(s, 0x900010, &found), -ENOENT);
	/* The bytes come as they are: who shows them escapes them. */
	assert_int_equal(elf_symbols_find(s, 0x1105, &found), 0);
	assert_memory_equal(found.name, escapes, sizeof(escapes) - 1);
	assert_int_equal(elf_symbols_find(s, 0x1205, &found), 0);
	assert_true(found.name_size < ELF_NAME_MAX);
	elf_symbols_free(s);
}

static int try_symbols(struct image *im)
{
	struct elf_symbols *s = NULL;
	int r = elf_symbols_new_memory(im->b.data, im->b.size, &s);

	elf_symbols_free(s);
	return r;
}

static void wrong_sizes_are_no_harm(void **state)
{
	static const struct image_symbol symbols[] = { { "f", 0x1000, 0x10, FUNC_GLOBAL } };
	Elf64_Sym *sym;
	struct image im;

	(void)state;
	image_make(&im, symbols, 1);
	image_section(&im, IMAGE_SECTION_SYMTAB)->sh_size = UINT64_MAX;
	assert_int_equal(try_symbols(&im), 0);
	image_section(&im, IMAGE_SECTION_SYMTAB)->sh_size = 7;
	assert_int_equal(try_symbols(&im), 0);
	image_section(&im, IMAGE_SECTION_SYMTAB)->sh_size =
		im.b.size - im.symtab_at; /* over all that follows */
	assert_int_equal(try_symbols(&im), 0);
	image_section(&im, IMAGE_SECTION_SYMTAB)->sh_link = 99;
	assert_int_equal(try_symbols(&im), -EBADMSG);
	image_section(&im, IMAGE_SECTION_SYMTAB)->sh_link = IMAGE_SECTION_SYMTAB;
	assert_int_equal(try_symbols(&im), 0);
	image_section(&im, IMAGE_SECTION_SYMTAB)->sh_link = IMAGE_SECTION_STRTAB;
	image_section(&im, IMAGE_SECTION_STRTAB)->sh_size = 0;
	assert_int_equal(try_symbols(&im), 0);
	image_section(&im, IMAGE_SECTION_STRTAB)->sh_offset = UINT64_MAX;
	assert_int_equal(try_symbols(&im), 0 - EBADMSG);
	image_release(&im);

	image_make(&im, symbols, 1);
	sym = (Elf64_Sym *)(void *)(im.b.data + im.symtab_at) + 1;
	sym->st_name = UINT32_MAX;
	assert_int_equal(try_symbols(&im), 0);
	sym->st_shndx = 0xfff0;
	sym->st_size = 0;
	assert_int_equal(try_symbols(&im), 0);
	image_release(&im);
}

static void other_files_are_refused(void **state)
{
	static const struct image_symbol symbols[] = { { "f", 0x1000, 0x10, FUNC_GLOBAL } };
	struct elf_symbols *s = NULL;
	struct image im;
	int fd;

	(void)state;
	image_make(&im, symbols, 1);
	im.b.data[EI_CLASS] = ELFCLASS32;
	assert_int_equal(try_symbols(&im), -ENOTSUP);
	im.b.data[EI_CLASS] = ELFCLASS64;
	im.b.data[EI_DATA] = ELFDATA2MSB;
	assert_int_equal(try_symbols(&im), -ENOTSUP);
	im.b.data[0] = 'M';
	assert_int_equal(try_symbols(&im), -EBADMSG);
	for (im.b.size = 0; im.b.size < 64; im.b.size++)
		assert_int_equal(try_symbols(&im), -EBADMSG);
	image_release(&im);
	fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_true(elf_symbols_new(fd, &s) < 0);
	close(fd);
	assert_int_equal(elf_symbols_new(-1, &s), -EBADF);
}

static void any_truncation_is_no_harm(void **state)
{
	struct image_symbol symbols[64];
	char names[64][16];
	struct image im;
	size_t size;

	(void)state;
	for (size_t i = 0; i < 64; i++) {
		snprintf(names[i], sizeof(names[i]), "function_%zu", i);
		symbols[i] = (struct image_symbol){ names[i], 0x1000 + i * 16, 16, FUNC_GLOBAL };
	}
	image_make(&im, symbols, 64);
	size = im.b.size;
	for (size_t n = 0; n < size; n += n >= im.symtab_at || n < 256 ? 1 : 509) {
		uint8_t *exact = malloc(n ? n : 1); /* so that a read behind it is seen */
		struct elf_symbols *s = NULL;

		memcpy(exact, im.b.data, n);
		(void)elf_symbols_new_memory(exact, n, &s);
		elf_symbols_free(s);
		free(exact);
	}
	image_release(&im);
}

/* 4 GB that take no disk: the sizes are true, so only our own bounds hold. */
static void a_huge_sparse_file_is_bounded(void **state)
{
	static const struct image_symbol symbols[] = { { "f", 0x1000, 0x10, FUNC_GLOBAL } };
	int fd = memfd_create("sparse", MFD_CLOEXEC);
	struct elf_symbols *s = NULL;
	struct image im;
	int r;

	(void)state;
	assert_true(fd >= 0);
	image_make(&im, symbols, 1);
	image_section(&im, IMAGE_SECTION_SYMTAB)->sh_size = 0xf0000000;
	image_section(&im, IMAGE_SECTION_STRTAB)->sh_size = 0xf0000000;
	assert_int_equal(write(fd, im.b.data, im.b.size), im.b.size);
	assert_int_equal(ftruncate(fd, 1LL << 32), 0);
	assert_int_equal(elf_symbols_new(fd, &s), -EFBIG);
	/* Names within reason, but far too many symbols: those within the bound are read. */
	image_section(&im, IMAGE_SECTION_STRTAB)->sh_size = 4096;
	assert_int_equal(pwrite(fd, im.b.data, im.b.size, 0), im.b.size);
	r = elf_symbols_new(fd, &s);
	assert_int_equal(r, 0);
	assert_true(elf_symbols_bytes(s) < 1 << 20);
	elf_symbols_free(s);
	image_release(&im);
	close(fd);
}

/* Each name is the whole table of strings: without a bound their copies would take terabytes. */
static void overlapping_names_are_bounded(void **state)
{
	const size_t n = 200000, text = 1 << 20;
	struct image_symbol *symbols = calloc(n, sizeof(*symbols));
	char *name = malloc(text + 1);
	struct elf_symbols *s = NULL;
	struct image im;

	(void)state;
	memset(name, 'n', text);
	name[text] = 0;
	for (size_t i = 0; i < n; i++)
		symbols[i] =
			(struct image_symbol){ i ? "" : name, 0x1000 + i % 0xffff, 1, FUNC_GLOBAL };
	image_make(&im, symbols, n);
	for (size_t i = 0; i < n; i++)
		((Elf64_Sym *)(void *)(im.b.data + im.symtab_at))[i + 1].st_name =
			(uint32_t)(1 + i);
	assert_int_equal(elf_symbols_new_memory(im.b.data, im.b.size, &s), 0);
	assert_true(elf_symbols_dropped(s) > 0);
	assert_true(elf_symbols_bytes(s) < 300U << 20);
	elf_symbols_free(s);
	image_release(&im);
	free(name);
	free(symbols);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_symbol_covers_its_bytes_and_no_more),
		cmocka_unit_test(of_several_names_the_most_public_is_shown),
		cmocka_unit_test(nested_and_overlapping_symbols_show_the_innermost),
		cmocka_unit_test(a_symbol_without_size_ends_at_the_next),
		cmocka_unit_test(hostile_symbols_are_cut_to_the_file),
		cmocka_unit_test(wrong_sizes_are_no_harm),
		cmocka_unit_test(other_files_are_refused),
		cmocka_unit_test(any_truncation_is_no_harm),
		cmocka_unit_test(a_huge_sparse_file_is_bounded),
		cmocka_unit_test(overlapping_names_are_bounded),
	};

	return cmocka_run_group_tests_name("elf/symbols", tests, NULL, NULL);
}
