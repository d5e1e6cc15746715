/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/support/python_walk.h"

#include "lib/native.h"
#include "lib/walk_python.bpf.h"

#include <stdlib.h>

static int walk_all(struct scratch *s, struct walk_result *ret, bool rest)
{
	int end = python_begin(0);

	ret->active = s->python.active;
	/* Each eval loop is a native frame, of which the kernel side takes no more than so many: the next one says so. */
	for (int i = 0; i <= KYMO_USER_FRAMES_MAX && !end && s->python.active && !s->python.done;
	     i++) {
		__u16 before = s->record.head.user_frames;

		end = rest ? python_rest(0) : python_segment(0);
		/* As at the next sample: code objects that are too many for one are copied then. */
		s->python.codes = 0;
		if (s->record.head.user_frames > before)
			ret->ends_loop[s->record.head.user_frames - 1] = true;
	}
	if (s->python.done)
		python_thread_name(0);
	return end;
}

void python_walk(const struct walk_input *in, struct walk_result *ret)
{
	struct native_kernel *kernel = calloc(1, sizeof(*kernel));
	struct scratch *s;

	if (!kernel)
		abort();
	*ret = (struct walk_result){ 0 };
	kernel->data = in->data;
	kernel->read = in->read;
	kernel->output = in->output;
	native_kernel = kernel;
	s = &kernel->scratch;
	s->process.load_bias = in->load_bias;
	s->binary = in->binary;
	s->layout = in->layout;
	s->native.fs_base = in->fs_base;
	s->native.ip = in->leaf_pc;
	s->native.leaf = 1;
	s->python.futex = in->futex;
	s->record.head.who.pid = WALK_PID;
	s->record.head.who.process_start_ns = WALK_PROCESS_START_NS;
	ret->end = walk_all(s, ret, in->rest);
	ret->state = s->record.head.state;
	ret->n = s->record.head.user_frames;
	memcpy(ret->frames, s->record.body, ret->n * sizeof(ret->frames[0]));
	memcpy(ret->counters, kernel->counters, sizeof(ret->counters));
	native_kernel = NULL;
	free(kernel);
}
