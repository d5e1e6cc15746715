/* SPDX-License-Identifier: Apache-2.0 */
/* Readings of /proc: all of it at the start and after losses, one process at need. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "proc/state.h"

/* The decimal name of a process's folder; 0 = another file. */
static uint32_t parse_pid(const char *name)
{
	uint64_t pid = 0;

	if (!isdigit((unsigned char)name[0]))
		return 0;
	for (; *name; name++) {
		if (!isdigit((unsigned char)*name))
			return 0;
		pid = pid * 10 + (uint64_t)(*name - '0');
		if (pid > INT32_MAX)
			return 0;
	}
	return (uint32_t)pid;
}

/* A fork is told just after the start that stat shows; and a pid is not used twice within so
 * short a time. */
static bool same_life(const struct proc_table *t, const struct life *l, uint64_t start_ticks)
{
	uint64_t start = start_ticks * t->tick_ns;

	if (l->precision != START_UNKNOWN)
		return l->p.info.start_ns / t->tick_ns == start_ticks;
	if (l->p.exited)
		return false;
	return l->born_ns == 0 ||
	       (start <= l->born_ns + t->tick_ns && l->born_ns <= start + 2 * NS_PER_SEC);
}

static struct life *life_of(struct proc_table *t, uint32_t pid, const struct proc_stat *stat,
			    uint64_t now_ns)
{
	struct life *l = life_newest(t, pid);

	if (!l || !same_life(t, l, stat->start_ticks))
		l = life_new(t, pid, now_ns);
	if (!l)
		return NULL;
	if (l->precision == START_UNKNOWN) {
		l->p.info.start_ns = stat->start_ticks * t->tick_ns;
		l->precision = START_JIFFIES;
	}
	return l;
}

static void set_gone(struct life *l, uint64_t now_ns)
{
	if (l->p.exited)
		return;
	l->p.exited = true;
	l->exit_ns = now_ns;
}

/*
 * What belongs to the memory map. A leader that ended before its threads has none to show: what is known stays.
 * 1, or -errno; 0: it is about to end, its map has gone.
 */
static int read_whole(struct proc_table *t, struct life *l, const struct proc_stat *stat)
{
	int r;

	memcpy(l->p.info.comm, stat->comm, sizeof(stat->comm));
	l->p.info.parent_pid = stat->parent_pid;
	if (stat->state == 'Z')
		return 1;
	read_identity(t, l);
	r = read_mappings(t, l);
	if (r == -ENOMEM)
		return r;
	/* Without a map some kernels open an empty file, others none. */
	return (r != 0 && r != -ESRCH && r != -ENOENT) || stat->kernel;
}

int scan_process(struct proc_table *t, uint32_t pid, struct life **ret)
{
	uint64_t now_ns = clock_mono_ns();
	struct proc_stat stat, after;
	struct life *l, *known = life_newest(t, pid);
	int r = read_stat(t->proc_fd, pid, &stat);

	*ret = NULL;
	if (r < 0)
		return r;
	/* Dead and waiting to be reaped: nothing of it can be read, and what was known of it
	 * stays. */
	if ((stat.state == 'Z' || stat.state == 'X') && stat.threads <= 1)
		return -ESRCH;
	l = life_of(t, pid, &stat, now_ns);
	*ret = l;
	if (!l)
		return 0;
	r = read_whole(t, l, &stat);
	if (r < 0)
		return r;
	/* Not read, then: what happened to it before, and is not delivered yet, still counts. */
	if (r == 0) {
		if (l != known)
			life_forget_newest(t, l);
		*ret = NULL;
		return -ESRCH;
	}
	/* Another process in between: what was read may be of either. */
	if (read_stat(t->proc_fd, pid, &after) < 0 || after.start_ticks != stat.start_ticks) {
		set_gone(l, now_ns);
		return -ESRCH;
	}
	l->p.exited = false;
	l->scanned_ns = now_ns;
	l->scan = t->scan;
	l->unread = l->exe_stale = l->exe_next = false;
	return 0;
}

/* Known, but not in /proc any more: their ends were not told (or are still on their way). */
static void mark_gone(struct proc_table *t, uint64_t now_ns)
{
	size_t pos = 0;
	const void *key;
	void *value;

	while (hmap_next(&t->by_pid, &pos, &key, &value)) {
		struct life *l = *(struct life **)value;

		if (l->scan != t->scan)
			set_gone(l, now_ns);
	}
}

int proc_scan(struct proc_table *t, uint32_t pid)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	const struct dirent *entry;
	struct life *l;
	int r;

	if (pid) {
		r = scan_process(t, pid, &l);
		return r == -ENOMEM ? r : 0;
	}
	r = file_open_folder(t->proc_fd, ".", &dir);
	if (r < 0)
		return r;
	t->scan++;
	t->scan_ns = clock_mono_ns();
	t->rescan = false;
	while ((entry = readdir(dir))) {
		pid = parse_pid(entry->d_name);
		if (pid && scan_process(t, pid, &l) == -ENOMEM)
			return -ENOMEM;
	}
	mark_gone(t, t->scan_ns);
	return 0;
}

struct child {
	uint32_t parent, pid;
};

static int compare_children(const void *a, const void *b)
{
	const struct child *x = a, *y = b;

	return (x->parent > y->parent) - (x->parent < y->parent);
}

static int read_children(const char *proc, struct child **ret, size_t *ret_n)
{
	_cleanup_close_ int proc_fd = open(proc, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(closedirp) DIR *dir = NULL;
	_cleanup_free_ struct child *all = NULL;
	const struct dirent *entry;
	size_t n = 0, cap = 0;
	int r;

	if (proc_fd < 0)
		return -errno;
	r = file_open_folder(proc_fd, ".", &dir);
	if (r < 0)
		return r;
	while ((entry = readdir(dir)) && n < PROC_PROCESSES_MAX) {
		uint32_t pid = parse_pid(entry->d_name);
		struct proc_stat stat;

		if (!pid || read_stat(proc_fd, pid, &stat) < 0)
			continue;
		if (array_reserve(&all, &cap, n + 1) < 0)
			return -ENOMEM;
		all[n++] = (struct child){ stat.parent_pid, pid };
	}
	if (n > 1)
		qsort(all, n, sizeof(*all), compare_children);
	*ret = TAKE_PTR(all);
	*ret_n = n;
	return 0;
}

static size_t first_child(const struct child *all, size_t n, uint32_t parent)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (all[mid].parent >= parent)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

int proc_descendants(const char *proc, uint32_t pid, uint32_t **ret, size_t *ret_n)
{
	_cleanup_free_ struct child *all = NULL;
	_cleanup_free_ uint32_t *found = NULL;
	size_t n = 0, found_n = 0;
	int r = read_children(proc, &all, &n);

	if (r < 0)
		return r;
	found = malloc((n + 1) * sizeof(*found));
	if (!found)
		return -ENOMEM;
	/* Each pid is in `all` once, so each is found at most once, whatever parents are
	 * claimed. */
	for (size_t next = 0; next <= found_n; next++) {
		uint32_t parent = next == 0 ? pid : found[next - 1];

		for (size_t i = first_child(all, n, parent); i < n && all[i].parent == parent;
		     i++) {
			if (all[i].pid != pid)
				found[found_n++] = all[i].pid;
		}
	}
	*ret = TAKE_PTR(found);
	*ret_n = found_n;
	return 0;
}

/* The number behind a key of /proc/PID/status, 0 when it is not there. */
static uint32_t status_number(const struct buf *status, const char *key)
{
	const char *at = strstr((const char *)status->data, key);

	return at ? (uint32_t)strtoul(at + strlen(key), NULL, 10) : 0;
}

/* All of it: a process whose first thread has ended, and others not, is alive. */
static bool has_ended(const struct buf *status)
{
	const char *at = strstr((const char *)status->data, "\nState:\t");

	return at && strchr("ZX", at[strlen("\nState:\t")]) &&
	       status_number(status, "\nThreads:") <= 1;
}

int proc_of_thread(const char *proc, uint32_t tid, uint32_t *ret_pid)
{
	_cleanup_(buf_release) struct buf status = { 0 };
	char path[64];
	uint32_t pid;
	int r;

	snprintf(path, sizeof(path), "%s/%u/status", proc, tid);
	r = file_read(-1, path, 65536, &status);
	if (r < 0)
		return r;
	pid = status_number(&status, "\nTgid:");
	if (!pid || has_ended(&status))
		return -ESRCH;
	*ret_pid = pid;
	return 0;
}
