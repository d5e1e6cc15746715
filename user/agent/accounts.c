/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/accounts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hmap.h"

#define PROCESSES_MAX	65536
#define VANISHED_SWEEPS 10

struct key {
	uint64_t start_ns;
	uint32_t pid;
	uint32_t pad;
};

struct account {
	struct kymo_counters told; /* totals up to which changes have been put into ticks */
	struct kymo_counters sum;  /* of the sweep at hand */
	struct kymo_task first;	   /* whose it is: the record that made the account */
	uint64_t sweep;		   /* the last one that saw it, whose sum this is */
	uint64_t heard;		   /* the last one before which something was told of it */
	uint64_t first_sweep;
	bool ended;
};

struct accounts {
	struct merge *merge;
	uint64_t start_boot_ns; /* of the baseline */
	accounts_process_fn process;
	void *data;
	struct hmap by_key; /* struct key -> struct account */
	uint64_t sweep;
	bool tell_all; /* the next sweep is a profile's first */
	struct accounts_stats stats;
};

int accounts_new(struct merge *merge, accounts_process_fn process, void *data,
		 struct accounts **ret)
{
	struct accounts *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	a->merge = merge;
	a->process = process;
	a->data = data;
	hmap_init(&a->by_key, sizeof(struct key), sizeof(struct account), PROCESSES_MAX);
	*ret = a;
	return 0;
}

void accounts_free(struct accounts *a)
{
	if (!a)
		return;
	hmap_release(&a->by_key);
	free(a);
}

static struct key key_of(const struct kymo_task *task)
{
	return (struct key){ .start_ns = task->who.process_start_ns, .pid = task->who.pid };
}

static const struct kymo_counters no_memory = {
	.rss_anon_pages = -1, .rss_file_pages = -1, .rss_shmem_pages = -1, .swap_pages = -1
};

static bool has_memory(const struct kymo_counters *c)
{
	return c->rss_anon_pages >= 0;
}

static void add(struct kymo_counters *sum, const struct kymo_task *task)
{
	const struct kymo_counters *c = &task->counters;

	sum->cpu_ns += c->cpu_ns;
	sum->minor_faults += c->minor_faults;
	sum->major_faults += c->major_faults;
	sum->read_bytes += c->read_bytes;
	sum->write_bytes += c->write_bytes;
	sum->voluntary_switches += c->voluntary_switches;
	sum->involuntary_switches += c->involuntary_switches;
	if (!has_memory(c))
		return;
	sum->rss_anon_pages = c->rss_anon_pages;
	sum->rss_file_pages = c->rss_file_pages;
	sum->rss_shmem_pages = c->rss_shmem_pages;
	sum->swap_pages = c->swap_pages;
}

static struct account *account_get(struct accounts *a, const struct kymo_task *task)
{
	struct key key = key_of(task);
	struct account *account;
	bool new;

	account = hmap_put(&a->by_key, &key, &new);
	if (!account) {
		a->stats.dropped++;
		return NULL;
	}
	if (new) {
		account->told = no_memory;
		account->first = *task;
		account->first_sweep = a->sweep;
		account->heard = a->sweep;
	} else if (task->who.pid == task->who.tid) {
		account->first = *task;
	}
	return account;
}

void accounts_sweep_begin(struct accounts *a)
{
	if (!a->sweep++)
		a->start_boot_ns = clock_boot_ns();
}

int accounts_thread(struct accounts *a, const struct kymo_task *task)
{
	struct account *account = account_get(a, task);

	if (!account)
		return -ENOSPC;
	if (account->sweep != a->sweep) {
		account->sweep = a->sweep;
		account->sum = no_memory;
	}
	account->heard = a->sweep;
	add(&account->sum, task);
	return 0;
}

/* A thread that ended while the sweep ran may be missing from its sum: totals never step back. */
static int64_t advance(__u64 *told, __u64 total)
{
	__u64 change = total > *told ? total - *told : 0;

	*told += change;
	return (int64_t)change;
}

/* The end is the truth: what a sweep counted too much, as it raced with a release, is taken back. */
static int64_t settle(__u64 *told, __u64 total)
{
	int64_t change = (int64_t)(total - *told);

	*told = total;
	return change;
}

static void take_changes(struct kymo_counters *told, const struct kymo_counters *total, bool ended,
			 struct seen *ret)
{
	int64_t (*take)(__u64 * told, __u64 total) = ended ? settle : advance;

	ret->cpu_ns = take(&told->cpu_ns, total->cpu_ns);
	ret->minor_faults = take(&told->minor_faults, total->minor_faults);
	ret->major_faults = take(&told->major_faults, total->major_faults);
	ret->read_bytes = take(&told->read_bytes, total->read_bytes);
	ret->write_bytes = take(&told->write_bytes, total->write_bytes);
	ret->voluntary_switches = take(&told->voluntary_switches, total->voluntary_switches);
	ret->involuntary_switches = take(&told->involuntary_switches, total->involuntary_switches);
}

static int64_t gauge(int64_t pages)
{
	return pages < 0 ? 0 : pages;
}

static bool memory_changed(const struct kymo_counters *told, const struct kymo_counters *now)
{
	return has_memory(now) && (told->rss_anon_pages != now->rss_anon_pages ||
				   told->rss_file_pages != now->rss_file_pages ||
				   told->rss_shmem_pages != now->rss_shmem_pages ||
				   told->swap_pages != now->swap_pages);
}

/* An exit takes the memory map down long before its end is told: the last reading stands. */
static void set_memory(struct kymo_counters *told, const struct kymo_counters *now,
		       struct seen *ret)
{
	if (has_memory(now)) {
		told->rss_anon_pages = now->rss_anon_pages;
		told->rss_file_pages = now->rss_file_pages;
		told->rss_shmem_pages = now->rss_shmem_pages;
		told->swap_pages = now->swap_pages;
	}
	ret->rss_anon_pages = gauge(told->rss_anon_pages);
	ret->rss_file_pages = gauge(told->rss_file_pages);
	ret->rss_shmem_pages = gauge(told->rss_shmem_pages);
	ret->swap_pages = gauge(told->swap_pages);
}

/* Puts the change into the open tick; processes without a change are left out. 0: the program that it runs now. */
static int tell(struct accounts *a, struct account *account, uint32_t process,
		const struct kymo_counters *total, bool ended)
{
	struct process_tick row = { .process = process, .ended = ended };
	bool changed = memory_changed(&account->told, total) || ended ||
		       (a->tell_all && !account->ended);

	take_changes(&account->told, total, ended, &row.change);
	changed |= row.change.cpu_ns || row.change.minor_faults || row.change.major_faults ||
		   row.change.read_bytes || row.change.write_bytes ||
		   row.change.voluntary_switches || row.change.involuntary_switches;
	set_memory(&account->told, total, &row.change);
	if (!changed)
		return 0;
	/* Asked every time: an exec makes it another process, its executable may be known by now. */
	if (!row.process)
		row.process = a->process(a->data, &account->first);
	return row.process ? merge_process_tick(a->merge, &row) : -ENOSPC;
}

/* What was used before the recording is not the recording's. */
static void baseline(struct account *account)
{
	struct seen unused;

	take_changes(&account->told, &account->sum, false, &unused);
}

/* No longer in the sweep. Where that was not told as an end, the end was lost with a full ring. */
static int forget_gone(struct accounts *a)
{
	_cleanup_free_ struct key *gone = NULL;
	size_t gone_n = 0, gone_cap = 0, pos = 0;
	const void *key;
	void *value;

	while (hmap_next(&a->by_key, &pos, &key, &value)) {
		const struct account *account = value;

		/* the end of one that was missing may still be on its way: it comes after a grace period */
		if (account->heard + VANISHED_SWEEPS > a->sweep)
			continue;
		if (array_reserve(&gone, &gone_cap, gone_n + 1) < 0)
			return -ENOMEM;
		a->stats.vanished += !account->ended;
		gone[gone_n++] = *(const struct key *)key;
	}
	for (size_t i = 0; i < gone_n; i++)
		hmap_remove(&a->by_key, &gone[i]);
	return 0;
}

int accounts_sweep_end(struct accounts *a, uint64_t begun_boot_ns)
{
	bool first = a->sweep == 1;
	size_t pos = 0;
	void *value;
	int r = 0;

	while (hmap_next(&a->by_key, &pos, NULL, &value)) {
		struct account *account = value;
		int q = 0;

		/* One that has ended told its end: what an earlier sweep had of it, or a later of its zombie, is less. */
		if (account->ended || account->sweep != a->sweep ||
		    (!first && account->first.who.process_start_ns > begun_boot_ns))
			continue;
		/* Came into the cgroup that is recorded: what it used before is not the recording's. */
		if (first || (account->first_sweep == a->sweep &&
			      account->first.who.process_start_ns < a->start_boot_ns))
			baseline(account);
		else
			q = tell(a, account, 0, &account->sum, false);
		if (q < 0)
			r = q;
	}
	a->tell_all = false;
	if (r == 0)
		r = forget_gone(a);
	return r;
}

void accounts_renew(struct accounts *a)
{
	a->tell_all = true;
}

/* Which process's totals these are; NULL: nothing of them is the recording's, or *ret_error at the bound. */
static struct account *account_of(struct accounts *a, const struct kymo_task *task, int *ret_error)
{
	struct key key = key_of(task);
	struct account *account;

	*ret_error = 0;
	/* Before the first sweep nothing is. */
	if (!a->sweep)
		return NULL;
	/* Began before us and was never swept: how much is cannot be known. */
	if (!hmap_get(&a->by_key, &key) && task->who.process_start_ns < a->start_boot_ns)
		return NULL;
	account = account_get(a, task);
	if (!account)
		*ret_error = -ENOSPC;
	return account;
}

int accounts_replaced(struct accounts *a, const struct kymo_task *task, uint32_t process)
{
	struct account *account;
	int r;

	if (!process)
		return 0;
	account = account_of(a, task, &r);
	return account ? tell(a, account, process, &task->counters, false) : r;
}

int accounts_ended(struct accounts *a, const struct kymo_task *task)
{
	int r;
	struct account *account = account_of(a, task, &r);

	if (!account)
		return r;
	r = tell(a, account, 0, &task->counters, true);
	/* Kept for a while: two threads that died at once both tell, and a zombie stays in the sweep. */
	account->ended = true;
	account->heard = a->sweep;
	return r;
}

void accounts_stats(const struct accounts *a, struct accounts_stats *ret)
{
	*ret = a->stats;
}
