/* SPDX-License-Identifier: Apache-2.0 */
/* What happened to processes, in order of time. Whatever is needed of a short-lived one comes
 * from here: its folder in /proc is gone before its events are read. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "proc/state.h"

/* Known already, with all that happened before it was read. */
static bool is_older(const struct life *l, const struct process_event *e)
{
	return e->time_ns < l->scanned_ns;
}

static void set_comm(struct life *l, const char comm[KYMO_COMM_SIZE])
{
	memcpy(l->p.info.comm, comm, KYMO_COMM_SIZE);
	l->p.info.comm[KYMO_COMM_SIZE - 1] = '\0';
}

static uint64_t boot_ns(uint64_t mono_ns)
{
	return mono_ns + clock_boot_ahead_ns();
}

static int copy_text(char **place, const char *text)
{
	return life_set_text(place, text, strlen(text));
}

static int inherit(struct proc_table *t, struct life *child, const struct process_event *e)
{
	const struct life *parent = life_newest(t, e->parent_pid);

	child->p.info.parent_pid = e->parent_pid;
	if (!parent || parent == child) {
		child->unread = true;
		return 0;
	}
	set_comm(child, parent->p.info.comm);
	child->p.info.uid = parent->p.info.uid;
	child->p.info.cgroup_id = parent->p.info.cgroup_id;
	child->unread = parent->unread;
	child->exe_stale = parent->exe_stale;
	child->exec_ns = parent->exec_ns;
	child->wanted = parent->wanted;
	mappings_share(child, parent);
	if (copy_text(&child->p.info.exe, parent->p.info.exe) < 0)
		return -ENOMEM;
	return copy_text(&child->p.info.cmdline, parent->p.info.cmdline);
}

static int apply_fork(struct proc_table *t, const struct process_event *e)
{
	struct life *l = life_newest(t, e->pid);

	/* A thread of a process that is known, or will be read as a whole. */
	if (e->tid != e->pid)
		return 0;
	if (l && !l->p.exited && is_older(l, e))
		return 0;
	l = life_new(t, e->pid, e->time_ns);
	if (!l)
		return t->stats.processes >= PROC_PROCESSES_MAX ? 0 : -ENOMEM;
	l->born_ns = boot_ns(e->time_ns);
	return inherit(t, l, e);
}

/* The life that an event is about; made when it is not known. NULL = at the bound or no memory. */
static struct life *event_life(struct proc_table *t, const struct process_event *e)
{
	struct life *l = life_newest(t, e->pid);

	if (!l) {
		l = life_new(t, e->pid, e->time_ns);
		if (l)
			l->unread = true;
	}
	/* Its leader ended, the process did not. */
	if (l && l->p.exited && e->time_ns >= l->exit_ns)
		l->p.exited = false;
	return l;
}

static int apply_exec(struct proc_table *t, struct life *l, const struct process_event *e)
{
	set_comm(l, e->comm);
	l->p.info.execs++;
	mappings_clear(t, l);
	l->unread = false;
	l->exe_stale = l->exe_next = true;
	l->asked_stale = false;
	l->exec_ns = e->time_ns;
	if (life_set_text(&l->p.info.exe, "", 0) < 0 ||
	    life_set_text(&l->p.info.cmdline, "", 0) < 0)
		return -ENOMEM;
	return 0;
}

static int apply_mmap(struct proc_table *t, struct life *l, const struct process_event *e)
{
	struct proc_mapping m = { .start = e->start,
				  .end = e->end,
				  .pgoff_bytes = e->pgoff_bytes,
				  .inode = e->inode,
				  .inode_generation = e->inode_generation,
				  .dev = e->dev };
	int r;

	m.path = paths_intern(t, e->path, &m.is_file);
	r = mappings_insert(t, l, &m);
	if (r < 0)
		return r;
	if (l->exe_next && m.is_file) {
		l->exe_next = false;
		r = life_set_text(&l->p.info.exe, m.path, strlen(m.path));
	}
	files_tell(t, l, &m);
	return r;
}

/* What /proc could still be asked for is known then, whether it lives or not. */
static int apply_args(struct life *l, const struct process_event *e)
{
	int r = e->args_size ? life_set_cmdline(l, e->args, e->args_size) : 0;

	if (r < 0)
		return r;
	l->p.info.uid = e->uid;
	if (l->p.info.exe[0])
		l->exe_stale = false;
	return 0;
}

int proc_apply(struct proc_table *t, const struct process_event *e)
{
	struct life *l;

	switch (e->kind) {
	case PROCESS_LOST:
		t->rescan = true;
		return 0;
	case PROCESS_FORK:
		return apply_fork(t, e);
	case PROCESS_EXIT:
		l = life_newest(t, e->pid);
		if (l && e->pid == e->tid && !is_older(l, e)) {
			l->p.exited = true;
			l->exit_ns = e->time_ns;
		}
		return 0;
	case PROCESS_MMAP:
	case PROCESS_COMM:
	case PROCESS_EXEC:
	case PROCESS_ARGS:
		break;
	default:
		return 0;
	}

	l = event_life(t, e);
	if (!l || is_older(l, e))
		return 0;
	if (e->kind == PROCESS_EXEC)
		return apply_exec(t, l, e);
	if (e->kind == PROCESS_MMAP)
		return apply_mmap(t, l, e);
	if (e->kind == PROCESS_ARGS)
		return apply_args(l, e);
	if (e->tid == e->pid)
		set_comm(l, e->comm);
	return 0;
}
