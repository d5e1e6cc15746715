/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel side's walk, built natively, over this process's own stack; and over memory that lies. */
#include "unit/test.h"

#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

#include "unit/unwind/walker.h"
#include "walk/walk.h"

#define DEPTH 20

struct walked {
	struct walker *walker; /* of unit/unwind: finds mappings and their tables */
	struct walk_mapping mappings[WALK_MODULES_MAX];
	uint64_t seed; /* not 0: one word of seven that is read is random */
	struct {
		struct kymo_sample head;
		uint64_t kernel[KYMO_KERNEL_FRAMES_MAX];
		struct kymo_frame user[KYMO_USER_FRAMES_MAX];
	} sample;
	size_t samples;
};

/* What each call was to return to, from the innermost. */
static void *returns[DEPTH];

static int read_self(void *data, void *to, size_t size, uint64_t address)
{
	const struct iovec local = { to, size }, remote = { (void *)address, size };
	struct walked *w = data;

	if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) != (ssize_t)size)
		return -EFAULT;
	for (size_t i = 0; w->seed && i + 8 <= size; i += 8) {
		w->seed = w->seed * 6364136223846793005u + 1;
		if ((w->seed >> 33) % 7 == 0)
			memcpy((char *)to + i, &w->seed, 8);
	}
	return 0;
}

static int take(void *data, const void *record, size_t size)
{
	struct walked *w = data;

	assert_true(size <= sizeof(w->sample));
	memcpy(&w->sample, record, size);
	assert_int_equal(w->sample.head.head.size, size);
	assert_int_equal(w->sample.head.head.type, KYMO_RECORD_SAMPLE);
	w->samples++;
	return 0;
}

/* As the kernel keeps them: struct pt_regs. */
static void registers_of(const ucontext_t *uc, struct kymo_standing *t)
{
	static const int order[] = { REG_R15, REG_R14, REG_R13, REG_R12, REG_RBP, REG_RBX,
				     REG_R11, REG_R10, REG_R9,	REG_R8,	 REG_RAX, REG_RCX,
				     REG_RDX, REG_RSI, REG_RDI, REG_RAX, REG_RIP };

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		t->registers[i] = (uint64_t)uc->uc_mcontext.gregs[order[i]];
	t->registers[17] = 0x33; /* cs */
	t->registers[19] = (uint64_t)uc->uc_mcontext.gregs[REG_RSP];
}

static struct walk_process process_of(struct walked *w)
{
	for (size_t i = 0; i < w->walker->modules_n; i++)
		w->mappings[i] = (struct walk_mapping){
			.start = w->walker->modules[i].at.start,
			.end = w->walker->modules[i].at.end,
			.pgoff_bytes = w->walker->modules[i].offset,
			.rules = w->walker->modules[i].table,
		};
	return (struct walk_process){ .mappings = w->mappings,
				      .mappings_n = w->walker->modules_n,
				      .data = w,
				      .read = read_self,
				      .output = take };
}

/* The walk stands on the very stack that it walks, below it. */
__attribute__((noinline)) static void walk_here(struct walked *w)
{
	struct kymo_standing t = { .who = { .pid = 1, .tid = 2, .comm = "walked" } };
	struct walk_process p = process_of(w);
	struct walk_state *state;
	ucontext_t uc;

	getcontext(&uc);
	registers_of(&uc, &t);
	assert_int_equal(walk_new(&state), 0);
	assert_int_equal(walk_thread(state, &p, &t), 0);
	walk_free(state);
}

__attribute__((noinline)) static int descend(struct walked *w, int n)
{
	volatile int below = 0;

	returns[n] = __builtin_return_address(0);
	if (n > 0)
		below = descend(w, n - 1);
	else
		walk_here(w);
	return below + n; /* no tail call */
}

static void own_stack_is_walked(void **state)
{
	struct walked *w = *state;
	const struct kymo_frame *frames = w->sample.user;
	size_t n;

	w->seed = 0;
	w->samples = 0;
	(void)descend(w, DEPTH - 1);
	assert_int_equal(w->samples, 1);
	n = w->sample.head.user_frames;
	assert_int_equal(w->sample.head.end, KYMO_END_WHOLE);
	/* without kernel frames user frames come first */
	frames = (const struct kymo_frame *)w->sample.kernel;
	assert_true(n > DEPTH + 2);
	assert_int_equal(frames[0].flags, 0);
	for (size_t i = 0; i < DEPTH; i++) {
		/* walk_here, then descend(0) which returns to returns[0] */
		assert_int_equal(frames[2 + i].address, (uint64_t)returns[i]);
		assert_int_equal(frames[2 + i].kind, KYMO_FRAME_NATIVE);
		assert_int_equal(frames[2 + i].flags, KYMO_FRAME_RETURN_ADDRESS);
	}
}

/* Bounded, and no read of ours (ASan, UBSan) goes wrong. */
static void a_stack_that_lies_ends(void **state)
{
	struct walked *w = *state;

	for (uint64_t seed = 1; seed <= 300; seed++) {
		w->seed = seed;
		w->samples = 0;
		(void)descend(w, DEPTH - 1);
		assert_int_equal(w->samples, 1);
		assert_true(w->sample.head.end < KYMO_END_MAX);
		assert_true(w->sample.head.user_frames <= KYMO_USER_FRAMES_MAX);
	}
}

static void walk_of(struct walked *w, uint16_t flags, uint16_t kernel_frames)
{
	struct {
		struct kymo_standing head;
		uint64_t kernel[KYMO_KERNEL_FRAMES_MAX];
	} t = { .head = { .flags = flags, .kernel_frames = kernel_frames }, .kernel = { 7, 8, 9 } };
	struct walk_process p = process_of(w);
	struct walk_state *state;

	assert_int_equal(walk_new(&state), 0);
	assert_int_equal(walk_thread(state, &p, &t.head), 0);
	walk_free(state);
}

static void what_has_no_stack_is_not_walked(void **state)
{
	struct walked *w = *state;

	walk_of(w, KYMO_STANDING_NO_MM, 3);
	assert_int_equal(w->sample.head.end, KYMO_END_NONE);
	assert_int_equal(w->sample.head.state, KYMO_STATE_NO_MM);
	assert_int_equal(w->sample.head.kernel_frames, 3);
	assert_int_equal(w->sample.kernel[2], 9);
	assert_int_equal(w->sample.head.user_frames, 0);
	walk_of(w, KYMO_STANDING_EXECVE, 0);
	assert_int_equal(w->sample.head.end, KYMO_END_EXECVE);
	/* registers of zeroes: no code lies there */
	walk_of(w, 0, 3);
	assert_int_equal(w->sample.head.user_frames, 1);
	assert_int_equal(w->sample.head.end, KYMO_END_NOT_EXECUTABLE);
}

static int setup(void **state)
{
	static struct walker modules;
	static struct walked w;

	walker_init(&modules);
	w.walker = &modules;
	*state = &w;
	return 0;
}

static int teardown(void **state)
{
	struct walked *w = *state;

	walker_release(w->walker);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(own_stack_is_walked),
		cmocka_unit_test(a_stack_that_lies_ends),
		cmocka_unit_test(what_has_no_stack_is_not_walked),
	};

	return cmocka_run_group_tests_name("walk", tests, setup, teardown);
}
