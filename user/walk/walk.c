/* SPDX-License-Identifier: Apache-2.0 */
#include "walk/walk.h"

#include "lib/native_walk.h"

#include <stdlib.h>

/* A walk copies out some code objects; the next one has those behind. More than the deepest stack can have. */
#define PASSES_MAX (KYMO_USER_FRAMES_MAX / CODES_PER_SAMPLE + 1)
#define SLOT	   CONTEXT_TIMER

static_assert(sizeof(struct pt_regs) == sizeof(((struct kymo_standing *)0)->registers),
	      "all of them");
static_assert(sizeof(struct walk_mapping) == sizeof(struct native_mapping) &&
		      offsetof(struct walk_mapping, rules) ==
			      offsetof(struct native_mapping, rules) &&
		      offsetof(struct walk_mapping, pgoff_bytes) ==
			      offsetof(struct native_mapping, offset),
	      "one is read as the other");

struct walk_state {
	struct native_kernel kernel;
	const struct walk_process *process;
	int error; /* of output */
};

int walk_new(struct walk_state **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

void walk_free(struct walk_state *w)
{
	free(w);
}

static int read_memory(void *data, void *to, size_t size, uint64_t address)
{
	const struct walk_state *w = data;

	return w->process->read(w->process->data, to, size, address);
}

static int output(void *data, const void *record, size_t size)
{
	struct walk_state *w = data;

	if (!w->error)
		w->error = w->process->output(w->process->data, record, size);
	return w->error;
}

static const struct kymo_unwind_rule *rule(const void *rules, __u64 offset)
{
	return unwind_table_find(rules, offset);
}

static void begin(struct walk_state *w, const struct kymo_standing *t)
{
	struct kymo_sample *head = &w->kernel.scratch.record.head;

	*head = (struct kymo_sample){
		.head = { .type = KYMO_RECORD_SAMPLE, .time_ns = t->head.time_ns },
		.who = t->who,
		.source = KYMO_SOURCE_CPU,
		.kernel_frames = t->kernel_frames,
	};
	memcpy(w->kernel.scratch.record.body, t + 1, t->kernel_frames * sizeof(__u64));
	/* What a process may have copied out in a second is for those who share a ring with it. */
	w->kernel.budgets_n = 0;
	memcpy(&native_task.registers, t->registers, sizeof(t->registers));
	native_task.thread.fsbase = t->fs_base;
}

static int walk_once(struct walk_state *w, const struct kymo_standing *t)
{
	struct scratch *s = &w->kernel.scratch;

	begin(w, t);
	if (t->flags & KYMO_STANDING_NO_MM) {
		s->record.head.state |= KYMO_STATE_NO_MM;
		return KYMO_END_NONE;
	}
	if (t->flags & KYMO_STANDING_EXECVE) {
		s->record.head.state |= KYMO_STATE_EXECVE;
		return KYMO_END_EXECVE;
	}
	return walk_user(s, SLOT);
}

/* Until no code object was put off. */
static int walk_whole(struct walk_state *w, const struct kymo_standing *t)
{
	const __u64 *put_off = &w->kernel.counters[KYMO_COUNTER_CODE_LIMIT];
	int end = KYMO_END_NONE;

	for (size_t i = 0; i < PASSES_MAX; i++) {
		__u64 before = *put_off;

		end = walk_once(w, t);
		if (*put_off == before)
			break;
	}
	return end;
}

int walk_thread(struct walk_state *w, const struct walk_process *p, const struct kymo_standing *t)
{
	const struct native_target target = {
		.mappings = (const struct native_mapping *)p->mappings,
		.mappings_n = p->mappings_n,
		.rule = rule,
		.binary = p->binary,
		.layout = p->layout,
		.load_bias = p->load_bias,
		.interpreter_rules = { .pages = p->rules ? p->rules->pages_n : 0 },
	};
	struct kymo_sample *head = &w->kernel.scratch.record.head;
	int end;

	w->process = p;
	w->error = 0;
	w->kernel.data = w;
	w->kernel.read = read_memory;
	w->kernel.output = output;
	w->kernel.kernel_memory = &native_task.registers;
	w->kernel.kernel_bytes = sizeof(native_task.registers);
	native_kernel = &w->kernel;
	native_target = &target;
	end = walk_whole(w, t);
	head->end = (__u16)end;
	head->head.size = (__u32)(sizeof(*head) + head->kernel_frames * sizeof(__u64) +
				  head->user_frames * sizeof(struct kymo_frame));
	(void)output(w, head, head->head.size);
	native_target = NULL;
	native_kernel = NULL;
	return w->error;
}
