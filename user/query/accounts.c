/* SPDX-License-Identifier: Apache-2.0 */
#include "query/accounts.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/hmap.h"
#include "base/strings.h"
#include "query/aggregate.h"
#include "query/rows.h"
#include "query/segment.h"

struct collector {
	struct query_accounts accounts;
	size_t cap;
	const struct query_selection *selection;
	const struct profile *profile;
	const struct segment *segment; /* the one at hand */
	struct hmap selected;	       /* its tick ids */
	struct hmap index;	       /* struct process * -> index */
	struct hmap same;	       /* struct meaning -> struct place */
	struct strings *strings;
};

/* A process that goes on in the next segment has a row of its own there. */
struct meaning {
	uint64_t start_ns;
	uint32_t pid, comm, exe, cmdline;
};

struct place {
	const struct segment
		*segment; /* the last that has it: within one, two rows are two programs */
	size_t index;
};

static void collector_release(struct collector *c)
{
	hmap_release(&c->selected);
	hmap_release(&c->index);
	hmap_release(&c->same);
	if (c->strings)
		strings_free(c->strings);
	query_accounts_release(&c->accounts);
}

static struct place *find_place(struct collector *c, const struct process *process, bool *ret_new)
{
	char comm[sizeof(process->comm) + 1] = "";
	struct meaning key = { .start_ns = process->start_ns, .pid = process->pid };

	memcpy(comm, process->comm, sizeof(process->comm));
	if (strings_intern(c->strings, comm, &key.comm) < 0 ||
	    strings_intern(c->strings, process->exe, &key.exe) < 0 ||
	    strings_intern(c->strings, process->cmdline, &key.cmdline) < 0)
		return NULL;
	return hmap_put(&c->same, &key, ret_new);
}

static int find_account(struct collector *c, const struct segment *segment,
			const struct process *process, struct query_account **ret)
{
	struct query_accounts *a = &c->accounts;
	uint32_t *index;
	bool is_new, is_first;
	int r = array_reserve(&a->items, &c->cap, a->n + 1);

	if (r < 0)
		return r;
	index = hmap_put(&c->index, &process, &is_new);
	if (!index)
		return -ENOMEM;
	if (is_new) {
		struct place *place = find_place(c, process, &is_first);

		if (!place)
			return -ENOMEM;
		if (is_first || place->segment == segment) {
			place->index = a->n;
			a->items[a->n++] = (struct query_account){ .process = process };
		}
		place->segment = segment;
		*index = (uint32_t)place->index;
	}
	*ret = &a->items[*index];
	return 0;
}

static void add_saturating(int64_t *sum, int64_t v)
{
	if (__builtin_add_overflow(*sum, v, sum))
		*sum = v < 0 ? INT64_MIN : INT64_MAX;
}

static void add_change(struct seen *total, const struct seen *change)
{
	add_saturating(&total->cpu_ns, change->cpu_ns);
	add_saturating(&total->minor_faults, change->minor_faults);
	add_saturating(&total->major_faults, change->major_faults);
	add_saturating(&total->read_bytes, change->read_bytes);
	add_saturating(&total->write_bytes, change->write_bytes);
	add_saturating(&total->voluntary_switches, change->voluntary_switches);
	add_saturating(&total->involuntary_switches, change->involuntary_switches);
	/* Gauges: rows come by tick. */
	total->rss_anon_pages = change->rss_anon_pages;
	total->rss_file_pages = change->rss_file_pages;
	total->rss_shmem_pages = change->rss_shmem_pages;
	total->swap_pages = change->swap_pages;
}

static int collect_tick(void *data, uint32_t tick, const struct process_tick *p)
{
	struct collector *c = data;
	uint32_t i = idmap_find(&c->segment->processes, p->process);
	const struct process *process = i ? &c->segment->tables.processes[i - 1] : NULL;
	struct query_account *account;
	int r;

	if (!process || !hmap_get(&c->selected, &tick) ||
	    !query_selects_process(c->selection, process))
		return 0;
	r = find_account(c, c->segment, process, &account);
	if (r < 0)
		return r;
	add_change(&account->total, &p->change);
	account->ended |= p->ended != 0;
	return 0;
}

/* Rows of threads or processes that the profile does not have are nobody's. */
static int collect_row(void *data, const struct query_row *row)
{
	const struct query_value v = { row->row->weight, row->row->count };
	struct collector *c = data;
	struct query_account *account;
	int r;

	if (row->process->id == 0)
		return 0;
	r = find_account(c, &c->profile->segments[row->segment], row->process, &account);
	if (r == 0)
		query_value_add(&account->sampled, &v);
	return r;
}

static int collect_segment(struct collector *c, struct profile *p, uint32_t segment)
{
	struct segment *s = &p->segments[segment];
	int r = segment_load(p, s);

	if (r < 0)
		return r;
	c->segment = s;
	if (segment_select_ticks(p, c->selection, segment, &c->selected) < 0)
		return profile_fail(p, NULL, -ENOMEM);
	r = store_read_process_ticks(s->reader, collect_tick, c);
	return r < 0 ? profile_fail(p, r == -ENOMEM ? NULL : s, r) : 0;
}

static int collect_samples(struct collector *c, struct profile *p)
{
	struct query_selection s = *c->selection;
	int r;

	s.source = KYMO_SOURCE_CPU;
	r = query_each_row(p, &s, collect_row, c, &c->accounts.damaged_ticks);
	return r == -ENOMEM ? profile_fail(p, NULL, r) : r;
}

static void count_ticks(struct collector *c, const struct profile *p)
{
	for (size_t i = 0; i < p->ticks_n; i++) {
		const struct profile_tick *t = &p->ticks[i];

		if (!query_selects_tick(p, c->selection, t))
			continue;
		c->accounts.ticks++;
		c->accounts.duration_ns += t->end_ns > t->start_ns ? t->end_ns - t->start_ns : 0;
	}
}

static int compare_accounts(const void *pa, const void *pb)
{
	const struct query_account *a = pa, *b = pb;

	if (a->total.cpu_ns != b->total.cpu_ns)
		return a->total.cpu_ns > b->total.cpu_ns ? -1 : 1;
	if (a->sampled.weight != b->sampled.weight)
		return a->sampled.weight > b->sampled.weight ? -1 : 1;
	if (a->process->pid != b->process->pid)
		return a->process->pid < b->process->pid ? -1 : 1;
	return a->process->id < b->process->id ? -1 : a->process->id > b->process->id;
}

int query_accounts(struct profile *p, const struct query_selection *s, struct query_accounts *ret)
{
	_cleanup_(collector_release) struct collector c = { .selection = s, .profile = p };
	int r = strings_new(0, &c.strings);

	hmap_init(&c.index, sizeof(struct process *), sizeof(uint32_t), 0);
	hmap_init(&c.same, sizeof(struct meaning), sizeof(struct place), 0);
	count_ticks(&c, p);
	for (uint32_t i = 0; r == 0 && i < p->segments_n; i++)
		r = collect_segment(&c, p, i);
	if (r == 0)
		r = collect_samples(&c, p);
	if (r < 0)
		return r;
	if (c.accounts.n)
		qsort(c.accounts.items, c.accounts.n, sizeof(*c.accounts.items), compare_accounts);
	*ret = c.accounts;
	c.accounts = (struct query_accounts){ 0 };
	return 0;
}

/* ---- all together ---- */

struct summer {
	const struct query_selection *selection;
	const struct segment *segment;
	struct hmap selected;
	struct seen sum;
	bool any;
};

static void summer_release(struct summer *s)
{
	hmap_release(&s->selected);
}

static int sum_tick(void *data, uint32_t tick, const struct process_tick *p)
{
	struct summer *s = data;

	if (p->process) {
		uint32_t i = idmap_find(&s->segment->processes, p->process);

		if (!i ||
		    !query_selects_process(s->selection, &s->segment->tables.processes[i - 1]))
			return 0;
	}
	if (!hmap_get(&s->selected, &tick))
		return 0;
	add_change(&s->sum, &p->change);
	s->any = true;
	return 0;
}

int query_account_sum(struct profile *p, const struct query_selection *s, enum kymo_source source,
		      struct seen *ret, bool *ret_any)
{
	enum store_sum what = source == KYMO_SOURCE_FAULT ? STORE_SUM_FAULTS : STORE_SUM_CPU;
	_cleanup_(summer_release) struct summer summer = { .selection = s };

	for (uint32_t i = 0; i < p->segments_n; i++) {
		struct segment *segment = &p->segments[i];
		int r = segment_load(p, segment);

		if (r < 0)
			return r;
		summer.segment = segment;
		if (segment_select_ticks(p, s, i, &summer.selected) < 0)
			return profile_fail(p, NULL, -ENOMEM);
		if (s->pid || s->comm)
			r = store_read_process_ticks(segment->reader, sum_tick, &summer);
		else
			r = store_sum_process_ticks(segment->reader, what, sum_tick, &summer);
		if (r < 0)
			return profile_fail(p, r == -ENOMEM ? NULL : segment, r);
	}
	*ret = summer.sum;
	ret->rss_anon_pages = ret->rss_file_pages = ret->rss_shmem_pages = ret->swap_pages = 0;
	*ret_any = summer.any;
	return 0;
}

void query_accounts_release(struct query_accounts *a)
{
	free(a->items);
	*a = (struct query_accounts){ 0 };
}

double query_sampled_error(const struct query_value *sampled)
{
	return sampled->count ? (double)sampled->weight / sqrt((double)sampled->count) : 0;
}
