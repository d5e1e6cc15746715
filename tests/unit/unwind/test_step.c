/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows and steps on this process's own stacks, whose callers are known. The hard part runs under the
 * processor's trap flag: after every single instruction a handler walks through its own signal frame
 * and the interrupted code, which must end whole and with exactly the callers that do not change.
 */
#include "unit/test.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "base/array.h"
#include "unit/unwind/walker.h"

#define COMPLAINTS_MAX 3
#define ALT_STACK_SIZE (256 << 10)

static struct walker walker;

/* ---- at known places ---- */

static struct walk here;

/* Walks from its caller on. */
static __attribute__((noinline)) void walk_here(struct walk *ret)
{
	struct unwind_frame frame;
	ucontext_t uc;

	getcontext(&uc);
	walker_registers(&uc, &frame);
	walker_walk(&walker, frame, ret);
}

static void assert_whole(const struct walk *walk)
{
	if (walk->end != UNWIND_STEP_END)
		walker_print(&walker, walk);
	assert_int_equal(walk->end, UNWIND_STEP_END);
}

/* The return addresses are in the walk, in this order; other frames may lie between. */
static void assert_callers(const struct walk *walk, void *const *callers, size_t n)
{
	size_t at = 0;

	for (size_t i = 0; i < walk->n && at < n; i++)
		at += walk->frames[i].pc == (uint64_t)callers[at];
	if (at < n)
		walker_print(&walker, walk);
	assert_int_equal(at, n);
}

static void *callers[WALK_FRAMES_MAX];
static size_t callers_n;

static int compare_ints(const void *a, const void *b)
{
	if (!callers_n) {
		walk_here(&here);
		callers[callers_n++] = __builtin_return_address(0);
	}
	return *(const int *)a - *(const int *)b;
}

static __attribute__((noinline)) void *sort(int *numbers, size_t n)
{
	qsort(numbers, n, sizeof(*numbers), compare_ints);
	return __builtin_return_address(0);
}

static void test_through_the_c_library(void **state)
{
	int numbers[] = { 5, 3, 9, 1, 7 };

	(void)state;
	callers_n = 0;
	callers[1] = sort(numbers, ARRAY_SIZE(numbers));
	assert_int_equal(numbers[0], 1);
	assert_whole(&here);
	assert_callers(&here, callers, 2);
}

static __attribute__((noinline)) int recurse(int depth, volatile int *sum)
{
	int r;

	callers[depth] = __builtin_return_address(0);
	if (depth == 0) {
		walk_here(&here);
		return *sum;
	}
	r = recurse(depth - 1, sum);
	*sum += r; /* no tail call */
	return r + 1;
}

static void test_a_thousand_deep(void **state)
{
	volatile int sum = 0;

	(void)state;
	recurse(1000, &sum);
	assert_whole(&here);
	assert_callers(&here, callers, 1001);
	/* Nothing is made up: walk_here, recurse 1001 times, and what a walk from here has. */
	walk_here(&here);
	assert_whole(&here);
	recurse(0, &sum);
	assert_callers(&here, callers, 1);
}

/* ---- at every instruction ---- */

/* The trap flag; hand-written so that each of its own instructions is described. */
void trap_on(void);
void trap_off(void);
__asm__(".text\n"
	".type trap_on, @function\n"
	"trap_on:\n"
	".cfi_startproc\n"
	"pushfq\n"
	".cfi_adjust_cfa_offset 8\n"
	"orq $0x100, (%rsp)\n"
	"popfq\n"
	".cfi_adjust_cfa_offset -8\n"
	"ret\n"
	".cfi_endproc\n"
	".size trap_on, . - trap_on\n"
	".type trap_off, @function\n"
	"trap_off:\n"
	".cfi_startproc\n"
	"pushfq\n"
	".cfi_adjust_cfa_offset 8\n"
	"andq $~0x100, (%rsp)\n"
	"popfq\n"
	".cfi_adjust_cfa_offset -8\n"
	"ret\n"
	".cfi_endproc\n"
	".size trap_off, . - trap_off\n");

static struct stepping {
	struct walk reference; /* from the caller of the stepped code on */
	struct walk walk;
	uint64_t steps, deepest;
	uint64_t wrong;
	uint64_t by_rule[KYMO_UNWIND_CFA_MAX]; /* of the interrupted code */
	const char *what;
} stepping;

static void complain(const char *what, const struct walk *walk)
{
	if (stepping.wrong++ >= COMPLAINTS_MAX)
		return;
	fprintf(stderr, "%s, step %lu: %s\n", stepping.what, (unsigned long)stepping.steps, what);
	walker_print(&walker, walk);
}

/* The last frames of the walk are the reference's, by address and by stack pointer. */
static bool has_reference(const struct walk *walk)
{
	const struct walk *want = &stepping.reference;
	size_t first = walk->n - want->n;

	if (walk->n < want->n)
		return false;
	for (size_t i = 0; i < want->n; i++)
		if (walk->frames[first + i].pc != want->frames[i].pc ||
		    walk->frames[first + i].sp != want->frames[i].sp)
			return false;
	return true;
}

/* The frame behind the signal's is the interrupted one, to the register. */
static bool has_interrupted(const struct walk *walk, const ucontext_t *uc)
{
	for (size_t i = 0; i < walk->n; i++) {
		const struct walk_frame *f = &walk->frames[i];

		if (f->signal)
			return f->pc == (uint64_t)uc->uc_mcontext.gregs[REG_RIP] &&
			       f->sp == (uint64_t)uc->uc_mcontext.gregs[REG_RSP] &&
			       f->fp == (uint64_t)uc->uc_mcontext.gregs[REG_RBP];
	}
	return false;
}

/* The interrupted code alone: with all registers, as a sampler has them at the leaf. */
static void check_interrupted(const ucontext_t *uc)
{
	struct walk *walk = &stepping.walk;
	struct unwind_frame frame;

	walker_registers(uc, &frame);
	frame.exact = true;
	stepping.by_rule[walker_rule(&walker, frame.pc)->cfa_kind]++;
	walker_walk(&walker, frame, walk);
	if (walk->end != UNWIND_STEP_END)
		complain("not whole", walk);
	else if (!has_reference(walk))
		complain("other callers", walk);
	if (walk->n > stepping.deepest)
		stepping.deepest = walk->n;
}

static void on_trap(int number, siginfo_t *info, void *context)
{
	const ucontext_t *uc = context;

	(void)number;
	(void)info;
	stepping.steps++;
	check_interrupted(uc);
	walk_here(&stepping.walk);
	if (!has_interrupted(&stepping.walk, uc))
		complain("through the handler: another interrupted frame", &stepping.walk);
	else if (stepping.walk.end != UNWIND_STEP_END || !has_reference(&stepping.walk))
		complain("through the handler: other callers", &stepping.walk);
}

/* Its caller's frame and those above are the reference: they do not change while fn runs. */
static __attribute__((noinline)) void step_through(void (*fn)(void))
{
	struct walk *reference = &stepping.reference;

	walk_here(reference);
	/* without walk_here and this function itself, whose pc moves on */
	memmove(reference->frames, reference->frames + 2,
		(reference->n - 2) * sizeof(reference->frames[0]));
	reference->n -= 2;
	trap_on();
	fn();
	trap_off();
}

static void run_stepped(const char *what, void (*fn)(void), int flags)
{
	struct sigaction sa = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | flags }, old;

	memset(&stepping, 0, sizeof(stepping));
	stepping.what = what;
	assert_int_equal(sigaction(SIGTRAP, &sa, &old), 0);
	step_through(fn);
	assert_int_equal(sigaction(SIGTRAP, &old, NULL), 0);
	assert_int_equal(stepping.reference.end, UNWIND_STEP_END);
	print_message("%s: %lu instructions, up to %lu frames, %lu wrong; in the PLT "
		      "%lu, CFA in memory %lu\n",
		      what, (unsigned long)stepping.steps, (unsigned long)stepping.deepest,
		      (unsigned long)stepping.wrong,
		      (unsigned long)stepping.by_rule[KYMO_UNWIND_CFA_PLT],
		      (unsigned long)stepping.by_rule[KYMO_UNWIND_CFA_DEREF]);
	assert_int_equal(stepping.wrong, 0);
}

static int compare_plain(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static void sort_and_print(void)
{
	int numbers[24];
	char text[128];

	for (int i = 0; i < 24; i++)
		numbers[i] = (i * 37) % 101;
	qsort(numbers, ARRAY_SIZE(numbers), sizeof(numbers[0]), compare_plain);
	snprintf(text, sizeof(text), "%d %s %g %p", numbers[3], "text", 3.25, (void *)numbers);
}

static void test_every_instruction_of_the_c_library(void **state)
{
	(void)state;
	run_stepped("qsort, snprintf", sort_and_print, 0);
	assert_true(stepping.steps > 1000);
}

/* A function that nothing has called yet: the stub, the loader's resolver (its CFA is by rbx), the search for the symbol. */
static void call_for_the_first_time(void)
{
	static volatile double x = 2.5;
	static char path[64] = "/tmp/a/b";

	(void)wcstombs(path, L"text", 4);
	x += (double)strtold(path, NULL);
}

static void test_lazy_binding(void **state)
{
	(void)state;
	run_stepped("first call of a function", call_for_the_first_time, 0);
	if (!stepping.by_rule[KYMO_UNWIND_CFA_PLT])
		print_message("functions are bound at start here\n");
}

static void test_on_an_alternate_stack(void **state)
{
	static char memory[ALT_STACK_SIZE];
	stack_t alternate = { .ss_sp = memory, .ss_size = sizeof(memory) }, old;

	(void)state;
	assert_int_equal(sigaltstack(&alternate, &old), 0);
	run_stepped("handler on another stack", sort_and_print, SA_ONSTACK);
	assert_int_equal(sigaltstack(&old, NULL), 0);
}

static void read_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	clock_gettime(CLOCK_REALTIME, &now);
}

static void test_vdso(void **state)
{
	(void)state;
	run_stepped("clock_gettime", read_clock, 0);
}

/* A realigned stack with arguments on it: its CFA is in a register at first, then in memory. */
static __attribute__((noipa)) int aligned_sum(int a, int b, int c, int d, int e, int f, int g,
					      int n)
{
	volatile int __attribute__((aligned(64))) numbers[16];
	char variable[n];
	int sum = a + b + c + d + e + f + g;

	memset(variable, n, (size_t)n);
	for (int i = 0; i < 16; i++)
		numbers[i] = variable[i % n] + i;
	for (int i = 0; i < 16; i++)
		sum += numbers[i];
	return sum + g;
}

static void realign(void)
{
	volatile int sum = aligned_sum(1, 2, 3, 4, 5, 6, 7, 24);

	(void)sum;
}

static void test_realigned_stacks(void **state)
{
	(void)state;
	run_stepped("realigned stack", realign, 0);
	assert_true(stepping.by_rule[KYMO_UNWIND_CFA_DEREF] > 50);
}

/* The child returns first, on the parent's stack, with the return address in a register meanwhile. */
static void call_vfork(void)
{
	pid_t pid = vfork();

	if (pid == 0)
		_exit(0);
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

static void test_vfork(void **state)
{
	(void)state;
#ifdef KYMO_SANITIZED
	print_message("skip: the sanitizer's own vfork is not described\n");
	skip();
#endif
	run_stepped("vfork", call_vfork, 0);
}

/* ---- signals at faults ---- */

static volatile sig_atomic_t faults;
static struct walk at_fault;
static bool found_interrupted;
static uint64_t page_of_nobody;

static void on_fault(int number, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	(void)number;
	(void)info;
	walk_here(&at_fault);
	found_interrupted = has_interrupted(&at_fault, uc);
	mprotect((void *)page_of_nobody, 4096, PROT_READ | PROT_WRITE);
	faults++;
}

static __attribute__((noinline)) int touch(const volatile int *where)
{
	return *where; /* a leaf: no frame of its own */
}

static void test_fault_in_a_leaf(void **state)
{
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO }, old;

	(void)state;
	page_of_nobody = (uint64_t)mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_int_equal(sigaction(SIGSEGV, &sa, &old), 0);
	walk_here(&here);
	assert_int_equal(touch((const volatile int *)page_of_nobody), 0);
	assert_int_equal(sigaction(SIGSEGV, &old, NULL), 0);
	munmap((void *)page_of_nobody, 4096);
	assert_int_equal(faults, 1);
	assert_true(found_interrupted);
	assert_whole(&at_fault);
	/* Without walk_here itself: the callers of this function are the last of both. */
	for (size_t i = 1; i + 2 <= here.n; i++)
		assert_int_equal(at_fault.frames[at_fault.n - i].sp, here.frames[here.n - i].sp);
}

/* ---- hostile stacks ---- */

/* Whatever the registers and the memory hold, a step ends with an answer and a walk with an end. */
static void test_made_up_registers(void **state)
{
	uint64_t seed = 42;
	size_t ends[UNWIND_STEP_MAX] = { 0 };

	(void)state;
	for (int i = 0; i < 20000; i++) {
		const struct walk_module *m = &walker.modules[i % walker.modules_n];
		struct unwind_frame frame = { .known = 0xffff, .exact = i & 1 };

		for (int k = 0; k < 16; k++) {
			seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
			frame.registers[k] = i % 3 ? (uint64_t)&seed + (seed >> 52) : seed;
		}
		frame.pc = m->at.start + (seed >> 20) % (m->at.end - m->at.start);
		walker_walk(&walker, frame, &here);
		ends[here.end]++;
	}
	assert_true(ends[UNWIND_STEP_UNREADABLE] && ends[UNWIND_STEP_GAP] &&
		    ends[UNWIND_STEP_NOT_ABOVE]);
}

static int setup(void **state)
{
	(void)state;
	walker_init(&walker);
	/* The stack below the walk: it grows. */
	walker_add_readable(&walker, (char *)__builtin_frame_address(0) - (4 << 20), 4 << 20);
	return walker.modules_n ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	walker_release(&walker);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lazy_binding),
		cmocka_unit_test(test_through_the_c_library),
		cmocka_unit_test(test_a_thousand_deep),
		cmocka_unit_test(test_every_instruction_of_the_c_library),
		cmocka_unit_test(test_on_an_alternate_stack),
		cmocka_unit_test(test_vdso),
		cmocka_unit_test(test_realigned_stacks),
		cmocka_unit_test(test_vfork),
		cmocka_unit_test(test_fault_in_a_leaf),
		cmocka_unit_test(test_made_up_registers),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
