/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that are written over in place (cp onto a library) keep their inode and its generation: only their size and
 * time tell. They are looked at when somebody maps them anew, and with every answer about them. What changed is
 * another file from then on; samples of the moment before stay with the one that was known.
 */
#include <errno.h>

#include "agent/files_state.h"
#include "base/clock.h"

/* At most so often, however many processes map it. */
#define CHECK_NS NS_PER_SEC
/* Later contents of a file that changes all the time share one binary: whoever makes it must not fill our tables. */
#define CHANGES_MAX 16

static void check(struct files *f, struct file *file)
{
	struct worker_file wf = files_reach(file);
	uint32_t index = (uint32_t)(file - f->files);

	if (worker_submit(f->worker, WORKER_INSPECT, &wf, NULL, 0, index) < 0)
		return; /* full: with the next tick */
	file->checking = true;
	file->check_wanted = false;
	file->checked_ns = clock_mono_ns();
}

static bool may_check(const struct file *file, uint64_t now_ns)
{
	return file->state == FILE_KNOWN && !file->superseded && !file->checking &&
	       now_ns - file->checked_ns >= CHECK_NS;
}

void files_change_seen(struct files *f, struct file *file)
{
	file->check_wanted = true;
	if (may_check(file, clock_mono_ns()))
		check(f, file);
	f->checks_wanted += file->check_wanted;
}

void files_change_tick(struct files *f)
{
	uint64_t now = clock_mono_ns();

	if (!f->checks_wanted)
		return;
	f->checks_wanted = 0;
	for (size_t i = 0; i < f->files_n; i++) {
		struct file *file = &f->files[i];

		if (!file->check_wanted)
			continue;
		if (may_check(file, now))
			check(f, file);
		f->checks_wanted += file->check_wanted && !file->superseded;
	}
}

static bool is_newest(struct files *f, uint32_t index, uint32_t **ret_place)
{
	const struct kymo_file_key key = { .inode = f->files[index].inode,
					   .dev = f->files[index].dev };

	*ret_place = hmap_get(&f->by_key, &key);
	return *ret_place && **ret_place == index;
}

/* Its rules are made anew, under the binary that it has. */
static void change_again(struct files *f, uint32_t index, uint64_t version)
{
	f->files[index].version = version;
	files_unwind_superseded(f, &f->files[index]);
	f->stats.failed_unwind += files_unwind_ask(f, index) < 0;
}

static void change(struct files *f, uint32_t index, uint32_t *place, uint64_t version)
{
	const struct file before = f->files[index];
	const struct proc_mapping m = { .start = before.start,
					.end = before.end,
					.inode = before.inode,
					.inode_generation = before.generation,
					.dev = before.dev,
					.path = before.path,
					.is_file = true };
	struct file *file = files_succeed(f, &m, place);

	if (!file)
		return;
	file->pid = before.pid;
	file->start = before.start;
	file->end = before.end;
	file->version = version;
	file->changes = before.changes + 1;
}

bool files_change_told(struct files *f, uint32_t index, uint64_t version)
{
	struct file *file = &f->files[index];
	uint32_t *place;

	if (!version || version == file->version)
		return false;
	if (!file->version) {
		file->version = version;
		return false;
	}
	if (file->superseded || !is_newest(f, index, &place))
		return true;
	if (file->changes >= CHANGES_MAX)
		change_again(f, index, version);
	else
		change(f, index, place, version);
	return true;
}

bool files_change_checked(struct files *f, const struct worker_reply *reply)
{
	struct file *file = &f->files[reply->cookie];

	if (!file->checking)
		return false;
	file->checking = false;
	if (reply->error == 0)
		(void)files_change_told(f, (uint32_t)reply->cookie, reply->version);
	return true;
}
