/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libdw is the judge: for every row of every description in real files the CFA, the return address
 * and the followed registers come out the same. 0 differences.
 */
#include "unit/test.h"

#include <errno.h>
#include <glob.h>
#include <sys/auxv.h>

#include "base/file.h"
#include "unit/unwind/oracle.h"

struct subject {
	const char *pattern;  /* of its path, the first match */
	uint32_t fdes, rows;  /* a build that was measured: what a table of it must be; 0 = none */
	uint32_t unsupported; /* hand-written descriptions that are not known here, at most */
};

/* What tests/fixtures/fetch-arm64 unpacks. */
#define ARM64 "build/fixtures/arm64"

static struct subject subjects[] = {
	{ "/lib/x86_64-linux-gnu/libc.so.6", 3713, 23332, 0 },
	{ "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", 0, 0, 0 },
	{ "/usr/bin/bash", 0, 0, 0 },
	{ "/usr/bin/perl", 0, 0, 0 },
	{ "/usr/bin/python3.11", 10221, 58511, 0 },
	{ "/usr/lib/x86_64-linux-gnu/libpython3.*.so.1.0", 0, 0, 0 },
	{ "/usr/lib/x86_64-linux-gnu/libcrypto.so.3", 0, 0, 0 },
	{ "/usr/lib/x86_64-linux-gnu/libLLVM-14.so.1", 94994, 817693, 0 },
	{ "/usr/lib/gcc/x86_64-linux-gnu/*/cc1", 0, 0, 0 },
	{ "/usr/lib/gcc/x86_64-linux-gnu/*/cc1plus", 49002, 464610, 0 },
	{ "/usr/bin/node", 75922, 277133, 0 },
	{ "/usr/sbin/ldconfig", 0, 0, 0 }, /* static */
	{ ARM64 "/lib/aarch64-linux-gnu/libc.so.6", 0, 0, 0 },
	{ ARM64 "/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1", 0, 0, 0 },
	{ ARM64 "/bin/bash", 0, 0, 0 },
	{ ARM64 "/usr/bin/perl", 0, 0, 0 },
	{ ARM64 "/usr/lib/aarch64-linux-gnu/libpython3.*.so.1.0", 0, 0, 0 },
	{ ARM64 "/usr/lib/aarch64-linux-gnu/libstdc++.so.6", 0, 0, 0 },
	{ ARM64 "/usr/lib/aarch64-linux-gnu/libcrypto.so.3", 0, 0, 0 },
};

static void skip_because(const char *why, const char *what)
{
	print_message("skip: %s %s\n", what, why);
	skip();
}

static void test_subject(void **state)
{
	const struct subject *s = *state;
	struct oracle o;
	glob_t found;
	char *path;

	if (glob(s->pattern, 0, NULL, &found) != 0) {
		skip_because(strncmp(s->pattern, ARM64, strlen(ARM64)) == 0
				     ? "is fetched by tests/fixtures/fetch-arm64"
				     : "is not installed",
			     s->pattern);
		return;
	}
	path = found.gl_pathv[0];
	assert_int_equal(oracle_open(&o, path), 0);
	oracle_run(&o);
	print_message(
		"%s: %zu descriptions, %lu rows of libdw, %u rows, %u rules, %lu differences, "
		"%lu unsupported, %lu unknown\n",
		path, o.fdes_n, o.rows, o.table->rows_n, o.table->rules_n, o.differences,
		o.unsupported, o.unknown);
	assert_int_equal(o.fdes_n, o.table->counts.fdes + o.table->counts.fdes_outside);
	assert_int_equal(o.table->counts.fdes_damaged, 0);
	assert_int_equal(o.table->counts.rows_dropped, 0);
	assert_int_equal(o.differences, 0);
	assert_in_range(o.unsupported, 0, s->unsupported);
	assert_in_range(o.unknown, 0, s->unsupported);
	if (s->fdes == o.fdes_n)
		assert_in_range(o.table->rows_n, s->rows, s->rows + s->rows / 5);
	oracle_close(&o);
	globfree(&found);
}

/* The vDSO's table, made of memory, against libdw reading a copy in a file. */
static void test_vdso(void **state)
{
	const Elf64_Ehdr *image = (const void *)getauxval(AT_SYSINFO_EHDR);
	char path[] = "/tmp/kymo-vdso-XXXXXX";
	struct unwind_table *t;
	struct oracle o;
	size_t size;
	int fd;

	(void)state;
	if (!image) {
		skip_because("is not mapped", "the vDSO");
		return;
	}
	size = image->e_shoff + (size_t)image->e_shnum * image->e_shentsize;
	fd = mkstemp(path);
	assert_int_equal(file_write_all(fd, image, size), 0);
	close(fd);
	assert_int_equal(oracle_open(&o, path), 0);
	unlink(path);
	assert_int_equal(unwind_table_build_vdso(&t), 0);
	for (uint64_t offset = 0; offset < size; offset++)
		assert_memory_equal(unwind_table_find(t, offset),
				    unwind_table_find(o.table, offset),
				    sizeof(struct kymo_unwind_rule));
	oracle_run(&o);
	print_message("vDSO: %zu descriptions, %lu rows of libdw, %lu differences\n", o.fdes_n,
		      o.rows, o.differences);
	assert_int_equal(o.differences + o.unsupported + o.unknown, 0);
	unwind_table_free(t);
	oracle_close(&o);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(subjects) + 1];

	for (size_t i = 0; i < ARRAY_SIZE(subjects); i++)
		tests[i] = (struct CMUnitTest){ .name = subjects[i].pattern,
						.test_func = test_subject,
						.initial_state = &subjects[i] };
	tests[ARRAY_SIZE(subjects)] = (struct CMUnitTest)cmocka_unit_test(test_vdso);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
