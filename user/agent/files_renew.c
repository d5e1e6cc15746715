/* SPDX-License-Identifier: Apache-2.0 */
/* A new profile begins: the frames of the one before are still named in that. */
#include <errno.h>

#include "agent/files_state.h"
#include "agent/jit.h"
#include "base/array.h"
#include "base/cleanup.h"

int files_late_retired_add(struct files *f, uint32_t index)
{
	if (array_reserve(&f->late_retired, &f->late_retired_cap, f->late_retired_n + 1) < 0)
		return -ENOMEM;
	f->late_retired[f->late_retired_n++] = index;
	return 0;
}

void name_job_release(struct name_job *job)
{
	free(job->frames);
	*job = (struct name_job){ 0 };
}

int files_renew(struct files *f)
{
	int r;

	files_retired_end(f);
	if (files_take_unnamed(f) < 0)
		return -ENOMEM;
	r = merge_renew(f->merge, &f->retired);
	if (r == 0)
		r = jit_renew(f->jit, f->retired, &f->jit_retired);
	if (r < 0)
		return r;
	for (size_t i = 0; i < f->files_n; i++) {
		struct file *file = &f->files[i];

		file->binary[RETIRED] = file->binary[CURRENT];
		file->unnamed[RETIRED] = file->unnamed[CURRENT];
		file->binary[CURRENT] = 0;
		file->unnamed[CURRENT] = (struct frame_list){ 0 };
		file->unlined[RETIRED] = file->unlined[CURRENT];
		file->unlined[CURRENT] = (struct frame_list){ 0 };
	}
	for (size_t i = 0; i < f->jobs_n; i++)
		f->jobs[i].profile = RETIRED;
	hmap_clear(&f->by_binary);
	/* The tick that told of their binaries has been closed. */
	for (size_t i = 0; i < f->late_n && r == 0; i++)
		r = files_late_retired_add(f, f->late[i]);
	f->late_n = f->late_closed = 0;
	return r;
}

/* Only while a profile is retired: a handful of files at a time. */
bool files_retired_named(const struct files *f)
{
	if (!f->retired)
		return true;
	for (size_t i = 0; i < f->jobs_n; i++)
		if (f->jobs[i].used && f->jobs[i].profile == RETIRED)
			return false;
	for (size_t i = 0; i < f->to_name_n; i++)
		if (f->files[f->to_name[i]].unnamed[RETIRED].n)
			return false;
	for (size_t i = 0; i < f->to_line_n; i++)
		if (f->files[f->to_line[i]].unlined[RETIRED].n)
			return false;
	return f->late_retired_n == 0 && (!f->jit_retired || jit_pending(f->jit_retired) == 0);
}

void files_retired_end(struct files *f)
{
	if (!f->retired)
		return;
	for (size_t i = 0; i < f->jobs_n; i++)
		if (f->jobs[i].used && f->jobs[i].profile == RETIRED) {
			name_job_release(&f->jobs[i]);
			f->jobs_out--;
			f->stats.failed_names++;
		}
	for (size_t i = 0; i < f->files_n; i++) {
		f->files[i].binary[RETIRED] = 0;
		frame_list_clear(&f->files[i].unnamed[RETIRED]);
		frame_list_clear(&f->files[i].unlined[RETIRED]);
	}
	f->late_retired_n = 0;
	jit_free(TAKE_PTR(f->jit_retired));
	merge_free(TAKE_PTR(f->retired));
}
