/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the programs of known call graphs in C and C++ share: paths in random order, each for a random slice of
 * CPU time; at the end the truth on stdout, as folded stacks with ns by the thread's own clock, and an empty line.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define NOINLINE __attribute__((noinline, noclone, noipa))

static volatile unsigned long sink;

static int64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

struct path {
	const char *stack;
	void (*go)(int64_t until);
	int share;
	int64_t spent_ns;
};

static void paths_run(struct path *paths, int n, double seconds, unsigned int seed)
{
	int64_t wanted;
	int shares = 0;

	(void)getchar(); /* until told to begin, or the input's end */
	wanted = cpu_ns() + (int64_t)(seconds * 1e9);
	for (int i = 0; i < n; i++)
		shares += paths[i].share;
	for (int64_t before = cpu_ns(); before < wanted; before = cpu_ns()) {
		int pick = rand_r(&seed) % shares, i = 0;

		while (pick >= paths[i].share)
			pick -= paths[i++].share;
		paths[i].go(before + 500000 + rand_r(&seed) % 3000000);
		paths[i].spent_ns += cpu_ns() - before;
	}
	for (int i = 0; i < n; i++)
		printf("%s %" PRId64 "\n", paths[i].stack, paths[i].spent_ns);
	printf("\n");
	fflush(stdout);
	while (getchar() != EOF)
		; /* a profiler that reads names at its end finds us here */
}
