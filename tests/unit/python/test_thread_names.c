/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What threads call themselves, read by the kernel side's walk, built natively, in processes of
 * tests/fixtures/python/names.py under each interpreter of this machine; and memory that lies.
 */
#include "unit/test.h"

#include <stdio.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "unit/support/python_known.h"
#include "unit/support/pythons.h"

#define SCRIPT "tests/fixtures/python/names.py"

static const struct {
	const char *key, *name;
} expected[] = {
	{ "plain", "worker-1" },
	{ "latin", "K\xc3\xa4"
		   "fer" },
	{ "wide", "\xe7\xaa\x93\xe5\x8f\xa3" },
	{ "widest", "a\xf0\x90\x8c\xb0\xf0\x9f\x90\x8d" },
	{ "renamed", "after" },
	{ "first", "own-first" },
	{ "slots", "with-slots" },
	{ "dict", "with-dict" },
};

/* What is read, and what is told of it. */
struct reading {
	struct known known;
	char name[4 * KYMO_THREAD_NAME_MAX];
	unsigned told;
	uint64_t seed; /* not 0: one word of 17 is random instead */
};

static int read_memory(void *data, void *to, size_t size, uint64_t address)
{
	struct reading *r = data;
	uint8_t *out = to;
	int e = known_read(&r->known, to, size, address);

	for (size_t i = 0; e == 0 && r->seed && i + 8 <= size; i += 8) {
		r->seed *= 6364136223846793005u;
		if ((r->seed >> 33) % 17 == 0)
			memcpy(out + i, &r->seed, 8);
	}
	return e;
}

static int on_record(void *data, const void *record, size_t size)
{
	struct reading *r = data;
	const struct kymo_thread_name *head = record;
	struct python_thread_names *names;

	if (head->head.type != KYMO_RECORD_THREAD)
		return 0;
	assert_true(size == head->head.size && size >= sizeof(*head) + head->name_size);
	assert_int_equal(head->who.pid, WALK_PID);
	assert_int_equal(python_thread_names_new(1, &names), 0);
	assert_int_equal(python_thread_names_add(names, head, (const uint8_t *)(head + 1)), 0);
	snprintf(r->name, sizeof(r->name), "%s",
		 python_thread_names_find(names, head->who.tid, head->who.thread_start_ns));
	python_thread_names_free(names);
	r->told++;
	return 0;
}

static void walk(struct reading *r, const struct known_thread *t)
{
	static struct walk_result result;
	struct walk_input in;

	assert_int_equal(known_input(&r->known, t, &in), 0);
	in.data = r;
	in.read = read_memory;
	in.output = on_record;
	in.rest = true;
	r->told = 0;
	python_walk(&in, &result);
}

static void check_thread(struct reading *r, const struct known_thread *t)
{
	walk(r, t);
	if (r->told != 1)
		fail_msg("thread %s: told %u times", t->name, r->told);
	/* cut at the record's bound */
	if (strcmp(t->name, "long") == 0) {
		assert_int_equal(strlen(r->name), KYMO_THREAD_NAME_MAX);
		assert_int_equal(strspn(r->name, "n"), KYMO_THREAD_NAME_MAX);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		if (strcmp(expected[i].key, t->name) == 0) {
			assert_string_equal(r->name, expected[i].name);
			return;
		}
	fail_msg("an unknown thread %s", t->name);
}

/* Whatever is read, it ends (ASan, UBSan), and tells at most one name. */
static void check_lies(struct reading *r, const struct known_thread *t)
{
	for (uint64_t seed = 1; seed <= 100; seed++) {
		r->seed = seed;
		walk(r, t);
		assert_true(r->told <= 1);
	}
	r->seed = 0;
}

static void names_are_right(void **state)
{
	struct pythons p;

	(void)state;
	pythons_find(&p);
	if (!p.n) {
		print_message("skip: no CPython on this machine\n");
		pythons_release(&p);
		skip();
	}
	for (size_t i = 0; i < p.n; i++) {
		struct reading r = { 0 };

		print_message("%s\n", p.paths[i]);
		known_start(&r.known, p.paths[i], SCRIPT, "plain");
		assert_int_equal(r.known.threads_n, ARRAY_SIZE(expected) + 1);
		for (size_t k = 0; k < r.known.threads_n; k++)
			check_thread(&r, &r.known.threads[k]);
		check_lies(&r, &r.known.threads[0]);
		known_release(&r.known);
	}
	pythons_release(&p);
}

/* A few bytes are a name. */
static void names_are_kept_by_thread(void **state)
{
	struct kymo_thread_name head = { .who = { .tid = 7, .thread_start_ns = 1 },
					 .name_size = 2,
					 .name_kind = 1 };
	struct python_thread_names *n;

	(void)state;
	assert_int_equal(python_thread_names_new(2, &n), 0);
	assert_string_equal(python_thread_names_find(n, 7, 1), "");
	assert_int_equal(python_thread_names_add(n, &head, (const uint8_t *)"ab"), 0);
	assert_string_equal(python_thread_names_find(n, 7, 1), "ab");
	/* another life of the tid */
	assert_string_equal(python_thread_names_find(n, 7, 2), "");
	assert_int_equal(python_thread_names_add(n, &head, (const uint8_t *)"cd"), 0);
	assert_string_equal(python_thread_names_find(n, 7, 1), "cd");
	python_thread_names_ended(n, 7);
	python_thread_names_ended(n, 7);
	assert_string_equal(python_thread_names_find(n, 7, 1), "");
	/* full: all are told again */
	for (uint32_t tid = 1; tid <= 3; tid++) {
		head.who.tid = tid;
		assert_int_equal(python_thread_names_add(n, &head, (const uint8_t *)"ab"), 0);
	}
	assert_string_equal(python_thread_names_find(n, 1, 1), "");
	assert_string_equal(python_thread_names_find(n, 3, 1), "ab");
	python_thread_names_free(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_kept_by_thread),
		cmocka_unit_test(names_are_right),
	};

	return cmocka_run_group_tests_name("python thread names", tests, NULL, NULL);
}
