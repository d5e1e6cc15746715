/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/storms.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hmap.h"
#include "base/json.h"

/* Names and parents that are counted within one tick; those beyond are in the sum alone. */
#define NAMES_MAX 4096
/* The most frequent ones that an event names. */
#define TOP_MAX 5

enum storm { STORM_EXEC, STORM_EXIT, STORM_MAX };

static const enum event_kind event_kinds[STORM_MAX] = {
	[STORM_EXEC] = EVENT_EXEC_STORM,
	[STORM_EXIT] = EVENT_EXIT_STORM,
};

/* Programs of one name, or the children of one parent. */
struct group {
	uint64_t count;
	uint32_t pid; /* the last program of that name; the parent */
	char comm[KYMO_COMM_SIZE];
};

struct storm_state {
	struct storm_rule rule;
	uint64_t count;	       /* within the tick */
	struct hmap by_comm;   /* char[KYMO_COMM_SIZE] -> struct group */
	struct hmap by_parent; /* pid -> struct group */
};

struct storms {
	struct storm_state states[STORM_MAX];
};

static int compare_rates(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(const struct storm_rule *rule)
{
	double sorted[STORM_WINDOW];

	if (!rule->rates_n)
		return NAN;
	memcpy(sorted, rule->rates, rule->rates_n * sizeof(*sorted));
	qsort(sorted, rule->rates_n, sizeof(*sorted), compare_rates);
	return sorted[rule->rates_n / 2];
}

bool storm_rule_tick(struct storm_rule *rule, uint64_t count, uint64_t length_ns, double *ret_usual)
{
	double rate = length_ns ? (double)count * (double)NS_PER_SEC / (double)length_ns : 0;
	double usual = median(rule);
	double least = usual * STORM_FACTOR > STORM_RATE_MIN ? usual * STORM_FACTOR /* not of NAN */
							     : STORM_RATE_MIN;
	bool storm = rule->ticks ? rate > least / 2 : rate > least && count >= STORM_COUNT_MIN;

	rule->ticks = storm ? rule->ticks + 1 : 0;
	rule->rates[rule->next] = rate;
	rule->next = (rule->next + 1) % STORM_WINDOW;
	if (rule->rates_n < STORM_WINDOW)
		rule->rates_n++;
	*ret_usual = usual;
	return storm;
}

int storms_new(struct storms **ret)
{
	struct storms *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	for (size_t i = 0; i < STORM_MAX; i++) {
		hmap_init(&s->states[i].by_comm, KYMO_COMM_SIZE, sizeof(struct group), NAMES_MAX);
		hmap_init(&s->states[i].by_parent, sizeof(uint32_t), sizeof(struct group),
			  NAMES_MAX);
	}
	*ret = s;
	return 0;
}

void storms_free(struct storms *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < STORM_MAX; i++) {
		hmap_release(&s->states[i].by_comm);
		hmap_release(&s->states[i].by_parent);
	}
	free(s);
}

/* A name is a key as bytes: nothing stands behind its end. */
static void copy_comm(char to[KYMO_COMM_SIZE], const char *comm)
{
	memset(to, 0, KYMO_COMM_SIZE);
	memcpy(to, comm, strnlen(comm, KYMO_COMM_SIZE - 1));
}

static void add(struct hmap *groups, const void *key, uint32_t pid, const char *comm)
{
	struct group *g = hmap_put(groups, key, NULL);

	if (!g)
		return;
	g->count++;
	g->pid = pid;
	if (comm)
		copy_comm(g->comm, comm);
}

void storms_event(struct storms *s, const struct process_event *e, const struct proc_table *procs)
{
	const struct proc_process *p, *parent;
	struct storm_state *state;
	char comm[KYMO_COMM_SIZE];
	uint32_t parent_pid;

	if (e->pid != e->tid || (e->kind != PROCESS_EXEC && e->kind != PROCESS_EXIT))
		return;
	state = &s->states[e->kind == PROCESS_EXEC ? STORM_EXEC : STORM_EXIT];
	state->count++;
	p = proc_newest(procs, e->pid);
	if (!p)
		return;
	copy_comm(comm, p->info.comm);
	add(&state->by_comm, comm, e->pid, comm);
	parent_pid = p->info.parent_pid;
	if (!parent_pid)
		return;
	parent = proc_newest(procs, parent_pid);
	add(&state->by_parent, &parent_pid, parent_pid, parent ? parent->info.comm : NULL);
}

/* The largest, in order: top[0] is the most frequent. */
static size_t most_frequent(const struct hmap *groups, struct group top[TOP_MAX])
{
	size_t n = 0, pos = 0;
	void *value;

	while (hmap_next(groups, &pos, NULL, &value)) {
		const struct group *g = value;
		size_t at = n < TOP_MAX ? n++ : TOP_MAX;

		for (; at > 0 && g->count > top[at - 1].count; at--)
			if (at < TOP_MAX)
				top[at] = top[at - 1];
		if (at < TOP_MAX)
			top[at] = *g;
	}
	return n;
}

static void write_programs(struct json *j, const struct hmap *groups,
			   const struct proc_table *procs)
{
	struct group top[TOP_MAX];
	size_t n = most_frequent(groups, top);

	json_key(j, "programs");
	json_array(j);
	for (size_t i = 0; i < n; i++) {
		const struct proc_process *p = proc_newest(procs, top[i].pid);
		bool same = p && strncmp(p->info.comm, top[i].comm, KYMO_COMM_SIZE) == 0;

		json_object(j);
		json_key(j, "comm");
		json_str(j, top[i].comm);
		json_key(j, "exe");
		json_str(j, same && p->info.exe && p->info.exe[0] ? p->info.exe : NULL);
		json_key(j, "count");
		json_u64(j, top[i].count);
		json_object_end(j);
	}
	json_array_end(j);
}

static void write_parents(struct json *j, const struct hmap *groups)
{
	struct group top[TOP_MAX];
	size_t n = most_frequent(groups, top);

	json_key(j, "parents");
	json_array(j);
	for (size_t i = 0; i < n; i++) {
		json_object(j);
		json_key(j, "pid");
		json_u64(j, top[i].pid);
		json_key(j, "comm");
		json_str(j, top[i].comm[0] ? top[i].comm : NULL);
		json_key(j, "count");
		json_u64(j, top[i].count);
		json_object_end(j);
	}
	json_array_end(j);
}

static int write_fields(const struct storm_state *state, double usual,
			const struct proc_table *procs, char **ret)
{
	struct json_text text;
	struct json j;
	int r = json_text_begin(&text, &j);

	if (r < 0)
		return r;
	json_object(&j);
	json_key(&j, "count");
	json_u64(&j, state->count);
	json_key(&j, "usual_per_s");
	json_double(&j, usual);
	json_key(&j, "storm_ticks");
	json_u64(&j, state->rule.ticks);
	write_programs(&j, &state->by_comm, procs);
	write_parents(&j, &state->by_parent);
	json_object_end(&j);
	return json_text_end(&text, &j, ret);
}

int storms_tick(struct storms *s, uint64_t start_ns, uint64_t end_ns,
		const struct proc_table *procs, struct merge *merge)
{
	uint64_t length_ns = end_ns > start_ns ? end_ns - start_ns : 0;
	int r = 0;

	for (size_t i = 0; i < STORM_MAX; i++) {
		struct storm_state *state = &s->states[i];
		_cleanup_free_ char *fields = NULL;
		double usual;

		if (storm_rule_tick(&state->rule, state->count, length_ns, &usual) && r == 0) {
			r = write_fields(state, usual, procs, &fields);
			if (r == 0)
				r = merge_event(merge,
						&(struct event){ .kind = event_kinds[i],
								 .time_ns = start_ns,
								 .duration_ns = length_ns,
								 .fields = fields },
						NULL, 0);
		}
		state->count = 0;
		hmap_clear(&state->by_comm);
		hmap_clear(&state->by_parent);
	}
	return r;
}
