/* SPDX-License-Identifier: Apache-2.0 */
#include "query/imports.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/hmap.h"
#include "base/json_read.h"
#include "query/events.h"

#define IMPORTS_MAX (1U << 20)
#define FRAMES_MAX  256
#define DEPTH_MAX   256

static const struct process unknown_process = { .exe = (char *)"", .cmdline = (char *)"" };

/* What ended at each depth of a thread and waits for the import around it. */
struct nested {
	uint64_t ns[DEPTH_MAX + 1];
	int64_t bytes[DEPTH_MAX + 1];
};

struct collector {
	struct profile *profile;
	struct query_imports i;
	size_t cap;
	struct hmap threads; /* const struct thread * -> struct nested * */
	struct buf name;
};

static void collector_release(struct collector *c)
{
	const void *key;
	size_t at = 0;
	void *value;

	while (hmap_next(&c->threads, &at, &key, &value))
		free(*(struct nested **)value);
	hmap_release(&c->threads);
	buf_release(&c->name);
	query_imports_release(&c->i);
}

static int64_t add(int64_t a, int64_t b)
{
	int64_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return b < 0 ? INT64_MIN : INT64_MAX;
	return sum;
}

static int64_t subtract(int64_t a, int64_t b)
{
	int64_t difference;

	if (__builtin_sub_overflow(a, b, &difference))
		return b > 0 ? INT64_MIN : INT64_MAX;
	return difference;
}

static uint64_t add_u64(uint64_t a, uint64_t b)
{
	return a + b < a ? UINT64_MAX : a + b;
}

static struct nested *find_thread(struct collector *c, const struct thread *thread)
{
	struct nested **n = hmap_put(&c->threads, &thread, NULL);

	if (n && !*n)
		*n = calloc(1, sizeof(**n));
	return n ? *n : NULL;
}

/* The machinery of imports is Python itself: whoever is above it asked. */
static bool is_machinery(const struct function *f)
{
	return strncmp(f->file, "<frozen importlib", strlen("<frozen importlib")) == 0;
}

static void find_importer(struct collector *c, const struct query_event *e, struct query_import *i)
{
	struct query_frame frames[FRAMES_MAX];
	size_t n = query_event_stack(c->profile, e, frames, FRAMES_MAX);

	for (size_t k = 0; k < n; k++) {
		if (frames[k].kind != FRAME_PYTHON || !frames[k].function ||
		    is_machinery(frames[k].function))
			continue;
		i->importer = frames[k].function;
		i->line = frames[k].line;
		return;
	}
}

static int64_t grown(const struct query_event *e)
{
	int64_t before = 0, after = 0;

	if (!query_event_number(e, "rss_before_bytes", &before) ||
	    !query_event_number(e, "rss_after_bytes", &after))
		return 0;
	return subtract(after, before);
}

/* What those within it took goes off its own, and it waits for the one around it. */
static void nest(struct nested *n, struct query_import *i)
{
	uint64_t within_ns = n->ns[i->depth + 1];

	i->own_ns = i->total_ns > within_ns ? i->total_ns - within_ns : 0;
	i->own_bytes = subtract(i->total_bytes, n->bytes[i->depth + 1]);
	n->ns[i->depth + 1] = 0;
	n->bytes[i->depth + 1] = 0;
	n->ns[i->depth] = add_u64(n->ns[i->depth], i->total_ns);
	n->bytes[i->depth] = add(n->bytes[i->depth], i->total_bytes);
}

static int collect(void *data, const struct query_event *e)
{
	struct collector *c = data;
	struct query_import i = { .process = e->process ? e->process : &unknown_process,
				  .start_ns = e->time_ns,
				  .total_ns = e->duration_ns,
				  .total_bytes = grown(e) };
	const char *found = json_member(e->fields, "found");
	struct nested *nested;
	int64_t depth = 0;
	int r;

	if (e->kind != EVENT_IMPORT)
		return 0;
	(void)query_event_number(e, "depth", &depth);
	if (depth < 0 || depth >= DEPTH_MAX || c->i.n >= IMPORTS_MAX) {
		c->i.dropped++;
		return 0;
	}
	i.depth = (uint32_t)depth;
	i.failed = found && strncmp(found, "false", strlen("false")) == 0;
	nested = find_thread(c, e->thread);
	buf_clear(&c->name);
	r = json_get_text(json_member(e->fields, "name"), &c->name);
	if (r == -ENOMEM || !nested || !buf_str(&c->name) ||
	    array_reserve(&c->i.items, &c->cap, c->i.n + 1) < 0)
		return -ENOMEM;
	i.name = strdup(r == 0 ? buf_str(&c->name) : "");
	if (!i.name)
		return -ENOMEM;
	find_importer(c, e, &i);
	nest(nested, &i);
	c->i.total_ns = add_u64(c->i.total_ns, i.own_ns);
	c->i.total_bytes = add(c->i.total_bytes, i.own_bytes);
	c->i.items[c->i.n++] = i;
	return 0;
}

int query_imports(struct profile *p, const struct query_selection *s, struct query_imports *ret)
{
	_cleanup_(collector_release) struct collector c = { .profile = p };
	int r;

	hmap_init(&c.threads, sizeof(struct thread *), sizeof(struct nested *), 0);
	r = query_each_event(p, s, collect, &c);
	if (r < 0)
		return r;
	*ret = c.i;
	c.i = (struct query_imports){ 0 };
	return 0;
}

void query_imports_release(struct query_imports *i)
{
	for (size_t k = 0; k < i->n; k++)
		free(i->items[k].name);
	free(i->items);
	*i = (struct query_imports){ 0 };
}
