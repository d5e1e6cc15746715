/* SPDX-License-Identifier: Apache-2.0 */
#include "query/segment.h"

#include <errno.h>
#include <stdlib.h>

#define BUILD_INDEX(s, table)                                                         \
	idmap_build(&(s)->table, (s)->tables.table ? &(s)->tables.table[0].id : NULL, \
		    sizeof((s)->tables.table[0]), (s)->tables.table##_n)

static int segment_build_indices(struct segment *s)
{
	int r = BUILD_INDEX(s, binaries);

	if (r == 0)
		r = BUILD_INDEX(s, functions);
	if (r == 0)
		r = BUILD_INDEX(s, frames);
	if (r == 0)
		r = BUILD_INDEX(s, stacks);
	if (r == 0)
		r = BUILD_INDEX(s, processes);
	if (r == 0)
		r = BUILD_INDEX(s, threads);
	return r;
}

/* Both are in the order of the frames' ids. */
static int segment_build_inlines(struct segment *s)
{
	const struct store_tables *t = &s->tables;
	uint32_t at = 0;

	s->inlines_end = calloc(t->frames_n + 1, sizeof(*s->inlines_end));
	if (!s->inlines_end)
		return -ENOMEM;
	for (size_t i = 0; i < t->frames_n; i++) {
		while (at < t->inlines_n && t->inlines[at].frame <= t->frames[i].id)
			at++;
		s->inlines_end[i + 1] = at;
	}
	return 0;
}

uint32_t segment_inlines(const struct segment *s, uint32_t frame_index, uint32_t *ret_n)
{
	if (!frame_index) {
		*ret_n = 0;
		return 0;
	}
	*ret_n = s->inlines_end[frame_index] - s->inlines_end[frame_index - 1];
	return s->inlines_end[frame_index - 1];
}

void segment_release(struct segment *s)
{
	idmap_release(&s->binaries);
	idmap_release(&s->functions);
	idmap_release(&s->frames);
	idmap_release(&s->stacks);
	idmap_release(&s->processes);
	idmap_release(&s->threads);
	free(s->inlines_end);
	if (s->loaded)
		store_tables_release(&s->tables);
	if (s->reader)
		store_reader_close(s->reader);
	free(s->path);
	*s = (struct segment){ 0 };
}

int segment_load(struct profile *p, struct segment *s)
{
	int r;

	if (s->loaded)
		return 0;
	r = store_read_tables(s->reader, &s->tables);
	if (r < 0)
		return profile_fail(p, s, r);
	s->loaded = true;
	r = segment_build_indices(s);
	if (r == 0)
		r = segment_build_inlines(s);
	return r < 0 ? profile_fail(p, NULL, r) : 0;
}

int segment_select_ticks(const struct profile *p, const struct query_selection *s, uint32_t segment,
			 struct hmap *ret)
{
	hmap_release(ret);
	hmap_init(ret, sizeof(uint32_t), sizeof(uint8_t), 0);
	for (size_t i = 0; i < p->ticks_n; i++)
		if (p->ticks[i].segment == segment && query_selects_tick(p, s, &p->ticks[i]) &&
		    !hmap_put(ret, &p->ticks[i].id, NULL))
			return -ENOMEM;
	return 0;
}

const struct binary *segment_binary(const struct segment *s, uint32_t id)
{
	uint32_t i = idmap_find(&s->binaries, id);

	return i ? &s->tables.binaries[i - 1] : NULL;
}

const struct function *segment_function(const struct segment *s, uint32_t id)
{
	uint32_t i = idmap_find(&s->functions, id);

	return i ? &s->tables.functions[i - 1] : NULL;
}

const struct frame *segment_frame(const struct segment *s, uint32_t id)
{
	uint32_t i = idmap_find(&s->frames, id);

	return i ? &s->tables.frames[i - 1] : NULL;
}
