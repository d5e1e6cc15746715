/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of files: asked for as soon as a file is seen, kept in the kernel while somebody maps it. After that they stay
 * for the next process as long as there is room for those of idle files; the longest idle goes first.
 */
#include <errno.h>

#include "agent/files_state.h"
#include "base/array.h"
#include "base/cleanup.h"

#define WAITING_SEEN   512	   /* of those that wait for their tables */
#define UNWIND_OUT_MAX 8	   /* tables being made: names are not to wait behind many */
#define IDLE_BYTES_MAX (16U << 20) /* of rows that nobody needs now */
/* Of the 128 MiB that there are: what users make up does not take the place of the host's own. */
#define USERS_BYTES_MAX (96U << 20)
#define CHECKED		512 /* files that one tick looks at, */
#define SEARCHED	32  /* of them, those that are looked for in all processes */

int files_unwind_ask(struct files *f, uint32_t index)
{
	if (array_reserve(&f->to_unwind, &f->to_unwind_cap, f->to_unwind_n + 1) < 0)
		return -ENOMEM;
	f->to_unwind[f->to_unwind_n++] = index;
	f->files[index].rows_gone = false;
	return 0;
}

/* The smallest mapping of those that wait comes first: many large files, made up maybe, hold up nobody for long. */
static uint32_t take_smallest(struct files *f)
{
	size_t end = f->to_unwind_n, best = f->unwind_next;
	uint32_t index;

	if (end - best > WAITING_SEEN)
		end = best + WAITING_SEEN;
	for (size_t i = best; i < end; i++) {
		const struct file *file = &f->files[f->to_unwind[i]];
		const struct file *smallest = &f->files[f->to_unwind[best]];

		if (file->end - file->start < smallest->end - smallest->start)
			best = i;
	}
	index = f->to_unwind[best];
	f->to_unwind[best] = f->to_unwind[f->unwind_next];
	f->to_unwind[f->unwind_next] = index;
	return index;
}

void files_unwind_submit(struct files *f)
{
	while (f->unwind_out < UNWIND_OUT_MAX && f->unwind_next < f->to_unwind_n) {
		uint32_t index = take_smallest(f);
		struct worker_file wf = files_reach(&f->files[index]);

		if (worker_submit(f->worker, WORKER_UNWIND, &wf, NULL, 0, index) < 0)
			return;
		f->unwind_next++;
		f->unwind_out++;
	}
	if (f->unwind_next == f->to_unwind_n)
		f->unwind_next = f->to_unwind_n = 0;
}

static void set_idle(struct files *f, struct file *file, bool idle, uint64_t now_ns)
{
	if (idle == (file->idle_ns != 0))
		return;
	file->idle_ns = idle ? now_ns : 0;
	if (idle)
		f->idle_bytes += file->rows_bytes;
	else
		f->idle_bytes -= file->rows_bytes;
}

/* What the kernel has of the file now. */
static void set_bytes(struct files *f, struct file *file, uint32_t bytes)
{
	if (file->is_users)
		f->users_bytes = f->users_bytes - file->rows_bytes + bytes;
	file->rows_bytes = bytes;
}

static void drop_rows(struct files *f, struct file *file)
{
	const struct kymo_file_key key = { .inode = file->inode, .dev = file->dev };

	set_idle(f, file, false, 0);
	(void)kern_set_unwind(f->kern, &key, NULL);
	set_bytes(f, file, 0);
	file->rows_gone = !file->superseded;
}

void files_unwind_superseded(struct files *f, struct file *file)
{
	drop_rows(f, file);
	file->rows_gone = false;
}

static struct file *longest_idle(struct files *f)
{
	struct file *found = NULL;

	for (size_t i = 0; i < f->files_n; i++) {
		struct file *file = &f->files[i];

		if (file->idle_ns && (!found || file->idle_ns < found->idle_ns))
			found = file;
	}
	return found;
}

static void drop_idle(struct files *f, uint64_t bytes_max)
{
	struct file *file;

	while (f->idle_bytes > bytes_max && (file = longest_idle(f)))
		drop_rows(f, file);
}

static int load(struct files *f, const struct file *file, const struct unwind_table *t,
		uint32_t bytes)
{
	const struct kymo_file_key key = { .inode = file->inode, .dev = file->dev };

	if (file->is_users && f->users_bytes + bytes > USERS_BYTES_MAX)
		return -ENOSPC;
	return kern_set_unwind(f->kern, &key, t);
}

static int set_rows(struct files *f, struct file *file, const struct worker_reply *reply)
{
	const struct unwind_table *t = reply->table;
	uint32_t bytes = (uint32_t)(t->rows_n * sizeof(*t->rows) +
				    t->pages_n * sizeof(struct kymo_unwind_page));
	int r;

	set_bytes(f, file, 0);
	file->is_users = reply->owner != 0;
	r = load(f, file, t, bytes);
	if (r == -ENOSPC && f->idle_bytes) {
		drop_idle(f, 0);
		r = load(f, file, t, bytes);
	}
	if (r == 0)
		set_bytes(f, file, bytes);
	return r;
}

static void tell_observer(const struct files *f, const struct file *file,
			  struct worker_reply *reply)
{
	const struct kymo_file_key key = { .inode = file->inode, .dev = file->dev };

	if (f->observer)
		f->observer->rules(f->observer->data, &key, TAKE_PTR(reply->table));
}

int files_unwind_take(struct files *f, struct worker_reply *reply)
{
	struct file *file;
	int r = reply->error;

	f->unwind_out--;
	if (reply->cookie >= f->files_n)
		return -EBADMSG;
	if (r == 0 && files_change_told(f, (uint32_t)reply->cookie, reply->version))
		return 0;
	file = &f->files[reply->cookie];
	if (file->superseded)
		return 0;
	if (r == 0) {
		r = set_rows(f, file, reply);
		tell_observer(f, file, reply);
	}
	/* Without .eh_frame or of another machine: an answer, not a failure. What could not be inspected was counted. */
	f->stats.failed_unwind += r < 0 && r != -ENOENT && r != -ENOTSUP && file->is_elf;
	return 0;
}

void files_unwind_seen(struct files *f, struct file *file)
{
	set_idle(f, file, false, 0);
	if (file->rows_gone)
		(void)files_unwind_ask(f, (uint32_t)(file - f->files));
}

void files_unwind_tick(struct files *f, const struct proc_table *procs, uint64_t now_ns)
{
	int searched = 0;

	for (int i = 0; i < CHECKED && (size_t)i < f->files_n && searched < SEARCHED; i++) {
		struct file *file;
		uint32_t before;
		bool mapped;

		if (f->unwind_check >= f->files_n)
			f->unwind_check = 0;
		file = &f->files[f->unwind_check++];
		if (!file->rows_bytes)
			continue;
		before = file->pid;
		mapped = proc_maps_file(procs, file->pid, file->dev, file->inode, &file->pid);
		searched += !mapped || file->pid != before;
		set_idle(f, file, !mapped, now_ns);
	}
	drop_idle(f, IDLE_BYTES_MAX);
}
