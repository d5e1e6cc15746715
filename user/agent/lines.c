/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/lines.h"

#include <errno.h>
#include <stdlib.h>

static uint32_t function_of(struct merge *merge, uint32_t binary, const char *name,
			    const char *file, uint32_t first_line)
{
	struct function fn = { .kind = FRAME_NATIVE,
			       .binary = binary,
			       .name = (char *)name,
			       .file = (char *)file,
			       .first_line = first_line };

	return merge_function(merge, &fn);
}

/* All or none of them: what stands between two functions must not be left out. */
static void add_inlines(struct merge *merge, uint32_t binary, uint32_t frame,
			const struct worker_name *n, const struct worker_reply *reply,
			struct late_names *l)
{
	size_t before = l->inlines_n;

	for (size_t i = 0; i < n->inlines_n; i++) {
		const struct worker_inline *in = &reply->inlines[n->inlines_first + i];
		uint32_t function = function_of(merge, binary, in->name, in->file, in->first_line);

		if (!function) {
			l->inlines_n = before;
			return;
		}
		l->inlines[l->inlines_n++] = (struct frame_inline){ .frame = frame,
								    .depth = (uint32_t)i + 1,
								    .function = function,
								    .line = in->line };
	}
}

int lines_add(struct merge *merge, uint32_t binary, const struct merge_unnamed *frames,
	      size_t frames_n, const struct worker_reply *reply, struct late_names *l)
{
	size_t n = reply->names_n < frames_n ? reply->names_n : frames_n;
	struct frame_name *names = reallocarray(l->names, l->names_n + n + 1, sizeof(*names));
	struct frame_inline *inlines;

	if (!names)
		return -ENOMEM;
	l->names = names;
	inlines = reallocarray(l->inlines, l->inlines_n + reply->inlines_n + 1, sizeof(*inlines));
	if (!inlines)
		return -ENOMEM;
	l->inlines = inlines;
	for (size_t i = 0; i < n; i++) {
		const struct worker_name *name = &reply->names[i];
		uint32_t function;

		/* Nothing that the symbol's name did not say. */
		if (!name->name[0] || (!name->file[0] && !name->line && !name->inlines_n))
			continue;
		function = function_of(merge, binary, name->name, name->file, name->first_line);
		if (!function)
			continue;
		l->names[l->names_n++] = (struct frame_name){ .frame = frames[i].frame,
							      .function = function,
							      .line = name->line };
		add_inlines(merge, binary, frames[i].frame, name, reply, l);
	}
	return 0;
}
