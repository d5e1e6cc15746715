/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program made from a seed (tests/oracle/shapes.py) in C or C++: threads take random paths through the functions of table.h; the last
 * of a path spins, takes memory or writes a file. At the end the truth: folded stacks with the ns of the threads' own clocks, or bytes.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE    __attribute__((noinline, noclone, noipa))
#define HANDLER	    -1
#define PAGE	    4096
#define KIB	    1024
#define MIB	    (1024 * 1024)
#define PATHS_MAX   256
#define THREADS_MAX 16
#define SHORTEST_US 300
#define PIECE_KIB   64 /* of memory, of a file: one to PIECES of them in a turn */
#define PIECES	    8

struct path {
	const short *steps;
	int length, share;
};

/* One walk along a path, and who does it. */
struct turn {
	const struct path *path;
	int64_t until, bytes; /* until when, or how much */
	unsigned int seed;
	int64_t done[PATHS_MAX];
};

typedef void (*step)(struct turn *t, int level);

static volatile unsigned long sink;
static __thread struct turn *interrupted;
static __thread int interrupted_at;
static void (*act)(struct turn *t);
static int file = -1;
static char *page_buffer;
static double amount;

static inline __attribute__((always_inline)) void next(struct turn *t, int level);

#ifndef STEP /* C++ has its own */
#define STEP(k)                                                  \
	NOINLINE static void step_##k(struct turn *t, int level) \
	{                                                        \
		next(t, level + 1);                              \
		sink = sink + k;                                 \
	}
#endif

#include "table.h"

static inline __attribute__((always_inline)) void next(struct turn *t, int level)
{
	if (level == t->path->length) {
		act(t);
	} else if (t->path->steps[level] == HANDLER) {
		interrupted = t;
		interrupted_at = level;
		raise(SIGUSR1);
	} else {
		steps[t->path->steps[level]](t, level);
	}
}

NOINLINE static void handler(int number)
{
	(void)number;
	next(interrupted, interrupted_at + 1);
	sink = sink + 1;
}

static int64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

NOINLINE static void spin(struct turn *t)
{
	do
		for (int i = 0; i < 20000; i++)
			sink = sink + (unsigned long)i * 7;
	while (cpu_ns() < t->until);
	sink = sink + 1;
}

/* Small pages: each is a fault. */
NOINLINE static void grow(struct turn *t)
{
	char *p = (char *)mmap(NULL, (size_t)t->bytes, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		exit(1);
	madvise(p, (size_t)t->bytes, MADV_NOHUGEPAGE);
	for (int64_t i = 0; i < t->bytes; i += PAGE)
		p[i] = 1;
	munmap(p, (size_t)t->bytes);
	sink = sink + 1;
}

/* Past the page cache: who writes it submits it. */
NOINLINE static void write_out(struct turn *t)
{
	if (pwrite(file, page_buffer, (size_t)t->bytes, 0) != t->bytes)
		exit(1);
	sink = sink + 1;
}

NOINLINE static void begin(struct turn *t)
{
	next(t, 0);
	sink = sink + 1;
}

static int picked(struct turn *t)
{
	int pick = (int)(rand_r(&t->seed) % SHARES), i = 0;

	while (pick >= paths[i].share)
		pick -= paths[i++].share;
	return i;
}

static void pause_between(struct turn *t)
{
	if (PAUSE_US)
		usleep((useconds_t)(rand_r(&t->seed) % (PAUSE_US + 1)));
}

static void *run(void *data)
{
	struct turn *t = (struct turn *)data;
	int64_t wanted = (int64_t)(amount * (act == spin ? 1e9 : (double)MIB)) +
			 (act == spin ? cpu_ns() : 0);

	for (int64_t had = act == spin ? cpu_ns() : 0; had < wanted;) {
		int i = picked(t);
		int64_t before = cpu_ns();

		t->path = &paths[i];
		t->until = before + (SHORTEST_US + rand_r(&t->seed) % LONGEST_US) * 1000LL;
		t->bytes = (1 + rand_r(&t->seed) % PIECES) * PIECE_KIB * KIB;
		begin(t);
		t->done[i] += act == spin ? cpu_ns() - before : t->bytes;
		had = act == spin ? cpu_ns() : had + t->bytes;
		pause_between(t);
	}
	return NULL;
}

static void print_path(int i, int64_t value)
{
	printf("begin");
	for (int k = 0; k < paths[i].length; k++)
		if (paths[i].steps[k] == HANDLER)
			printf(";handler");
		else
			printf(";step_%d", paths[i].steps[k]);
	printf(";%s %" PRId64 "\n",
	       act == spin   ? "spin"
	       : act == grow ? "grow"
			     : "write_out",
	       value);
}

static void prepare(char **argv)
{
	struct sigaction action;
	stack_t stack;

	memset(&action, 0, sizeof(action));
	memset(&stack, 0, sizeof(stack));
	action.sa_handler = handler;
	action.sa_flags = SA_ONSTACK;
	stack.ss_size = 256 * KIB;
	stack.ss_sp = malloc(stack.ss_size);
	sigaltstack(&stack, NULL);
	sigaction(SIGUSR1, &action, NULL);
	amount = atof(argv[2]);
	act = strcmp(argv[1], "cpu") == 0      ? spin
	      : strcmp(argv[1], "memory") == 0 ? grow
					       : write_out;
	if (act == write_out) {
		page_buffer = (char *)mmap(NULL, PIECES * PIECE_KIB * KIB, PROT_READ | PROT_WRITE,
					   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		file = open(argv[4], O_WRONLY | O_CREAT | O_DIRECT, 0600);
		if (file < 0)
			exit(1);
	}
}

int main(int argc, char **argv)
{
	static struct turn turns[THREADS_MAX];
	pthread_t threads[THREADS_MAX];

	if (argc < 4 || (argc < 5 && strcmp(argv[1], "io") == 0))
		return 2;
	prepare(argv);
	(void)getchar(); /* until told to begin, or the input's end */
	for (int i = 0; i < THREADS; i++) {
		turns[i].seed = (unsigned int)(atoi(argv[3]) + i);
		if (i)
			pthread_create(&threads[i], NULL, run, &turns[i]);
	}
	run(&turns[0]);
	for (int i = 1; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < PATHS; i++) {
		int64_t sum = 0;

		for (int k = 0; k < THREADS; k++)
			sum += turns[k].done[i];
		print_path(i, sum);
	}
	printf("\n");
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}
