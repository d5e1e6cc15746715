/* SPDX-License-Identifier: Apache-2.0 */
/* Frames and the tree of stacks. New ones go into the open tick. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/array.h"
#include "merge/state.h"

#define RECENT 65536 /* stacks that are recognised as a whole */

struct frame_key {
	uint64_t offset;
	uint32_t binary, function, line;
	uint16_t kind, by_fp;
};

struct stack_key {
	uint32_t parent, frame;
};

static_assert(sizeof(struct frame_key) == 24 && sizeof(struct stack_key) == 8, "without padding");

int merge_stacks_init(struct merge *m)
{
	uint64_t seed[2];

	if (getrandom(seed, sizeof(seed), 0) != sizeof(seed))
		return -EIO;
	idtable_init(&m->frames, sizeof(struct frame_key), seed);
	idtable_init(&m->stacks, sizeof(struct stack_key), seed);
	m->recent_n = RECENT;
	m->recent = calloc(m->recent_n, sizeof(*m->recent));
	return m->recent ? 0 : -ENOMEM;
}

void merge_stacks_release(struct merge *m)
{
	idtable_release(&m->frames);
	idtable_release(&m->stacks);
	free(m->recent);
	free(m->unnamed);
}

static struct frame_key frame_key(const struct sample_frame *s)
{
	return (struct frame_key){ s->offset, s->binary,	 s->function,
				   s->line,   (uint16_t)s->kind, s->by_fp };
}

static int unnamed_add(struct merge *m, const struct frame *f)
{
	/* The taken part is given back first, so that the queue does not creep. */
	if (m->unnamed_at == m->unnamed_n)
		m->unnamed_at = m->unnamed_closed = m->unnamed_n = 0;
	if (array_reserve(&m->unnamed, &m->unnamed_cap, m->unnamed_n + 1) < 0)
		return -ENOMEM;
	m->unnamed[m->unnamed_n++] = (struct merge_unnamed){ f->id, f->binary, f->offset };
	return 0;
}

size_t merge_take_unnamed(struct merge *m, struct merge_unnamed *out, size_t max)
{
	size_t n = m->unnamed_closed - m->unnamed_at;

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
	const struct frame_key key = frame_key(s);
	uint32_t id = idtable_find(&m->frames, &key);

	if (!id) {
		if (m->frames.count >= m->limits.frames + spare)
			return -ENOSPC;
		id = idtable_add(&m->frames, &key);
		if (!id)
			return -ENOMEM;
		if (frame_add(m, s, id) < 0) {
			idtable_drop_last(&m->frames);
			return -ENOMEM;
		}
	}
	*ret = id;
	return 0;
}

static int node_intern(struct merge *m, uint32_t parent, uint32_t frame, size_t spare,
		       uint32_t *ret)
{
	const struct stack_key key = { parent, frame };
	struct tick *t = m->open;
	uint32_t id = idtable_find(&m->stacks, &key);

	if (!id) {
		if (m->stacks.count >= m->limits.stacks + spare)
			return -ENOSPC;
		if (array_reserve(&t->stacks, &m->caps.stacks, t->stacks_n + 1) < 0)
			return -ENOMEM;
		id = idtable_add(&m->stacks, &key);
		if (!id)
			return -ENOMEM;
		t->stacks[t->stacks_n++] = (struct stack){ id, parent, frame };
	}
	*ret = id;
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

/* Where a stack of these frames was kept, if it was sampled lately. What stands there is compared. */
static uint32_t *recent_slot(struct merge *m, const struct sample_frame *frames, size_t frames_n)
{
	uint64_t h = frames_n;

	for (size_t i = 0; i < frames_n; i++) {
		const struct sample_frame *f = &frames[i];
		uint64_t what = (uint64_t)(f->binary ^ f->line << 16) << 32 | f->function;

		h = idtable_mix(f->offset ^ h, what ^ m->frames.seed[0]);
	}
	return &m->recent[h % m->recent_n];
}

static bool is_frame(const struct frame_key *k, const struct sample_frame *s)
{
	return k->offset == s->offset && k->binary == s->binary && k->function == s->function &&
	       k->line == s->line && k->kind == s->kind && k->by_fp == s->by_fp;
}

/* The nodes of one stack mostly lie side by side: comparing them is cheaper than finding each. */
static bool is_stack(const struct merge *m, uint32_t stack, const struct sample_frame *frames,
		     size_t frames_n)
{
	for (size_t i = 0; i < frames_n && stack; i++) {
		const struct stack_key *node = idtable_key(&m->stacks, stack);

		if (!is_frame(idtable_key(&m->frames, node->frame), &frames[i]))
			return false;
		stack = node->parent;
		if (!stack)
			return i + 1 == frames_n;
	}
	return false;
}

static int intern_frames(struct merge *m, const struct sample_frame *frames, size_t frames_n,
			 uint32_t *ret)
{
	uint32_t node = 0;

	for (size_t i = frames_n; i-- > 0;) {
		uint32_t frame;
		int r = frame_intern(m, &frames[i], 0, &frame);

		if (r == 0)
			r = node_intern(m, node, frame, 0, &node);
		if (r < 0)
			return r;
	}
	*ret = node;
	return 0;
}

int merge_stack(struct merge *m, const struct sample_frame *frames, size_t frames_n, uint32_t end,
		uint32_t *ret)
{
	uint32_t *recent;
	int r;

	if (frames_n == 0)
		return no_stack(m, end, ret);
	recent = recent_slot(m, frames, frames_n);
	if (is_stack(m, *recent, frames, frames_n)) {
		*ret = *recent;
		return 0;
	}
	r = intern_frames(m, frames, frames_n, ret);
	if (r == -ENOSPC)
		return dropped_stack(m, ret);
	if (r == 0)
		*recent = *ret;
	return r;
}
