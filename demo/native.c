/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The demo's native half: sorts, hashes and now and then writes a file, for as many
 * seconds as the first argument says (14). Ends by itself.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ITEMS 200000

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int by_value(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

__attribute__((noinline)) static void fill(uint32_t *items, uint32_t seed)
{
	for (size_t i = 0; i < ITEMS; i++)
		items[i] = seed = seed * 1664525 + 1013904223;
}

__attribute__((noinline)) static void sort_items(uint32_t *items)
{
	qsort(items, ITEMS, sizeof(*items), by_value);
}

__attribute__((noinline)) static uint64_t hash_items(const uint32_t *items)
{
	uint64_t h = 14695981039346656037ULL;

	for (int round = 0; round < 20; round++)
		for (size_t i = 0; i < ITEMS; i++)
			h = (h ^ items[i]) * 1099511628211ULL;
	return h;
}

__attribute__((noinline)) static void save_items(const uint32_t *items)
{
	FILE *f = tmpfile();

	if (!f)
		return;
	fwrite(items, sizeof(*items), ITEMS, f);
	fflush(f);
	fdatasync(fileno(f));
	fclose(f);
}

int main(int argc, char **argv)
{
	double end = now() + (argc > 1 ? atof(argv[1]) : 14);
	uint32_t *items = malloc(ITEMS * sizeof(*items));
	uint64_t h = 0;

	if (!items)
		return 1;
	for (uint32_t round = 1; now() < end; round++) {
		fill(items, round);
		sort_items(items);
		h ^= hash_items(items);
		if (round % 16 == 0)
			save_items(items);
	}
	printf("%016lx\n", (unsigned long)h);
	free(items);
	return 0;
}
