/* SPDX-License-Identifier: Apache-2.0 */
/* What is folded away in a tree, and charged to others: the rule, kind by kind. */
#include "unit/test.h"

#include "base/cleanup.h"
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

enum { PROCESS = 1, OWN, LIBC, PYTHON, PYTHON_OWN, PYTHON_LIBRARY, VFS, SUBMIT, ITEMS };

static struct query_item items[ITEMS] = {
	[PROCESS] = { .kind = QUERY_ITEM_PROCESS, .name = "p", .file = "", .binary = "" },
	[OWN] = { .kind = FRAME_NATIVE, .name = "save", .file = "", .binary = "/opt/app" },
	[LIBC] = { .kind = FRAME_NATIVE, .name = "write", .file = "", .binary = "/lib/libc.so.6" },
	[PYTHON] = { .kind = FRAME_NATIVE, .name = "call", .file = "", .binary = "/bin/python3" },
	[PYTHON_OWN] = { .kind = FRAME_PYTHON, .name = "f", .file = "/srv/app.py", .binary = "" },
	[PYTHON_LIBRARY] = { .kind = FRAME_PYTHON,
			     .name = "dump",
			     .file = "/usr/lib/python3.11/json.py",
			     .binary = "" },
	[VFS] = { .kind = FRAME_KERNEL, .name = "vfs_write", .file = "", .binary = "[kernel]" },
	[SUBMIT] = { .kind = FRAME_KERNEL, .name = "submit", .file = "", .binary = "[kernel]" },
};

/* To which item the sample of a stack (root first, ended by 0) is charged; ITEMS = the kernel alone. */
static uint32_t charged_to(const uint32_t *stack)
{
	_cleanup_free_ struct query_item *charged = NULL;
	struct query_node nodes[8] = { 0 };
	struct query_result r = { .items = items, .items_n = ITEMS, .nodes = nodes, .nodes_n = 1 };
	uint32_t found = 0;
	size_t n;

	for (; stack[r.nodes_n - 1]; r.nodes_n++)
		nodes[r.nodes_n] = (struct query_node){ .parent = (uint32_t)r.nodes_n - 1,
							.item = stack[r.nodes_n - 1] };
	nodes[r.nodes_n - 1].self = (struct query_value){ 512, 1 };
	assert_int_equal(query_charge(&r, &charged, &n), 0);
	assert_int_equal(n, ITEMS + 1);
	for (uint32_t i = 1; i < n; i++) {
		if (charged[i].kind == FRAME_KERNEL && i < ITEMS)
			assert_int_equal(charged[i].total.count, 0);
		if (charged[i].self.count == 0)
			continue;
		assert_int_equal(found, 0);
		assert_int_equal(charged[i].self.weight, 512);
		found = i;
	}
	return found;
}

static void test_charge(void **state)
{
	(void)state;
	for (uint32_t i = 1; i < ITEMS; i++)
		items[i].total = (struct query_value){ 512, 1 };
	assert_int_equal(charged_to((uint32_t[]){ PROCESS, OWN, LIBC, VFS, SUBMIT, 0 }), OWN);
	assert_int_equal(charged_to((uint32_t[]){ PROCESS, OWN, SUBMIT, 0 }), OWN);
	assert_int_equal(charged_to((uint32_t[]){ PROCESS, PYTHON, PYTHON_OWN, PYTHON_LIBRARY,
						  PYTHON, SUBMIT, 0 }),
			 PYTHON_OWN);
	assert_int_equal(
		charged_to((uint32_t[]){ PROCESS, PYTHON, PYTHON_LIBRARY, LIBC, SUBMIT, 0 }),
		PYTHON_LIBRARY);
	assert_int_equal(charged_to((uint32_t[]){ PROCESS, PYTHON, LIBC, SUBMIT, 0 }), LIBC);
	assert_int_equal(charged_to((uint32_t[]){ PROCESS, LIBC, 0 }), LIBC);
	assert_int_equal(charged_to((uint32_t[]){ PROCESS, VFS, SUBMIT, 0 }), ITEMS);
	assert_int_equal(charged_to((uint32_t[]){ PROCESS, 0 }), ITEMS);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_rule),
					    cmocka_unit_test(test_charge) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
