/* SPDX-License-Identifier: Apache-2.0 */
/* Probes are told where they are, and only where a breakpoint does no harm; notes may say anything. */
#include "unit/test.h"

#include <elf.h>
#include <stdio.h>

#include "base/array.h"
#include "elf/probes.h"
#include "unit/elf/image.h"

#define PROBE_AT     (IMAGE_VADDR + IMAGE_TEXT + 0x40)
#define SEMAPHORE_AT (IMAGE_VADDR + IMAGE_TEXT + 0x8000)
#define NOTE_SECTION IMAGE_SECTION_SYMTAB

struct note_text {
	uint64_t pc, base, semaphore;
	const char *provider, *name, *arguments;
};

static void put_note(struct buf *b, const struct note_text *n)
{
	struct buf desc = { 0 };
	const Elf64_Nhdr zero = { 0 };
	Elf64_Nhdr head = { .n_namesz = 8, .n_type = 3 };

	assert_int_equal(buf_append(&desc, n, 3 * sizeof(uint64_t)), 0);
	assert_int_equal(buf_append(&desc, n->provider, strlen(n->provider) + 1), 0);
	assert_int_equal(buf_append(&desc, n->name, strlen(n->name) + 1), 0);
	assert_int_equal(buf_append(&desc, n->arguments, strlen(n->arguments) + 1), 0);
	head.n_descsz = (uint32_t)desc.size;
	assert_int_equal(buf_append(b, &head, sizeof(head)), 0);
	assert_int_equal(buf_append(b, "stapsdt", 8), 0);
	assert_int_equal(buf_append(b, desc.data, desc.size), 0);
	assert_int_equal(buf_append(b, &zero, -desc.size & 3), 0);
	buf_release(&desc);
}

/* An image whose only segment may be written, with the notes as its .note.stapsdt. */
static void make(struct image *im, const struct buf *notes)
{
	Elf64_Shdr *sh;
	size_t at, names;

	image_make(im, NULL, 0);
	((Elf64_Phdr *)(void *)(im->b.data + sizeof(Elf64_Ehdr)))->p_flags = PF_R | PF_W | PF_X;
	at = im->b.size;
	image_put(im, notes->data, notes->size);
	names = image_section(im, IMAGE_SECTION_NAMES)->sh_offset;
	/* Over ".symtab" and ".strtab". */
	memcpy(im->b.data + names + 7, ".note.stapsdt", 14);
	sh = image_section(im, NOTE_SECTION);
	sh->sh_type = SHT_NOTE;
	sh->sh_offset = at;
	sh->sh_size = notes->size;
}

static uint32_t read_image(const struct buf *b, struct elf_probe p[KYMO_PROBES_MAX])
{
	struct elf_file f;
	uint32_t n = 0;

	if (elf_file_init_memory(&f, b->data, b->size) < 0)
		return 0;
	assert_int_equal(elf_probes_read(&f, p, &n), 0);
	elf_file_release(&f);
	assert_in_range(n, 0, KYMO_PROBES_MAX);
	return n;
}

static uint32_t read_notes(const struct note_text *texts, size_t n,
			   struct elf_probe p[KYMO_PROBES_MAX])
{
	struct buf notes = { 0 };
	struct image im;
	uint32_t found;

	for (size_t i = 0; i < n; i++)
		put_note(&notes, &texts[i]);
	make(&im, &notes);
	found = read_image(&im.b, p);
	image_release(&im);
	buf_release(&notes);
	return found;
}

static const struct note_text good = { .pc = PROBE_AT,
				       .semaphore = SEMAPHORE_AT,
				       .provider = "python",
				       .name = "gc__start",
				       .arguments = "-4@112(%rsp)" };

static void a_probe_is_told(void **state)
{
	const struct note_text texts[] = {
		{ PROBE_AT, 0, 0, "other", "gc__start", "" },
		{ PROBE_AT, 0, 0, "python", "function__entry", "8@%rax" },
		good,
		{ PROBE_AT, 0, 0, "python", "import__find__load__done", "8@%rax -4@%edx" },
	};
	struct elf_probe p[KYMO_PROBES_MAX];

	(void)state;
	assert_int_equal(read_notes(texts, ARRAY_SIZE(texts), p), 2);
	assert_int_equal(p[0].offset, PROBE_AT - IMAGE_VADDR);
	assert_int_equal(p[0].semaphore_offset, SEMAPHORE_AT - IMAGE_VADDR);
	assert_int_equal(p[0].site.kind, KYMO_PROBE_GC_START);
	assert_int_equal(p[0].site.arguments[0].kind, KYMO_ARGUMENT_MEMORY);
	assert_int_equal(p[0].site.arguments[0].offset, 112);
	assert_int_equal(p[0].site.arguments[0].reg, 7);
	assert_int_equal(p[0].site.arguments[0].size, 4);
	assert_true(p[0].site.arguments[0].is_signed);
	assert_int_equal(p[0].site.arguments[1].kind, KYMO_ARGUMENT_UNKNOWN);
	assert_int_equal(p[1].site.kind, KYMO_PROBE_IMPORT_DONE);
	assert_int_equal(p[1].semaphore_offset, 0);
	assert_int_equal(p[1].site.arguments[1].kind, KYMO_ARGUMENT_REGISTER);
	assert_int_equal(p[1].site.arguments[1].reg, 1);
}

/* Nowhere else than on a no-op in code, and no counter elsewhere than in data of the file. */
static void places_that_would_do_harm_are_left_out(void **state)
{
	static const uint64_t pcs[] = { 0,
					1,
					PROBE_AT - IMAGE_VADDR,
					UINT64_MAX,
					IMAGE_VADDR,
					IMAGE_VADDR + IMAGE_TEXT + IMAGE_TEXT_SIZE - 1,
					IMAGE_VADDR + IMAGE_TEXT + IMAGE_TEXT_SIZE };
	static const uint64_t semaphores[] = { 1, UINT64_MAX,
					       IMAGE_VADDR + IMAGE_TEXT + IMAGE_TEXT_SIZE - 1,
					       IMAGE_VADDR + IMAGE_TEXT + IMAGE_TEXT_SIZE };
	struct elf_probe p[KYMO_PROBES_MAX];
	struct note_text n = good;
	struct buf notes = { 0 };
	struct image im;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pcs); i++) {
		n.pc = pcs[i];
		assert_int_equal(read_notes(&n, 1, p), 0);
	}
	n = good;
	for (size_t i = 0; i < ARRAY_SIZE(semaphores); i++) {
		n.semaphore = semaphores[i];
		assert_int_equal(read_notes(&n, 1, p), 0);
	}
	put_note(&notes, &good);
	make(&im, &notes);
	assert_int_equal(read_image(&im.b, p), 1);
	im.b.data[PROBE_AT - IMAGE_VADDR] = 0xe8;
	assert_int_equal(read_image(&im.b, p), 0);
	im.b.data[PROBE_AT - IMAGE_VADDR] = 0x90;
	((Elf64_Phdr *)(void *)(im.b.data + sizeof(Elf64_Ehdr)))->p_flags = PF_R | PF_X;
	assert_int_equal(read_image(&im.b, p), 0);
	((Elf64_Phdr *)(void *)(im.b.data + sizeof(Elf64_Ehdr)))->p_flags = PF_R | PF_W;
	assert_int_equal(read_image(&im.b, p), 0);
	image_release(&im);
	buf_release(&notes);
}

static void more_than_fit_are_left_out(void **state)
{
	struct note_text texts[3 * KYMO_PROBES_MAX];
	struct elf_probe p[KYMO_PROBES_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		texts[i] = good;
	assert_int_equal(read_notes(texts, ARRAY_SIZE(texts), p), KYMO_PROBES_MAX);
}

/* Every cut of the notes, and bytes of them changed at random. */
static void damaged_notes_are_no_error(void **state)
{
	struct elf_probe p[KYMO_PROBES_MAX];
	struct buf notes = { 0 };
	uint64_t seed = 88172645463325252U;
	struct image im;
	size_t size;

	(void)state;
	put_note(&notes, &good);
	put_note(&notes, &good);
	size = notes.size;
	for (notes.size = 1; notes.size < size; notes.size++) {
		make(&im, &notes);
		/* Nothing behind it that would make it whole. */
		im.b.size = image_section(&im, NOTE_SECTION)->sh_offset + notes.size;
		assert_in_range(read_image(&im.b, p), 0, 2);
		image_release(&im);
	}
	make(&im, &notes);
	for (int i = 0; i < 20000; i++) {
		size_t at =
			image_section(&im, NOTE_SECTION)->sh_offset + image_random(&seed) % size;
		uint8_t before = im.b.data[at];

		im.b.data[at] = (uint8_t)image_random(&seed);
		(void)read_image(&im.b, p);
		if (i % 4)
			im.b.data[at] = before;
	}
	image_release(&im);
	buf_release(&notes);
}

static void arguments_are_read(void **state)
{
	static const struct {
		const char *text;
		struct kymo_probe_argument a;
	} cases[] = {
		{ "8@%rax", { 0, KYMO_ARGUMENT_REGISTER, 0, 8, 0, 0 } },
		{ "-4@%r12d", { 0, KYMO_ARGUMENT_REGISTER, 12, 4, 1, 0 } },
		{ "-1@%sil", { 0, KYMO_ARGUMENT_REGISTER, 4, 1, 1, 0 } },
		{ "2@%r8w", { 0, KYMO_ARGUMENT_REGISTER, 8, 2, 0, 0 } },
		{ "8@-20(%rbp)", { -20, KYMO_ARGUMENT_MEMORY, 6, 8, 0, 0 } },
		{ "8@(%rdi)", { 0, KYMO_ARGUMENT_MEMORY, 5, 8, 0, 0 } },
		{ "-4@$-3", { -3, KYMO_ARGUMENT_CONSTANT, 0, 4, 1, 0 } },
		{ "4@$0x10", { 16, KYMO_ARGUMENT_CONSTANT, 0, 4, 0, 0 } },
	};
	static const char *const unknown[] = {
		"",
		"@",
		"8",
		"8@",
		"8@%",
		"8@%rzx",
		"8@%rip",
		"8f@%xmm0",
		"3@%rax",
		"-9@%rax",
		"8@x(%rip)",
		"8@4(%rax,%rbx,8)",
		"8@(%rax",
		"8@4%rax",
		"8@$",
		"8@$1x",
		"8@%raxx",
		"99999999999999999999@%rax",
		"8@99999999999999999999(%rax)",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *at = cases[i].text;
		struct kymo_probe_argument a = elf_probe_argument(&at);

		assert_memory_equal(&a, &cases[i].a, sizeof(a));
		assert_int_equal(*at, 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
		char text[64];
		const char *at = text;

		/* The next one is read all the same. */
		snprintf(text, sizeof(text), "%s 8@%%rax", unknown[i]);
		assert_int_equal(elf_probe_argument(&at).kind, KYMO_ARGUMENT_UNKNOWN);
		if (*unknown[i])
			assert_int_equal(elf_probe_argument(&at).kind, KYMO_ARGUMENT_REGISTER);
	}
}

/* Debian's: gc and import, each with start and end. */
static void a_real_interpreter_has_all_four(void **state)
{
	struct elf_probe p[KYMO_PROBES_MAX];
	struct buf b = { 0 };
	uint32_t kinds = 0, n;

	(void)state;
	if (!image_load("/usr/bin/python3.11", &b)) {
		print_message("skip: no /usr/bin/python3.11\n");
		skip();
	}
	n = read_image(&b, p);
	buf_release(&b);
	for (uint32_t i = 0; i < n; i++) {
		kinds |= 1U << p[i].site.kind;
		assert_true(p[i].semaphore_offset);
		assert_int_not_equal(p[i].site.arguments[0].kind, KYMO_ARGUMENT_UNKNOWN);
	}
	assert_int_equal(kinds, 0x1e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_probe_is_told),
		cmocka_unit_test(places_that_would_do_harm_are_left_out),
		cmocka_unit_test(more_than_fit_are_left_out),
		cmocka_unit_test(damaged_notes_are_no_error),
		cmocka_unit_test(arguments_are_read),
		cmocka_unit_test(a_real_interpreter_has_all_four),
	};

	return cmocka_run_group_tests_name("elf/probes", tests, NULL, NULL);
}
