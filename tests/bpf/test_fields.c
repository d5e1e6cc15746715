/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel has every field and constant that vmlinux/ says it has. */
#include "unit/test.h"

#include <bpf/btf.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

struct fields {
	struct btf *ours, *kernel;
};

/* The object that this test was built beside. */
static void object_path(char *out, size_t size)
{
	char self[PATH_MAX] = "";

	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	snprintf(out, size, "%s/../../bpf/kymo.bpf.o", dirname(self));
}

static int setup(void **state)
{
	static struct fields f;
	char path[PATH_MAX + 32];

	object_path(path, sizeof(path));
	f.ours = btf__parse(path, NULL);
	f.kernel = btf__load_vmlinux_btf();
	*state = &f;
	return f.ours && f.kernel ? 0 : -1;
}

static int teardown(void **state)
{
	struct fields *f = *state;

	btf__free(f->ours);
	btf__free(f->kernel);
	return 0;
}

/* Behind const, volatile and typedefs. */
static const struct btf_type *plain_type(const struct btf *btf, uint32_t type)
{
	const struct btf_type *t = btf__type_by_id(btf, type);

	while (t && (btf_is_mod(t) || btf_is_typedef(t)))
		t = btf__type_by_id(btf, t->type);
	return t;
}

/* The member's type; 0 = there is none. Also inside members without a name, as the kernel nests them. */
static uint32_t find_member(const struct btf *btf, uint32_t type, const char *name)
{
	const struct btf_type *t = plain_type(btf, type);
	const struct btf_member *m;
	uint32_t found;

	if (!t || !btf_is_composite(t))
		return 0;
	m = btf_members(t);
	for (int i = 0; i < btf_vlen(t); i++) {
		const char *member = btf__name_by_offset(btf, m[i].name_off);

		if (!strcmp(member, name))
			return m[i].type;
		found = member[0] ? 0 : find_member(btf, m[i].type, name);
		if (found)
			return found;
	}
	return 0;
}

static bool has_member(const struct btf *btf, uint32_t type, const char *name)
{
	return find_member(btf, type, name) != 0;
}

static bool is_number(const struct btf_type *t)
{
	return btf_is_int(t) || btf_is_any_enum(t);
}

/* What is read as a number of so many bytes is one there, what is followed is an address, and so on. */
static bool compatible(const struct fields *f, uint32_t ours, uint32_t kernel)
{
	const struct btf_type *a = plain_type(f->ours, ours), *b = plain_type(f->kernel, kernel);

	if (!a || !b)
		return false;
	if (is_number(a))
		return is_number(b) && a->size == b->size;
	if (btf_is_composite(a))
		return btf_is_composite(b);
	return btf_kind(a) == btf_kind(b);
}

/* Looked for at run time: absent, or of another type, is an answer. */
static bool is_flavour(const char *member)
{
	return !strcmp(member, "in_execve") || !strcmp(member, "__parent") ||
	       !strcmp(member, "rss_stat") || !strcmp(member, "on_cpu");
}

/*
 * Registers have the names of the UAPI in our list, and cs and ss stand in unions since 6.9: they
 * are found all the same.
 */
static void check_struct(const struct fields *f, const char *name)
{
	int ours = btf__find_by_name_kind(f->ours, name, BTF_KIND_STRUCT);
	int kernel = btf__find_by_name_kind(f->kernel, name, BTF_KIND_STRUCT);
	const struct btf_type *t;
	const struct btf_member *m;

	if (ours < 0)
		fail_msg("struct %s is not used any more: take it out of the list", name);
	if (kernel < 0)
		fail_msg("this kernel has no struct %s", name);
	t = btf__type_by_id(f->ours, (uint32_t)ours);
	m = btf_members(t);
	for (int i = 0; i < btf_vlen(t); i++) {
		const char *member = btf__name_by_offset(f->ours, m[i].name_off);

		uint32_t type = find_member(f->kernel, (uint32_t)kernel, member);

		if (is_flavour(member))
			continue;
		if (!type)
			fail_msg("this kernel's struct %s has no %s", name, member);
		if (strcmp(name, "pt_regs") != 0 && !compatible(f, m[i].type, type))
			fail_msg("this kernel's struct %s has a %s of another type", name, member);
	}
}

static void test_structs(void **state)
{
	static const char *const names[] = {
		"task_struct",
		"sched_entity",
		"task_io_accounting",
		"thread_struct",
		"signal_struct",
		"css_set",
		"cgroup",
		"cgroup_subsys_state",
		"kernfs_node",
		"percpu_counter",
		"mm_struct",
		"maple_tree",
		"vm_area_struct",
		"file",
		"inode",
		"super_block",
		"pt_regs",
		"bpf_perf_event_data",
		"bio",
		"bvec_iter",
		"block_device",
		"perf_sample_data",
		"bpf_perf_event_data_kern",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		check_struct(*state, names[i]);
}

static void check_constant(const struct fields *f, const char *name, int64_t value)
{
	for (uint32_t id = 1; id < btf__type_cnt(f->kernel); id++) {
		const struct btf_type *t = btf__type_by_id(f->kernel, id);
		const struct btf_enum *e = btf_enum(t);

		if (!btf_is_enum(t))
			continue;
		for (int i = 0; i < btf_vlen(t); i++) {
			if (strcmp(btf__name_by_offset(f->kernel, e[i].name_off), name) != 0)
				continue;
			assert_int_equal(e[i].val, value);
			return;
		}
	}
	fail_msg("this kernel has no constant %s", name);
}

static void test_constants(void **state)
{
	static const struct {
		const char *name;
		int64_t value;
	} constants[] = {
		{ "MM_FILEPAGES", 0 },		{ "MM_ANONPAGES", 1 },
		{ "MM_SWAPENTS", 2 },		{ "MM_SHMEMPAGES", 3 },
		{ "maple_leaf_64", 1 },		{ "maple_range_64", 2 },
		{ "maple_arange_64", 3 },	{ "PERF_SAMPLE_DATA_PAGE_SIZE", 1 << 22 },
		{ "REQ_OP_READ", 0 },		{ "REQ_OP_WRITE", 1 },
		{ "REQ_OP_ZONE_APPEND", 7 },	{ "BIO_CLONED", 1 },
		{ "BPF_RB_NO_WAKEUP", 1 },	{ "BPF_MAP_TYPE_HASH", 1 },
		{ "BPF_MAP_TYPE_ARRAY", 2 },	{ "BPF_MAP_TYPE_PERCPU_ARRAY", 6 },
		{ "BPF_MAP_TYPE_LRU_HASH", 9 }, { "BPF_MAP_TYPE_RINGBUF", 27 },
	};

	for (size_t i = 0; i < sizeof(constants) / sizeof(*constants); i++)
		check_constant(*state, constants[i].name, constants[i].value);
}

/*
 * The search in a node counts on its shape (lib/mapping.bpf.h): ten and sixteen entries, pivots
 * before them.
 */
static void check_member_at(const struct fields *f, const char *type, const char *member,
			    uint32_t bytes)
{
	int id = btf__find_by_name_kind(f->kernel, type, BTF_KIND_STRUCT);
	const struct btf_type *t;

	assert_true(id > 0);
	t = btf__type_by_id(f->kernel, (uint32_t)id);
	for (int i = 0; i < btf_vlen(t); i++) {
		const struct btf_member *m = &btf_members(t)[i];
		const char *name = btf__name_by_offset(f->kernel, m->name_off);

		if (!strcmp(name, member) || (!name[0] && has_member(f->kernel, m->type, member))) {
			assert_int_equal(btf_member_bit_offset(t, (uint32_t)i) / 8, bytes);
			return;
		}
	}
	fail_msg("struct %s has no %s", type, member);
}

static void test_maple_nodes(void **state)
{
	struct fields *f = *state;

	assert_int_equal(btf__resolve_size(f->kernel,
					   (uint32_t)btf__find_by_name_kind(f->kernel, "maple_node",
									    BTF_KIND_STRUCT)),
			 256);
	check_member_at(f, "maple_range_64", "pivot", 8);
	check_member_at(f, "maple_range_64", "slot", 128);
	check_member_at(f, "maple_arange_64", "pivot", 8);
	check_member_at(f, "maple_arange_64", "slot", 80);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_structs),
		cmocka_unit_test(test_constants),
		cmocka_unit_test(test_maple_nodes),
	};

	return cmocka_run_group_tests_name("bpf/fields", tests, setup, teardown);
}
