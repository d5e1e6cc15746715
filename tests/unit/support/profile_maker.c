/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/support/profile_maker.h"

#include <stdio.h>
#include <unistd.h>

#include "base/array.h"
#include "unit/test.h"

enum {
	CAP_BINARIES,
	CAP_FUNCTIONS,
	CAP_FRAMES,
	CAP_STACKS,
	CAP_PROCESSES,
	CAP_THREADS,
	CAP_ROWS,
	CAP_OFFSETS,
	CAP_QUALITY,
	CAP_ACCOUNTS,
	CAP_EVENTS,
};

/* Makes room for `more` items and returns the first of them. */
#define GROW(m, list, cap_index, more)                                                 \
	({                                                                             \
		assert_int_equal(array_reserve(&(m)->tick.list, &(m)->caps[cap_index], \
					       (m)->tick.list##_n + (more)),           \
				 0);                                                   \
		size_t _first = (m)->tick.list##_n;                                    \
		(m)->tick.list##_n += (more);                                          \
		&(m)->tick.list[_first];                                               \
	})

static char *copy(const char *text)
{
	char *c = strdup(text);

	assert_non_null(c);
	return c;
}

static void start_tick(struct maker *m)
{
	m->tick = (struct tick){
		.id = m->ticks + 1,
		.start_ns = MAKER_START_NS + m->ticks * MAKER_TICK_NS,
		.end_ns = MAKER_START_NS + (m->ticks + 1) * MAKER_TICK_NS,
		.wall_ns = MAKER_WALL_NS + (m->ticks + 1) * MAKER_TICK_NS,
	};
	memset(m->caps, 0, sizeof(m->caps));
}

void maker_init_at(struct maker *m, const char *path)
{
	static const char *const meta[][2] = {
		{ "host", "testhost" },
		{ "kernel", "6.1.0-test" },
		{ "arch", "x86_64" },
		{ "kymo.version", "0.1.0" },
		{ "cpus", "2" },
		{ "page_bytes", "4096" },
		{ "tick_ns", "1000000000" },
		{ "period_ns.cpu", "10000000" },
	};
	char *message = NULL;

	*m = (struct maker){ 0 };
	snprintf(m->path, sizeof(m->path), "%s", path);
	if (store_create(m->path, getuid(), getgid(), &m->store, &message) < 0)
		fail_msg("%s", message);
	for (size_t i = 0; i < ARRAY_SIZE(meta); i++)
		assert_int_equal(store_set_meta(m->store, meta[i][0], meta[i][1]), 0);
	start_tick(m);
}

void maker_init(struct maker *m)
{
	char folder[] = "/tmp/kymo-test-XXXXXX", path[64];

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/t.kymo", folder);
	maker_init_at(m, path);
	memcpy(m->folder, folder, sizeof(folder));
}

uint32_t maker_binary(struct maker *m, enum binary_kind kind, const char *path)
{
	*GROW(m, binaries, CAP_BINARIES, 1) = (struct binary){
		.id = ++m->binaries,
		.kind = kind,
		.path = copy(path),
		.inode = m->binaries,
	};
	return m->binaries;
}

uint32_t maker_function(struct maker *m, enum frame_kind kind, uint32_t binary, const char *name,
			const char *file, uint32_t line)
{
	*GROW(m, functions, CAP_FUNCTIONS, 1) = (struct function){
		.id = ++m->functions,
		.kind = kind,
		.binary = binary,
		.name = copy(name),
		.file = copy(file),
		.first_line = line,
	};
	return m->functions;
}

uint32_t maker_frame(struct maker *m, enum frame_kind kind, uint32_t binary, uint64_t offset,
		     uint32_t function)
{
	*GROW(m, frames, CAP_FRAMES, 1) = (struct frame){
		.id = ++m->frames,
		.kind = kind,
		.binary = binary,
		.offset = offset,
		.function = function,
	};
	return m->frames;
}

uint32_t maker_named_frame(struct maker *m, enum frame_kind kind, const char *name,
			   const char *file, uint32_t line)
{
	return maker_frame(m, kind, 0, m->frames + 1, maker_function(m, kind, 0, name, file, line));
}

uint32_t maker_stack(struct maker *m, uint32_t parent, uint32_t frame)
{
	*GROW(m, stacks, CAP_STACKS, 1) =
		(struct stack){ .id = ++m->stacks, .parent = parent, .frame = frame };
	return m->stacks;
}

uint32_t maker_thread(struct maker *m, uint32_t pid, const char *comm)
{
	struct process p = {
		.id = ++m->processes, .pid = pid, .parent_pid = 1, .start_ns = pid * 1000ULL
	};
	struct thread t = {
		.id = ++m->threads, .process = m->processes, .tid = pid, .start_ns = pid * 1000ULL
	};

	strncpy(p.comm, comm, sizeof(p.comm) - 1);
	memcpy(t.comm, p.comm, sizeof(t.comm));
	p.exe = copy("/usr/bin/test");
	p.cmdline = copy(comm);
	*GROW(m, processes, CAP_PROCESSES, 1) = p;
	*GROW(m, threads, CAP_THREADS, 1) = t;
	return m->threads;
}

void maker_row_of(struct maker *m, uint32_t thread, uint32_t stack, uint32_t source, uint32_t end,
		  uint32_t count, uint64_t weight)
{
	assert_int_equal(array_reserve(&m->tick.offsets_us, &m->caps[CAP_OFFSETS],
				       m->tick.offsets_n + count),
			 0);
	m->tick.offsets_n += count;
	*GROW(m, rows, CAP_ROWS, 1) = (struct tick_row){
		.thread = thread,
		.stack = stack,
		.source = (uint16_t)source,
		.end = end,
		.count = count,
		.weight = weight,
	};
}

void maker_row(struct maker *m, uint32_t thread, uint32_t stack, uint32_t count)
{
	maker_row_of(m, thread, stack, KYMO_SOURCE_CPU, KYMO_END_WHOLE, count,
		     count * MAKER_PERIOD_NS);
}

void maker_row_seen(struct maker *m, uint32_t thread, uint32_t stack, uint32_t count,
		    const struct seen *seen)
{
	maker_row(m, thread, stack, count);
	m->tick.rows[m->tick.rows_n - 1].seen = *seen;
}

void maker_health(struct maker *m, enum health_column column, int64_t value)
{
	m->tick.health.present[column] = true;
	m->tick.health.value[column] = value;
}

void maker_quality(struct maker *m, const char *counter, int64_t value)
{
	*GROW(m, quality, CAP_QUALITY, 1) =
		(struct quality){ .counter = copy(counter), .value = value };
}

void maker_event_at(struct maker *m, enum event_kind kind, uint32_t thread, uint32_t stack,
		    uint64_t at_ns, uint64_t duration_ns, const char *fields)
{
	*GROW(m, events, CAP_EVENTS, 1) = (struct event){ .kind = kind,
							  .time_ns = m->tick.start_ns + at_ns,
							  .duration_ns = duration_ns,
							  .thread = thread,
							  .stack = stack,
							  .fields = fields ? copy(fields) : NULL };
}

void maker_event(struct maker *m, enum event_kind kind, uint32_t thread, uint64_t duration_ns,
		 const char *fields)
{
	maker_event_at(m, kind, thread, 0, 0, duration_ns, fields);
}

void maker_account(struct maker *m, uint32_t process, bool ended, const struct seen *change)
{
	*GROW(m, process_ticks, CAP_ACCOUNTS, 1) =
		(struct process_tick){ .process = process, .ended = ended, .change = *change };
}

static int compare_rows(const void *pa, const void *pb)
{
	const struct tick_row *a = pa, *b = pb;

	if (a->thread != b->thread)
		return a->thread < b->thread ? -1 : 1;
	if (a->stack != b->stack)
		return a->stack < b->stack ? -1 : 1;
	if (a->source != b->source)
		return a->source < b->source ? -1 : 1;
	if (a->state != b->state)
		return a->state < b->state ? -1 : 1;
	return a->end < b->end ? -1 : a->end > b->end;
}

/* As merge gives them: sorted by key, each key once, offsets ascending within the row. */
static void sort_rows(struct tick *t)
{
	uint32_t next = 0;
	size_t n = 0;

	if (t->rows_n)
		qsort(t->rows, t->rows_n, sizeof(*t->rows), compare_rows);
	for (size_t i = 0; i < t->rows_n; i++) {
		if (n && compare_rows(&t->rows[n - 1], &t->rows[i]) == 0) {
			t->rows[n - 1].count += t->rows[i].count;
			t->rows[n - 1].weight += t->rows[i].weight;
		} else {
			t->rows[n++] = t->rows[i];
		}
	}
	t->rows_n = n;
	for (size_t i = 0; i < n; i++) {
		t->rows[i].first_offset = next;
		for (uint32_t k = 0; k < t->rows[i].count; k++)
			t->offsets_us[next++] = k * 100;
	}
}

void maker_close_tick(struct maker *m)
{
	struct tick *t = malloc(sizeof(*t));

	assert_non_null(t);
	sort_rows(&m->tick);
	assert_int_equal(store_write_tick(m->store, &m->tick), 0);
	*t = m->tick;
	tick_free(t);
	m->ticks++;
	start_tick(m);
}

void maker_finish(struct maker *m, bool clean)
{
	struct tick *t = malloc(sizeof(*t));

	assert_non_null(t);
	*t = m->tick;
	tick_free(t);
	if (clean)
		assert_int_equal(store_finish(m->store), 0);
	store_close(m->store);
	m->store = NULL;
}

void maker_remove(struct maker *m)
{
	static const char *const suffixes[] = { "", "-wal", "-shm", "-journal" };
	char path[sizeof(m->path) + 16];

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		snprintf(path, sizeof(path), "%s%s", m->path, suffixes[i]);
		unlink(path);
	}
	rmdir(m->folder);
}
