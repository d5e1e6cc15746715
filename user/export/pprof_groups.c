/* SPDX-License-Identifier: Apache-2.0 */
#include "export/pprof_groups.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

/* Three quarters of a power of two: some 30 MB, and a reader needs ten times that. */
#define GROUPS_MAX 196000
/* What is given up must make room for long. */
#define GROUPS_LEFT (GROUPS_MAX / 2)

static void map_init(const struct pprof_groups *g, struct hmap *map)
{
	hmap_init(map, sizeof(struct pprof_key),
		  sizeof(struct pprof_group) + g->seen_n * sizeof(uint64_t), 0);
}

int pprof_groups_init(struct pprof_groups *g, unsigned seen_n)
{
	*g = (struct pprof_groups){ .seen_n = seen_n };
	map_init(g, &g->map);
	hmap_init(&g->by_names, 2 * sizeof(uint32_t), sizeof(uint32_t), 0);
	return strings_new(0, &g->names);
}

void pprof_groups_release(struct pprof_groups *g)
{
	hmap_release(&g->map);
	hmap_release(&g->by_names);
	free(g->who);
	if (g->names)
		strings_free(g->names);
	*g = (struct pprof_groups){ 0 };
}

static int number_of_names(struct pprof_groups *g, const struct process *process,
			   const struct thread *thread, uint32_t *ret)
{
	struct {
		uint32_t process, thread;
	} key;
	uint32_t *number;
	bool is_new;

	if (strings_intern(g->names, process->comm, &key.process) < 0 ||
	    strings_intern(g->names, thread_shown(thread), &key.thread) < 0)
		return -ENOMEM;
	number = hmap_put(&g->by_names, &key, &is_new);
	if (!number)
		return -ENOMEM;
	if (is_new)
		*number = (uint32_t)g->by_names.count;
	*ret = *number;
	return 0;
}

/* Rows come by segment: the numbers of one segment's threads are kept. */
static int number_of_row(struct pprof_groups *g, const struct query_row *row, uint32_t *ret)
{
	size_t old = g->who_cap;
	int r = array_reserve(&g->who, &g->who_cap, row->thread_index + 1);

	if (r < 0)
		return r;
	if (g->who_segment != row->segment)
		old = 0;
	memset(g->who + old, 0, (g->who_cap - old) * sizeof(*g->who));
	g->who_segment = row->segment;
	if (!g->who[row->thread_index])
		r = number_of_names(g, row->process, row->thread, &g->who[row->thread_index]);
	*ret = g->who[row->thread_index];
	return r;
}

static void round_pressures(enum pprof_detail detail, struct pprof_key *key)
{
	for (size_t i = 0; i < PPROF_PRESSURES; i++)
		if (detail >= PPROF_STACKS)
			key->pressure[i] = PPROF_PRESSURE_ABSENT;
		else if (detail >= PPROF_TENS && key->pressure[i] != PPROF_PRESSURE_ABSENT)
			key->pressure[i] = (uint8_t)((key->pressure[i] + 5) / 10 * 10);
}

static void add_group(struct pprof_group *to, const struct pprof_group *from, unsigned seen_n)
{
	pprof_add(&to->count, from->count);
	pprof_add(&to->weight, from->weight);
	for (size_t i = 0; i < seen_n; i++)
		pprof_add(&to->seen[i], from->seen[i]);
	to->process = from->process;
	to->thread = from->thread;
}

static int move_group(struct pprof_groups *g, struct hmap *to, struct pprof_key key,
		      const struct pprof_group *group)
{
	struct pprof_group *place;
	int r = 0;

	if (g->detail == PPROF_NAMES)
		r = number_of_names(g, group->process, group->thread, &key.who);
	if (r < 0)
		return r;
	round_pressures(g->detail, &key);
	place = hmap_put(to, &key, NULL);
	if (!place)
		return -ENOMEM;
	add_group(place, group, g->seen_n);
	return 0;
}

static int give_up(struct pprof_groups *g)
{
	struct hmap coarse;
	const void *key;
	void *group;
	size_t pos = 0;
	int r = 0;

	g->detail++;
	map_init(g, &coarse);
	while (r == 0 && hmap_next(&g->map, &pos, &key, &group))
		r = move_group(g, &coarse, *(const struct pprof_key *)key, group);
	hmap_release(&g->map);
	g->map = coarse;
	return r;
}

static int make_room(struct pprof_groups *g)
{
	int r = 0;

	while (r == 0 && g->map.count > GROUPS_LEFT) {
		if (g->detail + 1 == PPROF_DETAIL_MAX)
			return g->map.count >= GROUPS_MAX ? -ENOSPC : 0;
		r = give_up(g);
	}
	return r;
}

int pprof_groups_get(struct pprof_groups *g, struct pprof_key key, const struct query_row *row,
		     struct pprof_group **ret)
{
	struct pprof_group *group;
	int r = 0;

	if (g->map.count >= GROUPS_MAX)
		r = make_room(g);
	if (r == 0 && g->detail >= PPROF_NAMES)
		r = number_of_row(g, row, &key.who);
	if (r < 0)
		return r;
	round_pressures(g->detail, &key);
	group = hmap_put(&g->map, &key, NULL);
	if (!group)
		return -ENOMEM;
	group->process = row->process;
	group->thread = row->thread;
	*ret = group;
	return 0;
}
