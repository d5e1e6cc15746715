/* SPDX-License-Identifier: Apache-2.0 */
/* Whole tables into memory, with every reference checked. */
#include <errno.h>
#include <string.h>

#include "base/array.h"
#include "store/reader.h"

/*
 * Rows at most of any table, and bytes of text in all: what a recording of days has, far below
 * what a small hostile file could ask for.
 */
#define ROWS_MAX (16u << 20)
#define TEXT_MAX ((size_t)1 << 30)
/* Every sample of such a frame is shown this deep. */
#define INLINE_DEPTH_MAX 64

/* Rows in order of their ids; the id is each struct's first field. */
struct table {
	void *items;
	size_t n, cap, item_size;
	size_t *text_bytes; /* shared by all tables */
};

/* A zeroed item, or NULL. It counts (and is released) once it has its id. */
static void *table_add(struct table *t)
{
	uint8_t *item;

	if (t->n == ROWS_MAX || array_reserve_bytes(&t->items, &t->cap, t->n + 1, t->item_size) < 0)
		return NULL;
	item = (uint8_t *)t->items + t->n++ * t->item_size;
	memset(item, 0, t->item_size);
	return item;
}

static uint32_t id_at(const void *items, size_t i, size_t item_size)
{
	uint32_t id;

	memcpy(&id, (const uint8_t *)items + i * item_size, sizeof(id));
	return id;
}

/* A text of the row, owned by the item. */
static char *take_text(struct table *t, struct sql_row *row)
{
	const char *text = sql_text(row, SCHEMA_TEXT_MAX);
	char *copy;

	*t->text_bytes += strlen(text) + 1;
	copy = *t->text_bytes > TEXT_MAX ? NULL : strdup(text);
	return copy;
}

/* The kernel's 15 bytes are up to 45 where the writer had to replace them: whole characters that fit. */
static void take_comm(struct sql_row *row, char comm[KYMO_COMM_SIZE])
{
	const char *text = sql_text(row, 3 * KYMO_COMM_SIZE);
	size_t n = strnlen(text, KYMO_COMM_SIZE - 1);

	while (n && ((uint8_t)text[n] & 0xc0) == 0x80)
		n--;
	memcpy(comm, text, n);
}

/* Ends a row: ids ascend from 1 (a damaged tree may lead round in a circle). */
static int row_done(const struct table *t, const struct sql_row *row)
{
	uint32_t id = id_at(t->items, t->n - 1, t->item_size);

	if (row->bad || id == 0)
		return -EBADMSG;
	return t->n > 1 && id <= id_at(t->items, t->n - 2, t->item_size) ? -EBADMSG : 0;
}

static int take_binary(void *data, struct sql_row *row)
{
	struct table *t = data;
	struct binary *b = table_add(t);
	const void *build_id;
	size_t size;

	if (!b)
		return -ENOMEM;
	b->id = sql_u32(row, UINT32_MAX);
	b->kind = sql_u32(row, BINARY_KIND_MAX - 1);
	b->path = take_text(t, row);
	b->inode = sql_u64(row);
	b->dev = sql_u32(row, UINT32_MAX);
	build_id = sql_blob(row, BUILD_ID_MAX, &size);
	b->build_id.size = (uint8_t)size;
	if (size)
		memcpy(b->build_id.bytes, build_id, size);
	return b->path ? row_done(t, row) : -ENOMEM;
}

static int take_function(void *data, struct sql_row *row)
{
	struct table *t = data;
	struct function *f = table_add(t);

	if (!f)
		return -ENOMEM;
	f->id = sql_u32(row, UINT32_MAX);
	f->kind = sql_u32(row, FRAME_KIND_MAX - 1);
	f->binary = sql_u32(row, UINT32_MAX);
	f->name = take_text(t, row);
	f->file = take_text(t, row);
	f->first_line = sql_u32(row, UINT32_MAX);
	return f->name && f->file ? row_done(t, row) : -ENOMEM;
}

static int take_frame(void *data, struct sql_row *row)
{
	struct table *t = data;
	struct frame *f = table_add(t);

	if (!f)
		return -ENOMEM;
	f->id = sql_u32(row, UINT32_MAX);
	f->kind = sql_u32(row, FRAME_KIND_MAX - 1);
	f->binary = sql_u32(row, UINT32_MAX);
	f->offset = sql_u64(row);
	f->function = sql_u32(row, UINT32_MAX);
	f->line = sql_u32(row, UINT32_MAX);
	f->by_fp = sql_u32(row, 1);
	return row_done(t, row);
}

/* No id of its own: by frame and depth, no two alike. */
static int take_inline(void *data, struct sql_row *row)
{
	struct table *t = data;
	struct frame_inline *v = table_add(t), *before;

	if (!v)
		return -ENOMEM;
	v->frame = sql_u32(row, UINT32_MAX);
	v->depth = sql_u32(row, INLINE_DEPTH_MAX);
	v->function = sql_u32(row, UINT32_MAX);
	v->line = sql_u32(row, UINT32_MAX);
	if (row->bad || !v->frame || !v->depth || !v->function)
		return -EBADMSG;
	before = t->n > 1 ? v - 1 : NULL;
	if (before &&
	    (before->frame > v->frame || (before->frame == v->frame && before->depth >= v->depth)))
		return -EBADMSG;
	return 0;
}

static int take_stack(void *data, struct sql_row *row)
{
	struct table *t = data;
	struct stack *s = table_add(t);

	if (!s)
		return -ENOMEM;
	s->id = sql_u32(row, UINT32_MAX);
	s->parent = sql_u32(row, UINT32_MAX);
	s->frame = sql_u32(row, UINT32_MAX);
	return s->parent < s->id ? row_done(t, row) : -EBADMSG;
}

static int take_process(void *data, struct sql_row *row)
{
	struct table *t = data;
	struct process *p = table_add(t);

	if (!p)
		return -ENOMEM;
	p->id = sql_u32(row, UINT32_MAX);
	p->pid = sql_u32(row, UINT32_MAX);
	p->parent_pid = sql_u32(row, UINT32_MAX);
	p->uid = sql_u32(row, UINT32_MAX);
	p->start_ns = sql_u64(row);
	p->cgroup_id = sql_u64(row);
	take_comm(row, p->comm);
	p->exe = take_text(t, row);
	p->cmdline = take_text(t, row);
	return p->exe && p->cmdline ? row_done(t, row) : -ENOMEM;
}

static int take_thread(void *data, struct sql_row *row)
{
	struct table *t = data;
	struct thread *v = table_add(t);

	if (!v)
		return -ENOMEM;
	v->id = sql_u32(row, UINT32_MAX);
	v->process = sql_u32(row, UINT32_MAX);
	v->tid = sql_u32(row, UINT32_MAX);
	v->start_ns = sql_u64(row);
	take_comm(row, v->comm);
	v->name = take_text(t, row);
	return v->name ? row_done(t, row) : -ENOMEM;
}

static int read_table(struct store_reader *r, const char *name, const char *sql, reader_row_fn take,
		      size_t item_size, size_t *text_bytes, void *ret_items, size_t *ret_n)
{
	struct table t = { .item_size = item_size, .text_bytes = text_bytes };
	int e = reader_each(r, name, sql, take, &t);

	/* Also what was read before a failure: the caller releases it. */
	memcpy(ret_items, &t.items, sizeof(t.items));
	*ret_n = t.n;
	return e;
}

#define READ_TABLE(r, name, columns, take, array, n, text_bytes)                  \
	read_table(r, name, "SELECT " columns " FROM " name " ORDER BY id", take, \
		   sizeof(*(array)), text_bytes, &(array), &(n))

static int read_all(struct store_reader *r, struct store_tables *t)
{
	size_t text = 0;
	int e;

	e = READ_TABLE(r, "binary", "id, kind, path, inode, dev, build_id", take_binary,
		       t->binaries, t->binaries_n, &text);
	if (e == 0)
		e = READ_TABLE(r, "function", "id, kind, binary, name, file, first_line",
			       take_function, t->functions, t->functions_n, &text);
	if (e == 0)
		e = READ_TABLE(r, "frame", "id, kind, binary, offset, function, line, by_fp",
			       take_frame, t->frames, t->frames_n, &text);
	if (e == 0)
		e = read_table(r, "inline",
			       "SELECT frame, depth, function, line FROM inline "
			       "ORDER BY frame, depth",
			       take_inline, sizeof(*t->inlines), &text, &t->inlines, &t->inlines_n);
	if (e == 0)
		e = READ_TABLE(r, "stack", "id, parent, frame", take_stack, t->stacks, t->stacks_n,
			       &text);
	if (e == 0)
		e = READ_TABLE(r, "process",
			       "id, pid, parent_pid, uid, start_ns, cgroup_id, comm, "
			       "exe, cmdline",
			       take_process, t->processes, t->processes_n, &text);
	if (e == 0)
		e = read_table(r, "thread",
			       r->format >= 3 ? "SELECT id, process, tid, start_ns, comm, "
						"coalesce(name, '') FROM thread LEFT JOIN "
						"thread_name ON thread_name.thread = id ORDER BY id"
					      : "SELECT id, process, tid, start_ns, comm, '' "
						"FROM thread ORDER BY id",
			       take_thread, sizeof(*t->threads), &text, &t->threads, &t->threads_n);
	return e;
}

/* Is that id in a table sorted by id? 0 is none, and always is. */
static bool has_id(const void *items, size_t n, size_t item_size, uint32_t id)
{
	size_t low = 0, high = n;

	/* Nearly always ids count from 1 without a gap. */
	if (id == 0 || (id <= n && id_at(items, id - 1, item_size) == id))
		return true;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		uint32_t at = id_at(items, middle, item_size);

		if (at == id)
			return true;
		if (at < id)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

#define HAS_ID(t, table, id) has_id((t)->table, (t)->table##_n, sizeof(*(t)->table), id)

static int check_references(struct store_reader *r, const struct store_tables *t)
{
	for (size_t i = 0; i < t->functions_n; i++)
		if (!HAS_ID(t, binaries, t->functions[i].binary))
			return reader_fail(r, -EBADMSG, "function: a binary is missing");
	for (size_t i = 0; i < t->frames_n; i++)
		if (!HAS_ID(t, binaries, t->frames[i].binary) ||
		    !HAS_ID(t, functions, t->frames[i].function))
			return reader_fail(r, -EBADMSG, "frame: a binary or function is missing");
	for (size_t i = 0; i < t->inlines_n; i++)
		if (!HAS_ID(t, frames, t->inlines[i].frame) ||
		    !HAS_ID(t, functions, t->inlines[i].function))
			return reader_fail(r, -EBADMSG, "inline: a frame or function is missing");
	for (size_t i = 0; i < t->stacks_n; i++)
		if (t->stacks[i].frame == 0 || !HAS_ID(t, frames, t->stacks[i].frame) ||
		    !HAS_ID(t, stacks, t->stacks[i].parent))
			return reader_fail(r, -EBADMSG, "stack: a parent or frame is missing");
	for (size_t i = 0; i < t->threads_n; i++)
		if (!HAS_ID(t, processes, t->threads[i].process))
			return reader_fail(r, -EBADMSG, "thread: a process is missing");
	return 0;
}

int store_read_tables(struct store_reader *r, struct store_tables *ret)
{
	struct store_tables t = { 0 };
	int e = read_all(r, &t);

	if (e == 0)
		e = check_references(r, &t);
	if (e < 0)
		store_tables_release(&t);
	else
		*ret = t;
	return e;
}

void store_tables_release(struct store_tables *t)
{
	for (size_t i = 0; i < t->binaries_n; i++)
		free(t->binaries[i].path);
	for (size_t i = 0; i < t->functions_n; i++) {
		free(t->functions[i].name);
		free(t->functions[i].file);
	}
	for (size_t i = 0; i < t->processes_n; i++) {
		free(t->processes[i].exe);
		free(t->processes[i].cmdline);
	}
	for (size_t i = 0; i < t->threads_n; i++)
		free(t->threads[i].name);
	free(t->binaries);
	free(t->functions);
	free(t->frames);
	free(t->inlines);
	free(t->stacks);
	free(t->processes);
	free(t->threads);
	*t = (struct store_tables){ 0 };
}
