/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spins under DEPTH calls for SECONDS, in a thread on each CPU. Sixteen functions take turns in the
 * recursion, so that a stack has more than one return address.
 *
 * usage: depth DEPTH SECONDS
 */
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))
#define CPUS_MAX 64

static int depth;
static double seconds;
static volatile unsigned long sink;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

NOINLINE static void leaf(void)
{
	double end = now() + seconds;

	do
		for (int i = 0; i < 10000000; i++)
			sink += (unsigned long)i * 7;
	while (now() < end);
}

typedef void (*level)(int n);
static const level levels[16];

#define LEVEL(k)                                     \
	NOINLINE static void level_##k(int n)        \
	{                                            \
		volatile char room[24 + k * 8];      \
                                                     \
		room[n & 15] = (char)n;              \
		if (n <= 1)                          \
			leaf();                      \
		else                                 \
			levels[n & 15](n - 1);       \
		sink += (unsigned long)room[n & 15]; \
	}

LEVEL(0)
LEVEL(1)
LEVEL(2)
LEVEL(3)
LEVEL(4)
LEVEL(5)
LEVEL(6)
LEVEL(7)
LEVEL(8)
LEVEL(9)
LEVEL(10)
LEVEL(11)
LEVEL(12)
LEVEL(13)
LEVEL(14)
LEVEL(15)

static const level levels[16] = { level_0,  level_1,  level_2,	level_3, level_4,  level_5,
				  level_6,  level_7,  level_8,	level_9, level_10, level_11,
				  level_12, level_13, level_14, level_15 };

static void *on_cpu(void *data)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((int)(intptr_t)data, &set);
	sched_setaffinity(0, sizeof(set), &set);
	level_0(depth);
	return data;
}

int main(int argc, char **argv)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_t threads[CPUS_MAX];

	if (argc != 3)
		return 2;
	depth = atoi(argv[1]);
	seconds = atof(argv[2]);
	for (long i = 0; i < cpus && i < CPUS_MAX; i++)
		pthread_create(&threads[i], NULL, on_cpu, (void *)(intptr_t)i);
	for (long i = 0; i < cpus && i < CPUS_MAX; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
