/* SPDX-License-Identifier: Apache-2.0 */
/* Loaded after the start of ways.c. */
#include <stdlib.h>
#include <time.h>

static volatile unsigned long sink;

static int compare(const void *a, const void *b)
{
	sink++;
	return *(const int *)a - *(const int *)b;
}

void way_of_library(double until);

void way_of_library(double until)
{
	struct timespec t;

	do {
		int values[4096];

		for (int i = 0; i < 4096; i++)
			values[i] = i * 7919 % 4099;
		qsort(values, 4096, sizeof(*values), compare);
		clock_gettime(CLOCK_MONOTONIC, &t);
	} while ((double)t.tv_sec + (double)t.tv_nsec / 1e9 < until);
}
