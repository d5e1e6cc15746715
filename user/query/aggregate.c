/* SPDX-License-Identifier: Apache-2.0 */
#include "query/aggregate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

static void weight_add(uint64_t *sum, uint64_t v)
{
	if (__builtin_add_overflow(*sum, v, sum))
		*sum = UINT64_MAX;
}

void query_value_add(struct query_value *sum, const struct query_value *v)
{
	weight_add(&sum->weight, v->weight);
	if (__builtin_add_overflow(sum->count, v->count, &sum->count))
		sum->count = UINT64_MAX;
}

static void add_wrapping(int64_t *sum, int64_t v)
{
	*sum = (int64_t)((uint64_t)*sum + (uint64_t)v);
}

void seen_add(struct seen *sum, const struct seen *s)
{
	add_wrapping(&sum->cpu_ns, s->cpu_ns);
	add_wrapping(&sum->rss_anon_pages, s->rss_anon_pages);
	add_wrapping(&sum->rss_file_pages, s->rss_file_pages);
	add_wrapping(&sum->rss_shmem_pages, s->rss_shmem_pages);
	add_wrapping(&sum->swap_pages, s->swap_pages);
	add_wrapping(&sum->minor_faults, s->minor_faults);
	add_wrapping(&sum->major_faults, s->major_faults);
	add_wrapping(&sum->read_bytes, s->read_bytes);
	add_wrapping(&sum->write_bytes, s->write_bytes);
	add_wrapping(&sum->voluntary_switches, s->voluntary_switches);
	add_wrapping(&sum->involuntary_switches, s->involuntary_switches);
}

/* ---- who ---- */

static int add_process(struct aggregate *a, const struct process *info, uint32_t *ret)
{
	struct {
		uint64_t start_ns, pid;
	} key = { info->start_ns, info->pid };
	uint32_t *index;
	bool is_new;
	int r;

	r = array_reserve(&a->processes, &a->processes_cap, a->processes_n + 1);
	if (r < 0)
		return r;
	index = hmap_put(&a->process_keys, &key, &is_new);
	if (!index)
		return -ENOMEM;
	if (is_new) {
		*index = (uint32_t)a->processes_n;
		a->processes[a->processes_n++] = (struct query_process){
			.pid = info->pid,
			.start_ns = info->start_ns,
			.comm = info->comm,
			.exe = info->exe ? info->exe : "",
			.cmdline = info->cmdline ? info->cmdline : "",
		};
	}
	*ret = *index;
	return 0;
}

static int view_threads(struct aggregate *a)
{
	static const struct process unknown = { .comm = "[unknown]" };
	const struct segment *s = a->segment;
	size_t n = s->tables.threads_n;

	a->threads = calloc(n + 1, sizeof(*a->threads));
	if (!a->threads)
		return -ENOMEM;
	for (size_t i = 0; i <= n; i++) {
		uint32_t p = i ? idmap_find(&s->processes, s->tables.threads[i - 1].process) : 0;
		const struct process *info = p ? &s->tables.processes[p - 1] : &unknown;
		struct thread_view *v = &a->threads[i];
		int r = add_process(a, info, &v->process);

		if (r < 0)
			return r;
		if (!a->selection->merge_processes) {
			v->comm = item_of_comm(&a->items, info->comm);
			if (!v->comm)
				return -ENOMEM;
		}
		v->info = info;
		v->selected = query_selects_process(a->selection, info);
	}
	return 0;
}

/* ---- where ---- */

static uint32_t frame_item(struct aggregate *a, uint32_t frame_id)
{
	const struct segment *s = a->segment;
	uint32_t i = idmap_find(&s->frames, frame_id);

	if (!a->frame_items[i])
		a->frame_items[i] =
			item_of_frame(&a->items, s, i ? &s->tables.frames[i - 1] : NULL);
	return a->frame_items[i];
}

static uint32_t inline_item(struct aggregate *a, uint32_t i)
{
	const struct segment *s = a->segment;

	if (!a->inline_items[i])
		a->inline_items[i] = item_of_inline(&a->items, s, s->tables.inlines[i].function);
	return a->inline_items[i];
}

static uint32_t first_inline(const struct aggregate *a, uint32_t stack, uint32_t *ret_n)
{
	const struct segment *s = a->segment;

	return segment_inlines(s, idmap_find(&s->frames, s->tables.stacks[stack - 1].frame), ret_n);
}

uint32_t aggregate_frame_levels(const struct aggregate *a, uint32_t stack)
{
	uint32_t n;

	first_inline(a, stack, &n);
	return 1 + n;
}

uint32_t aggregate_frame_item(struct aggregate *a, uint32_t stack, uint32_t level)
{
	uint32_t n;

	if (level)
		return inline_item(a, first_inline(a, stack, &n) + level - 1);
	return frame_item(a, a->segment->tables.stacks[stack - 1].frame);
}

uint32_t aggregate_leaf_item(struct aggregate *a, uint32_t stack)
{
	if (!stack)
		return item_of_no_stack(&a->items);
	return aggregate_frame_item(a, stack, aggregate_frame_levels(a, stack) - 1);
}

/* The new cell's index, or -ENOMEM. */
static int64_t add_cell(struct aggregate *a, uint32_t comm, uint32_t stack)
{
	uint32_t leaf = aggregate_leaf_item(a, stack);

	if (!leaf || array_reserve(&a->cells, &a->cells_cap, a->cells_n + 1) < 0)
		return -ENOMEM;
	if (a->selection->with_seen) {
		if (array_reserve(&a->seen, &a->seen_cap, a->cells_n + 1) < 0)
			return -ENOMEM;
		a->seen[a->cells_n] = (struct seen){ 0 };
	}
	a->cells[a->cells_n] = (struct cell){ .comm = comm, .stack = stack, .leaf = leaf };
	return (int64_t)a->cells_n++;
}

/* A stack belongs to one comm or a few, in a short list; kernel threads may share one by hundreds. */
#define LIST_MAX 8

static int64_t find_far_cell(struct aggregate *a, uint32_t comm, uint32_t stack)
{
	struct {
		uint32_t comm, stack;
	} key = { comm, stack };
	uint32_t *slot = hmap_put(&a->far_cells, &key, NULL);
	int64_t cell;

	if (!slot)
		return -ENOMEM;
	if (*slot)
		return *slot - 1;
	cell = add_cell(a, comm, stack);
	if (cell >= 0)
		*slot = (uint32_t)cell + 1;
	return cell;
}

/* The index of the cell, or -ENOMEM. */
static int64_t find_cell(struct aggregate *a, uint32_t comm, uint32_t stack)
{
	unsigned n = 0;
	int64_t cell;

	for (uint32_t at = a->first_cell[stack]; at; at = a->cells[at - 1].next) {
		if (a->cells[at - 1].comm == comm)
			return at - 1;
		if (++n == LIST_MAX)
			return find_far_cell(a, comm, stack);
	}
	cell = add_cell(a, comm, stack);
	if (cell >= 0) {
		a->cells[cell].next = a->first_cell[stack];
		a->first_cell[stack] = (uint32_t)cell + 1;
	}
	return cell;
}

/* ---- when ---- */

static int touch(struct aggregate *a, uint32_t item, const struct query_value *v)
{
	size_t old = a->hot_cap;
	int r;

	if (item >= a->hot_cap) {
		r = array_reserve(&a->hot, &a->hot_cap, item + 1);
		if (r < 0)
			return r;
		memset(a->hot + old, 0, (a->hot_cap - old) * sizeof(*a->hot));
	}
	if (a->hot[item].count == 0) {
		r = array_reserve(&a->touched, &a->touched_cap, a->touched_n + 1);
		if (r < 0)
			return r;
		a->touched[a->touched_n++] = item;
	}
	query_value_add(&a->hot[item], v);
	return 0;
}

static void take_hottest(struct aggregate *a, struct query_tick *tick)
{
	for (size_t i = 0; i < a->touched_n; i++) {
		uint32_t item = a->touched[i];

		if (!tick->item || a->hot[item].weight > tick->item_self.weight) {
			tick->item = item;
			tick->item_self = a->hot[item];
		}
		a->hot[item] = (struct query_value){ 0 };
	}
	a->touched_n = 0;
}

static int add_row(struct aggregate *a, const struct tick_row *row, struct query_tick *tick)
{
	struct query_value v = { .count = row->count };
	const struct thread_view *who = &a->threads[idmap_find(&a->segment->threads, row->thread)];
	uint32_t stack;
	int64_t cell;

	if (!who->selected || row->count == 0)
		return 0;
	v.weight = value_weight(a->value, row, a->page_bytes);
	if (values[a->value].is_gauge)
		weight_add(&a->shrunk, value_shrink(a->value, row, a->page_bytes));
	stack = idmap_find(&a->segment->stacks, row->stack);
	cell = find_cell(a, who->comm, stack);
	if (cell < 0)
		return (int)cell;
	query_value_add(&a->cells[cell].value, &v);
	query_value_add(&a->processes[who->process].value, &v);
	query_value_add(&tick->total, &v);
	if (a->source == KYMO_SOURCE_IO && row->state & KYMO_STATE_IO_WRITE)
		query_value_add(&a->written, &v);
	a->ends[row->end < KYMO_END_MAX ? row->end : KYMO_END_NONE] += row->count;
	if (a->selection->with_seen)
		seen_add(&a->seen[cell], &row->seen);
	if (a->selection->with_stops && query_is_broken_end(row->end) &&
	    ends_add(&a->stops, &a->items, a->segment, who->info->comm, stack, row) < 0)
		return -ENOMEM;
	return touch(a, a->cells[cell].leaf, &v);
}

/* Stacks are looked up all over memory; asked for this far ahead, they are there when they are needed. */
#define AHEAD 12

static void prefetch(const struct aggregate *a, const struct store_block *block, size_t i)
{
	if (i + 2 * AHEAD < block->rows_n)
		__builtin_prefetch(&a->first_cell[idmap_find(&a->segment->stacks,
							     block->rows[i + 2 * AHEAD].stack)]);
	if (i + AHEAD < block->rows_n) {
		uint32_t stack = idmap_find(&a->segment->stacks, block->rows[i + AHEAD].stack);

		if (a->first_cell[stack])
			__builtin_prefetch(&a->cells[a->first_cell[stack] - 1], 1);
	}
}

static int add_tick(struct aggregate *a, size_t index, struct store_block *block)
{
	const struct profile_tick *t = &a->profile->ticks[index];
	struct query_tick tick = { .tick = index };
	int r = store_read_block(a->segment->reader, t->id, block);

	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		a->damaged_ticks++;
		block->rows_n = 0;
	}
	a->sampled_ticks += block->rows_n > 0;
	for (size_t i = 0; i < block->rows_n; i++) {
		prefetch(a, block, i);
		if (block->rows[i].source != a->source)
			continue;
		r = add_row(a, &block->rows[i], &tick);
		if (r < 0)
			return r;
	}
	take_hottest(a, &tick);
	r = array_reserve(&a->ticks, &a->ticks_cap, a->ticks_n + 1);
	if (r < 0)
		return r;
	a->ticks[a->ticks_n++] = tick;
	a->duration_ns += t->end_ns > t->start_ns ? t->end_ns - t->start_ns : 0;
	query_value_add(&a->total, &tick.total);
	return 0;
}

int aggregate_segment(struct aggregate *a, uint32_t segment)
{
	const struct segment *s = &a->profile->segments[segment];
	struct store_block block = { 0 };
	int r;

	a->segment = s;
	a->frame_items = calloc(s->tables.frames_n + 1, sizeof(*a->frame_items));
	a->first_cell = calloc(s->tables.stacks_n + 1, sizeof(*a->first_cell));
	hmap_init(&a->far_cells, 2 * sizeof(uint32_t), sizeof(uint32_t), 0);
	a->inline_items = calloc(s->tables.inlines_n + 1, sizeof(*a->inline_items));
	if (!a->frame_items || !a->first_cell || !a->inline_items)
		return -ENOMEM;
	r = view_threads(a);
	if (r == 0 && a->selection->with_stops)
		r = ends_segment(&a->stops, s);
	for (size_t i = 0; r == 0 && i < a->profile->ticks_n; i++)
		if (a->profile->ticks[i].segment == segment &&
		    query_selects_tick(a->profile, a->selection, &a->profile->ticks[i]))
			r = add_tick(a, i, &block);
	store_block_release(&block);
	return r;
}

void aggregate_segment_done(struct aggregate *a)
{
	free(a->threads);
	free(a->frame_items);
	free(a->inline_items);
	free(a->first_cell);
	hmap_release(&a->far_cells);
	a->threads = NULL;
	a->frame_items = NULL;
	a->inline_items = NULL;
	a->first_cell = NULL;
	a->cells_n = 0;
	a->segment = NULL;
}
