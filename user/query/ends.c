/* SPDX-License-Identifier: Apache-2.0 */
#include "query/ends.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

void ends_init(struct ends *e)
{
	hmap_init(&e->index, 3 * sizeof(uint32_t), sizeof(uint32_t), 0);
	hmap_init(&e->offsets, 2 * sizeof(uint64_t), sizeof(uint64_t), 0);
}

void ends_release(struct ends *e)
{
	hmap_release(&e->index);
	hmap_release(&e->offsets);
	free(e->stops);
	free(e->roots);
	*e = (struct ends){ 0 };
}

/* Parents come first: one pass, whatever the depth. */
int ends_segment(struct ends *e, const struct segment *s)
{
	free(e->roots);
	e->roots = calloc(s->tables.stacks_n + 1, sizeof(*e->roots));
	if (!e->roots)
		return -ENOMEM;
	for (uint32_t i = 1; i <= s->tables.stacks_n; i++) {
		uint32_t parent = idmap_find(&s->stacks, s->tables.stacks[i - 1].parent);

		e->roots[i] = parent && parent < i ? e->roots[parent] : i;
	}
	return 0;
}

bool query_is_broken_end(enum kymo_end end)
{
	return end < KYMO_END_MAX && end != KYMO_END_NONE && end != KYMO_END_WHOLE &&
	       end != KYMO_END_EXECVE;
}

static const struct frame *last_frame(const struct ends *e, const struct segment *s, uint32_t stack)
{
	return stack ? segment_frame(s, s->tables.stacks[e->roots[stack] - 1].frame) : NULL;
}

static struct query_stop *find_stop(struct ends *e, struct item_table *items, const char *comm,
				    const char *path, enum kymo_end end)
{
	struct {
		uint32_t comm, path, end;
	} key = { .end = end };
	uint32_t *index;
	bool is_new;

	if (strings_intern(items->strings, comm, &key.comm) < 0 ||
	    strings_intern(items->strings, path, &key.path) < 0 ||
	    array_reserve(&e->stops, &e->cap, e->n + 1) < 0)
		return NULL;
	index = hmap_put(&e->index, &key, &is_new);
	if (!index)
		return NULL;
	if (is_new) {
		*index = (uint32_t)e->n;
		e->stops[e->n++] = (struct query_stop){
			.comm = strings_get(items->strings, key.comm),
			.binary = strings_get(items->strings, key.path),
			.end = end,
		};
	}
	return &e->stops[*index];
}

int ends_add(struct ends *e, struct item_table *items, const struct segment *s, const char *comm,
	     uint32_t stack, const struct tick_row *row)
{
	const struct frame *f = last_frame(e, s, stack);
	const struct binary *b = f && f->kind == FRAME_NATIVE ? segment_binary(s, f->binary) : NULL;
	struct query_stop *stop = find_stop(e, items, comm, b ? b->path : "", row->end);
	uint64_t key[2] = { 0, f ? f->offset : 0 }, *at;

	if (!stop)
		return -ENOMEM;
	key[0] = (uint64_t)(stop - e->stops);
	at = hmap_put(&e->offsets, key, NULL);
	if (!at)
		return -ENOMEM;
	*at += row->count;
	stop->samples += row->count;
	if (*at <= stop->offset_samples)
		return 0;
	stop->offset_samples = *at;
	stop->offset = f ? f->offset : 0;
	/* A stack of the kernel's frames alone has none of the user's. */
	stop->item = f && f->kind != FRAME_KERNEL ? item_of_frame(items, s, f) : 0;
	return f && f->kind != FRAME_KERNEL && !stop->item ? -ENOMEM : 0;
}

static int compare_stops(const void *pa, const void *pb)
{
	const struct query_stop *a = pa, *b = pb;
	int r;

	if (a->samples != b->samples)
		return a->samples > b->samples ? -1 : 1;
	r = strcmp(a->comm, b->comm) ?: strcmp(a->binary, b->binary);
	return r ?: (a->end < b->end ? -1 : a->end > b->end);
}

void ends_finish(struct ends *e)
{
	if (e->n)
		qsort(e->stops, e->n, sizeof(*e->stops), compare_stops);
}
