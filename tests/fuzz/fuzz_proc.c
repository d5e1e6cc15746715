/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a process's files in /proc, whose names and arguments the process chooses: the first byte says which. Mappings
 * that are kept can be found again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The source itself: what reads text has no other way in than /proc. */
#include "../../user/proc/read.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PID 7

static void fuzz_maps(char *text, size_t size)
{
	struct proc_table *t;
	struct life *l;
	int r;

	if (proc_table_new("/", NULL, NULL, &t) < 0)
		abort();
	l = life_new(t, PID, 1);
	r = l ? map_lines(t, l, text, &size) : -ENOMEM;
	if (r == 0)
		for (size_t i = 0; l->list && i < l->list->n; i++) {
			const struct proc_mapping *m = &l->list->items[i];

			if (m->end > m->start && !proc_find_mapping(&l->p, m->start))
				abort();
		}
	proc_table_free(t);
}

static void fuzz_cmdline(const char *text, size_t size)
{
	struct proc_table *t;
	struct life *l;

	if (proc_table_new("/", NULL, NULL, &t) < 0)
		abort();
	l = life_new(t, PID, 1);
	if (l && life_set_cmdline(l, text, size) == 0 &&
	    strlen(l->p.info.cmdline) > 3 * PROC_CMDLINE_MAX)
		abort();
	proc_table_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proc_stat stat;
	char *text;

	if (!size)
		return 0;
	text = malloc(size); /* the rest, and a NUL as read_some puts it */
	if (!text)
		abort();
	memcpy(text, data + 1, size - 1);
	text[size - 1] = 0;
	if (data[0] % 3 == 0)
		fuzz_maps(text, size - 1);
	else if (data[0] % 3 == 1)
		fuzz_cmdline(text, size - 1);
	else if (parse_stat(text, &stat) == 0 && !memchr(stat.comm, 0, sizeof(stat.comm)))
		abort();
	free(text);
	return 0;
}
