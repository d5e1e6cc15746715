/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes and time of the store on synthetic loads: A = 2 cores at 99 Hz, 200 processes; B19, B99 =
 * 64 busy cores at 19 and 99 Hz, 2,000 processes, 100,000 distinct stacks (Zipf).
 *
 * usage: store [FOLDER [SECONDS]]
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/array.h"
#include "base/clock.h"
#include "model/tick.h"
#include "store/store.h"

struct load {
	const char *name;
	uint32_t cores, hz, processes, stacks, labels;
	uint32_t default_seconds;
};

static const struct load loads[] = {
	{ "A", 2, 99, 200, 5000, 20, 600 },
	{ "B19", 64, 19, 2000, 100000, 300, 300 },
	{ "B99", 64, 99, 2000, 100000, 300, 120 },
};

#define PROGRAMS	 100
#define THREADS_PER_CORE 8 /* that take turns within a tick */
#define NODES_PER_STACK	 8 /* that no other stack has */

static uint64_t seed;

static uint64_t next(void)
{
	uint64_t z = seed += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static uint32_t below(uint32_t n)
{
	return (uint32_t)(next() % n);
}

static double uniform(void)
{
	return (double)(next() >> 11) / (double)(1ULL << 53);
}

/* Ranks of a Zipf law with exponent 1: exp(u ln n) has that density. */
static uint32_t zipf(uint32_t n)
{
	uint32_t k = (uint32_t)exp(uniform() * log((double)n + 1)) - 1;

	return k < n ? k : n - 1;
}

/* A timer is late by some us, at times by many. */
static uint32_t jitter_us(void)
{
	return (uint32_t)(-10 * log(1 - uniform()));
}

struct sim {
	const struct load *load;
	uint32_t *leaf; /* stack -> its leaf's id; 0 = not seen yet */
	uint32_t nodes, frames, functions, ticks;
	uint32_t *thread_of; /* [core][THREADS_PER_CORE] */
	uint32_t *rss;	     /* pages, of each process */
};

struct sample {
	uint32_t thread, stack, offset_us;
	bool kernel;
};

static int compare_samples(const void *a, const void *b)
{
	const struct sample *x = a, *y = b;

	if (x->thread != y->thread)
		return x->thread < y->thread ? -1 : 1;
	if (x->stack != y->stack)
		return x->stack < y->stack ? -1 : 1;
	if (x->kernel != y->kernel)
		return x->kernel ? 1 : -1;
	return x->offset_us < y->offset_us ? -1 : x->offset_us > y->offset_us;
}

static void *grown(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	if (!p)
		abort();
	return p;
}

static char *text(const char *fmt, uint32_t n)
{
	char *s;

	if (asprintf(&s, fmt, n) < 0)
		abort();
	return s;
}

/* The nodes of a stack at its first sight; frames of 20,000 places in 4,000 functions. */
static void add_stack(struct sim *s, struct tick *t, uint32_t which, size_t *caps)
{
	uint32_t parent = s->nodes ? 1 + below(s->nodes) : 0;

	for (uint32_t i = 0; i < NODES_PER_STACK; i++) {
		if (s->frames < 20000) {
			if (s->functions < 4000) {
				array_reserve(&t->functions, &caps[0], t->functions_n + 1);
				t->functions[t->functions_n++] = (struct function){
					.id = ++s->functions,
					.kind = FRAME_NATIVE,
					.binary = 1,
					.name = text("some_function_of_usual_length_%u",
						     s->functions),
					.file = text("src/folder/file_%u.c", s->functions / 20)
				};
			}
			array_reserve(&t->frames, &caps[1], t->frames_n + 1);
			t->frames[t->frames_n++] =
				(struct frame){ .id = ++s->frames,
						.kind = FRAME_NATIVE,
						.binary = 1,
						.offset = next() >> 40,
						.function = 1 + below(s->functions) };
		}
		array_reserve(&t->stacks, &caps[2], t->stacks_n + 1);
		t->stacks[t->stacks_n++] = (struct stack){ .id = ++s->nodes,
							   .parent = parent,
							   .frame = 1 + below(s->frames) };
		parent = s->nodes;
	}
	s->leaf[which] = s->nodes;
}

static void add_samples(struct sim *s, struct tick *t, struct sample *samples, size_t *ret_n)
{
	const struct load *l = s->load;
	const uint32_t period_us = 1000000 / l->hz;
	size_t caps[3] = { t->functions_n, t->frames_n, t->stacks_n }, n = 0;

	for (uint32_t core = 0; core < l->cores; core++) {
		uint32_t *threads = s->thread_of + core * THREADS_PER_CORE, turn = 0;

		for (uint32_t k = 0; k < THREADS_PER_CORE; k++)
			if (below(4) == 0)
				threads[k] = 1 + zipf(l->processes);
		for (uint32_t k = 0; k < l->hz; k++) {
			uint32_t which, program;

			if (below(5) == 0)
				turn = below(THREADS_PER_CORE);
			program = threads[turn] % PROGRAMS;
			which = program + PROGRAMS * zipf(l->stacks / PROGRAMS);
			if (!s->leaf[which])
				add_stack(s, t, which, caps);
			samples[n++] = (struct sample){ .thread = threads[turn],
							.stack = s->leaf[which],
							.offset_us = core * 131 + k * period_us +
								     jitter_us(),
							.kernel = which % 5 == 0 };
		}
	}
	*ret_n = n;
}

static struct seen some_seen(uint32_t period_us, uint32_t count)
{
	struct seen v = { 0 };

	v.cpu_ns = below(3) ? (int64_t)count * period_us * 1000 - below(100000)
			    : (int64_t)below(period_us * 1000);
	if (below(8) == 0) {
		v.minor_faults = 1 + below(50);
		v.rss_anon_pages = v.minor_faults - (int64_t)below(10);
	}
	if (below(3) == 0)
		v.voluntary_switches = 1 + below(4);
	if (below(2) == 0)
		v.involuntary_switches = 1 + below(3);
	if (below(50) == 0)
		v.write_bytes = 4096 * (1 + below(16));
	return v;
}

static void merge_rows(struct sim *s, struct tick *t, struct sample *samples, size_t n)
{
	const uint32_t period_us = 1000000 / s->load->hz;

	qsort(samples, n, sizeof(*samples), compare_samples);
	t->rows = grown(n, sizeof(*t->rows));
	t->offsets_us = grown(n, sizeof(*t->offsets_us));
	for (size_t i = 0; i < n; i++) {
		struct tick_row *row = t->rows_n ? &t->rows[t->rows_n - 1] : NULL;

		if (!row || row->thread != samples[i].thread || row->stack != samples[i].stack ||
		    (row->state & 1) != samples[i].kernel) {
			row = &t->rows[t->rows_n++];
			*row = (struct tick_row){ .thread = samples[i].thread,
						  .stack = samples[i].stack,
						  .source = KYMO_SOURCE_CPU,
						  .state = samples[i].kernel,
						  .end = below(20) ? KYMO_END_WHOLE
								   : KYMO_END_FP_ZERO,
						  .first_offset = (uint32_t)i };
		}
		row->count++;
		row->weight += period_us * 1000ULL;
		t->offsets_us[i] = samples[i].offset_us;
	}
	t->offsets_n = n;
	for (size_t i = 0; i < t->rows_n; i++)
		t->rows[i].seen = some_seen(period_us, t->rows[i].count);
}

static void add_host(struct sim *s, struct tick *t)
{
	const struct load *l = s->load;
	static const char *const counters[] = { "bpf.samples", "bpf.idle", "kymo.cpu_ns",
						"kymo.rss_bytes", "end.fp_zero" };

	for (int i = 0; i < HEALTH_MAX; i++) {
		t->health.present[i] = true;
		t->health.value[i] = (int64_t)(next() >> (30 + below(34)));
	}
	if (s->ticks == 1) {
		t->health.metrics = grown(l->labels, sizeof(*t->health.metrics));
		for (uint32_t i = 0; i < l->labels; i++)
			t->health.metrics[i] =
				(struct health_metric){ .id = i + 1,
							.name = strdup("system.cpu.time"),
							.labels = text("cpu=%u", i),
							.unit = strdup("ns") };
		t->health.metrics_n = l->labels;
	}
	t->health.labels = grown(l->labels, sizeof(*t->health.labels));
	for (uint32_t i = 0; i < l->labels; i++)
		t->health.labels[i] =
			(struct health_label){ .metric = i + 1,
					       .value = 10000000 * (int64_t)below(100) };
	t->health.labels_n = l->labels;
	t->process_ticks = grown(l->processes, sizeof(*t->process_ticks));
	for (uint32_t i = 0; i < l->processes; i++) {
		struct process_tick *p = &t->process_ticks[t->process_ticks_n++];

		p->process = i + 1;
		if (below(7) == 0) {
			p->change = some_seen(10000, 1 + below(10));
			s->rss[i] = p->change.rss_anon_pages ? 1000 + below(100000) : s->rss[i];
		}
		p->change.rss_anon_pages = s->rss[i];
		p->change.rss_file_pages = 300;
	}
	t->quality = grown(ARRAY_SIZE(counters), sizeof(*t->quality));
	for (size_t i = 0; i < ARRAY_SIZE(counters); i++)
		t->quality[t->quality_n++] =
			(struct quality){ strdup(counters[i]), (int64_t)below(1 << 30) };
}

static void add_processes(struct sim *s, struct tick *t)
{
	uint32_t n = s->load->processes;

	t->binaries = grown(1, sizeof(*t->binaries));
	t->binaries_n = 1;
	t->binaries[0] =
		(struct binary){ .id = 1, .kind = BINARY_FILE, .path = strdup("/usr/bin/x") };
	t->processes = grown(n, sizeof(*t->processes));
	t->threads = grown(n, sizeof(*t->threads));
	t->processes_n = t->threads_n = n;
	for (uint32_t i = 0; i < n; i++) {
		t->processes[i] = (struct process){ .id = i + 1,
						    .pid = 1000 + i,
						    .comm = "program",
						    .start_ns = i * 1000000000ULL,
						    .exe = strdup("/usr/bin/program"),
						    .cmdline = text("program --option=%u", i) };
		t->threads[i] = (struct thread){
			.id = i + 1, .process = i + 1, .tid = 1000 + i, .comm = "program"
		};
	}
}

static struct tick *make_tick(struct sim *s)
{
	struct tick *t = grown(1, sizeof(*t));
	struct sample *samples = grown((size_t)s->load->cores * s->load->hz, sizeof(*samples));
	size_t n;

	t->id = ++s->ticks;
	t->start_ns = t->id * NS_PER_SEC;
	t->end_ns = t->start_ns + NS_PER_SEC;
	t->wall_ns = 1700000000 * NS_PER_SEC + t->end_ns;
	if (s->ticks == 1)
		add_processes(s, t);
	add_samples(s, t, samples, &n);
	merge_rows(s, t, samples, n);
	add_host(s, t);
	free(samples);
	return t;
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void print_tables(const char *path, uint64_t samples, uint32_t ticks)
{
	sqlite3_stmt *stmt = NULL;
	sqlite3 *db = NULL;

	sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL);
	sqlite3_prepare_v2(db,
			   "SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC "
			   "LIMIT 6",
			   -1, &stmt, NULL);
	while (sqlite3_step(stmt) == SQLITE_ROW)
		printf("    %-13s %9" PRIi64 " bytes, %7.1f per tick, %6.2f per sample\n",
		       sqlite3_column_text(stmt, 0), (int64_t)sqlite3_column_int64(stmt, 1),
		       (double)sqlite3_column_int64(stmt, 1) / ticks,
		       (double)sqlite3_column_int64(stmt, 1) / (double)samples);
	sqlite3_finalize(stmt);
	sqlite3_prepare_v2(db, "SELECT sum(length(block)) FROM sample_block", -1, &stmt, NULL);
	if (sqlite3_step(stmt) == SQLITE_ROW)
		printf("    blocks alone: %.2f bytes per sample\n",
		       (double)sqlite3_column_int64(stmt, 0) / (double)samples);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
}

static void read_back(const char *path)
{
	uint64_t start = clock_process_cpu_ns(), opened, weight = 0, rows = 0;
	struct store_tables tables = { 0 };
	struct store_block block = { 0 };
	struct store_reader *r = NULL;
	struct store_tick *ticks = NULL;
	char *message = NULL;
	size_t n = 0;

	if (store_open(path, &r, &message) < 0 || store_read_tables(r, &tables) < 0 ||
	    store_read_ticks(r, &ticks, &n) < 0) {
		printf("    cannot be read: %s\n", message ? message : store_reader_message(r));
		exit(1);
	}
	opened = clock_process_cpu_ns();
	for (size_t i = 0; i < n; i++) {
		if (store_read_block(r, ticks[i].id, &block) < 0)
			exit(1);
		rows += block.rows_n;
		for (size_t k = 0; k < block.rows_n; k++)
			weight += block.rows[k].weight;
	}
	printf("    read: tables %.1f ms (%zu nodes), blocks %.1f ms (%.1f us a tick, %.0f M "
	       "rows/s)\n",
	       (double)(opened - start) / 1e6, tables.stacks_n,
	       (double)(clock_process_cpu_ns() - opened) / 1e6,
	       (double)(clock_process_cpu_ns() - opened) / 1e3 / (double)n,
	       (double)rows * 1e3 / (double)(clock_process_cpu_ns() - opened));
	store_block_release(&block);
	store_tables_release(&tables);
	free(ticks);
	store_reader_close(r);
}

static void run(const struct load *l, const char *folder, uint32_t seconds)
{
	struct sim s = { .load = l };
	uint64_t *wall = grown(seconds, sizeof(*wall)), cpu = 0, samples = 0, rows = 0, start;
	struct store *store = NULL;
	char path[256], *message = NULL;

	seed = 1;
	s.rss = grown(l->processes, sizeof(*s.rss));
	s.leaf = grown(l->stacks, sizeof(*s.leaf));
	s.thread_of = grown((size_t)l->cores * THREADS_PER_CORE, sizeof(*s.thread_of));
	for (uint32_t i = 0; i < l->cores * THREADS_PER_CORE; i++)
		s.thread_of[i] = 1 + zipf(l->processes);
	snprintf(path, sizeof(path), "%s/bench-%s.kymo", folder, l->name);
	if (store_create(path, getuid(), getgid(), &store, &message) < 0) {
		fprintf(stderr, "%s\n", message);
		exit(1);
	}
	for (uint32_t i = 0; i < seconds; i++) {
		struct tick *t = make_tick(&s);

		samples += t->offsets_n;
		rows += t->rows_n;
		start = clock_mono_ns();
		cpu -= clock_thread_cpu_ns();
		if (store_write_tick(store, t) < 0)
			exit(1);
		cpu += clock_thread_cpu_ns();
		wall[i] = clock_mono_ns() - start;
		tick_free(t);
	}
	start = clock_mono_ns();
	if (store_finish(store) < 0)
		exit(1);
	start = clock_mono_ns() - start;
	qsort(wall, seconds, sizeof(*wall), compare_u64);
	printf("%s: %u ticks, %" PRIu64 " samples, %.2f a row, %u stack nodes\n", l->name, seconds,
	       samples, (double)samples / (double)rows, s.nodes);
	printf("    %" PRIu64 " bytes: %.1f per tick, %.2f per sample\n", store_bytes(store),
	       (double)store_bytes(store) / seconds, (double)store_bytes(store) / (double)samples);
	printf("    write: CPU %.2f ms a tick, wall p50 %.2f ms, p99 %.2f ms, max %.2f ms; end "
	       "%.1f ms\n",
	       (double)cpu / 1e6 / seconds, (double)wall[seconds / 2] / 1e6,
	       (double)wall[seconds * 99 / 100] / 1e6, (double)wall[seconds - 1] / 1e6,
	       (double)start / 1e6);
	store_close(store);
	print_tables(path, samples, seconds);
	read_back(path);
	unlink(path);
	free(wall);
	free(s.leaf);
	free(s.rss);
	free(s.thread_of);
}

int main(int argc, char **argv)
{
	struct rusage usage;

	for (size_t i = 0; i < ARRAY_SIZE(loads); i++)
		run(&loads[i], argc > 1 ? argv[1] : "/tmp",
		    argc > 2 ? (uint32_t)atoi(argv[2]) : loads[i].default_seconds);
	getrusage(RUSAGE_SELF, &usage);
	printf("peak RSS of all: %ld KiB\n", usage.ru_maxrss);
	return 0;
}
