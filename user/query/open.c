/* SPDX-License-Identifier: Apache-2.0 */
/* Opening: one file, or all of a folder on one axis of time. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "query/segment.h"
#include "store/segments.h"

/* Lines about single segments; of more only the number. */
#define NOTES_MAX 8
/* A file, its folder, its WAL and the memory that its writer shares. */
#define FDS_PER_SEGMENT 4

DEFINE_CLEANUP(struct profile *, profile_close);

static uint64_t wall_start(const struct store_tick *t)
{
	uint64_t length = t->end_ns > t->start_ns ? t->end_ns - t->start_ns : 0;

	return t->wall_ns > length ? t->wall_ns - length : 0;
}

static bool same_boot(const struct profile *p, const struct segment *s, uint32_t before)
{
	const char *a = store_meta(p->segments[before].reader, "boot");
	const char *b = store_meta(s->reader, "boot");

	return a && b && *a && strcmp(a, b) == 0;
}

/* What is to be added to the segment's times, so that they go on where those before it end. */
static int64_t find_shift(const struct profile *p, const struct segment *s,
			  const struct store_tick *first)
{
	const struct profile_tick *start = p->ticks, *last;
	uint64_t wall, at;
	int64_t shift;

	if (p->ticks_n == 0)
		return 0;
	last = &p->ticks[p->ticks_n - 1];
	if (same_boot(p, s, last->segment)) {
		shift = last->shift_ns;
	} else {
		wall = start->wall_ns - (start->end_ns - start->start_ns);
		at = start->start_ns + (wall_start(first) - wall);
		shift = (int64_t)(at - first->start_ns);
	}
	/* The clock was set back, or somebody has made this up: in the order of the names all the same. */
	if (first->start_ns + (uint64_t)shift < last->end_ns)
		shift = (int64_t)(last->end_ns - first->start_ns);
	return shift;
}

/* Appends the segment's ticks to the profile's. */
static int add_ticks(struct profile *p, uint32_t segment)
{
	_cleanup_free_ struct store_tick *ticks = NULL;
	struct segment *s = &p->segments[segment];
	int64_t shift;
	size_t n = 0;
	int r;

	r = store_read_ticks(s->reader, &ticks, &n);
	if (r < 0)
		return profile_fail(p, s, r);
	if (n == 0)
		return 0;
	r = array_reserve(&p->ticks, &p->ticks_cap, p->ticks_n + n);
	if (r < 0)
		return profile_fail(p, NULL, r);
	shift = find_shift(p, s, &ticks[0]);
	for (size_t i = 0; i < n; i++)
		p->ticks[p->ticks_n++] = (struct profile_tick){
			.segment = segment,
			.id = ticks[i].id,
			.start_ns = ticks[i].start_ns + (uint64_t)shift,
			.end_ns = ticks[i].end_ns + (uint64_t)shift,
			.shift_ns = shift,
			.wall_ns = ticks[i].wall_ns,
			.rows = ticks[i].rows,
			.health = ticks[i].health,
		};
	return 0;
}

static int add_segment(struct profile *p, const char *path, char **ret_message)
{
	size_t cap = p->segments_n;
	struct segment *s;
	int r = array_reserve(&p->segments, &cap, p->segments_n + 1);

	if (r < 0)
		return r;
	s = &p->segments[p->segments_n];
	*s = (struct segment){ .path = strdup(path) };
	r = s->path ? store_open(path, &s->reader, ret_message) : -ENOMEM;
	if (r < 0) {
		segment_release(s);
		return r;
	}
	p->segments_n++;
	return 0;
}

/* Takes the message. */
static void note(struct profile *p, char *message)
{
	if (p->notes_n == NOTES_MAX ||
	    array_reserve(&p->notes, &p->notes_cap, p->notes_n + 1) < 0) {
		p->notes_more++;
		free(message);
		return;
	}
	p->notes[p->notes_n++] = message;
}

/*
 * What is damaged must be known now: once ticks have been shown, none can go. What came before stays
 * as it is when this fails.
 */
static int take_segment(struct profile *p, const char *path, char **ret_message)
{
	size_t ticks_n = p->ticks_n;
	int r = add_segment(p, path, ret_message);

	if (r < 0)
		return r;
	r = segment_load(p, &p->segments[p->segments_n - 1]);
	if (r == 0)
		r = add_ticks(p, (uint32_t)p->segments_n - 1);
	if (r < 0) {
		*ret_message = TAKE_PTR(p->message);
		p->ticks_n = ticks_n;
		segment_release(&p->segments[--p->segments_n]);
	}
	return r;
}

/* A segment that was killed, and others were written behind it. */
static void note_cut(struct profile *p)
{
	for (size_t i = 0; i + 1 < p->segments_n; i++) {
		const struct segment *s = &p->segments[i];
		char *line;

		if (!store_ended(s->reader) && !store_is_recorded(s->reader) &&
		    asprintf(&line, "%s: did not end: cut off after its last tick", s->path) >= 0)
			note(p, line);
	}
}

static int take_all(struct profile *p, const struct segment_names *names, char **ret_message)
{
	char *message = NULL, *path = NULL;
	int error = 0;

	for (size_t i = 0; i < names->n; i++) {
		int r = asprintf(&path, "%s/%s", p->path, names->items[i]) < 0 ? -ENOMEM : 0;

		if (r == 0) {
			r = take_segment(p, path, &message);
			free(path);
		}
		if (r == -ENOMEM)
			return r;
		/* A recorder keeps only the newest. */
		if (r < 0 && r != -ENOENT && message) {
			error = r;
			note(p, TAKE_PTR(message));
		}
		free(TAKE_PTR(message));
	}
	if (p->segments_n)
		return 0;
	if (p->notes_n)
		*ret_message = TAKE_PTR(p->notes[--p->notes_n]);
	return error ? error : -ENOENT;
}

static void allow_files(size_t n)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > n)
		return;
	limit.rlim_cur = limit.rlim_max < n ? limit.rlim_max : n;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int open_folder(struct profile *p, char **ret_message)
{
	_cleanup_(segment_names_release) struct segment_names names = { 0 };
	_cleanup_close_ int fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char *line;
	int r = fd < 0 ? -errno : segments_list(fd, &names);

	if (r == 0)
		allow_files(names.n * FDS_PER_SEGMENT + 64);
	if (r == 0)
		r = take_all(p, &names, ret_message);
	if (r == -ENOENT && !*ret_message &&
	    asprintf(ret_message, "%s: is a folder without a recording in it", p->path) < 0)
		*ret_message = NULL;
	if (r < 0) {
		if (!*ret_message && asprintf(ret_message, "%s: %s", p->path, strerror(-r)) < 0)
			*ret_message = NULL;
		return r;
	}
	note_cut(p);
	if (p->notes_more && asprintf(&line, "%s: %zu more of its files have such faults", p->path,
				      p->notes_more) >= 0) {
		free(p->notes[NOTES_MAX - 1]);
		p->notes[NOTES_MAX - 1] = line;
	}
	return 0;
}

static int open_file(struct profile *p, char **ret_message)
{
	int r = add_segment(p, p->path, ret_message);

	if (r == 0) {
		r = add_ticks(p, 0);
		if (r < 0)
			*ret_message = TAKE_PTR(p->message);
	}
	return r;
}

int profile_open(const char *path, struct profile **ret, char **ret_message)
{
	_cleanup_(profile_closep) struct profile *p = calloc(1, sizeof(*p));
	struct stat st;
	int r = -ENOMEM;

	*ret_message = NULL;
	if (p)
		p->path = strdup(path);
	if (p && p->path)
		r = stat(path, &st) == 0 && S_ISDIR(st.st_mode) ? open_folder(p, ret_message)
								: open_file(p, ret_message);
	if (r < 0) {
		if (!*ret_message)
			*ret_message = strdup("out of memory");
		return r;
	}
	*ret = TAKE_PTR(p);
	return 0;
}
