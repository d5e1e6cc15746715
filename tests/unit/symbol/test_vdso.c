/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of the vDSO have names, by the kernel's own; nothing else in it has. */
#include "unit/test.h"

#include <sys/auxv.h>

#include "symbol/symbol.h"

static void test_functions(void **state)
{
	uint64_t start = getauxval(AT_SYSINFO_EHDR);
	size_t found = 0;

	(void)state;
	if (!start) {
		print_message("skip: this process has no vDSO\n");
		skip();
	}
	for (uint64_t at = 0; at < 16384; at++) {
		const char *name = vdso_find(start, start + at);

		assert_non_null(name);
		found += strcmp(name, "__vdso_clock_gettime") == 0;
	}
	assert_true(found > 16 && found < 4096);
	/* Its ELF header is no function, what lies before it is not its own. */
	assert_string_equal(vdso_find(start, start), "");
	assert_string_equal(vdso_find(start, start - 1), "");
	assert_string_equal(vdso_find(start, UINT64_MAX), "");
	/* A 32-bit process has another one. */
	for (uint64_t at = 0; at < 16384; at++)
		assert_string_equal(vdso_find(0xf7fc0000, 0xf7fc0000 + at), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_functions) };

	return cmocka_run_group_tests_name("vdso", tests, NULL, NULL);
}
