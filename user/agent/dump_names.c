/* SPDX-License-Identifier: Apache-2.0 */
/* From the tick of a dump, and the names that come behind it, to the frames of each thread. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/dump_state.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

/* Big binaries take a second or two to read; a busy host leaves names little. */
#define NAMING_NS (30 * NS_PER_SEC)

/* What a frame is called by now. */
struct named {
	const struct frame *frame;
	const struct function *function;
	uint32_t line;
	const struct frame_inline *inlines; /* the outermost first */
	size_t inlines_n;
};

struct dump_names {
	struct tick *tick;
	struct late_names **late;
	size_t late_n, late_cap;
	/* By id; [0] is empty. */
	const struct binary **binaries;
	const struct function **functions;
	struct named *frames;
	const struct stack **stacks;
	size_t binaries_n, functions_n, frames_n, stacks_n;
};

void dump_names_free(struct dump_names *n)
{
	if (!n)
		return;
	for (size_t i = 0; i < n->late_n; i++)
		late_names_free(n->late[i]);
	tick_free(n->tick);
	free(n->late);
	free(n->binaries);
	free(n->functions);
	free(n->frames);
	free(n->stacks);
	free(n);
}

static int add_late(struct dump_names *n, struct late_names *late)
{
	if (!late)
		return 0;
	if (array_reserve(&n->late, &n->late_cap, n->late_n + 1) < 0) {
		late_names_free(late);
		return -ENOMEM;
	}
	n->late[n->late_n++] = late;
	return 0;
}

static int wait_for_names(struct dumper *d, struct dump_names *n)
{
	const struct timespec pause = { .tv_nsec = 2 * NS_PER_MSEC };
	uint64_t give_up = clock_mono_ns() + NAMING_NS;
	struct files_names names;
	int r;

	files_tick_closed(d->files);
	files_finish(d->files);
	for (;;) {
		r = files_pump(d->files, &names);
		if (add_late(n, names.current) < 0)
			r = -ENOMEM;
		if (r < 0 || !files_pending(d->files))
			return r;
		if (clock_mono_ns() > give_up) {
			log_warning("gave up waiting for the names of some frames");
			return 0;
		}
		nanosleep(&pause, NULL);
	}
}

/* ---- tables by id ---- */

#define MAX_ID(items, n, max)               \
	for (size_t _i = 0; _i < (n); _i++) \
		if ((items)[_i].id > (max)) \
			(max) = (items)[_i].id;

static int make_tables(struct dump_names *n)
{
	const struct tick *t = n->tick;

	MAX_ID(t->binaries, t->binaries_n, n->binaries_n)
	MAX_ID(t->functions, t->functions_n, n->functions_n)
	MAX_ID(t->frames, t->frames_n, n->frames_n)
	MAX_ID(t->stacks, t->stacks_n, n->stacks_n)
	for (size_t i = 0; i < n->late_n; i++)
		MAX_ID(n->late[i]->functions, n->late[i]->functions_n, n->functions_n)
	n->binaries = calloc(++n->binaries_n, sizeof(struct binary *));
	n->functions = calloc(++n->functions_n, sizeof(struct function *));
	n->frames = calloc(++n->frames_n, sizeof(*n->frames));
	n->stacks = calloc(++n->stacks_n, sizeof(struct stack *));
	return n->binaries && n->functions && n->frames && n->stacks ? 0 : -ENOMEM;
}

static const struct function *function_of(const struct dump_names *n, uint32_t id)
{
	return id < n->functions_n ? n->functions[id] : NULL;
}

static void fill_late(struct dump_names *n, const struct late_names *late)
{
	for (size_t i = 0; i < late->names_n; i++) {
		const struct frame_name *name = &late->names[i];

		if (name->frame >= n->frames_n)
			continue;
		n->frames[name->frame].function = function_of(n, name->function);
		n->frames[name->frame].line = name->line;
	}
	/* Those of a frame stand together. */
	for (size_t i = 0; i < late->inlines_n; i++) {
		struct named *f = late->inlines[i].frame < n->frames_n
					  ? &n->frames[late->inlines[i].frame]
					  : NULL;

		if (f && late->inlines[i].depth == 1) {
			f->inlines = &late->inlines[i];
			f->inlines_n = 0;
		}
		if (f && f->inlines)
			f->inlines_n++;
	}
}

static void fill_tables(struct dump_names *n)
{
	const struct tick *t = n->tick;

	for (size_t i = 0; i < t->binaries_n; i++)
		n->binaries[t->binaries[i].id] = &t->binaries[i];
	for (size_t i = 0; i < t->functions_n; i++)
		n->functions[t->functions[i].id] = &t->functions[i];
	for (size_t k = 0; k < n->late_n; k++)
		for (size_t i = 0; i < n->late[k]->functions_n; i++)
			n->functions[n->late[k]->functions[i].id] = &n->late[k]->functions[i];
	for (size_t i = 0; i < t->stacks_n; i++)
		n->stacks[t->stacks[i].id] = &t->stacks[i];
	for (size_t i = 0; i < t->frames_n; i++)
		n->frames[t->frames[i].id] =
			(struct named){ .frame = &t->frames[i],
					.function = function_of(n, t->frames[i].function),
					.line = t->frames[i].line };
	for (size_t k = 0; k < n->late_n; k++)
		fill_late(n, n->late[k]);
}

/* ---- frames ---- */

static const struct named *frame_of(const struct dump_names *n, uint32_t stack,
				    uint32_t *ret_parent)
{
	const struct stack *s = stack && stack < n->stacks_n ? n->stacks[stack] : NULL;

	*ret_parent = s ? s->parent : 0;
	return s && s->frame < n->frames_n && n->frames[s->frame].frame ? &n->frames[s->frame]
									: NULL;
}

static size_t put_frame(const struct dump_names *n, const struct named *f, struct dump_frame *out)
{
	uint32_t binary = f->frame->binary ? f->frame->binary
			  : f->function	   ? f->function->binary
					   : 0;
	size_t k = 0;

	for (size_t i = f->inlines_n; i-- > 0; k++)
		out[k] = (struct dump_frame){ .kind = f->frame->kind,
					      .inlined = true,
					      .function = function_of(n, f->inlines[i].function),
					      .line = f->inlines[i].line };
	out[k] = (struct dump_frame){ .kind = f->frame->kind,
				      .function = f->function,
				      .line = f->line,
				      .offset = f->frame->offset };
	for (size_t i = 0; i <= k; i++)
		out[i].binary = binary < n->binaries_n ? n->binaries[binary] : NULL;
	return k + 1;
}

static int fill_frames(const struct dump_names *n, uint32_t stack, struct dump_thread *t)
{
	const struct named *f;
	uint32_t parent;
	size_t count = 0;

	for (uint32_t at = stack; (f = frame_of(n, at, &parent)); at = parent)
		count += 1 + f->inlines_n;
	t->frames = calloc(count + 1, sizeof(*t->frames));
	if (!t->frames)
		return -ENOMEM;
	for (uint32_t at = stack; (f = frame_of(n, at, &parent)); at = parent)
		t->frames_n += put_frame(n, f, t->frames + t->frames_n);
	return 0;
}

static int fill_threads(struct dumper *d, const struct dump_names *n)
{
	int r = 0;

	for (size_t i = 0; i < n->tick->rows_n && r == 0; i++) {
		const struct tick_row *row = &n->tick->rows[i];
		const struct row_owner *owner = hmap_get(&d->rows, &row->thread);

		if (owner)
			r = fill_frames(n, row->stack,
					&d->dump->processes[owner->process].threads[owner->thread]);
	}
	return r;
}

int dump_name(struct dumper *d)
{
	struct dump_names *n = calloc(1, sizeof(*n));
	struct health health = { 0 };
	int r;

	if (!n)
		return -ENOMEM;
	d->dump->names = n;
	r = merge_tick_close(d->merge, clock_mono_ns(), clock_wall_ns(), &health, &n->tick);
	if (r == 0)
		r = wait_for_names(d, n);
	if (r == 0)
		r = make_tables(n);
	if (r < 0)
		return r;
	fill_tables(n);
	return fill_threads(d, n);
}
