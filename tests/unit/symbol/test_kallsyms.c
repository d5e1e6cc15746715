/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "symbol/symbol.h"

static char path[] = "/tmp/kymo-kallsyms-XXXXXX";

static int load_bytes(const void *data, size_t size, struct kallsyms **ret)
{
	FILE *f = fopen(path, "w");
	int r;

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, size, f), size);
	fclose(f);
	*ret = NULL;
	r = kallsyms_new(path, ret);
	return r;
}

static struct kallsyms *load(const char *text)
{
	struct kallsyms *k;

	assert_int_equal(load_bytes(text, strlen(text), &k), 0);
	return k;
}

static void expect(const struct kallsyms *k, uint64_t address, const char *name, const char *module,
		   uint64_t start)
{
	const char *got_module;
	uint64_t got_start;
	const char *got = kallsyms_find(k, address, &got_module, &got_start);

	assert_string_equal(got, name);
	assert_string_equal(got_module, module);
	assert_int_equal(got_start, start);
}

static void a_symbol_covers_up_to_the_next(void **state)
{
	struct kallsyms *k = load("ffffffff81000000 T _stext\n"
				  "ffffffff81000000 T _text\n"
				  "ffffffff81000000 T startup_64\n"
				  "ffffffff81000100 t local_function\n"
				  "ffffffff81000200 D a_variable\n"
				  "ffffffff81000300 d another\n"
				  "ffffffff81000400 W weak_function\n"
				  "ffffffffc0001000 t ext4_read\t[ext4]\n"
				  "ffffffffc0001100 t ext4_write\t[ext4]\n"
				  "ffffffffc0002000 t xfs_read\t[xfs]");

	(void)state;
	assert_int_equal(kallsyms_text(k), 0xffffffff81000000);
	expect(k, 0xffffffff80ffffff, "", "", 0);
	expect(k, 0xffffffff81000000, "startup_64", "", 0xffffffff81000000);
	expect(k, 0xffffffff810000ff, "startup_64", "", 0xffffffff81000000);
	expect(k, 0xffffffff81000110, "local_function", "", 0xffffffff81000100);
	expect(k, 0xffffffff81000250, "", "", 0); /* data */
	expect(k, 0xffffffff81000350, "", "", 0);
	expect(k, 0xffffffff81000404, "weak_function", "", 0xffffffff81000400);
	expect(k, 0xffffffff90000000, "", "", 0); /* far behind the kernel's end */
	expect(k, 0xffffffffc0001004, "ext4_read", "ext4", 0xffffffffc0001000);
	expect(k, 0xffffffffc0001104, "ext4_write", "ext4", 0xffffffffc0001100);
	expect(k, 0xffffffffc0002004, "xfs_read", "xfs", 0xffffffffc0002000);
	expect(k, UINT64_MAX, "", "", 0);
	expect(k, 0, "", "", 0);
	kallsyms_free(k);
	kallsyms_free(NULL);
}

/* Modules are listed behind the kernel, at lower addresses, in any order. */
static void any_order_will_do(void **state)
{
	struct kallsyms *k = load("ffffffff82000000 T late\n"
				  "ffffffffc0003000 t m1_a\t[m1]\n"
				  "ffffffffa0003000 t m2_a\t[m2]\n"
				  "ffffffffc0002000 t m1_b\t[m1]\n"
				  "ffffffff81000000 T _stext\n");

	(void)state;
	assert_int_equal(kallsyms_text(k), 0xffffffff81000000);
	expect(k, 0xffffffffa0003001, "m2_a", "m2", 0xffffffffa0003000);
	expect(k, 0xffffffffc0002001, "m1_b", "m1", 0xffffffffc0002000);
	expect(k, 0xffffffffc0003001, "m1_a", "m1", 0xffffffffc0003000);
	expect(k, 0xffffffff82000001, "late", "", 0xffffffff82000000);
	kallsyms_free(k);
}

static void hidden_addresses_are_told(void **state)
{
	static const char zeroes[] = "0000000000000000 T _text\n0000000000000000 t other\n";
	struct kallsyms *k;

	(void)state;
	assert_int_equal(load_bytes(zeroes, sizeof(zeroes) - 1, &k), -EACCES);
	assert_int_equal(load_bytes("", 0, &k), -ENODATA);
	assert_int_equal(kallsyms_new("/nonexistent/kallsyms", &k), -ENOENT);
	assert_int_equal(kallsyms_new("/", &k), -EISDIR);
}

static void hostile_bytes_are_no_harm(void **state)
{
	static const char *const texts[] = {
		"\n\n\n",
		"zzzz T name\n",
		"ffffffff81000000",
		"ffffffff81000000 ",
		"ffffffff81000000 T",
		"ffffffff81000000 T \n",
		"ffffffff81000000 T\tname\n",
		"ffffffff81000000 T name\t[\n",
		"ffffffff81000000 T name\t[]\n",
		"ffffffffffffffffffffffff T name\n",
		" ffffffff81000000 T name\n",
		"ffffffff81000000 T \xff\xfe\x1b[2J\t[mod\xc3]\n",
	};
	char *huge = malloc(1 << 20);
	uint64_t seed = 99;
	struct kallsyms *k;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		(void)load_bytes(texts[i], strlen(texts[i]), &k);
		kallsyms_free(k);
	}
	/* A line without end, then one that is good. */
	memset(huge, 'f', 1 << 20);
	memcpy(huge + (1 << 20) - 27, "\nffffffff81000000 T behind\n", 27);
	assert_int_equal(load_bytes(huge, 1 << 20, &k), 0);
	expect(k, 0xffffffff81000001, "behind", "", 0xffffffff81000000);
	kallsyms_free(k);
	memset(huge, 'n', 1 << 16);
	memcpy(huge, "ffffffff81000000 T ", 19);
	assert_int_equal(load_bytes(huge, 60000, &k), 0);
	kallsyms_free(k);
	for (int run = 0; run < 200; run++) {
		for (int i = 0; i < 4096; i++) {
			seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
			huge[i] = "0123456789abcdef \t\n[]Tt\xff"[seed >> 33 & 0x7f
									  ? (seed >> 40) % 24
									  : 18];
		}
		(void)load_bytes(huge, 4096, &k);
		kallsyms_free(k);
	}
	free(huge);
}

static void hostile_names_are_text(void **state)
{
	struct kallsyms *k = load("ffffffff81000000 t bad\xff"
				  "byte\t[m\xfe]\n");

	(void)state;
	expect(k, 0xffffffff81000001,
	       "bad\xef\xbf\xbd"
	       "byte",
	       "m\xef\xbf\xbd", 0xffffffff81000000);
	kallsyms_free(k);
}

/* Against the file itself, address by address; 10 MB at most, and quick. */
static void this_kernels_symbols(void **state)
{
	struct mallinfo2 before = mallinfo2(), after;
	uint64_t begin = clock_process_cpu_ns(), took, address;
	size_t checked = 0, bytes;
	char line[1024], type, name[513];
	struct kallsyms *k;
	FILE *f;
	int r = kallsyms_new("/proc/kallsyms", &k);

	(void)state;
	if (r < 0) {
		print_message("[  SKIPPED ] /proc/kallsyms: %s\n", strerror(-r));
		skip();
	}
	took = clock_process_cpu_ns() - begin;
	after = mallinfo2();
	bytes = after.uordblks + after.hblkhd - before.uordblks - before.hblkhd;
	assert_true(kallsyms_text(k) != 0);
	f = fopen("/proc/kallsyms", "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		const char *module;
		uint64_t start;

		if (sscanf(line, "%lx %c %512s", &address, &type, name) != 3 ||
		    !strchr("tT", type) || !address)
			continue;
		/* BPF programs come and go between the two readings. */
		if (strstr(line, "[bpf]") || strncmp(name, "bpf_", 4) == 0)
			continue;
		if (strcmp(kallsyms_find(k, address, &module, &start), "") == 0)
			fail_msg("no name for %lx %s", address, name);
		assert_int_equal(start, address);
		assert_int_equal(strchr(line, '[') != NULL && strchr(line, '\t') != NULL,
				 module[0] != 0);
		checked++;
	}
	fclose(f);
	print_message("%zu symbols in %.1f ms, %zu KB\n", checked, (double)took / 1e6, bytes >> 10);
	assert_true(bytes < 10 << 20 || checked > 250000);
	assert_true(took < 2 * NS_PER_SEC); /* a tenth of it on a quiet machine */
	kallsyms_free(k);
}

static int make_file(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	if (fd < 0)
		return -1;
	return close(fd);
}

static int remove_file(void **state)
{
	(void)state;
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_symbol_covers_up_to_the_next),
		cmocka_unit_test(any_order_will_do),
		cmocka_unit_test(hidden_addresses_are_told),
		cmocka_unit_test(hostile_bytes_are_no_harm),
		cmocka_unit_test(hostile_names_are_text),
		cmocka_unit_test(this_kernels_symbols),
	};

	return cmocka_run_group_tests_name("symbol/kallsyms", tests, make_file, remove_file);
}
