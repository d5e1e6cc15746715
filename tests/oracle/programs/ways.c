/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spins at the end of ways of calling that are hard to walk back. Each ends by itself.
 *
 * usage: ways deep|signal|altstack|vfork|ucontext|system|clock|dlopen SECONDS [LIBRARY]
 *   deep: under 1,000 calls          signal, altstack: in handlers that interrupt leaves and prologues
 *   vfork: in children that share the memory and do not exec    ucontext: in coroutines
 *   system, clock: in system calls, in the vDSO       dlopen: in LIBRARY's way_of_library()
 */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define NOINLINE   __attribute__((noinline, noclone))
#define DEPTH	   990 /* and some for main and its callers */
#define STACK_SIZE 65536

static double until;
static volatile unsigned long sink;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

NOINLINE void spin(long turns)
{
	for (long i = 0; i < turns; i++)
		sink += (unsigned long)i * 7;
}

NOINLINE void spin_on(void)
{
	do
		spin(1000000);
	while (now() < until);
}

NOINLINE void down(int n)
{
	if (n)
		down(n - 1);
	else
		spin_on();
	sink++;
}

static void deep(void)
{
	down(DEPTH);
}

/* ---- handlers that interrupt whatever runs ---- */

NOINLINE void handler(int number)
{
	(void)number;
	spin(1000000);
	sink++;
}

NOINLINE unsigned long leaf_function(unsigned long a, unsigned long b)
{
	return a * 3 + (b ^ sink);
}

NOINLINE unsigned long with_prologue(unsigned long a)
{
	volatile unsigned long room[40];
	unsigned long b = leaf_function(a, a + 1), c = leaf_function(b, a), d = leaf_function(c, b);

	room[a & 31] = d;
	return leaf_function(room[a & 31], b) + leaf_function(c, d) + a;
}

static void interrupted(int flags)
{
	struct itimerval often = { { 0, 5000 }, { 0, 5000 } };
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };
	stack_t stack = { .ss_sp = malloc(STACK_SIZE), .ss_size = STACK_SIZE };

	sigaltstack(&stack, NULL);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	while (now() < until)
		for (unsigned long i = 0; i < 10000; i++)
			sink += with_prologue(i);
}

static void by_signal(void)
{
	interrupted(0);
}

static void on_another_stack(void)
{
	interrupted(SA_ONSTACK);
}

/* ---- */

NOINLINE void child(void)
{
	spin(20000000);
	_exit(0);
}

static void by_vfork(void)
{
	while (now() < until) {
		pid_t pid = vfork();

		if (pid == 0)
			child();
		if (pid > 0)
			waitpid(pid, NULL, 0);
	}
}

static ucontext_t outside, inside[2];

NOINLINE void coroutine(int own)
{
	for (int turn = 0;; turn++) {
		spin(3000000);
		if (now() >= until)
			swapcontext(&inside[own], &outside);
		swapcontext(&inside[own], &inside[!own]);
	}
}

static void by_ucontext(void)
{
	for (int i = 0; i < 2; i++) {
		getcontext(&inside[i]);
		inside[i].uc_stack.ss_sp = malloc(STACK_SIZE);
		inside[i].uc_stack.ss_size = STACK_SIZE;
		inside[i].uc_link = &outside;
		makecontext(&inside[i], (void (*)(void))coroutine, 1, i);
	}
	swapcontext(&outside, &inside[0]);
}

static void in_system_calls(void)
{
	while (now() < until)
		for (int i = 0; i < 10000; i++)
			sink += (unsigned long)syscall(SYS_getppid);
}

static void in_vdso(void)
{
	while (now() < until)
		sink++;
}

static const char *library;

static void in_library(void)
{
	void *handle = dlopen(library, RTLD_NOW);
	void (*way)(double) = NULL;

	if (handle)
		*(void **)&way = dlsym(handle, "way_of_library");
	if (!way)
		exit(3);
	way(until);
}

static const struct {
	const char *name;
	void (*go)(void);
} ways[] = {
	{ "deep", deep },
	{ "signal", by_signal },
	{ "altstack", on_another_stack },
	{ "vfork", by_vfork },
	{ "ucontext", by_ucontext },
	{ "spin", spin_on },
	{ "system", in_system_calls },
	{ "clock", in_vdso },
	{ "dlopen", in_library },
};

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	until = now() + atof(argv[2]);
	library = argc > 3 ? argv[3] : "";
	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		if (!strcmp(argv[1], ways[i].name)) {
			ways[i].go();
			return 0;
		}
	}
	return 2;
}
