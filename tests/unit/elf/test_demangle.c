/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "elf/demangle.h"

#define OUT_MAX 4096

static void assert_name(const char *mangled, const char *expected)
{
	char out[OUT_MAX];
	size_t size = 0;
	int r = elf_demangle(mangled, strlen(mangled), out, sizeof(out), &size);

	if (r < 0 || size != strlen(expected) || memcmp(out, expected, size) != 0)
		fail_msg("%s: %d '%.*s', not '%s'", mangled, r, (int)size, out, expected);
}

static void names_are_as_written(void **state)
{
	(void)state;
	assert_name("_Z3addii", "add(int, int)");
	assert_name("_ZN3app6Server6handleERKSs", "app::Server::handle(std::string const&)");
	assert_name("_ZNSt6vectorIiSaIiEE9push_backERKi",
		    "std::vector<int, std::allocator<int> >::push_back(int const&)");
	assert_name("_Z3maxIdET_S0_S0_", "max<double>(double, double)");
	assert_name("_Z3addii.cold", "add(int, int) [clone .cold]");
	assert_name("_Z3addii@plt", "add(int, int)@plt");
	assert_name("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", "core::fmt::Formatter::pad");
	assert_name("_RNvC7mycrate3foo", "mycrate::foo");
	assert_name("_RNvMs_NtC4core3stre4trim", "<str>::trim");
}

static void others_are_left_alone(void **state)
{
	static const char *const names[] = {
		"",	"_",	  "_Z",	    "_R",	   "main",
		"i",	"memcpy", "_start", "_Zwrong!",	   "_ZN3app",
		"@plt", "_Z@plt", "_R0",    "__libc_main", "_GLOBAL_x"
	};
	char out[OUT_MAX];
	size_t size = 77;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (elf_demangle(names[i], strlen(names[i]), out, sizeof(out), &size) != -ENOENT)
			fail_msg("'%s' was taken for '%.*s'", names[i], (int)size, out);
	assert_int_equal(size, 77);
}

static void bounds_hold(void **state)
{
	char name[DEMANGLE_INPUT_MAX + 64] = "_Z1f", out[OUT_MAX];
	size_t size;

	(void)state;
	memset(name + 4, 'i', sizeof(name) - 4);
	assert_int_equal(elf_demangle(name, DEMANGLE_INPUT_MAX + 1, out, sizeof(out), &size),
			 -E2BIG);
	assert_int_equal(elf_demangle(name, 800, out, 100, &size), -E2BIG);
	assert_int_equal(elf_demangle(name, 800, out, sizeof(out), &size), 0);
	assert_int_equal(elf_demangle("_Z3addii@plt", 12, out, 16, &size), -E2BIG);
	assert_int_equal(elf_demangle("_Z3addii@plt", 12, out, 17, &size), 0);
	assert_int_equal(elf_demangle("_Z3addii", 8, out, 0, &size), -E2BIG);
}

/* Whatever the name, it ends, within its bounds and at once. */
static void try_hostile(const char *name, size_t name_size)
{
	char *copy = malloc(name_size + 1), out[OUT_MAX];
	uint64_t start = clock_process_cpu_ns();
	size_t size = 0;

	assert_non_null(copy); /* of its exact size, so that a read behind it is noticed */
	copy = realloc(copy, name_size ? name_size : 1);
	memcpy(copy, name, name_size);
	if (elf_demangle(copy, name_size, out, sizeof(out), &size) == 0)
		assert_true(size <= sizeof(out));
	free(copy);
	if (clock_process_cpu_ns() - start > NS_PER_SEC)
		fail_msg("'%.*s' took too long", (int)name_size, name);
}

/* Parts repeated as often as they fit: pointers to pointers, names in names, all that nests. */
static void deep_names_end(void **state)
{
	static const char *const heads[] = { "_Z1f",   "_ZN1a", "_Z", "_RNvC1a1b",
					     "_RIC1a", "_RNv",	"_R" };
	static const char *const parts[] = {
		"P",	     "N",   "I",      "IXadL_Z", "F",	"A_",	 "M",  "DT", "cv", "N1aI",
		"S_IS0_S0_", "J",   "X",      "RP",	 "Dp",	"Z1fvE", "Nv", "T",  "FK", "D",
		"B_",	     "INv", "B0_B0_", "W",	 "L_Z", "on",	 "sr", "TO"
	};

	(void)state;
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
		for (size_t k = 0; k < sizeof(parts) / sizeof(parts[0]); k++) {
			char name[DEMANGLE_INPUT_MAX + 16];
			size_t size = (size_t)snprintf(name, sizeof(name), "%s", heads[i]);

			while (size + strlen(parts[k]) <= DEMANGLE_INPUT_MAX)
				size += (size_t)snprintf(name + size, sizeof(name) - size, "%s",
							 parts[k]);
			try_hostile(name, size);
		}
}

/* Each argument is a pair of the one before: 30 of them would be 10 GB of text. */
static void names_that_explode_are_left(void **state)
{
	char name[DEMANGLE_INPUT_MAX] = "_Z1fSt4pairIiiES_IS0_S0_E", out[OUT_MAX];
	static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	uint64_t start = clock_process_cpu_ns();
	size_t size = strlen(name);

	(void)state;
	for (size_t i = 1; i < 30; i++)
		size += (size_t)snprintf(name + size, sizeof(name) - size, "S_IS%c_S%c_E",
					 digits[i], digits[i]);
	assert_int_equal(elf_demangle(name, size, out, sizeof(out), &size), -E2BIG);
	assert_true(clock_process_cpu_ns() - start < NS_PER_SEC);
}

static void changed_names_end(void **state)
{
	static const char *const seeds[] = {
		"_ZNSt6vectorIiSaIiEE9push_backERKi",
		"_Z3maxIdET_S0_S0_",
		"_Z1fSt4pairIiiES_IS0_S0_ES_IS1_S1_E",
		"_ZN4core3fmt9Formatter3pad17h0123456789abcdefE",
		"_RNvMs_NtC4core3stre4trim",
		"_RINvNtC3std3mem8align_ofNtNtC3std3mem12DiscriminantE",
		"_RNvNtNtNtC7mycrateu8gdel_5qa3barB4_",
		"_ZZN1aC1EvENKUlvE_clEv",
	};
	uint64_t random = 88172645463325252ULL;

	(void)state;
	for (size_t i = 0; i < 200000; i++) {
		char name[128];
		const char *seed = seeds[i % (sizeof(seeds) / sizeof(seeds[0]))];
		size_t size = strlen(seed);

		memcpy(name, seed, size);
		for (size_t k = 0; k < 1 + i % 4; k++) {
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			name[random % size] = i % 2 ? seed[(random >> 20) % size]
						    : (char)(random >> 32);
		}
		try_hostile(name, size);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_as_written),
		cmocka_unit_test(others_are_left_alone),
		cmocka_unit_test(bounds_hold),
		cmocka_unit_test(deep_names_end),
		cmocka_unit_test(names_that_explode_are_left),
		cmocka_unit_test(changed_names_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
