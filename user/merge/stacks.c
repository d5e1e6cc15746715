/* SPDX-License-Identifier: Apache-2.0 */
/* Frames and the tree of stacks. New ones go into the open tick. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "merge/state.h"

struct frame_key {
	uint64_t offset;
	uint32_t binary, function, line;
	uint16_t kind, by_fp;
};

struct stack_key {
	uint32_t parent, frame;
};

static_assert(sizeof(struct frame_key) == 24 && sizeof(struct stack_key) == 8,
	      "keys without padding");

void merge_stacks_init(struct merge *m)
{
	/* The limits are checked here, not by the maps: synthetic ones may pass them. */
	hmap_init(&m->frames, sizeof(struct frame_key), sizeof(uint32_t), 0);
	hmap_init(&m->stacks, sizeof(struct stack_key), sizeof(uint32_t), 0);
}

static int unnamed_add(struct merge *m, const struct frame *f)
{
	/* The taken part is given back first, so that the queue does not creep. */
	if (m->unnamed_at == m->unnamed_n)
		m->unnamed_at = m->unnamed_n = 0;
	if (array_reserve(&m->unnamed, &m->unnamed_cap, m->unnamed_n + 1) < 0)
		return -ENOMEM;
	m->unnamed[m->unnamed_n++] = (struct merge_unnamed){ f->id, f->binary, f->offset };
	return 0;
}

size_t merge_take_unnamed(struct merge *m, struct merge_unnamed *out, size_t max)
{
	size_t n = m->unnamed_n - m->unnamed_at;

	if (n > max)
		n = max;
	if (n == 0)
		return 0;
	memcpy(out, m->unnamed + m->unnamed_at, n * sizeof(*out));
	m->unnamed_at += n;
	return n;
}

static int frame_add(struct merge *m, const struct sample_frame *s, uint32_t id)
{
	struct tick *t = m->open;
	const struct frame f = { .id = id,
				 .kind = s->kind,
				 .binary = s->binary,
				 .offset = s->offset,
				 .function = s->function,
				 .line = s->line,
				 .by_fp = s->by_fp };

	if (array_reserve(&t->frames, &m->caps.frames, t->frames_n + 1) < 0)
		return -ENOMEM;
	if (f.kind == FRAME_NATIVE && f.function == 0 && unnamed_add(m, &f) < 0)
		return -ENOMEM;
	t->frames[t->frames_n++] = f;
	return 0;
}

/* 0, -ENOMEM, -ENOSPC at the bound (`spare` more are kept for what is synthetic). */
static int frame_intern(struct merge *m, const struct sample_frame *s, size_t spare, uint32_t *ret)
{
	const struct frame_key key = { s->offset, s->binary,	     s->function,
				       s->line,	  (uint16_t)s->kind, s->by_fp };
	uint32_t *id = hmap_get(&m->frames, &key);

	if (id) {
		*ret = *id;
		return 0;
	}
	if (m->frames.count >= m->limits.frames + spare)
		return -ENOSPC;
	id = hmap_put(&m->frames, &key, NULL);
	if (!id)
		return -ENOMEM;
	*id = m->frame_last + 1;
	if (frame_add(m, s, *id) < 0) {
		hmap_remove(&m->frames, &key);
		return -ENOMEM;
	}
	*ret = ++m->frame_last;
	return 0;
}

static int node_intern(struct merge *m, uint32_t parent, uint32_t frame, size_t spare,
		       uint32_t *ret)
{
	const struct stack_key key = { parent, frame };
	struct tick *t = m->open;
	uint32_t *id = hmap_get(&m->stacks, &key);

	if (id) {
		*ret = *id;
		return 0;
	}
	if (m->stacks.count >= m->limits.stacks + spare)
		return -ENOSPC;
	if (array_reserve(&t->stacks, &m->caps.stacks, t->stacks_n + 1) < 0)
		return -ENOMEM;
	id = hmap_put(&m->stacks, &key, NULL);
	if (!id)
		return -ENOMEM;
	*id = ++m->stack_last;
	t->stacks[t->stacks_n++] = (struct stack){ *id, parent, frame };
	*ret = *id;
	return 0;
}

/* A stack of one synthetic frame. There are few of them: they may pass the limits. */
static int synthetic_stack(struct merge *m, const char *name, uint32_t *ret)
{
	struct function fn = { .kind = FRAME_SYNTHETIC, .name = (char *)name };
	struct sample_frame s = { .kind = FRAME_SYNTHETIC };
	uint32_t frame;
	int r;

	s.function = merge_function(m, &fn);
	if (!s.function)
		return -ENOMEM;
	r = frame_intern(m, &s, KYMO_END_MAX + 2, &frame);
	if (r == 0)
		r = node_intern(m, 0, frame, KYMO_END_MAX + 2, ret);
	return r;
}

static int no_stack(struct merge *m, uint32_t end, uint32_t *ret)
{
	char name[96];

	if (end > KYMO_END_MAX)
		end = KYMO_END_MAX;
	if (!m->no_stack[end]) {
		const char *why = end < KYMO_END_MAX && end_names[end] ? end_names[end]
								       : "unknown end";
		int r;

		snprintf(name, sizeof(name), "[no stack: %s]", why);
		r = synthetic_stack(m, name, &m->no_stack[end]);
		if (r < 0)
			return r;
	}
	*ret = m->no_stack[end];
	return 0;
}

static int dropped_stack(struct merge *m, uint32_t *ret)
{
	m->dropped.stacks++;
	if (!m->dropped_stack) {
		int r = synthetic_stack(m, "[dropped: too many stacks]", &m->dropped_stack);

		if (r < 0)
			return r;
	}
	*ret = m->dropped_stack;
	return 0;
}

int merge_stack(struct merge *m, const struct sample_frame *frames, size_t frames_n, uint32_t end,
		uint32_t *ret)
{
	uint32_t node = 0;

	if (frames_n == 0)
		return no_stack(m, end, ret);
	for (size_t i = frames_n; i-- > 0;) {
		uint32_t frame;
		int r = frame_intern(m, &frames[i], 0, &frame);

		if (r == 0)
			r = node_intern(m, node, frame, 0, &node);
		if (r == -ENOSPC)
			return dropped_stack(m, ret);
		if (r < 0)
			return r;
	}
	*ret = node;
	return 0;
}
