/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/version.h"
#include "cmd/dump_print.h"
#include "model/sample.h"
#include "query/query.h"

static const char *const states[DUMP_STATE_MAX] = {
	[DUMP_RUNS] = "running",    [DUMP_RUNNABLE] = "runnable", [DUMP_SLEEPS] = "sleeping",
	[DUMP_BLOCKED] = "blocked", [DUMP_STOPPED] = "stopped",	  [DUMP_ENDED] = "ended",
};

static const char *const hows[DUMP_HOW_MAX] = {
	[DUMP_MISSED] = "missed",
	[DUMP_STOOD] = "stood",
	[DUMP_SAMPLED] = "sampled",
	[DUMP_UNREAD] = "unread",
};

static void put_text(struct json *j, const char *key, const char *text)
{
	json_key(j, key);
	json_str(j, text && text[0] ? text : NULL);
}

static void put_frame(struct json *j, const struct dump_frame *f)
{
	char room[QUERY_CODE_NAME_SIZE];

	json_object(j);
	put_text(j, "kind", frame_kind_names[f->kind]);
	put_text(j, "function",
		 f->function ? query_native_name(f->function, f->binary, room)
			     : query_code_name(f->binary, room));
	put_text(j, "file", f->function ? f->function->file : NULL);
	json_key(j, "line");
	json_u64(j, f->line);
	put_text(j, "binary", f->binary ? f->binary->path : NULL);
	json_key(j, "inlined");
	json_bool(j, f->inlined);
	json_object_end(j);
}

static const char *gil_of(const struct dump_thread *t)
{
	if (t->held_gil)
		return "held";
	if (t->bits & KYMO_STATE_GIL_HOLDING)
		return "holding";
	if (t->bits & KYMO_STATE_GIL_WAITING)
		return "waiting";
	return t->bits & KYMO_STATE_PYTHON ? "without" : NULL;
}

static void put_thread(struct json *j, const struct dump_thread *t)
{
	json_object(j);
	json_key(j, "tid");
	json_u64(j, t->tid);
	json_key(j, "ident");
	json_u64(j, t->ident);
	put_text(j, "name", t->name);
	put_text(j, "comm", t->comm);
	put_text(j, "state", states[t->state]);
	put_text(j, "gil", gil_of(t));
	json_key(j, "collects");
	json_bool(j, t->bits & KYMO_STATE_IN_GC);
	put_text(j, "stack", hows[t->how]);
	put_text(j, "end", t->end ? end_names[t->end] : NULL);
	json_key(j, "frames");
	json_array(j);
	for (size_t i = 0; i < t->frames_n; i++)
		put_frame(j, &t->frames[i]);
	json_array_end(j);
	json_object_end(j);
}

int dump_print_json(const struct dump *d)
{
	struct json j;

	json_begin(&j, stdout);
	json_object(&j);
	put_text(&j, "view", "dump");
	put_text(&j, "kymo", KYMO_VERSION);
	json_key(&j, "wall_ns");
	json_u64(&j, clock_wall_ns());
	json_key(&j, "processes");
	json_array(&j);
	for (size_t i = 0; i < d->processes_n; i++) {
		const struct dump_process *p = &d->processes[i];

		json_object(&j);
		json_key(&j, "pid");
		json_u64(&j, p->pid);
		put_text(&j, "comm", p->comm);
		put_text(&j, "cmdline", p->cmdline);
		json_key(&j, "threads");
		json_array(&j);
		for (size_t k = 0; k < p->threads_n; k++)
			put_thread(&j, &p->threads[k]);
		json_array_end(&j);
		json_object_end(&j);
	}
	json_array_end(&j);
	json_object_end(&j);
	return json_end(&j);
}
