/* SPDX-License-Identifier: Apache-2.0 */
#include "query/rows.h"

#include <errno.h>
#include <string.h>

#include "query/segment.h"

static const struct process unknown_process = { .exe = "", .cmdline = "" };
static const struct thread unknown_thread;

struct rows {
	struct profile *profile;
	const struct query_selection *selection;
	int (*each)(void *data, const struct query_row *row);
	void *data;
	struct store_block block;
	uint32_t damaged;
};

/* The same samples as query_run takes, whatever the source. */
static bool selects(const struct query_selection *s, const struct query_row *row)
{
	if (s->source && s->source != row->row->source)
		return false;
	return query_selects_process(s, row->process);
}

static void look_up(const struct segment *s, struct query_row *row)
{
	uint32_t thread = idmap_find(&s->threads, row->row->thread);
	uint32_t process;

	row->thread_index = thread;
	row->thread = thread ? &s->tables.threads[thread - 1] : &unknown_thread;
	process = thread ? idmap_find(&s->processes, row->thread->process) : 0;
	row->process = process ? &s->tables.processes[process - 1] : &unknown_process;
	row->stack = idmap_find(&s->stacks, row->row->stack);
}

static int each_of_tick(struct rows *r, size_t tick)
{
	const struct profile_tick *t = &r->profile->ticks[tick];
	const struct segment *s = &r->profile->segments[t->segment];
	int e = store_read_block(s->reader, t->id, &r->block);

	if (e == -ENOMEM)
		return e;
	if (e < 0) {
		r->damaged++;
		return 0;
	}
	for (size_t i = 0; i < r->block.rows_n; i++) {
		struct query_row row = { .tick = tick,
					 .segment = t->segment,
					 .row = &r->block.rows[i] };

		if (row.row->count == 0)
			continue;
		look_up(s, &row);
		row.offsets_us = r->block.offsets_us + row.row->first_offset;
		e = selects(r->selection, &row) ? r->each(r->data, &row) : 0;
		if (e < 0)
			return e;
	}
	return 0;
}

int query_each_row(struct profile *p, const struct query_selection *s,
		   int (*each)(void *data, const struct query_row *row), void *data,
		   uint32_t *ret_damaged)
{
	struct rows r = { .profile = p, .selection = s, .each = each, .data = data };
	int e = 0;

	for (size_t i = 0; e == 0 && i < p->segments_n; i++)
		e = segment_load(p, &p->segments[i]);
	for (size_t i = 0; e == 0 && i < p->ticks_n; i++)
		if (query_selects_tick(p, s, &p->ticks[i]))
			e = each_of_tick(&r, i);
	store_block_release(&r.block);
	if (ret_damaged)
		*ret_damaged = r.damaged;
	return e;
}

static struct query_frame describe(const struct segment *s, uint32_t frame_id)
{
	const struct frame *f = segment_frame(s, frame_id);
	struct query_frame out = { .kind = FRAME_SYNTHETIC };

	if (!f)
		return out;
	out.id = idmap_find(&s->frames, frame_id);
	out.inlines_first = segment_inlines(s, out.id, &out.inlines_n);
	out.kind = f->kind;
	out.offset = f->offset;
	out.line = f->line;
	out.function = segment_function(s, f->function);
	out.binary = segment_binary(s, f->binary);
	if (!out.binary && out.function)
		out.binary = segment_binary(s, out.function->binary);
	return out;
}

const struct function *query_inline(const struct profile *p, uint32_t segment, uint32_t i,
				    uint32_t *ret_line)
{
	const struct segment *s = &p->segments[segment];

	*ret_line = s->tables.inlines[i].line;
	return segment_function(s, s->tables.inlines[i].function);
}

size_t query_stack(const struct profile *p, const struct query_row *row, struct query_frame *out,
		   size_t max)
{
	const struct segment *s = &p->segments[row->segment];
	uint32_t stack = row->stack;
	size_t n = 0;

	for (; stack && n < max; stack = idmap_find(&s->stacks, s->tables.stacks[stack - 1].parent))
		out[n++] = describe(s, s->tables.stacks[stack - 1].frame);
	return n;
}
