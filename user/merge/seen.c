/* SPDX-License-Identifier: Apache-2.0 */
/* Seen at: the change of the kernel's counters between two samples of one thread (RSS: of one
 * process). */
#include <errno.h>

#include "merge/state.h"

#define SEEN_MAX (1U << 17) /* threads, processes; at the bound all start anew */

struct seen_thread {
	uint32_t thread;  /* id: another one is another life of the tid; 0 = none yet */
	uint32_t renewed; /* the ids of which it is one */
	uint64_t start_ns;
	uint64_t cpu_ns, minor_faults, major_faults, read_bytes, write_bytes;
	uint64_t voluntary_switches, involuntary_switches;
};

struct seen_process {
	uint64_t start_ns;
	bool known;
	int64_t rss_anon_pages, rss_file_pages, rss_shmem_pages, swap_pages;
};

void merge_seen_init(struct merge *m)
{
	hmap_init(&m->thread_seen, sizeof(uint32_t), sizeof(struct seen_thread), SEEN_MAX);
	hmap_init(&m->process_seen, sizeof(uint32_t), sizeof(struct seen_process), SEEN_MAX);
}

static void *put_or_restart(struct hmap *map, uint32_t key)
{
	void *value = hmap_put(map, &key, NULL);

	if (!value && map->count >= SEEN_MAX) {
		hmap_clear(map);
		value = hmap_put(map, &key, NULL);
	}
	return value;
}

int merge_seen_find(struct merge *m, const struct kymo_sample *head, uint32_t thread,
		    struct seen_last *ret)
{
	struct seen_last last = { put_or_restart(&m->thread_seen, head->who.tid),
				  put_or_restart(&m->process_seen, head->who.pid) };

	if (!last.thread || !last.process)
		return -ENOMEM;
	/* Ids have started anew: the thread has another one. */
	if (last.thread->renewed != m->renewed && last.thread->thread &&
	    last.thread->start_ns == head->who.thread_start_ns)
		last.thread->thread = thread;
	/* A reused id: what is there belongs to somebody else. */
	if (last.thread->thread != thread)
		last.thread->thread = 0;
	last.thread->renewed = m->renewed;
	if (last.process->start_ns != head->who.process_start_ns)
		*last.process = (struct seen_process){ .start_ns = head->who.process_start_ns };
	*ret = last;
	return 0;
}

static void take_thread(struct seen_thread *last, const struct kymo_sample *head, uint32_t thread,
			struct seen *sum)
{
	const struct kymo_counters *c = &head->counters;

	/* Unsigned differences wrap to the right signed ones. */
	if (last->thread) {
		sum->cpu_ns = (int64_t)(c->cpu_ns - last->cpu_ns);
		sum->minor_faults = (int64_t)(c->minor_faults - last->minor_faults);
		sum->major_faults = (int64_t)(c->major_faults - last->major_faults);
		sum->read_bytes = (int64_t)(c->read_bytes - last->read_bytes);
		sum->write_bytes = (int64_t)(c->write_bytes - last->write_bytes);
		sum->voluntary_switches =
			(int64_t)(c->voluntary_switches - last->voluntary_switches);
		sum->involuntary_switches =
			(int64_t)(c->involuntary_switches - last->involuntary_switches);
	}
	*last = (struct seen_thread){ .thread = thread,
				      .renewed = last->renewed,
				      .start_ns = head->who.thread_start_ns,
				      .cpu_ns = c->cpu_ns,
				      .minor_faults = c->minor_faults,
				      .major_faults = c->major_faults,
				      .read_bytes = c->read_bytes,
				      .write_bytes = c->write_bytes,
				      .voluntary_switches = c->voluntary_switches,
				      .involuntary_switches = c->involuntary_switches };
}

/* The counters come from another side: a sum that overflows must be no undefined behaviour. */
static int64_t change(int64_t now, int64_t before)
{
	return (int64_t)((uint64_t)now - (uint64_t)before);
}

static void take_process(struct seen_process *last, const struct kymo_sample *head,
			 struct seen *sum)
{
	const struct kymo_counters *c = &head->counters;

	/* -1: no memory map at this instant (in exit). The gauge before stays the base. */
	if (c->rss_anon_pages < 0)
		return;
	if (last->known) {
		sum->rss_anon_pages = change(c->rss_anon_pages, last->rss_anon_pages);
		sum->rss_file_pages = change(c->rss_file_pages, last->rss_file_pages);
		sum->rss_shmem_pages = change(c->rss_shmem_pages, last->rss_shmem_pages);
		sum->swap_pages = change(c->swap_pages, last->swap_pages);
	}
	*last = (struct seen_process){ .start_ns = head->who.process_start_ns,
				       .known = true,
				       .rss_anon_pages = c->rss_anon_pages,
				       .rss_file_pages = c->rss_file_pages,
				       .rss_shmem_pages = c->rss_shmem_pages,
				       .swap_pages = c->swap_pages };
}

void merge_seen_take(const struct seen_last *last, const struct kymo_sample *head, uint32_t thread,
		     struct seen *sum)
{
	struct seen change_now = { 0 };

	/*
	 * Seen by the clock alone: a fault's or a block's sample says itself what it cost, and would
	 * hide a part of the changes from whoever looks at the cpu samples.
	 */
	if (head->source != KYMO_SOURCE_CPU) {
		last->thread->start_ns = head->who.thread_start_ns;
		return;
	}
	take_thread(last->thread, head, thread, &change_now);
	take_process(last->process, head, &change_now);
	merge_seen_add(sum, &change_now);
}

static int64_t add(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

void merge_seen_add(struct seen *sum, const struct seen *c)
{
	sum->cpu_ns = add(sum->cpu_ns, c->cpu_ns);
	sum->rss_anon_pages = add(sum->rss_anon_pages, c->rss_anon_pages);
	sum->rss_file_pages = add(sum->rss_file_pages, c->rss_file_pages);
	sum->rss_shmem_pages = add(sum->rss_shmem_pages, c->rss_shmem_pages);
	sum->swap_pages = add(sum->swap_pages, c->swap_pages);
	sum->minor_faults = add(sum->minor_faults, c->minor_faults);
	sum->major_faults = add(sum->major_faults, c->major_faults);
	sum->read_bytes = add(sum->read_bytes, c->read_bytes);
	sum->write_bytes = add(sum->write_bytes, c->write_bytes);
	sum->voluntary_switches = add(sum->voluntary_switches, c->voluntary_switches);
	sum->involuntary_switches = add(sum->involuntary_switches, c->involuntary_switches);
}

void merge_thread_ended(struct merge *m, uint32_t tid)
{
	const struct seen_thread *last = hmap_get(&m->thread_seen, &tid);

	if (!last)
		return;
	merge_identity_ended(m, &m->threads, last->start_ns, tid);
	hmap_remove(&m->thread_seen, &tid);
}

void merge_process_ended(struct merge *m, uint32_t pid)
{
	const struct seen_process *last = hmap_get(&m->process_seen, &pid);

	if (!last)
		return;
	merge_identity_ended(m, &m->processes, last->start_ns, pid);
	hmap_remove(&m->process_seen, &pid);
}
