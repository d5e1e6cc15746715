/* SPDX-License-Identifier: Apache-2.0 */
/* What is folded away in a tree: the rule, kind by kind. */
#include "unit/test.h"

#include "base/hmap.h"
#include "query/fold.h"

static struct hmap exes;

static bool native(const char *name, const char *binary)
{
	const struct query_item item = {
		.kind = FRAME_NATIVE, .name = name, .file = "", .binary = binary
	};

	return fold_is_library(&item, &exes);
}

static bool python(const char *file)
{
	const struct query_item item = {
		.kind = FRAME_PYTHON, .name = "f", .file = file, .binary = ""
	};

	return fold_is_library(&item, &exes);
}

static void test_rule(void **state)
{
	static const char postgres[] = "/usr/lib/postgresql/15/bin/postgres";
	const char *exe = postgres;
	const struct query_item kernel = {
		.kind = FRAME_KERNEL, .name = "f", .file = "", .binary = "[kernel]"
	};

	(void)state;
	hmap_init(&exes, sizeof(char *), sizeof(uint8_t), 0);
	assert_non_null(hmap_put(&exes, &exe, NULL));
	assert_true(native("memcpy", "/usr/lib/x86_64-linux-gnu/libc.so.6"));
	assert_true(native("memcpy", "/lib/libc.so.6"));
	assert_true(native("f", "/usr/local/lib/libfoo.so"));
	assert_true(native("f", "/srv/chroot/usr/lib/libfoo.so"));
	assert_true(native("f", "[vdso]"));
	assert_true(native("PyObject_Call", "/usr/bin/python3.11"));
	assert_true(native("PyObject_Call", "/opt/versions/3.8/lib/libpython3.8.so.1.0"));
	assert_true(native("dot", "/home/me/venv/lib/python3.11/site-packages/numpy/core.so"));
	assert_true(native("_start", "/opt/app/bin/app"));
	assert_false(native("main", postgres));
	assert_false(native("main", "/usr/bin/grep"));
	assert_false(native("main", "/usr/bin/python-tool"));
	assert_false(native("f", "/opt/app/lib/libapp.so"));
	assert_false(native("[anonymous code]", ""));
	assert_true(python("/usr/lib/python3.11/json/decoder.py"));
	assert_true(python("/opt/versions/3.8/lib/python3.8/ast.py"));
	assert_true(python("/srv/venv/lib/python3.11/site-packages/flask/app.py"));
	assert_true(python("/usr/lib/python3/dist-packages/jinja2/environment.py"));
	assert_true(python("<frozen importlib._bootstrap>"));
	assert_false(python("/srv/app/views.py"));
	assert_false(python("<string>"));
	assert_false(python(""));
	assert_false(fold_is_library(&kernel, &exes)); /* it is folded apart */
	hmap_release(&exes);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_rule) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
