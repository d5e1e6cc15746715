/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel side's walk of Python frames, built natively, over processes of tests/fixtures/python/known.py:
 * recorded under each version, and alive under each interpreter of this machine. Memory that lies.
 *   test_walk --record PYTHON KNOWN.PY OUT   makes such a recording.
 */
#include "unit/test.h"

#include <errno.h>
#include <stdio.h>

#include "base/array.h"
#include "unit/support/python_known.h"
#include "unit/support/pythons.h"

#define FIXTURES "tests/fixtures/python/"

static void recorded_stacks_are_right(void **state)
{
	struct known k;

	known_load(&k, *state);
	known_check(&k);
	known_release(&k);
}

static void live_stacks_are_right(void **state)
{
	static const char *const modes[] = { "plain", "gc" };
	struct pythons p;

	(void)state;
	pythons_find(&p);
	if (!p.n) {
		print_message("skip: no CPython on this machine\n");
		pythons_release(&p);
		skip();
	}
	for (size_t i = 0; i < p.n * ARRAY_SIZE(modes); i++) {
		struct known k;

		print_message("%s %s\n", p.paths[i / 2], modes[i % 2]);
		known_start(&k, p.paths[i / 2], FIXTURES "known.py", modes[i % 2]);
		known_check(&k);
		known_release(&k);
	}
	pythons_release(&p);
}

/* ---- memory that lies ---- */

static int drop(void *data, const void *record, size_t size)
{
	(void)data;
	(void)record;
	(void)size;
	return 0;
}

/* What the walk reads is the recording, but for one word. */
struct lie {
	struct known known;
	uint64_t address, word;
	uint64_t seed; /* not 0: one word of 29 is random instead */
};

static int read_lie(void *data, void *to, size_t size, uint64_t address)
{
	struct lie *l = data;
	uint8_t *out = to;
	int r = known_read(&l->known, to, size, address);

	for (size_t i = 0; r == 0 && i + 8 <= size; i += 8) {
		l->seed *= 6364136223846793005u;
		if (address + i == l->address)
			memcpy(out + i, &l->word, 8);
		else if (l->seed && (l->seed >> 33) % 29 == 0)
			memcpy(out + i, &l->seed, 8);
	}
	return r;
}

static void lie_load(struct lie *l, const char *path, struct walk_input *in)
{
	*l = (struct lie){ 0 };
	known_load(&l->known, path);
	assert_string_equal(l->known.threads[0].name, "holder");
	assert_int_equal(known_input(&l->known, &l->known.threads[0], in), 0);
	in->data = l;
	in->read = read_lie;
	in->output = drop;
}

/* The newest frame of a recording whose thread state leads to it directly. */
static uint64_t newest_frame(struct lie *l, const struct walk_input *in)
{
	uint64_t key = 0, state = 0, frame = 0;

	known_read(&l->known, &key, 4, in->load_bias + in->binary.key_vaddr);
	known_read(&l->known, &state, 8, in->fs_base + in->binary.tls_specific + key * 16 + 8);
	known_read(&l->known, &frame, 8, state + in->layout.ts_frame);
	assert_true(frame != 0);
	return frame;
}

static void a_cycle_of_frames_ends_too_deep(void **state)
{
	static struct walk_result got;
	struct walk_input in;
	struct lie l;

	(void)state;
	lie_load(&l, FIXTURES "walk-3.10.txt", &in);
	l.address = newest_frame(&l, &in) + in.layout.frame_previous;
	l.word = newest_frame(&l, &in);
	python_walk(&in, &got);
	assert_int_equal(got.end, KYMO_END_TOO_DEEP);
	assert_int_equal(got.n, KYMO_USER_FRAMES_MAX);
	assert_int_equal(got.counters[KYMO_COUNTER_PYTHON_TOO_DEEP], 1);
	in.rest = true;
	python_walk(&in, &got);
	assert_int_equal(got.end, KYMO_END_TOO_DEEP);
	known_release(&l.known);
}

static void a_cycle_of_shims_ends(void **state)
{
	static struct walk_result got;
	struct walk_input in;
	uint64_t shim = 0, frame;
	struct lie l;

	(void)state;
	lie_load(&l, FIXTURES "walk-3.13.txt", &in);
	/* down to the first shim, which then leads to itself */
	frame = newest_frame(&l, &in);
	while (!shim) {
		uint8_t owner = 0;

		known_read(&l.known, &owner, 1, frame + in.layout.frame_boundary);
		if (owner >= in.layout.boundary_value)
			shim = frame;
		else
			known_read(&l.known, &frame, 8, frame + in.layout.frame_previous);
	}
	l.address = shim + in.layout.frame_previous;
	l.word = shim;
	in.rest = true;
	python_walk(&in, &got);
	assert_int_equal(got.end, KYMO_END_TOO_DEEP);
	assert_true(got.n > 0);
	known_release(&l.known);
}

static void a_frame_without_code_is_torn(void **state)
{
	static struct walk_result got;
	struct walk_input in;
	struct lie l;

	(void)state;
	lie_load(&l, FIXTURES "walk-3.10.txt", &in);
	/* a code object of another type: the thread state, say */
	l.address = newest_frame(&l, &in) + in.layout.frame_code;
	l.word = newest_frame(&l, &in);
	python_walk(&in, &got);
	assert_int_equal(got.end, KYMO_END_PYTHON_TORN);
	assert_int_equal(got.n, 0);
	assert_int_equal(got.counters[KYMO_COUNTER_PYTHON_TORN], 1);
	l.word = 8;
	python_walk(&in, &got);
	assert_int_equal(got.end, KYMO_END_PYTHON_UNREADABLE);
	assert_int_equal(got.counters[KYMO_COUNTER_PYTHON_UNREADABLE], 1);
	known_release(&l.known);
}

static void a_thread_without_state_has_no_frames(void **state)
{
	static struct walk_result got;
	struct walk_input in;
	struct lie l;

	(void)state;
	lie_load(&l, FIXTURES "walk-3.11.txt", &in);
	in.fs_base += 4096;
	python_walk(&in, &got);
	assert_int_equal(got.end, KYMO_END_NONE);
	assert_false(got.active);
	assert_int_equal(got.state, 0);
	assert_int_equal(got.counters[KYMO_COUNTER_PYTHON_NO_THREAD], 1);
	known_release(&l.known);
}

/* Every version over memory of which much is random: no crash, no hang (ASan, UBSan), no frame too many. */
static void random_memory_ends(void **state)
{
	static struct walk_result got;
	struct walk_input in;
	struct lie l;

	lie_load(&l, *state, &in);
	for (uint64_t seed = 1; seed <= 300; seed++) {
		l.seed = seed;
		in.rest = seed & 1;
		python_walk(&in, &got);
		assert_true(got.end < KYMO_END_MAX);
		assert_true(got.n <= KYMO_USER_FRAMES_MAX);
	}
	known_release(&l.known);
}

static int record(const char *python, const char *script, const char *out)
{
	struct known k;

	known_start(&k, python, script, "plain");
	k.recording = true;
	known_check(&k);
	known_save(&k, out);
	known_release(&k);
	return 0;
}

#define VERSION(v)                                                                       \
	cmocka_unit_test_prestate(recorded_stacks_are_right, FIXTURES "walk-" v ".txt"), \
		cmocka_unit_test_prestate(random_memory_ends, FIXTURES "walk-" v ".txt")

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		VERSION("3.6"),
		VERSION("3.7"),
		VERSION("3.8"),
		VERSION("3.9"),
		VERSION("3.10"),
		VERSION("3.11"),
		VERSION("3.12"),
		VERSION("3.13"),
		VERSION("3.14"),
		cmocka_unit_test(live_stacks_are_right),
		cmocka_unit_test(a_cycle_of_frames_ends_too_deep),
		cmocka_unit_test(a_cycle_of_shims_ends),
		cmocka_unit_test(a_frame_without_code_is_torn),
		cmocka_unit_test(a_thread_without_state_has_no_frames),
	};

	if (argc == 5 && strcmp(argv[1], "--record") == 0)
		return record(argv[2], argv[3], argv[4]);
	return cmocka_run_group_tests_name("python walk", tests, NULL, NULL);
}
