/* SPDX-License-Identifier: Apache-2.0 */
/* Executable mappings of a process: sorted, without overlaps, copied on write; and the paths
 * that they share. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "kymo/config.h"
#include "proc/state.h"

#define DELETED " (deleted)"
/* Paths of files that nobody maps any more are dropped when the table is full, not more often
 * than this. */
#define COMPACT_AFTER 8192

static void list_free(struct proc_table *t, struct mapping_list *list)
{
	if (!list || --list->users > 0)
		return;
	t->stats.mappings -= list->n;
	free(list);
}

static void show_list(struct life *l, struct mapping_list *list)
{
	l->list = list;
	l->p.mappings = list ? list->items : NULL;
	l->p.mappings_n = list ? list->n : 0;
}

void mappings_clear(struct proc_table *t, struct life *l)
{
	list_free(t, l->list);
	show_list(l, NULL);
}

void mappings_share(struct life *to, const struct life *from)
{
	if (from->list)
		from->list->users++;
	show_list(to, from->list);
}

/* A list of one's own, with room for `more` entries. */
static struct mapping_list *list_own(struct proc_table *t, struct life *l, size_t more)
{
	struct mapping_list *old = l->list, *list;
	size_t n = old ? old->n : 0, cap = n + more;

	if (old && old->users == 1 && old->cap >= cap)
		return old;
	cap += cap / 2 + 4;
	list = malloc(sizeof(*list) + cap * sizeof(list->items[0]));
	if (!list)
		return NULL;
	*list = (struct mapping_list){ .users = 1, .n = n, .cap = cap };
	if (n)
		memcpy(list->items, old->items, n * sizeof(list->items[0]));
	t->stats.mappings += n;
	list_free(t, old);
	show_list(l, list);
	return list;
}

static size_t first_ending_after(const struct mapping_list *list, uint64_t address)
{
	size_t lo = 0, hi = list->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (list->items[mid].end > address)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

/* What is left of old mappings at both sides of the new one; returns how many pieces. */
static size_t pieces(const struct mapping_list *list, size_t from, size_t to,
		     const struct proc_mapping *m, struct proc_mapping out[3])
{
	size_t n = 0;

	if (from < to && list->items[from].start < m->start) {
		out[n] = list->items[from];
		out[n++].end = m->start;
	}
	out[n++] = *m;
	if (from < to && list->items[to - 1].end > m->end) {
		out[n] = list->items[to - 1];
		if (out[n].is_file)
			out[n].pgoff_bytes += m->end - out[n].start;
		out[n++].start = m->end;
	}
	return n;
}

int mappings_insert(struct proc_table *t, struct life *l, const struct proc_mapping *m)
{
	struct mapping_list *list = l->list;
	struct proc_mapping new[3];
	size_t from = 0, to = 0, n;

	if (m->start >= m->end)
		return 0;
	if ((list && list->n + 2 > PROC_PROCESS_MAPPINGS_MAX) ||
	    t->stats.mappings + 2 > PROC_MAPPINGS_MAX) {
		t->stats.dropped++;
		return 0;
	}
	list = list_own(t, l, 2);
	if (!list)
		return -ENOMEM;
	from = to = first_ending_after(list, m->start);
	while (to < list->n && list->items[to].start < m->end)
		to++;
	n = pieces(list, from, to, m, new);
	memmove(list->items + from + n, list->items + to, (list->n - to) * sizeof(new[0]));
	memcpy(list->items + from, new, n * sizeof(new[0]));
	t->stats.mappings += n - (to - from);
	list->n += n - (to - from);
	show_list(l, list);
	return 0;
}

const struct proc_mapping *proc_find_mapping(const struct proc_process *p, uint64_t address)
{
	const struct life *l = (const struct life *)p;
	size_t i;

	if (!l->list)
		return NULL;
	i = first_ending_after(l->list, address);
	return i < l->list->n && l->list->items[i].start <= address ? &l->list->items[i] : NULL;
}

/* All paths that are still mapped, into `paths`; when that holds them already, the mappings
 * point there. */
static int keep_paths(struct proc_table *t, struct strings *paths, bool point)
{
	size_t pos = 0;
	const void *key;
	void *value;

	while (hmap_next(&t->by_pid, &pos, &key, &value)) {
		for (struct life *l = *(struct life **)value; l; l = l->older) {
			for (size_t i = 0; l->list && i < l->list->n; i++) {
				struct proc_mapping *m = &l->list->items[i];
				uint32_t id;
				int r = strings_intern(paths, m->path, &id);

				if (r < 0)
					return r;
				if (point)
					m->path = strings_get(paths, id);
			}
		}
	}
	return 0;
}

/* New names for ever (a build host's) must not fill the table: keeps those that are still
 * mapped. */
static int paths_compact(struct proc_table *t)
{
	struct strings *paths;
	int r = strings_new(PROC_PATHS_MAX, &paths);

	if (r < 0)
		return r;
	r = keep_paths(t, paths, false);
	if (r == 0)
		r = keep_paths(t, paths, true);
	if (r < 0) {
		/* In the first turn nothing was changed; the second finds all and cannot fail. */
		strings_free(paths);
		return r;
	}
	strings_free(t->paths);
	t->paths = paths;
	/* Where little was freed, little is gained by trying again soon. */
	if (strings_count(paths) < PROC_PATHS_MAX / 8 * 7)
		t->paths_refused = 0;
	return 0;
}

static const char *intern(struct proc_table *t, const char *text, size_t size)
{
	uint32_t id;
	int r = strings_intern_n(t->paths, text, size, &id);

	if (r == -ENOSPC && t->paths_refused++ % COMPACT_AFTER == 0 && paths_compact(t) == 0)
		r = strings_intern_n(t->paths, text, size, &id);
	if (r < 0) {
		t->stats.dropped++;
		return "";
	}
	return strings_get(t->paths, id);
}

const char *paths_intern(struct proc_table *t, const char *path, bool *ret_is_file)
{
	size_t n = path ? strnlen(path, PROC_PATH_MAX) : 0, deleted = strlen(DELETED);

	*ret_is_file = false;
	/* perf's word for what /proc/PID/maps leaves empty. */
	if (n == 0 || (n >= 6 && memcmp(path, "//anon", 6) == 0))
		return "";
	if (n > deleted && memcmp(path + n - deleted, DELETED, deleted) == 0)
		n -= deleted;
	*ret_is_file = path[0] == '/';
	return intern(t, path, n);
}

void files_tell(struct proc_table *t, const struct life *l, const struct proc_mapping *m)
{
	const struct file_identity key = { .inode = m->inode,
					   .generation = m->inode_generation,
					   .dev = m->dev };
	bool new;

	if (!m->is_file || !t->new_file || (t->want_named && !l->wanted))
		return;
	if (!hmap_put(&t->files, &key, &new)) {
		hmap_clear(&t->files);
		if (!hmap_put(&t->files, &key, &new))
			return;
	}
	if (new)
		t->new_file(t->data, l->p.info.pid, m);
	else if (t->again)
		t->again(t->data, l->p.info.pid, m);
}

void proc_tell_again(struct proc_table *t, proc_new_file again)
{
	t->again = again;
}

void proc_want_named(struct proc_table *t)
{
	t->want_named = true;
}

int proc_want(struct proc_table *t, uint32_t pid)
{
	struct life *l = t->want_named ? life_newest(t, pid) : NULL;

	if (!t->want_named || (l && l->wanted))
		return 0;
	if (!l && scan_process(t, pid, &l) == -ENOMEM)
		return -ENOMEM;
	if (!l)
		return 0;
	l->wanted = true;
	for (size_t i = 0; l->list && i < l->list->n; i++)
		files_tell(t, l, &l->list->items[i]);
	return 0;
}

static bool maps(const struct life *l, uint32_t dev, uint64_t inode)
{
	if (!l || l->p.exited || !l->list)
		return false;
	for (size_t i = 0; i < l->list->n; i++)
		if (l->list->items[i].inode == inode && l->list->items[i].dev == dev)
			return true;
	return false;
}

bool proc_maps_file(const struct proc_table *t, uint32_t likely, uint32_t dev, uint64_t inode,
		    uint32_t *ret_pid)
{
	const void *key;
	size_t at = 0;
	void *value;

	if (maps(life_newest(t, likely), dev, inode)) {
		*ret_pid = likely;
		return true;
	}
	while (hmap_next(&t->by_pid, &at, &key, &value))
		if (maps(*(struct life **)value, dev, inode)) {
			*ret_pid = *(const uint32_t *)key;
			return true;
		}
	return false;
}
