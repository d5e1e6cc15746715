/* SPDX-License-Identifier: Apache-2.0 */
/* The tables whose rows belong to a tick, read from the profile tick by tick. */
#include <errno.h>
#include <string.h>

#include "base/array.h"
#include "model/sample.h"
#include "query/plain_table.h"

static const struct profile_tick *tick_of(const struct plain_cursor *c)
{
	return &c->plain->profile->ticks[c->at];
}

/* ---- samples: the block has rows of several samples, here each stands for itself ---- */

enum {
	SAMPLE_TICK,
	SAMPLE_N,
	SAMPLE_TIME,
	SAMPLE_THREAD,
	SAMPLE_STACK,
	SAMPLE_SOURCE,
	SAMPLE_STATE,
	SAMPLE_END,
	SAMPLE_WEIGHT,
	SAMPLE_SEEN
};

int plain_sample_columns(struct buf *b)
{
	int r = buf_append_str(b, "tick INTEGER, n INTEGER, time_ns INTEGER, thread INTEGER, "
				  "stack INTEGER, source TEXT, state INTEGER, stack_end TEXT, "
				  "weight INTEGER");

	/* "seen:rss" is no name of a column. */
	for (enum value_id id = VALUE_SEEN_CPU; id < VALUE_MAX && r == 0; id++)
		r = buf_printf(b, ", seen_%s INTEGER", values[id].name + strlen("seen:"));
	return r;
}

int plain_sample_start(struct plain_cursor *c)
{
	const struct profile_tick *t = tick_of(c);
	int r = store_read_block(c->plain->profile->segments[t->segment].reader, t->id, &c->block);

	c->segment = t->segment;
	c->row = 0;
	c->sample = 0;
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		c->block.rows_n = 0;
		c->plain->damaged_ticks += !c->plain->damaged[c->at];
		c->plain->damaged[c->at] = true;
	}
	return 0;
}

static uint32_t process_of(const struct segment *s, uint32_t thread)
{
	return thread ? idmap_find(&s->processes, s->tables.threads[thread - 1].process) : 0;
}

static bool selects_row(const struct plain_cursor *c, const struct tick_row *row)
{
	static const struct process unknown = { .comm = "[unknown]" };
	const struct segment *s = &c->plain->profile->segments[c->segment];
	uint32_t process = process_of(s, idmap_find(&s->threads, row->thread));

	return row->count && row->source && row->source < KYMO_SOURCE_MAX &&
	       query_selects_process(&c->plain->selection,
				     process ? &s->tables.processes[process - 1] : &unknown);
}

int plain_sample_next(struct plain_cursor *c)
{
	if (c->n && c->row < c->block.rows_n && ++c->sample < c->block.rows[c->row].count)
		return 1;
	c->row += c->n > 0;
	c->sample = 0;
	while (c->row < c->block.rows_n && !selects_row(c, &c->block.rows[c->row]))
		c->row++;
	return c->row < c->block.rows_n;
}

/*
 * Of several samples with one key the file keeps the sum: they share the weight, the first has what is left over,
 * and all that was seen.
 */
static int64_t sample_weight(const struct plain_cursor *c, const struct tick_row *row)
{
	uint64_t share = row->weight / row->count;

	return plain_signed(c->sample ? share : row->weight - share * (row->count - 1));
}

static int64_t sample_seen(const struct plain_cursor *c, const struct tick_row *row,
			   enum value_id id)
{
	uint64_t less;

	if (c->sample || values[id].source != row->source)
		return 0;
	less = value_shrink(id, row, c->plain->page_bytes);
	return less ? -plain_signed(less)
		    : plain_signed(value_weight(id, row, c->plain->page_bytes));
}

void plain_sample_value(struct plain_cursor *c, sqlite3_context *to, int column)
{
	const struct tick_row *row = &c->block.rows[c->row];
	const struct segment *s = &c->plain->profile->segments[c->segment];
	int64_t v = 0;

	switch (column) {
	case SAMPLE_SOURCE:
		sqlite3_result_text(to, source_names[row->source], -1, SQLITE_STATIC);
		return;
	case SAMPLE_END:
		sqlite3_result_text(to,
				    end_names[row->end < KYMO_END_MAX ? row->end : KYMO_END_NONE],
				    -1, SQLITE_STATIC);
		return;
	case SAMPLE_TICK:
		v = c->at + 1;
		break;
	case SAMPLE_N:
		v = c->n;
		break;
	case SAMPLE_TIME:
		v = (int64_t)(tick_of(c)->start_ns +
			      1000ULL * c->block.offsets_us[row->first_offset + c->sample]);
		break;
	case SAMPLE_THREAD:
		v = plain_id(c->plain, PLAIN_THREAD, c->segment,
			     idmap_find(&s->threads, row->thread));
		break;
	case SAMPLE_STACK:
		v = plain_id(c->plain, PLAIN_STACK, c->segment, idmap_find(&s->stacks, row->stack));
		break;
	case SAMPLE_STATE:
		v = row->state;
		break;
	case SAMPLE_WEIGHT:
		v = sample_weight(c, row);
		break;
	default:
		v = sample_seen(c, row, (enum value_id)(VALUE_SEEN_CPU + column - SAMPLE_SEEN));
	}
	sqlite3_result_int64(to, v);
}

/* ---- what the store lists ---- */

static int list_start(struct plain_cursor *c, enum store_list_kind kind)
{
	const struct profile_tick *t = tick_of(c);
	int r;

	if (c->list && c->list_segment != t->segment) {
		store_list_close(c->list);
		c->list = NULL;
	}
	if (!c->list) {
		r = store_list_open(c->plain->profile->segments[t->segment].reader, kind, &c->list);
		if (r < 0)
			return r;
	}
	c->segment = c->list_segment = t->segment;
	store_list_start(c->list, t->id);
	return 0;
}

int plain_account_columns(struct buf *b)
{
	return buf_append_str(
		b, "tick INTEGER, process INTEGER, ended INTEGER, cpu_ns INTEGER, "
		   "rss_anon_bytes INTEGER, rss_file_bytes INTEGER, rss_shmem_bytes INTEGER, "
		   "swap_bytes INTEGER, minor_faults INTEGER, major_faults INTEGER, "
		   "read_bytes INTEGER, write_bytes INTEGER, voluntary_switches INTEGER, "
		   "involuntary_switches INTEGER");
}

int plain_account_start(struct plain_cursor *c)
{
	return list_start(c, STORE_LIST_PROCESS_TICK);
}

int plain_account_next(struct plain_cursor *c)
{
	static const struct process unknown = { .comm = "[unknown]" };
	const struct segment *s = &c->plain->profile->segments[c->segment];
	int r;

	while ((r = store_list_next(c->list, &c->item)) > 0) {
		c->index = idmap_find(&s->processes, c->item.process.process);
		if (query_selects_process(&c->plain->selection,
					  c->index ? &s->tables.processes[c->index - 1] : &unknown))
			break;
	}
	return r;
}

/* A reading in pages, from a file that may say anything. */
static int64_t pages(const struct plain_cursor *c, int64_t n)
{
	int64_t bytes;

	if (__builtin_mul_overflow(n, (int64_t)(c->plain->page_bytes & UINT32_MAX), &bytes))
		return n < 0 ? INT64_MIN : INT64_MAX;
	return bytes;
}

void plain_account_value(struct plain_cursor *c, sqlite3_context *to, int column)
{
	const struct process_tick *p = &c->item.process;
	const struct seen *s = &p->change;
	const int64_t columns[] = {
		c->at + 1,
		plain_id(c->plain, PLAIN_PROCESS, c->segment, c->index),
		p->ended,
		s->cpu_ns,
		pages(c, s->rss_anon_pages),
		pages(c, s->rss_file_pages),
		pages(c, s->rss_shmem_pages),
		pages(c, s->swap_pages),
		s->minor_faults,
		s->major_faults,
		s->read_bytes,
		s->write_bytes,
		s->voluntary_switches,
		s->involuntary_switches,
	};

	sqlite3_result_int64(to, columns[column]);
}

int plain_label_columns(struct buf *b)
{
	return buf_append_str(b, "tick INTEGER, metric INTEGER, value INTEGER");
}

int plain_label_start(struct plain_cursor *c)
{
	int64_t n = plain_metric_count(c->plain);

	return n < 0 ? (int)n : list_start(c, STORE_LIST_LABEL);
}

int plain_label_next(struct plain_cursor *c)
{
	return store_list_next(c->list, &c->item);
}

void plain_label_value(struct plain_cursor *c, sqlite3_context *to, int column)
{
	const struct plain_base *b = &c->plain->bases[c->segment];
	uint32_t index = idmap_find(&b->metric_ids, c->item.label.id);

	sqlite3_result_int64(to, column == 0   ? c->at + 1
				 : column == 1 ? (index ? (int64_t)b->metrics + index : 0)
					       : c->item.label.value);
}

int plain_quality_columns(struct buf *b)
{
	return buf_append_str(b, "tick INTEGER, counter TEXT, value INTEGER");
}

int plain_quality_start(struct plain_cursor *c)
{
	return list_start(c, STORE_LIST_QUALITY);
}

int plain_quality_next(struct plain_cursor *c)
{
	return store_list_next(c->list, &c->item);
}

void plain_quality_value(struct plain_cursor *c, sqlite3_context *to, int column)
{
	if (column == 1)
		sqlite3_result_text(to, c->item.quality.counter, -1, SQLITE_TRANSIENT);
	else
		sqlite3_result_int64(to, column ? c->item.quality.value : c->at + 1);
}

/* ---- metrics and events: few, read whole when they are first asked for ---- */

struct load {
	struct plain *plain;
	uint32_t segment;
	struct hmap ticks; /* id -> index */
};

static int add_metric(void *data, const struct health_metric *m)
{
	struct load *l = data;
	struct plain *q = l->plain;
	struct plain_metric *to;

	if (array_reserve(&q->metrics, &q->metrics_cap, q->metrics_n + 1) < 0)
		return -ENOMEM;
	to = &q->metrics[q->metrics_n];
	*to = (struct plain_metric){ .id = m->id, .kind = m->kind };
	if (strings_intern(q->texts, m->name, &to->name) < 0 ||
	    strings_intern(q->texts, m->labels, &to->labels) < 0 ||
	    strings_intern(q->texts, m->unit, &to->unit) < 0)
		return -ENOMEM;
	q->metrics_n++;
	return 0;
}

int64_t plain_metric_count(struct plain *q)
{
	for (uint32_t i = 0; !q->has_metrics && i < q->profile->segments_n; i++) {
		struct load l = { .plain = q, .segment = i };
		size_t first = q->metrics_n;
		int r;

		q->bases[i].metrics = (uint32_t)first;
		r = store_read_metrics(q->profile->segments[i].reader, add_metric, &l);
		if (r == 0 && q->metrics_n > first)
			r = idmap_build(&q->bases[i].metric_ids, &q->metrics[first].id,
					sizeof(q->metrics[0]), q->metrics_n - first);
		if (r < 0)
			return r;
	}
	q->has_metrics = true;
	return (int64_t)q->metrics_n + 1;
}

static bool selects_event(const struct load *l, const struct event *e)
{
	const struct query_selection *s = &l->plain->selection;
	const struct segment *segment = &l->plain->profile->segments[l->segment];
	uint32_t process = process_of(segment, idmap_find(&segment->threads, e->thread));

	if (!s->pid && !s->comm)
		return true;
	return process && query_selects_process(s, &segment->tables.processes[process - 1]);
}

static int add_event(void *data, uint32_t tick, const struct event *e)
{
	struct load *l = data;
	struct plain *q = l->plain;
	const uint32_t *index = hmap_get(&l->ticks, &tick);
	struct plain_event *to;

	if (!index || !selects_event(l, e))
		return 0;
	if (array_reserve(&q->events, &q->events_cap, q->events_n + 1) < 0)
		return -ENOMEM;
	to = &q->events[q->events_n];
	*to = (struct plain_event){ .tick = *index, .segment = l->segment, .event = *e };
	to->event.fields = NULL; /* the store's */
	if (strings_intern(q->texts, e->fields, &to->fields) < 0)
		return -ENOMEM;
	q->events_n++;
	return 0;
}

static int load_events(struct load *l)
{
	struct plain *q = l->plain;

	hmap_init(&l->ticks, sizeof(uint32_t), sizeof(uint32_t), 0);
	for (uint32_t i = 0; i < q->profile->ticks_n; i++) {
		uint32_t *index;

		if (q->profile->ticks[i].segment != l->segment || !q->ticks[i])
			continue;
		index = hmap_put(&l->ticks, &q->profile->ticks[i].id, NULL);
		if (!index)
			return -ENOMEM;
		*index = i;
	}
	return store_read_events(q->profile->segments[l->segment].reader, add_event, l);
}

int64_t plain_event_count(struct plain *q)
{
	for (uint32_t i = 0; !q->has_events && i < q->profile->segments_n; i++) {
		struct load l = { .plain = q, .segment = i };
		int r = load_events(&l);

		hmap_release(&l.ticks);
		if (r < 0)
			return r;
	}
	q->has_events = true;
	return (int64_t)q->events_n + 1;
}
