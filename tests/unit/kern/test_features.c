/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host that cannot record is refused with one line that says what to do; CPU lists are read as
 * the kernel writes them.
 */
#include "unit/test.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kern/features.h"
#include "kern/state.h"

#define ALL UINT64_MAX

static void refused(const struct features *f, int error, const char *word)
{
	char *message = NULL;

	assert_int_equal(features_check(f, &message), error);
	assert_non_null(message);
	assert_null(strchr(message, '\n'));
	if (!strstr(message, word))
		fail_msg("\"%s\" is not in \"%s\"", word, message);
	free(message);
}

static void test_check(void **state)
{
	struct features f = { .release = "6.12.9-amd64", .btf = true, .capabilities = ALL };
	char *message = NULL;

	(void)state;
	assert_int_equal(features_check(&f, &message), 0);
	f.capabilities = 1ULL << CAP_SYS_ADMIN;
	assert_int_equal(features_check(&f, &message), 0);
	f.capabilities = 1ULL << CAP_BPF | 1ULL << CAP_PERFMON;
	assert_int_equal(features_check(&f, &message), 0);
	f.capabilities = 0;
	refused(&f, -EPERM, "sudo");
	refused(&f, -EPERM, "CAP_BPF and CAP_PERFMON missing");
	f.capabilities = 1ULL << CAP_BPF;
	refused(&f, -EPERM, "(CAP_PERFMON missing)");
	f.capabilities = ALL;
	f.btf = false;
	refused(&f, -EOPNOTSUPP, "CONFIG_DEBUG_INFO_BTF");
	f.btf = true;
	f.confidential = true;
	refused(&f, -EPERM, "lockdown=integrity");
	f.confidential = false;
	f.usercopy_locks = true;
	refused(&f, -EOPNOTSUPP, "hardened_usercopy=off");
}

/* What a kernel that locks up looks like: its function calls the check, by a distance back or forth. */
static void test_usercopy(void **state)
{
	/* push rbp; call +16 */
	static const uint8_t forth[] = { 0x55, 0xe8, 16, 0, 0, 0, 0xc3 };
	/* call -32; the distance ends where the code does */
	static const uint8_t back[] = { 0xe8, 0xe0, 0xff, 0xff, 0xff };
	const uint64_t at = 0xffffffff81000000;

	(void)state;
	assert_true(usercopy_calls(forth, sizeof(forth), at, at + 6 + 16));
	assert_false(usercopy_calls(forth, sizeof(forth), at, at + 6 + 17));
	assert_true(usercopy_calls(back, sizeof(back), at, at + 5 - 32));
	assert_false(usercopy_calls(back, sizeof(back) - 1, at, at + 5 - 32));
	assert_true(usercopy_switched_off("quiet hardened_usercopy=off"));
	assert_true(usercopy_switched_off("hardened_usercopy=0 quiet"));
	assert_false(usercopy_switched_off("hardened_usercopy=on quiet"));
	assert_false(usercopy_switched_off("quiet x.hardened_usercopy=off"));
	assert_false(usercopy_switched_off(""));
	/* Mended, whatever the code of this host is. */
	assert_false(usercopy_locks("6.4.0"));
	assert_false(usercopy_locks("7.1"));
}

static void test_versions(void **state)
{
	struct features f = { .btf = true, .capabilities = ALL };
	static const char *const good[] = { "6.1.0-38-amd64", "6.18.44-fc", "7.0", "10.0.0",
					    "custom" };
	static const char *const old[] = { "6.0.19", "5.10.0-35-amd64", "4.19" };
	char *message = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		strcpy(f.release, good[i]);
		assert_int_equal(features_check(&f, &message), 0);
	}
	for (size_t i = 0; i < sizeof(old) / sizeof(*old); i++) {
		strcpy(f.release, old[i]);
		refused(&f, -EOPNOTSUPP, "6.1");
	}
}

static void test_verifier_reason(void **state)
{
	char out[64];

	(void)state;
	features_verifier_reason(
		"-- BEGIN --\n12: (79) r1 = *(u64 *)(r1 +0)\naccess beyond struct at off 0\n"
		"processed 120 insns (limit 1000000)\n-- END --\n",
		out, sizeof(out));
	assert_string_equal(out, "access beyond struct at off 0");
	features_verifier_reason("a\nfirst\nprocessed 1 insns\nb\nsecond\nprocessed 2 insns\n", out,
				 sizeof(out));
	assert_string_equal(out, "second");
	features_verifier_reason("", out, sizeof(out));
	assert_string_equal(out, "");
	features_verifier_reason("\nprocessed 1", out, sizeof(out));
	assert_string_equal(out, "");
	features_verifier_reason("x\nprocessed 1", out, 1);
	assert_string_equal(out, "");
}

static void cpus(const char *list, int result, size_t n, uint32_t last)
{
	uint32_t *ret = NULL;
	size_t ret_n = 0;

	assert_int_equal(cpus_parse(list, &ret, &ret_n), result);
	if (result == 0) {
		assert_int_equal(ret_n, n);
		assert_int_equal(ret[n - 1], last);
	}
	free(ret);
}

static void test_cpus(void **state)
{
	(void)state;
	cpus("0\n", 0, 1, 0);
	cpus("0-1\n", 0, 2, 1);
	cpus("0-3,5,8-9\n", 0, 7, 9);
	cpus("", -EBADMSG, 0, 0);
	cpus("\n", -EBADMSG, 0, 0);
	cpus("3-1", -EBADMSG, 0, 0);
	cpus("0-", -EBADMSG, 0, 0);
	cpus("x", -EBADMSG, 0, 0);
	cpus("0-4294967295", -EBADMSG, 0, 0);
	cpus("99999999999999999999", -EBADMSG, 0, 0);
}

/* A CPU that came online makes the list another one, once it has been followed the same. */
static void test_cpus_watch(void **state)
{
	char path[] = "/tmp/kymo-cpus-XXXXXX";
	int fd = mkstemp(path);
	struct cpus_watch w = { .fd = fd };
	uint32_t *list = NULL;
	size_t n = 0;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(pwrite(fd, "0\n", 2, 0), 2);
	assert_int_equal(cpus_watch_changed(&w, &list, &n), 1);
	assert_int_equal(n, 1);
	free(list);
	cpus_watch_followed(&w);
	assert_int_equal(cpus_watch_changed(&w, &list, &n), 0);
	assert_int_equal(pwrite(fd, "0-1\n", 4, 0), 4);
	for (int i = 0; i < 2; i++) { /* until it has been followed */
		assert_int_equal(cpus_watch_changed(&w, &list, &n), 1);
		assert_int_equal(n, 2);
		assert_true(cpus_have(list, n, 1) && !cpus_have(list, n, 2));
		free(list);
	}
	cpus_watch_followed(&w);
	assert_int_equal(cpus_watch_changed(&w, &list, &n), 0);
	cpus_watch_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check),	 cmocka_unit_test(test_usercopy),
		cmocka_unit_test(test_versions), cmocka_unit_test(test_verifier_reason),
		cmocka_unit_test(test_cpus),	 cmocka_unit_test(test_cpus_watch),
	};

	return cmocka_run_group_tests_name("kern/features", tests, NULL, NULL);
}
