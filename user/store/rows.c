/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "store/writer.h"

/* Every so many ticks a process's gauges are written though they did not change: a reader of
 * some ticks need not look further back. */
#define KEYFRAME_TICKS 60

struct bind bind_start(struct store *s, enum statement which)
{
	return (struct bind){ .store = s, .stmt = s->statements[which] };
}

static void bound(struct bind *b, int rc)
{
	if (b->error == 0)
		b->error = sql_error(b->store->db, rc);
}

void bind_i64(struct bind *b, int64_t v)
{
	bound(b, sqlite3_bind_int64(b->stmt, ++b->column, v));
}

void bind_u64(struct bind *b, uint64_t v)
{
	bind_i64(b, (int64_t)v);
}

void bind_null(struct bind *b)
{
	bound(b, sqlite3_bind_null(b->stmt, ++b->column));
}

void bind_text(struct bind *b, const char *text)
{
	struct buf *utf8 = &b->store->text;
	size_t size = text ? strnlen(text, SCHEMA_TEXT_MAX) : 0;
	int r;

	buf_clear(utf8);
	r = text_append_utf8(utf8, text ? text : "", size);
	if (r < 0) {
		b->error = b->error ? b->error : r;
		return;
	}
	/* Longer than it was where bytes were replaced: cut between characters. */
	if (utf8->size > SCHEMA_TEXT_MAX) {
		utf8->size = SCHEMA_TEXT_MAX;
		while (utf8->size && (utf8->data[utf8->size] & 0xc0) == 0x80)
			utf8->size--;
	}
	bound(b, sqlite3_bind_text(b->stmt, ++b->column, utf8->size ? (char *)utf8->data : "",
				   (int)utf8->size, SQLITE_TRANSIENT));
}

void bind_blob(struct bind *b, const void *data, size_t size)
{
	b->column++;
	bound(b, size ? sqlite3_bind_blob64(b->stmt, b->column, data, size, SQLITE_STATIC)
		      : sqlite3_bind_zeroblob(b->stmt, b->column, 0));
}

int bind_run(struct bind *b)
{
	int r = b->error;

	if (r == 0)
		r = sql_run(b->store->db, b->stmt);
	sqlite3_clear_bindings(b->stmt);
	return r;
}

static int write_binaries(struct store *s, const struct binary *binaries, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		const struct binary *v = &binaries[i];
		struct bind b = bind_start(s, STATEMENT_BINARY);

		bind_i64(&b, v->id);
		bind_i64(&b, v->kind);
		bind_text(&b, v->path);
		bind_u64(&b, v->inode);
		bind_i64(&b, v->dev);
		bind_blob(&b, v->build_id.bytes, v->build_id.size);
		r = bind_run(&b);
		if (r == 0)
			r = hashes_binary(s->hashes, v);
	}
	return r;
}

static int write_functions(struct store *s, const struct function *functions, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		const struct function *v = &functions[i];
		struct bind b = bind_start(s, STATEMENT_FUNCTION);
		uint64_t hash;

		r = hashes_function(s->hashes, v, &hash);
		if (r < 0)
			return r;
		bind_i64(&b, v->id);
		bind_i64(&b, v->kind);
		bind_i64(&b, v->binary);
		bind_text(&b, v->name);
		bind_text(&b, v->file);
		bind_i64(&b, v->first_line);
		bind_u64(&b, hash);
		r = bind_run(&b);
	}
	return r;
}

static int write_frames(struct store *s, const struct frame *frames, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		const struct frame *v = &frames[i];
		struct bind b = bind_start(s, STATEMENT_FRAME);

		bind_i64(&b, v->id);
		bind_i64(&b, v->kind);
		bind_i64(&b, v->binary);
		bind_u64(&b, v->offset);
		bind_i64(&b, v->function);
		bind_i64(&b, v->line);
		bind_i64(&b, v->by_fp);
		r = bind_run(&b);
		if (r == 0)
			r = hashes_frame(s->hashes, v);
	}
	return r;
}

static int write_stacks(struct store *s, const struct stack *stacks, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		const struct stack *v = &stacks[i];
		struct bind b = bind_start(s, STATEMENT_STACK);
		uint64_t hash;

		if (v->parent >= v->id)
			return -EINVAL;
		r = hashes_stack(s->hashes, v, &hash);
		if (r < 0)
			return r;
		bind_i64(&b, v->id);
		bind_i64(&b, v->parent);
		bind_i64(&b, v->frame);
		bind_u64(&b, hash);
		r = bind_run(&b);
	}
	return r;
}

static void bind_comm(struct bind *b, const char comm[KYMO_COMM_SIZE])
{
	char text[KYMO_COMM_SIZE + 1] = "";

	memcpy(text, comm, KYMO_COMM_SIZE);
	bind_text(b, text);
}

static int write_processes(struct store *s, const struct process *processes, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		const struct process *v = &processes[i];
		struct bind b = bind_start(s, STATEMENT_PROCESS);

		bind_i64(&b, v->id);
		bind_i64(&b, v->pid);
		bind_i64(&b, v->parent_pid);
		bind_i64(&b, v->uid);
		bind_u64(&b, v->start_ns);
		bind_u64(&b, v->cgroup_id);
		bind_comm(&b, v->comm);
		bind_text(&b, v->exe);
		bind_text(&b, v->cmdline);
		r = bind_run(&b);
	}
	return r;
}

static int write_thread_name(struct store *s, const struct thread *v)
{
	struct bind b;

	if (!v->name || !*v->name)
		return 0;
	b = bind_start(s, STATEMENT_THREAD_NAME);
	bind_i64(&b, v->id);
	bind_text(&b, v->name);
	return bind_run(&b);
}

static int write_threads(struct store *s, const struct thread *threads, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		const struct thread *v = &threads[i];
		struct bind b = bind_start(s, STATEMENT_THREAD);

		bind_i64(&b, v->id);
		bind_i64(&b, v->process);
		bind_i64(&b, v->tid);
		bind_u64(&b, v->start_ns);
		bind_comm(&b, v->comm);
		r = bind_run(&b);
		if (r == 0)
			r = write_thread_name(s, v);
	}
	return r;
}

static int write_health(struct store *s, const struct tick *t)
{
	const struct health *h = &t->health;
	struct bind b = bind_start(s, STATEMENT_TICK);
	int r;

	bind_i64(&b, t->id);
	bind_u64(&b, t->start_ns);
	bind_u64(&b, t->end_ns);
	bind_u64(&b, t->wall_ns);
	bind_i64(&b, h->read_errors);
	for (size_t i = 0; i < HEALTH_MAX; i++)
		if (h->present[i])
			bind_i64(&b, h->value[i]);
		else
			bind_null(&b);
	r = bind_run(&b);
	for (size_t i = 0; i < h->metrics_n && r == 0; i++) {
		b = bind_start(s, STATEMENT_METRIC);
		bind_i64(&b, h->metrics[i].id);
		bind_text(&b, h->metrics[i].name);
		bind_text(&b, h->metrics[i].labels);
		bind_text(&b, h->metrics[i].unit);
		bind_i64(&b, h->metrics[i].kind);
		r = bind_run(&b);
	}
	for (size_t i = 0; i < h->labels_n && r == 0; i++) {
		b = bind_start(s, STATEMENT_LABEL);
		bind_i64(&b, t->id);
		bind_i64(&b, h->labels[i].metric);
		bind_i64(&b, h->labels[i].value);
		r = bind_run(&b);
	}
	return r;
}

static bool counters_changed(const struct seen *c)
{
	return c->cpu_ns || c->minor_faults || c->major_faults || c->read_bytes || c->write_bytes ||
	       c->voluntary_switches || c->involuntary_switches;
}

/* Remembers the gauges; false when the row would say what the last one said. */
static bool worth_writing(struct store *s, const struct process_tick *p)
{
	const struct gauges now = { p->change.rss_anon_pages, p->change.rss_file_pages,
				    p->change.rss_shmem_pages, p->change.swap_pages };
	struct gauges *last;
	bool is_new, same;

	if (p->ended) {
		hmap_remove(&s->gauges, &p->process);
		return true;
	}
	last = hmap_put(&s->gauges, &p->process, &is_new);
	if (!last)
		return true;
	same = !is_new && memcmp(last, &now, sizeof(now)) == 0;
	*last = now;
	return !same || counters_changed(&p->change);
}

static int write_process_tick(struct store *s, uint32_t tick, const struct process_tick *p)
{
	const struct seen *c = &p->change;
	struct bind b = bind_start(s, STATEMENT_PROCESS_TICK);

	bind_i64(&b, tick);
	bind_i64(&b, p->process);
	bind_i64(&b, p->ended);
	bind_i64(&b, c->cpu_ns);
	bind_i64(&b, c->rss_anon_pages);
	bind_i64(&b, c->rss_file_pages);
	bind_i64(&b, c->rss_shmem_pages);
	bind_i64(&b, c->swap_pages);
	bind_i64(&b, c->minor_faults);
	bind_i64(&b, c->major_faults);
	bind_i64(&b, c->read_bytes);
	bind_i64(&b, c->write_bytes);
	bind_i64(&b, c->voluntary_switches);
	bind_i64(&b, c->involuntary_switches);
	return bind_run(&b);
}

static int write_process_ticks(struct store *s, const struct tick *t)
{
	int r = 0;

	/* Forgetting makes this tick a keyframe, and drops those whose end was never told. */
	if (t->id % KEYFRAME_TICKS == 0)
		hmap_clear(&s->gauges);
	for (size_t i = 0; i < t->process_ticks_n && r == 0; i++)
		if (worth_writing(s, &t->process_ticks[i]))
			r = write_process_tick(s, t->id, &t->process_ticks[i]);
	return r;
}

static int write_events(struct store *s, const struct tick *t)
{
	int r = 0;

	for (size_t i = 0; i < t->events_n && r == 0; i++) {
		const struct event *v = &t->events[i];
		struct bind b = bind_start(s, STATEMENT_EVENT);

		bind_i64(&b, t->id);
		bind_i64(&b, v->kind);
		bind_u64(&b, v->time_ns);
		bind_u64(&b, v->duration_ns);
		bind_i64(&b, v->thread);
		bind_i64(&b, v->stack);
		bind_text(&b, v->fields);
		r = bind_run(&b);
	}
	return r;
}

static int write_one_quality(struct store *s, uint32_t tick, const char *counter, int64_t value)
{
	struct bind b = bind_start(s, STATEMENT_QUALITY);

	bind_i64(&b, tick);
	bind_text(&b, counter);
	bind_i64(&b, value);
	return bind_run(&b);
}

static int write_quality(struct store *s, const struct tick *t)
{
	int r = 0;

	for (size_t i = 0; i < t->quality_n && r == 0; i++)
		if (t->quality[i].value)
			r = write_one_quality(s, t->id, t->quality[i].counter, t->quality[i].value);
	return r;
}

static int write_samples(struct store *s, const struct tick *t)
{
	struct bind b = bind_start(s, STATEMENT_BLOCK);
	int r;

	if (!t->rows_n)
		return 0;
	r = block_encode(s->codec, t->rows, t->rows_n, t->offsets_us, t->offsets_n, &s->block);
	if (r == -E2BIG)
		return write_one_quality(s, t->id, "store.samples_dropped", (int64_t)t->offsets_n);
	if (r < 0)
		return r;
	bind_i64(&b, t->id);
	bind_i64(&b, (int64_t)t->rows_n);
	bind_i64(&b, (int64_t)t->offsets_n);
	bind_blob(&b, s->block.data, s->block.size);
	return bind_run(&b);
}

int rows_write_tick(struct store *s, const struct tick *t)
{
	int r = write_binaries(s, t->binaries, t->binaries_n);

	if (r == 0)
		r = write_functions(s, t->functions, t->functions_n);
	if (r == 0)
		r = write_frames(s, t->frames, t->frames_n);
	if (r == 0)
		r = write_stacks(s, t->stacks, t->stacks_n);
	if (r == 0)
		r = write_processes(s, t->processes, t->processes_n);
	if (r == 0)
		r = write_threads(s, t->threads, t->threads_n);
	if (r == 0)
		r = write_health(s, t);
	if (r == 0)
		r = write_process_ticks(s, t);
	if (r == 0)
		r = write_events(s, t);
	if (r == 0)
		r = write_quality(s, t);
	return r == 0 ? write_samples(s, t) : r;
}

int rows_write_names(struct store *s, const struct late_names *l)
{
	int r = write_functions(s, l->functions, l->functions_n);

	for (size_t i = 0; i < l->names_n && r == 0; i++) {
		struct bind b = bind_start(s, STATEMENT_NAME);

		bind_i64(&b, l->names[i].function);
		bind_i64(&b, l->names[i].line);
		bind_i64(&b, l->names[i].frame);
		r = bind_run(&b);
	}
	for (size_t i = 0; i < l->inlines_n && r == 0; i++) {
		struct bind b = bind_start(s, STATEMENT_INLINE);

		bind_i64(&b, l->inlines[i].frame);
		bind_i64(&b, l->inlines[i].depth);
		bind_i64(&b, l->inlines[i].function);
		bind_i64(&b, l->inlines[i].line);
		r = bind_run(&b);
	}
	for (size_t i = 0; i < l->binaries_n && r == 0; i++) {
		struct bind b = bind_start(s, STATEMENT_BUILD_ID);

		bind_blob(&b, l->binaries[i].build_id.bytes, l->binaries[i].build_id.size);
		bind_i64(&b, l->binaries[i].id);
		r = bind_run(&b);
		if (r == 0)
			r = hashes_build_id(s->hashes, l->binaries[i].id, &l->binaries[i].build_id);
	}
	return r;
}
