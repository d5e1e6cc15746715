/* SPDX-License-Identifier: Apache-2.0 */
#include "query/profile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "query/segment.h"

int profile_fail(struct profile *p, const struct segment *s, int error)
{
	const char *why = s ? store_reader_message(s->reader) : NULL; /* names its file itself */
	char *message = NULL;

	if (why && *why)
		message = strdup(why);
	else if (asprintf(&message, "%s: %s", p->path, strerror(-error)) < 0)
		message = NULL;
	free(p->message);
	p->message = message;
	return error;
}

void profile_close(struct profile *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->segments_n; i++)
		segment_release(&p->segments[i]);
	free(p->segments);
	for (size_t i = 0; i < p->notes_n; i++)
		free(p->notes[i]);
	free(p->notes);
	free(p->ticks);
	free(p->message);
	free(p->path);
	free(p);
}

bool profile_is_one(const char *path)
{
	return store_is_profile(path);
}

const char *profile_path(const struct profile *p)
{
	return p->path;
}

const char *profile_meta(const struct profile *p, const char *key)
{
	return store_meta(p->segments[0].reader, key);
}

const char *const *profile_notes(const struct profile *p, size_t *ret_n)
{
	*ret_n = p->notes_n;
	return (const char *const *)p->notes;
}

size_t profile_segments(const struct profile *p)
{
	return p->segments_n;
}

unsigned profile_format(const struct profile *p)
{
	return store_format(p->segments[0].reader);
}

uint64_t profile_meta_u64(const struct profile *p, const char *key, uint64_t missing)
{
	const char *text = profile_meta(p, key);
	uint64_t value;

	return text && text_parse_u64(text, 0, UINT64_MAX, &value) == 0 ? value : missing;
}

bool profile_ended(const struct profile *p)
{
	return store_ended(p->segments[p->segments_n - 1].reader);
}

const struct profile_tick *profile_ticks(const struct profile *p, size_t *ret_n)
{
	*ret_n = p->ticks_n;
	return p->ticks;
}

uint64_t profile_duration_ns(const struct profile *p)
{
	uint64_t start, end;

	if (p->ticks_n == 0)
		return 0;
	start = p->ticks[0].start_ns;
	end = p->ticks[p->ticks_n - 1].end_ns;
	return end > start ? end - start : 0;
}

uint64_t profile_start_wall_ns(const struct profile *p)
{
	const struct profile_tick *t = p->ticks;

	if (p->ticks_n == 0)
		return 0;
	return t->wall_ns - (t->end_ns > t->start_ns ? t->end_ns - t->start_ns : 0);
}

static uint64_t file_bytes(const char *path, const char *suffix)
{
	_cleanup_free_ char *full = NULL;
	struct stat st;

	if (asprintf(&full, "%s%s", path, suffix) < 0) {
		full = NULL;
		return 0;
	}
	return stat(full, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
}

static int count_samples(struct profile *p, struct profile_counts *ret)
{
	struct store_block block = { 0 };
	int r = 0;

	for (size_t i = 0; i < p->ticks_n; i++) {
		ret->rows += p->ticks[i].rows;
		r = store_read_block(p->segments[p->ticks[i].segment].reader, p->ticks[i].id,
				     &block);
		if (r == -ENOMEM)
			break;
		/* A damaged block is the query's business to tell of. */
		ret->samples += r == 0 ? block.offsets_n : 0;
		r = 0;
	}
	store_block_release(&block);
	return r < 0 ? profile_fail(p, NULL, r) : 0;
}

int profile_count(struct profile *p, struct profile_counts *ret)
{
	*ret = (struct profile_counts){ 0 };
	for (size_t i = 0; i < p->segments_n; i++) {
		struct segment *s = &p->segments[i];
		int r = segment_load(p, s);

		if (r < 0)
			return r;
		ret->binaries += s->tables.binaries_n;
		ret->functions += s->tables.functions_n;
		ret->frames += s->tables.frames_n;
		ret->stacks += s->tables.stacks_n;
		ret->processes += s->tables.processes_n;
		ret->threads += s->tables.threads_n;
		ret->file_bytes += file_bytes(s->path, "") + file_bytes(s->path, "-wal");
	}
	return count_samples(p, ret);
}

struct size_list {
	struct profile_size *items;
	size_t n, cap;
};

static int add_size(void *data, const struct store_size *s)
{
	struct size_list *l = data;
	size_t i = 0;

	while (i < l->n && strcmp(l->items[i].table, s->table) != 0)
		i++;
	if (i == l->n) {
		if (array_reserve(&l->items, &l->cap, l->n + 1) < 0)
			return -ENOMEM;
		l->items[l->n] = (struct profile_size){ 0 };
		snprintf(l->items[l->n++].table, sizeof(l->items[0].table), "%s", s->table);
	}
	l->items[i].bytes += s->bytes;
	return 0;
}

static int compare_sizes(const void *pa, const void *pb)
{
	const struct profile_size *a = pa, *b = pb;

	if (a->bytes != b->bytes)
		return a->bytes > b->bytes ? -1 : 1;
	return strcmp(a->table, b->table);
}

int profile_sizes(struct profile *p, struct profile_size **ret, size_t *ret_n)
{
	struct size_list l = { 0 };

	for (size_t i = 0; i < p->segments_n; i++) {
		int r = store_read_sizes(p->segments[i].reader, add_size, &l);

		if (r < 0) {
			free(l.items);
			return profile_fail(p, &p->segments[i], r);
		}
	}
	if (l.n)
		qsort(l.items, l.n, sizeof(*l.items), compare_sizes);
	*ret = l.items;
	*ret_n = l.n;
	return 0;
}

const char *profile_message(struct profile *p)
{
	return p->message ? p->message : "out of memory";
}
