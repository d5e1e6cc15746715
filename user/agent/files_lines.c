/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines come last: one job at a time, since every job reads the file's DWARF anew, tens of milliseconds for a C library.
 * Those of a file's first frames come soon, from a credit; what the recording then goes on to find is asked for as far
 * as a small share of a CPU allows, and at its end, for each file at once.
 */
#include <errno.h>

#include "agent/files_state.h"
#include "base/array.h"
#include "base/clock.h"

#define LINES_BATCH 1024
#define UNLINED_MAX 100000 /* frames of a file */
/* Behind the first names, so that those of the first second are one job. */
#define LINES_FIRST_NS NS_PER_SEC
/* A file that has been asked for: its new frames gather. */
#define LINES_LATER_NS (30 * NS_PER_SEC)
/* 0.1 % of one CPU, from a credit of the first seconds. */
#define CREDIT_MAX_NS (300 * NS_PER_MSEC)
#define CREDIT_SHARE  1000
/* Of one answer: what the parser says of itself is not believed beyond its limit. */
#define PARSER_CPU_MAX (10 * NS_PER_SEC)

static size_t unlined(const struct file *file)
{
	return file->unlined[CURRENT].n + file->unlined[RETIRED].n;
}

int files_queue_lines(struct files *f, const struct name_job *job)
{
	struct file *file = &f->files[job->file];
	struct frame_list *list = &file->unlined[job->profile];

	if (f->without_lines || file->no_lines || list->n + job->frames_n > UNLINED_MAX)
		return 0;
	if (!unlined(file)) {
		if (array_reserve(&f->to_line, &f->to_line_cap, f->to_line_n + 1) < 0)
			return -ENOMEM;
		file->lines_due_ns =
			clock_mono_ns() + (file->lined ? LINES_LATER_NS : LINES_FIRST_NS);
		f->to_line[f->to_line_n++] = job->file;
	}
	return frame_list_add(list, job->frames, job->frames_n);
}

static void refill(struct files *f, uint64_t now)
{
	if (!f->lines_refilled_ns)
		f->lines_credit_ns = CREDIT_MAX_NS;
	else
		f->lines_credit_ns += (int64_t)((now - f->lines_refilled_ns) / CREDIT_SHARE);
	if (f->lines_credit_ns > (int64_t)CREDIT_MAX_NS)
		f->lines_credit_ns = CREDIT_MAX_NS;
	f->lines_refilled_ns = now;
}

void files_lines_done(struct files *f, uint64_t parser_cpu_ns)
{
	f->lines_out--;
	f->lines_credit_ns -=
		(int64_t)(parser_cpu_ns < PARSER_CPU_MAX ? parser_cpu_ns : PARSER_CPU_MAX);
}

/* A profile that has ended waits for its lines, then it is closed. */
static bool is_due(const struct files *f, const struct file *file, uint64_t now)
{
	if (f->finishing || file->unlined[RETIRED].n)
		return true;
	return f->lines_credit_ns > 0 && now >= file->lines_due_ns;
}

/* False: nothing more can be asked now. */
static bool submit_lines_of(struct files *f, struct file *file)
{
	int profile = file->unlined[RETIRED].n ? RETIRED : CURRENT;

	if (file->no_lines || file->superseded) {
		file->unlined[CURRENT].n = file->unlined[RETIRED].n = 0;
		return true;
	}
	if (files_submit_job(f, file, WORKER_LINES, profile, &file->unlined[profile],
			     LINES_BATCH) <= 0)
		return false;
	f->lines_out++;
	file->lined = true;
	return true;
}

static bool names_are_waiting(const struct files *f)
{
	return f->finishing && f->to_name_n;
}

/* Names come first: whoever reads the recording needs them most. */
void files_submit_lines(struct files *f)
{
	uint64_t now = f->to_line_n ? clock_mono_ns() : 0;

	if (f->to_line_n)
		refill(f, now);
	for (size_t i = 0; i < f->to_line_n && !f->lines_out && !names_are_waiting(f);) {
		struct file *file = &f->files[f->to_line[i]];

		if (!is_due(f, file, now)) {
			i++;
			continue;
		}
		if (unlined(file) && !submit_lines_of(f, file))
			return;
		if (!unlined(file)) {
			frame_list_clear(&file->unlined[CURRENT]);
			frame_list_clear(&file->unlined[RETIRED]);
			f->to_line[i] = f->to_line[--f->to_line_n];
		}
	}
}
