/* SPDX-License-Identifier: Apache-2.0 */
/* What elf_inspect says of every CPython that can be found, held against what the interpreter says of itself. */
#include "unit/test.h"

#include <errno.h>
#include <glob.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/array.h"
#include "elf/file.h"
#include "elf/inspect.h"
#include "elf/note.h"
#include "unit/elf/image.h"

/* This program is an interpreter too, as far as symbols tell: with an eval loop that gcc splits. */
extern int _PyRuntime[64];
int _PyRuntime[64];
extern const unsigned long Py_Version;
const unsigned long Py_Version = 0x030c07f0;

__attribute__((cold, noinline)) static int rarely(int x)
{
	printf("rarely %d\n", x);
	return x * 7;
}

int _PyEval_EvalFrameDefault(int n);
__attribute__((noinline)) int _PyEval_EvalFrameDefault(int n)
{
	for (int i = 0; i < n; i++) {
		_PyRuntime[i & 63] += n ^ i;
		if (__builtin_expect(_PyRuntime[i & 63] == 77777, 0))
			n = rarely(i) + rarely(n);
		if (__builtin_expect(_PyRuntime[i & 63] == 88888, 0))
			n -= rarely(i * 3);
	}
	return n;
}

/* Prints the version and the file that has the interpreter. */
static const char program[] =
	"import sys; m = [l.split()[-1] for l in open('/proc/self/maps') if 'r-xp' in l or ' r--p' "
	"in l]\n"
	"m = [x for x in m if 'libpython3' in x and not x.endswith('python3.so')]\n"
	"print('%x %s' % (sys.hexversion, m[0] if m else "
	"__import__('os').path.realpath(sys.executable)))\n";

struct interpreter {
	uint32_t hexversion;
	char path[512];
};

static bool ask(const char *python, struct interpreter *ret)
{
	char command[2048];
	bool ok;
	FILE *p;

	snprintf(command, sizeof(command), "%s -S -E -c \"%s\" 2>/dev/null", python, program);
	p = popen(command, "r");
	ok = p && fscanf(p, "%x %511s", &ret->hexversion, ret->path) == 2;
	if (p)
		pclose(p);
	return ok;
}

static int inspect(const char *path, struct elf_facts *facts)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), r;

	assert_true(fd >= 0);
	r = elf_inspect(fd, facts);
	close(fd);
	return r;
}

static void hex(const struct build_id *id, char out[2 * BUILD_ID_MAX + 1])
{
	for (size_t i = 0; i < id->size; i++)
		sprintf(out + 2 * i, "%02x", id->bytes[i]);
	out[2 * id->size] = 0;
}

/* Eval loops of builds whose disassembly was looked at, by build-id (file offsets). */
static const struct {
	const char *build_id;
	struct kymo_file_range hot, cold;
} known[] = {
	{ "6d853d1016a951ac13d69174b9a33ac9639c3a22",
	  { 0x146220, 0x14dd39 },
	  { 0, 0 } },									/* 3.6.15 */
	{ "edcca1179f608e68bf531649c8046e6c3508c5f9", { 0x68af0, 0x70b7f }, { 0, 0 } }, /* 3.7.16 */
	{ "ff2a4988bea9e9bbbb8004eb6e74cc0792734c3b", { 0x6bf60, 0x7462f }, { 0, 0 } }, /* 3.8.18 */
	{ "8a6cadea533dd782615a0f14a75b5aef248a10d4", { 0x66920, 0x6f29d }, { 0, 0 } }, /* 3.9.18 */
	{ "ece57af647dd10ee274f46d757d62a5eab42c418",
	  { 0x65540, 0x6e9e3 },
	  { 0, 0 } }, /* 3.10.13 */
	{ "49daf84ed369fe589b73ea876f2591cd4c3588bb",
	  { 0xfab70, 0x1054c1 },
	  { 0xfa7f6, 0xfa7fa } }, /* 3.11.7 */
	{ "f9d5c82f5f2c22df68c1d49c944ef3dee5103dcc",
	  { 0x10bdc0, 0x1185ed },
	  { 0x10ba24, 0x10ba2c } },							/* 3.12.1 */
	{ "d11d13fb0f82d32f3da1221ffd551ab179afb423", { 0x8b8e0, 0x974dd }, { 0, 0 } }, /* 3.13.0 */
	{ "571d98e01096d5c1c32420d229a6731a0a50d2a0",
	  { 0x12b0f0, 0x138a4c },
	  { 0x30f05, 0x3455e } }, /* Debian's 3.11.2, static and stripped */
};

static bool check_known(const struct elf_facts *f)
{
	char id[2 * BUILD_ID_MAX + 1];

	hex(&f->build_id, id);
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (strcmp(id, known[i].build_id) != 0)
			continue;
		assert_int_equal(f->eval[0].start, known[i].hot.start);
		assert_int_equal(f->eval[0].end, known[i].hot.end);
		assert_int_equal(f->eval[1].start, known[i].cold.start);
		assert_int_equal(f->eval[1].end, known[i].cold.end);
		assert_int_equal(f->eval[2].end, 0);
		return true;
	}
	return false;
}

static void check_interpreter(const char *python)
{
	struct interpreter says;
	struct elf_facts f;

	if (!ask(python, &says)) {
		print_message("%s does not run\n", python);
		return;
	}
	assert_int_equal(inspect(says.path, &f), 0);
	print_message("%s: %08x in %s, eval loop %llx-%llx %llx-%llx\n", python,
		      f.python_hexversion, says.path, (unsigned long long)f.eval[0].start,
		      (unsigned long long)f.eval[0].end, (unsigned long long)f.eval[1].start,
		      (unsigned long long)f.eval[1].end);
	assert_true(f.is_elf);
	assert_true(f.has_python);
	assert_int_equal(f.libc, ELF_LIBC_GNU);
	assert_int_equal(f.python_hexversion, says.hexversion);
	assert_true(f.code_type_vaddr != 0);
	if (says.hexversion >= 0x03070000) {
		assert_true(f.runtime_vaddr != 0);
	} else {
		assert_true(f.thread_state_current_vaddr != 0);
	}
	/* The loop has some 150 opcodes; nothing else in CPython is as long. */
	assert_in_range(f.eval[0].end - f.eval[0].start, 10000, 200000);
	if (!check_known(&f))
		print_message("  not a build that is known: only its size was checked\n");
}

static void every_interpreter_found_is_recognised(void **state)
{
	static const char *const patterns[] = { "~/.pyenv/versions/*/bin/python3",
						"/usr/bin/python3", "/usr/local/bin/python3" };
	glob_t found = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++)
		glob(patterns[i], GLOB_TILDE | (i ? GLOB_APPEND : 0), NULL, &found);
	for (size_t i = 0; i < found.gl_pathc; i++)
		check_interpreter(found.gl_pathv[i]);
	print_message("%zu interpreters\n", found.gl_pathc);
	if (!found.gl_pathc)
		skip();
	globfree(&found);
}

static void a_program_with_its_own_loop_and_no_other_sign(void **state)
{
	struct elf_facts f;

	(void)state;
	(void)_PyEval_EvalFrameDefault(3);
	assert_int_equal(inspect("/proc/self/exe", &f), 0);
	assert_true(f.has_python);
	assert_int_equal(f.python_hexversion, Py_Version);
	assert_int_equal(f.probes_n, 0);
	assert_true(f.eval[0].end > f.eval[0].start);
}

static void blank(struct buf *b, const char *text)
{
	uint8_t *at = b->data;

	while ((at = memmem(at, (size_t)(b->data + b->size - at), text, strlen(text))))
		memset(at, 'x', strlen(text));
}

/* Stripped files have no name for the part that was split off: the jumps must lead to it. */
static void the_cold_part_is_found_by_name_and_by_jumps(void **state)
{
	struct elf_facts named, stripped;
	struct buf b = { 0 };

	(void)state;
	assert_true(image_load("/proc/self/exe", &b));
	assert_int_equal(elf_inspect_memory(b.data, b.size, &named), 0);
	if (!named.eval[1].end) {
		print_message("[  SKIPPED ] this compiler split no cold part off\n");
		buf_release(&b);
		skip();
	}
	blank(&b, "_PyEval_EvalFrameDefault.cold");
	assert_int_equal(elf_inspect_memory(b.data, b.size, &stripped), 0);
	assert_memory_equal(named.eval, stripped.eval, sizeof(named.eval));
	buf_release(&b);
}

static void a_program_without_interpreter_has_none(void **state)
{
	struct elf_facts f;
	struct buf b = { 0 };

	(void)state;
	assert_true(image_load("/proc/self/exe", &b));
	blank(&b, "_PyEval_EvalFrameDefault");
	assert_int_equal(elf_inspect_memory(b.data, b.size, &f), 0);
	assert_false(f.has_python);
	assert_int_equal(f.eval[0].end, 0);
	assert_int_equal(f.python_hexversion, 0);
	buf_release(&b);
}

/* Each version string and constant of our own making: where they disagree, nothing is claimed. */
static void a_version_is_told_only_when_its_traces_agree(void **state)
{
	static const struct {
		char text[64];
		uint8_t code[8];
		uint32_t hexversion;
	} cases[] = {
		{ "cpython-38\0003.8.18", { 0xbf, 0xf0, 0x12, 0x08, 0x03, 0xe8 }, 0x030812f0 },
		{ "cpython-38\0/usr/versions/3.8.18", { 0 }, 0x030812f0 },
		{ "cpython-37m-x86_64-linux-gnu\0",
		  { 0xbf, 0xf0, 0x10, 0x07, 0x03, 0xe8 },
		  0x030710f0 },
		{ "cpython-310\0003.10.0rc2+", { 0 }, 0x030a00c2 },
		/* SQLite's version beside ours: the code decides. */
		{ "cpython-38\0003.8.11\0003.8.5",
		  { 0xbf, 0xf0, 0x05, 0x08, 0x03, 0xe8 },
		  0x030805f0 },
		{ "cpython-38\0003.8.11\0003.8.5", { 0 }, 0 },
		{ "cpython-38\0003.7.3\00013.8.4\0003.8.999\0003.8", { 0 }, 0 },
		{ "3.8.18", { 0xbf, 0xf0, 0x12, 0x08, 0x03, 0xe8 }, 0 },
	};
	static const struct image_symbol symbols[] = {
		{ "_PyEval_EvalFrameDefault", 0x2000, 0x100, FUNC_GLOBAL },
		{ "_PyRuntime", 0x3000, 0x100, OBJECT },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct elf_facts f;
		struct image im;

		image_make(&im, symbols, ARRAY_SIZE(symbols));
		memcpy(im.b.data + 0x4001, cases[i].text, sizeof(cases[i].text));
		memcpy(im.b.data + 0x5003, cases[i].code, sizeof(cases[i].code));
		assert_int_equal(elf_inspect_memory(im.b.data, im.b.size, &f), 0);
		assert_true(f.has_python);
		if (f.python_hexversion != cases[i].hexversion)
			fail_msg("case %zu: %08x", i, f.python_hexversion);
		assert_int_equal(f.eval[0].start, 0x2000);
		assert_int_equal(f.eval[0].end, 0x2100);
		image_release(&im);
	}
}

static void the_build_id_is_the_linkers(void **state)
{
	char id[2 * BUILD_ID_MAX + 1], command[128], line[256] = "";
	struct elf_facts f;
	FILE *p;

	(void)state;
	assert_int_equal(inspect("/proc/self/exe", &f), 0);
	hex(&f.build_id, id);
	snprintf(command, sizeof(command),
		 "readelf -n /proc/%d/exe 2>/dev/null | sed -n 's/.*Build ID: //p'", getpid());
	p = popen(command, "r");
	if (!p || !fgets(line, sizeof(line), p)) {
		print_message("[  SKIPPED ] no readelf, or a linker that writes no build-id\n");
		if (p)
			pclose(p);
		skip();
	}
	pclose(p);
	line[strcspn(line, "\n")] = 0;
	assert_string_equal(id, line);
}

static void a_prologue_with_frame_pointer_is_told(void **state)
{
	static const uint8_t prologues[][8] = {
		{ 0x55, 0x48, 0x89, 0xe5 },
		{ 0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x48, 0x89, 0xe5 },
		{ 0x55, 0x48, 0x8b, 0xec },
		{ 0x41, 0x57, 0x55, 0x48, 0x89, 0xe5 },
	};
	static const bool expected[] = { true, true, true, false };
	static const struct image_symbol symbols[] = {
		{ "_PyEval_EvalFrameDefault", 0x2000, 0x100, FUNC_GLOBAL },
		{ "_PyThreadState_Current", 0x3000, 8, OBJECT },
		{ "autoTLSkey", 0x3010, 4, OBJECT },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		struct elf_facts f;
		struct image im;

		image_make(&im, symbols, ARRAY_SIZE(symbols));
		memcpy(im.b.data + 0x2000, prologues[i], 8);
		assert_int_equal(elf_inspect_memory(im.b.data, im.b.size, &f), 0);
		assert_true(f.has_python);
		assert_int_equal(f.eval_frame_pointers, expected[i]);
		assert_int_equal(f.tls_key_vaddr, IMAGE_VADDR + 0x3010);
		assert_int_equal(f.text_offset_bias, IMAGE_VADDR);
		image_release(&im);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_interpreter_found_is_recognised),
		cmocka_unit_test(a_program_with_its_own_loop_and_no_other_sign),
		cmocka_unit_test(the_cold_part_is_found_by_name_and_by_jumps),
		cmocka_unit_test(a_program_without_interpreter_has_none),
		cmocka_unit_test(a_version_is_told_only_when_its_traces_agree),
		cmocka_unit_test(a_prologue_with_frame_pointer_is_told),
		cmocka_unit_test(the_build_id_is_the_linkers),
	};

	return cmocka_run_group_tests_name("elf/inspect", tests, NULL, NULL);
}
