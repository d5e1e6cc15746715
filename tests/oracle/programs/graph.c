/* SPDX-License-Identifier: Apache-2.0 */
/* A known call graph in C. usage: graph CPU_SECONDS SEED */
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "graph.h"

static int64_t due;

NOINLINE void leaf_a(int64_t until)
{
	do
		for (int i = 0; i < 20000; i++)
			sink += (unsigned long)i * 7;
	while (cpu_ns() < until);
	sink++;
}

/* So large a frame that a walk by guesses finds old return addresses in it. */
NOINLINE void leaf_b(int64_t until)
{
	volatile char room[3000];

	memset((void *)room, 1, sizeof(room));
	do
		for (int i = 0; i < 20000; i++)
			sink += (unsigned char)room[i % 3000];
	while (cpu_ns() < until);
	sink++;
}

NOINLINE void shared(int64_t until, void (*leaf)(int64_t))
{
	leaf(until);
	sink++;
}

NOINLINE void alpha(int64_t until)
{
	shared(until, leaf_a);
	sink++;
}

NOINLINE void beta(int64_t until)
{
	shared(until, leaf_b);
	sink++;
}

NOINLINE void down(int64_t until, int n)
{
	if (n)
		down(until, n - 1);
	else
		leaf_a(until);
	sink++;
}

NOINLINE void recursive(int64_t until)
{
	down(until, 3);
	sink++;
}

NOINLINE int compare(const void *a, const void *b)
{
	(void)a, (void)b;
	if (due)
		leaf_a(due);
	due = 0;
	return 0;
}

NOINLINE void sorting(int64_t until)
{
	int two[2] = { 2, 1 };

	due = until;
	qsort(two, 2, sizeof(*two), compare);
	sink++;
}

NOINLINE void handler(int number)
{
	(void)number;
	leaf_b(due);
	sink++;
}

NOINLINE void interrupted(int64_t until)
{
	due = until;
	raise(SIGUSR1);
	sink++;
}

NOINLINE void realigned(int64_t until)
{
	_Alignas(64) volatile char room[64];
	volatile char *more = __builtin_alloca((size_t)(until & 63) + 16);

	room[0] = more[0] = 1;
	leaf_a(until);
	sink += (unsigned long)room[0] + (unsigned long)more[0];
}

static struct path paths[] = {
	{ "main;alpha;shared;leaf_a", alpha, 20, 0 },
	{ "main;beta;shared;leaf_b", beta, 20, 0 },
	{ "main;recursive;down;down;down;down;leaf_a", recursive, 20, 0 },
	{ "main;sorting;compare;leaf_a", sorting, 15, 0 },
	{ "main;interrupted;handler;leaf_b", interrupted, 15, 0 },
	{ "main;realigned;leaf_a", realigned, 10, 0 },
};

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_ONSTACK };
	stack_t stack = { .ss_sp = malloc(65536), .ss_size = 65536 };

	if (argc != 3)
		return 2;
	sigaltstack(&stack, NULL);
	sigaction(SIGUSR1, &action, NULL);
	paths_run(paths, sizeof(paths) / sizeof(*paths), atof(argv[1]),
		  (unsigned int)atoi(argv[2]));
	return 0;
}
