/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/tick_events.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json_read.h"
#include "base/text.h"

/* Kills that are told one by one in a tick; programs of a storm. */
#define KILLS_MAX    5
#define PROGRAMS_MAX 3
/* Of a thread's name. */
#define THREAD_COLUMNS 24
/* A name with less room than this is left out. */
#define NAME_COLUMNS_MIN 6

static uint64_t number_of(const char *object, const char *key)
{
	double v;

	if (!json_get_number(json_member(object, key), &v) || v <= 0)
		return 0;
	return v < 2e18 ? (uint64_t)v : 2000000000000000000; /* three of them add up */
}

/*
 * " before" and the text, when there is one, cut to `columns`: figures stand behind and between names, and are
 * never cut. Nothing where there is no room. 0 or -ENOMEM.
 */
static int append_cut(struct buf *b, const char *before, const char *object, const char *key,
		      size_t columns)
{
	_cleanup_(buf_release) struct buf text = { 0 };
	int r = json_get_text(json_member(object, key), &text);

	if (r == -ENOMEM)
		return r;
	if (r < 0 || text.size == 0 || columns < strlen(before) + NAME_COLUMNS_MIN)
		return 0;
	r = buf_append_str(b, before);
	if (r < 0 || !buf_str(&text))
		return -ENOMEM;
	return append_text(b, buf_str(&text), columns - strlen(before), false);
}

/* Of the screen's columns, what is left when `b` and `more` have been printed. */
static size_t room(const struct screen *s, int indent, struct buf *b, const struct buf *more)
{
	size_t used = (size_t)indent + (buf_str(b) ? safe_width(buf_str(b)) : 0) +
		      (more ? more->size : 0);

	return s->columns > used ? s->columns - used : 0;
}

/* " before" and the text, when there is one. 0 or -ENOMEM. */
static int append_member(struct buf *b, const char *before, const char *object, const char *key)
{
	_cleanup_(buf_release) struct buf text = { 0 };
	int r = json_get_text(json_member(object, key), &text);

	if (r == -ENOMEM)
		return r;
	if (r < 0 || text.size == 0)
		return 0;
	r = buf_append_str(b, before);
	return r < 0 ? r : buf_append(b, text.data, text.size);
}

static int print_event(struct screen *s, int indent, enum screen_style style, struct buf *b)
{
	if (!buf_str(b))
		return -ENOMEM;
	print_cut(s, style, "%*s%s", indent, "", buf_str(b));
	return 0;
}

/* "OOM kill: postgres (pid 42), 1.2 GiB, limit of /system.slice/db; asked for by worker" */
static int print_kill(struct screen *s, int indent, const struct query_event *e)
{
	const char *allocator = json_member(e->fields, "allocator");
	uint64_t bytes = number_of(e->fields, "rss_anon_bytes") +
			 number_of(e->fields, "rss_file_bytes") +
			 number_of(e->fields, "rss_shmem_bytes");
	_cleanup_(buf_release) struct buf b = { 0 };
	char size[16];
	int r = buf_append_str(&b, "OOM kill");

	if (r == 0)
		r = append_member(&b, ": ", e->fields, "comm");
	if (r == 0)
		r = buf_printf(&b, " (pid %" PRIu64 ")", number_of(e->fields, "pid"));
	if (r == 0 && bytes)
		r = buf_printf(&b, ", %s", text_bytes(bytes, size));
	if (r == 0)
		r = append_member(&b, ", limit: ", e->fields, "scope");
	if (r == 0)
		r = append_cut(&b, " ", e->fields, "cgroup", room(s, indent, &b, NULL));
	if (r == 0)
		r = append_cut(&b, "; asked for by ", allocator, "comm", room(s, indent, &b, NULL));
	return r < 0 ? r : print_event(s, indent, STYLE_WARNING, &b);
}

/* "exec storm: 512 in 1.00 s, usually 20 a second: sh 300, cat 200" */
static int print_storm(struct screen *s, int indent, const struct query_event *e)
{
	const char *programs = json_member(e->fields, "programs"), *program;
	_cleanup_(buf_release) struct buf b = { 0 };
	char count[FORMAT_SIZE], length[16];
	double usual;
	int r;

	r = buf_printf(&b, "%s: %s in %s", query_event_names[e->kind],
		       text_count(number_of(e->fields, "count"), count),
		       text_duration(e->duration_ns, length));
	/* a recording's first tick has none before it */
	if (r == 0 && json_get_number(json_member(e->fields, "usual_per_s"), &usual))
		r = buf_printf(&b, ", usually %.0f a second", usual);
	for (size_t i = 0; i < PROGRAMS_MAX && r == 0; i++) {
		_cleanup_(buf_release) struct buf one = { 0 };

		program = json_element(programs, i);
		if (!program)
			break;
		r = append_member(&one, i ? ", " : ": ", program, "comm");
		if (r == 0)
			r = buf_printf(&one, " %s", text_count(number_of(program, "count"), count));
		/* Whole or not at all: a count is no use without its name, nor cut. */
		if (r == 0 &&
		    (!buf_str(&one) || safe_width(buf_str(&one)) > room(s, indent, &b, NULL)))
			break;
		if (r == 0)
			r = buf_append_str(&b, buf_str(&one));
	}
	return r < 0 ? r : print_event(s, indent, STYLE_WARNING, &b);
}

/* As it calls itself. */
static int append_thread(struct buf *b, const struct thread *t)
{
	int r;

	if (!t || !t->name || !*t->name)
		return 0;
	r = buf_append_str(b, ", ");
	return r < 0 ? r : append_text(b, t->name, THREAD_COLUMNS, false);
}

/* "gc: 12 in 340 ms, longest 45.0 ms generation 2 of python3 (7), worker-1"; of imports those alone that no other caused. */
static int print_lasting(struct screen *s, int indent, const struct query_event *first, size_t n,
			 enum event_kind kind)
{
	const struct query_event *longest = NULL;
	_cleanup_(buf_release) struct buf b = { 0 };
	_cleanup_(buf_release) struct buf behind = { 0 };
	char count[FORMAT_SIZE], all[16], most[16], comm[KYMO_COMM_SIZE + 1] = "";
	uint64_t total_ns = 0, number = 0;
	int r;

	for (size_t i = 0; i < n; i++) {
		if (first[i].kind != kind || number_of(first[i].fields, "depth"))
			continue;
		number++;
		if (__builtin_add_overflow(total_ns, first[i].duration_ns, &total_ns))
			total_ns = UINT64_MAX;
		if (!longest || first[i].duration_ns > longest->duration_ns)
			longest = &first[i];
	}
	if (!longest)
		return 0;
	r = buf_printf(&b, "%s: %s in %s, longest %s", query_event_names[kind],
		       text_count(number, count), text_duration(total_ns, all),
		       text_duration(longest->duration_ns, most));
	if (r == 0 && json_member(longest->fields, "generation"))
		r = buf_printf(&behind, " generation %" PRIu64,
			       number_of(longest->fields, "generation"));
	if (r == 0 && longest->process) {
		memcpy(comm, longest->process->comm, KYMO_COMM_SIZE);
		r = buf_printf(&behind, " of %s (%" PRIu32 ")", comm, longest->process->pid);
	}
	if (r == 0)
		r = append_thread(&behind, longest->thread);
	if (r == 0)
		r = append_cut(&b, " ", longest->fields, "name", room(s, indent, &b, &behind));
	if (r == 0)
		r = buf_append(&b, behind.data, behind.size);
	return r < 0 ? r : print_event(s, indent, STYLE_DIM, &b);
}

int print_tick_events(struct screen *s, const struct query_event *first, size_t n, int indent)
{
	size_t kills = 0;
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		if (first[i].kind == EVENT_OOM_KILL && kills++ < KILLS_MAX)
			r = print_kill(s, indent, &first[i]);
		else if (first[i].kind == EVENT_EXEC_STORM || first[i].kind == EVENT_EXIT_STORM)
			r = print_storm(s, indent, &first[i]);
	}
	if (kills > KILLS_MAX)
		print_cut(s, STYLE_WARNING, "%*s%zu more OOM kills", indent, "", kills - KILLS_MAX);
	if (r == 0)
		r = print_lasting(s, indent, first, n, EVENT_GC);
	return r < 0 ? r : print_lasting(s, indent, first, n, EVENT_IMPORT);
}
