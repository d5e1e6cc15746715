/* SPDX-License-Identifier: Apache-2.0 */
/* The tables for unwinding, in the kernel's maps: rows, rules and pages before the file that uses them. */
#include <bpf/bpf.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/hmap.h"
#include "kern/state.h"
#include "kymo.skel.h"
#include "unwind/pool.h"
#include "unwind/rules.h"

/* What a file has in the maps. */
struct loaded {
	struct kymo_unwind_page *pages;
	uint16_t *ids; /* of its rules */
	uint32_t pages_n, ids_n;
	uint32_t page_base;
};

struct tables {
	struct unwind_pool pool;
	struct unwind_rules rules;
	struct hmap files; /* struct kymo_file_key -> struct loaded */
	int pools[KYMO_UNWIND_POOLS_MAX];
	uint32_t pools_n;
	struct unwind_runs pages; /* of the map, that are free */
	struct kymo_unwind_chunk chunk;
};

DEFINE_CLEANUP(struct unwind_table *, unwind_table_free);

static void loaded_free(struct tables *u, struct loaded *l)
{
	unwind_pool_free(&u->pool, l->pages, l->pages_n);
	for (uint32_t i = 0; i < l->ids_n; i++)
		if (l->ids[i] != KYMO_UNWIND_RULE_UNSUPPORTED)
			unwind_rules_put(&u->rules, l->ids[i]);
	if (l->pages_n)
		(void)unwind_runs_give(&u->pages, l->page_base, l->pages_n);
	free(l->pages);
	free(l->ids);
	*l = (struct loaded){ 0 };
}

/* Pools as far as the chunk's: maps of their own, so that memory grows with what is known. */
static int ensure_pool(struct kern *k, uint32_t chunk)
{
	struct tables *u = k->unwind;
	int outer = bpf_map__fd(k->skeleton->maps.unwind_pools);

	while (u->pools_n <= chunk / KYMO_UNWIND_POOL_CHUNKS) {
		int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "unwind_pool", sizeof(uint32_t),
					sizeof(struct kymo_unwind_chunk), KYMO_UNWIND_POOL_CHUNKS,
					NULL);

		if (fd < 0)
			return fd;
		if (bpf_map_update_elem(outer, &u->pools_n, &fd, BPF_ANY) < 0) {
			int r = -errno;

			close(fd);
			return r;
		}
		u->pools[u->pools_n++] = fd;
	}
	return 0;
}

static void copy_rows(struct kymo_unwind_row *to, const struct unwind_table *t,
		      const struct unwind_page *page, const uint16_t *ids)
{
	for (uint32_t i = 0; i < page->rows; i++) {
		const struct kymo_unwind_row *row = &t->rows[page->first + i];

		to[i] = (struct kymo_unwind_row){ .low = row->low, .rule = ids[row->rule] };
	}
}

/*
 * The rows of the pages from *i on that lie in one chunk. What other files have in it is written
 * again as it is.
 */
static int write_chunk(struct kern *k, const struct unwind_table *t, const struct loaded *l,
		       uint32_t *i)
{
	struct tables *u = k->unwind;
	uint32_t chunk = l->pages[*i].chunk, key = chunk % KYMO_UNWIND_POOL_CHUNKS;
	int r = ensure_pool(k, chunk), fd;

	if (r < 0)
		return r;
	fd = u->pools[chunk / KYMO_UNWIND_POOL_CHUNKS];
	if (bpf_map_lookup_elem(fd, &key, &u->chunk) < 0)
		return -errno;
	for (; *i < l->pages_n && l->pages[*i].chunk == chunk; (*i)++)
		copy_rows(&u->chunk.rows[l->pages[*i].first], t, &t->pages[*i], l->ids);
	return bpf_map_update_elem(fd, &key, &u->chunk, BPF_ANY) < 0 ? -errno : 0;
}

static int write_rules(struct kern *k, const struct loaded *l)
{
	int fd = bpf_map__fd(k->skeleton->maps.unwind_rules);

	for (uint32_t i = 0; i < l->ids_n; i++) {
		uint32_t id = l->ids[i];

		if (bpf_map_update_elem(fd, &id, &k->unwind->rules.rules[id], BPF_ANY) < 0)
			return -errno;
	}
	return 0;
}

static int write_pages(struct kern *k, const struct loaded *l)
{
	int fd = bpf_map__fd(k->skeleton->maps.unwind_pages);

	for (uint32_t i = 0; i < l->pages_n; i++) {
		uint32_t key = l->page_base + i;

		if (bpf_map_update_elem(fd, &key, &l->pages[i], BPF_ANY) < 0)
			return -errno;
	}
	return 0;
}

/* Places for all of the table's parts. Whatever was given is in *l, also on an error. */
static int place(struct tables *u, const struct unwind_table *t, struct loaded *l)
{
	int r;

	l->pages = calloc(t->pages_n, sizeof(*l->pages));
	l->ids = calloc(t->rules_n, sizeof(*l->ids));
	if (!l->pages || !l->ids)
		return -ENOMEM;
	r = unwind_pool_rules(&u->rules, t, l->ids);
	if (r < 0)
		return r;
	l->ids_n = t->rules_n;
	r = unwind_runs_take(&u->pages, t->pages_n, &l->page_base);
	if (r < 0)
		return r;
	r = unwind_pool_place(&u->pool, t, l->pages);
	if (r < 0) {
		(void)unwind_runs_give(&u->pages, l->page_base, t->pages_n);
		return r;
	}
	l->pages_n = t->pages_n;
	return 0;
}

static int write_all(struct kern *k, const struct unwind_table *t, const struct loaded *l)
{
	int r = write_rules(k, l);

	for (uint32_t i = 0; r == 0 && i < l->pages_n;)
		r = write_chunk(k, t, l, &i);
	return r < 0 ? r : write_pages(k, l);
}

/*
 * What the kernel side keeps of its findings is void now. A walk that is under way reads this again behind each rule
 * (bpf/lib/unwind.bpf.h), so that what was taken out of unwind_files before may be overwritten after.
 */
static void files_changed(struct kern *k)
{
	__atomic_add_fetch(&k->skeleton->bss->unwind_generation, 1, __ATOMIC_SEQ_CST);
}

static int publish(struct kern *k, const struct kymo_file_key *key, const struct unwind_table *t,
		   const struct loaded *l)
{
	struct kymo_unwind_file file = { .page_base = l->page_base,
					 .first_page = t->first_page,
					 .pages = t->pages_n };
	int r = bpf_map__update_elem(k->skeleton->maps.unwind_files, key, sizeof(*key), &file,
				     sizeof(file), BPF_ANY);

	files_changed(k);
	return r == -E2BIG ? -ENOSPC : r;
}

static void forget(struct kern *k, const struct kymo_file_key *key)
{
	struct loaded *l = hmap_get(&k->unwind->files, key);

	if (!l)
		return;
	/* First, so that no sample looks for what follows. */
	(void)bpf_map__delete_elem(k->skeleton->maps.unwind_files, key, sizeof(*key), 0);
	files_changed(k);
	loaded_free(k->unwind, l);
	hmap_remove(&k->unwind->files, key);
}

int kern_set_unwind(struct kern *k, const struct kymo_file_key *key, const struct unwind_table *t)
{
	struct loaded new = { 0 }, *l;
	int r;

	forget(k, key);
	if (!t || !t->pages_n)
		return 0;
	if (t->machine != EM_X86_64)
		return -ENOTSUP;
	l = hmap_put(&k->unwind->files, key, NULL);
	if (!l)
		return -ENOSPC;
	r = place(k->unwind, t, &new);
	if (r == 0)
		r = write_all(k, t, &new);
	if (r == 0)
		r = publish(k, key, t, &new);
	if (r < 0) {
		loaded_free(k->unwind, &new);
		hmap_remove(&k->unwind->files, key);
		return r;
	}
	*l = new;
	return 0;
}

void unwind_stats(const struct kern *k, struct kern_stats *stats)
{
	const struct tables *u = k->unwind;

	if (!u)
		return;
	stats->unwind_files = u->files.count;
	stats->unwind_bytes =
		(uint64_t)u->pools_n * KYMO_UNWIND_POOL_CHUNKS * sizeof(struct kymo_unwind_chunk) +
		(KYMO_UNWIND_PAGES_MAX - unwind_runs_count(&u->pages)) *
			sizeof(struct kymo_unwind_page);
}

/* All processes have the same one; without it samples in it end by the frame pointer. */
static void set_vdso(struct kern *k)
{
	const struct kymo_file_key key = { 0 };
	_cleanup_(unwind_table_freep) struct unwind_table *t = NULL;

	if (unwind_table_build_vdso(&t) == 0)
		(void)kern_set_unwind(k, &key, t);
}

int unwind_open(struct kern *k)
{
	k->unwind = calloc(1, sizeof(*k->unwind));
	if (!k->unwind)
		return -ENOMEM;
	unwind_pool_init(&k->unwind->pool, KYMO_UNWIND_POOLS_MAX * KYMO_UNWIND_POOL_CHUNKS);
	hmap_init(&k->unwind->files, sizeof(struct kymo_file_key), sizeof(struct loaded),
		  KYMO_UNWIND_FILES_MAX);
	if (unwind_rules_init(&k->unwind->rules, KYMO_UNWIND_RULES_MAX) < 0)
		return -ENOMEM;
	if (unwind_runs_give(&k->unwind->pages, 0, KYMO_UNWIND_PAGES_MAX) < 0)
		return -ENOMEM;
	set_vdso(k);
	return 0;
}

void unwind_close(struct kern *k)
{
	struct tables *u = k->unwind;
	const void *key;
	size_t at = 0;
	void *l;

	if (!u)
		return;
	while (hmap_next(&u->files, &at, &key, &l)) {
		free(((struct loaded *)l)->pages);
		free(((struct loaded *)l)->ids);
	}
	for (uint32_t i = 0; i < u->pools_n; i++)
		close(u->pools[i]);
	hmap_release(&u->files);
	unwind_rules_release(&u->rules);
	unwind_pool_release(&u->pool);
	unwind_runs_release(&u->pages);
	free(u);
	k->unwind = NULL;
}
