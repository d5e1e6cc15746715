/* SPDX-License-Identifier: Apache-2.0 */
/* Processes by pid, and the earlier lives of each pid while their samples may still come. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "kymo/config.h"
#include "proc/state.h"

/* After losses all of /proc is read anew, not more often than this: a full reading costs
 * milliseconds. */
#define RESCAN_NS NS_PER_SEC

/* An exec's ARGS event is in the same drain or the next. */
#define ARGS_WAIT_NS (500 * NS_PER_MSEC)

int proc_table_new(const char *proc, proc_new_file new_file, void *data, struct proc_table **ret)
{
	struct proc_table *t = calloc(1, sizeof(*t));
	long hz = sysconf(_SC_CLK_TCK);
	int r;

	if (!t)
		return -ENOMEM;
	t->new_file = new_file;
	t->data = data;
	t->tick_ns = NS_PER_SEC / (uint64_t)(hz > 0 ? hz : 100);
	hmap_init(&t->by_pid, sizeof(uint32_t), sizeof(struct life *), 0);
	hmap_init(&t->files, sizeof(struct file_identity), sizeof(uint8_t), PROC_FILES_MAX);
	t->proc_fd = open(proc, O_PATH | O_DIRECTORY | O_CLOEXEC);
	r = t->proc_fd < 0 ? -errno : strings_new(PROC_PATHS_MAX, &t->paths);
	if (r < 0) {
		proc_table_free(t);
		return r;
	}
	*ret = t;
	return 0;
}

static void life_free(struct proc_table *t, struct life *l)
{
	mappings_clear(t, l);
	free(l->p.info.exe);
	free(l->p.info.cmdline);
	free(l);
	t->stats.processes--;
}

void proc_table_free(struct proc_table *t)
{
	size_t pos = 0;
	const void *key;
	void *value;

	if (!t)
		return;
	while (hmap_next(&t->by_pid, &pos, &key, &value)) {
		struct life *l = *(struct life **)value, *older;

		for (; l; l = older) {
			older = l->older;
			life_free(t, l);
		}
	}
	hmap_release(&t->by_pid);
	hmap_release(&t->files);
	strings_free(t->paths);
	if (t->proc_fd >= 0)
		close(t->proc_fd);
	free(t);
}

int life_set_text(char **place, const char *text, size_t size)
{
	_cleanup_(buf_release) struct buf clean = { 0 };
	char *new;

	if (text_append_utf8(&clean, text, size) < 0 || !buf_str(&clean))
		return -ENOMEM;
	new = strdup(buf_str(&clean));
	if (!new)
		return -ENOMEM;
	free(*place);
	*place = new;
	return 0;
}

struct life *life_newest(const struct proc_table *t, uint32_t pid)
{
	struct life **l = hmap_get(&t->by_pid, &pid);

	return l ? *l : NULL;
}

const struct proc_process *proc_newest(const struct proc_table *t, uint32_t pid)
{
	const struct life *l = life_newest(t, pid);

	return l ? &l->p : NULL;
}

static struct life *life_alloc(struct proc_table *t, uint32_t pid)
{
	struct life *l;

	if (t->stats.processes >= PROC_PROCESSES_MAX) {
		t->stats.dropped++;
		return NULL;
	}
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	t->stats.processes++;
	l->p.info.pid = pid;
	l->scan = t->scan;
	if (life_set_text(&l->p.info.exe, "", 0) < 0 ||
	    life_set_text(&l->p.info.cmdline, "", 0) < 0) {
		life_free(t, l);
		return NULL;
	}
	return l;
}

struct life *life_new(struct proc_table *t, uint32_t pid, uint64_t now_ns)
{
	struct life *l = life_alloc(t, pid), **place;

	if (!l)
		return NULL;
	place = hmap_put(&t->by_pid, &pid, NULL);
	if (!place) {
		life_free(t, l);
		return NULL;
	}
	l->older = *place;
	if (l->older && !l->older->p.exited) {
		l->older->p.exited = true;
		l->older->exit_ns = now_ns;
	}
	*place = l;
	return l;
}

void life_forget_newest(struct proc_table *t, struct life *l)
{
	uint32_t pid = l->p.info.pid;
	struct life **place = hmap_get(&t->by_pid, &pid);

	if (l->older)
		*place = l->older;
	else
		hmap_remove(&t->by_pid, &pid);
	life_free(t, l);
}

/* A life that is over: it came before the newest one. */
static struct life *life_new_behind(struct proc_table *t, struct life *newest)
{
	struct life *l = life_alloc(t, newest->p.info.pid);

	if (!l)
		return NULL;
	l->older = newest->older;
	newest->older = l;
	return l;
}

/* How far the start that the kernel told is from what is known of this life; UINT64_MAX =
 * another life. */
static uint64_t distance(const struct proc_table *t, const struct life *l, uint64_t start_ns)
{
	switch (l->precision) {
	case START_EXACT:
		return l->p.info.start_ns == start_ns ? 0 : UINT64_MAX;
	case START_JIFFIES:
		return l->p.info.start_ns / t->tick_ns == start_ns / t->tick_ns ? 0 : UINT64_MAX;
	default:
		break;
	}
	if (l->born_ns == 0)
		return NS_PER_SEC;
	/* The fork is told after the start was set, by as long as copying the process took. */
	if (start_ns > l->born_ns + NS_PER_MSEC || l->born_ns > start_ns + 2 * NS_PER_SEC)
		return UINT64_MAX;
	return start_ns < l->born_ns ? l->born_ns - start_ns : start_ns - l->born_ns;
}

static struct life *life_find(struct proc_table *t, const struct kymo_who *who)
{
	struct life *best = NULL;
	uint64_t nearest = UINT64_MAX;

	for (struct life *l = life_newest(t, who->pid); l; l = l->older) {
		uint64_t d = distance(t, l, who->process_start_ns);

		if (d < nearest) {
			nearest = d;
			best = l;
		}
	}
	if (best) {
		best->precision = START_EXACT;
		best->p.info.start_ns = who->process_start_ns;
	}
	return best;
}

/* Whether /proc/PID is still this life, so that its files may be read for it. */
static bool still_there(const struct proc_table *t, const struct life *l)
{
	struct proc_stat stat;

	return read_stat(t->proc_fd, l->p.info.pid, &stat) == 0 &&
	       stat.start_ticks == l->p.info.start_ns / t->tick_ns;
}

static void refresh(struct proc_table *t, struct life *l)
{
	struct life *same;

	if (!still_there(t, l)) {
		l->unread = l->exe_stale = false;
		return;
	}
	if (l->unread && scan_process(t, l->p.info.pid, &same) == 0)
		return;
	read_identity(t, l);
	l->unread = l->exe_stale = false;
}

static uint64_t started_ns(const struct life *l)
{
	return l->precision == START_UNKNOWN ? l->born_ns : l->p.info.start_ns;
}

/*
 * /proc has what the pid runs by now, which may be the next program already; the arguments that its exec
 * passed come with an event a moment after the exec. Only where that was lost is /proc asked.
 */
static bool is_waiting(struct life *l)
{
	return l->exe_stale && !l->unread && clock_mono_ns() < l->exec_ns + ARGS_WAIT_NS;
}

/* Known by its sample alone: it began and ended between two drains, or its events were lost. */
static struct life *life_from_who(struct proc_table *t, const struct kymo_who *who)
{
	struct life *l = NULL, *newest;

	if (who->pid && scan_process(t, who->pid, &l) == 0) {
		l = life_find(t, who);
		if (l)
			return l;
	}
	newest = life_newest(t, who->pid);
	if (newest && started_ns(newest) > who->process_start_ns)
		l = life_new_behind(t, newest);
	else
		l = life_new(t, who->pid, clock_mono_ns());
	if (!l)
		return NULL;
	l->precision = START_EXACT;
	l->p.info.start_ns = who->process_start_ns;
	memcpy(l->p.info.comm, who->comm, sizeof(l->p.info.comm));
	l->p.info.comm[KYMO_COMM_SIZE - 1] = '\0';
	/* It is not in /proc, so no end of it will be told. */
	l->p.exited = true;
	l->exit_ns = clock_mono_ns();
	return l;
}

struct proc_process *proc_find(struct proc_table *t, const struct kymo_who *who)
{
	struct life *l;

	if (t->rescan && clock_mono_ns() - t->scan_ns > RESCAN_NS)
		proc_scan(t, 0);
	l = life_find(t, who);
	if (!l)
		l = life_from_who(t, who);
	else if ((l->unread || l->exe_stale) && !is_waiting(l))
		refresh(t, l);
	if (!l)
		return NULL;
	l->asked_stale |= l->exe_stale;
	l->p.info.cgroup_id = who->cgroup_id;
	return &l->p;
}

const struct proc_process *proc_named_late(struct proc_table *t, uint32_t pid)
{
	struct life *l = life_newest(t, pid);

	if (!l || !l->asked_stale || l->exe_stale)
		return NULL;
	l->asked_stale = false;
	return &l->p;
}

/* A leader may end before its other threads do: the process goes on without one. */
static bool goes_on(const struct proc_table *t, const struct life *l)
{
	struct proc_stat stat;

	return l->precision != START_UNKNOWN && read_stat(t->proc_fd, l->p.info.pid, &stat) == 0 &&
	       stat.start_ticks == l->p.info.start_ns / t->tick_ns && stat.threads > 1;
}

static bool to_forget(const struct proc_table *t, struct life *l, uint64_t before_ns)
{
	if (!l->p.exited || l->exit_ns >= before_ns)
		return false;
	if (goes_on(t, l)) {
		l->p.exited = false;
		return false;
	}
	return true;
}

/* Unlinks from one pid's chain; whether anything of it is left. */
static bool forget_chain(struct proc_table *t, struct life **first, uint64_t before_ns)
{
	struct life **place = first;

	while (*place) {
		struct life *l = *place;

		if (to_forget(t, l, before_ns)) {
			*place = l->older;
			life_free(t, l);
		} else {
			place = &l->older;
		}
	}
	return *first != NULL;
}

void proc_forget_exited(struct proc_table *t, uint64_t before_ns)
{
	_cleanup_free_ uint32_t *empty = NULL;
	size_t pos = 0, n = 0, cap = 0;
	const void *key;
	void *value;

	while (hmap_next(&t->by_pid, &pos, &key, &value)) {
		/* Room first: an emptied chain must leave the map. */
		if (array_reserve(&empty, &cap, n + 1) < 0)
			break;
		if (!forget_chain(t, value, before_ns))
			empty[n++] = *(const uint32_t *)key;
	}
	for (size_t i = 0; i < n; i++)
		hmap_remove(&t->by_pid, &empty[i]);
}

void proc_table_stats(const struct proc_table *t, struct proc_stats *ret)
{
	*ret = t->stats;
}
