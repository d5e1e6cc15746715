/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a profile as an agent would, by merge and store: 64 busy cores at 19 Hz, 2,000 processes of which
 * one ends and one begins each second, 100,000 distinct stacks (Zipf), a tick a second. Prints the memory of
 * this process every hour of the simulated host, then the peak.
 *
 * usage: day FILE SECONDS
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "merge/merge.h"
#include "store/store.h"

#define CORES	      64
#define HZ	      19
#define PROCESSES     2000
#define STACKS	      100000
#define DEPTH	      24
#define PROGRAMS      100
#define FUNCTIONS     4000 /* of all programs */
#define LABELS	      300
#define CHANGED_IN    7 /* one process in so many does anything in a tick */
#define TOLD_SECONDS  3600
#define FIRST_SECONDS 600 /* by then all but the rarest stacks have been seen */

struct sim {
	struct merge *merge;
	struct store *store;
	uint32_t binaries[PROGRAMS], functions[FUNCTIONS];
	struct process processes[PROCESSES];
	uint64_t cpu_ns[PROCESSES];
	uint32_t pids; /* given so far */
	uint64_t now_ns;
};

static uint64_t seed = 1;

static uint64_t mixed(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static uint32_t below(uint32_t n)
{
	return (uint32_t)(mixed(seed += 0x9e3779b97f4a7c15ULL) % n);
}

/* Ranks of a Zipf law with exponent 1. */
static uint32_t zipf(uint32_t n)
{
	double u = below(1u << 30) / (double)(1u << 30);
	uint32_t k = (uint32_t)exp(u * log((double)n + 1)) - 1;

	return k < n ? k : n - 1;
}

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "day: %s\n", what);
	exit(1);
}

/* It takes the place of another, or of none. */
static void begin_process(struct sim *s, uint32_t at)
{
	struct process *p = &s->processes[at];
	char *cmdline;

	must(asprintf(&cmdline, "/usr/lib/program-%u/bin/serve --instance=%u --port=8080",
		      at % PROGRAMS, s->pids) > 0,
	     "memory");
	free(p->cmdline);
	*p = (struct process){ .pid = 1000 + s->pids++,
			       .uid = 1000,
			       .start_ns = s->now_ns,
			       .exe = "/usr/bin/program",
			       .cmdline = cmdline };
	snprintf(p->comm, sizeof(p->comm), "program-%u", at % PROGRAMS);
	s->cpu_ns[at] = 0;
}

static void begin(struct sim *s)
{
	char path[64], name[64];

	for (uint32_t i = 0; i < PROGRAMS; i++) {
		struct binary b = { .kind = BINARY_FILE, .path = path, .inode = i + 1, .dev = 1 };

		snprintf(path, sizeof(path), "/usr/lib/program-%u/bin/serve", i);
		s->binaries[i] = merge_binary(s->merge, &b);
	}
	for (uint32_t i = 0; i < FUNCTIONS; i++) {
		struct function f = { .kind = FRAME_NATIVE,
				      .binary = s->binaries[i % PROGRAMS],
				      .name = name,
				      .file = path };

		snprintf(name, sizeof(name), "some_function_of_usual_length_%u", i);
		snprintf(path, sizeof(path), "src/folder/file_%u.c", i / 20);
		s->functions[i] = merge_function(s->merge, &f);
	}
	for (uint32_t i = 0; i < PROCESSES; i++)
		begin_process(s, i);
}

/* Callers are shared: the deeper a frame, the more of the stack's number tells it apart. */
static void make_stack(const struct sim *s, uint32_t which, struct sample_frame frames[DEPTH])
{
	uint32_t program = which % PROGRAMS, rank = which / PROGRAMS;

	for (uint32_t depth = 0; depth < DEPTH; depth++) {
		uint32_t bits = depth * 10 / DEPTH;
		uint64_t h = mixed((uint64_t)program << 40 | (uint64_t)depth << 32 |
				   (rank & ((2u << bits) - 1)));

		frames[DEPTH - 1 - depth] = (struct sample_frame){
			.kind = FRAME_NATIVE,
			.binary = s->binaries[program],
			.offset = (h % 200) * 64,
			.function = s->functions[program + PROGRAMS * (h % 40)]
		};
	}
}

static void add_sample(struct sim *s, uint32_t at, uint32_t core, uint64_t time_ns)
{
	const struct process *p = &s->processes[at];
	struct kymo_sample head = { .head.time_ns = time_ns,
				    .weight = 1000000000 / HZ,
				    .cpu = core,
				    .source = KYMO_SOURCE_CPU,
				    .state = below(5) ? 0 : KYMO_STATE_KERNEL,
				    .end = KYMO_END_WHOLE };
	struct sample_frame frames[DEPTH];
	uint32_t thread;

	head.who = (struct kymo_who){ .pid = p->pid,
				      .tid = p->pid,
				      .process_start_ns = p->start_ns,
				      .thread_start_ns = p->start_ns };
	memcpy(head.who.comm, p->comm, sizeof(p->comm));
	s->cpu_ns[at] += head.weight - below(1000000);
	head.counters.cpu_ns = s->cpu_ns[at];
	head.counters.rss_anon_pages = 1000 + below(50);
	head.counters.minor_faults = s->cpu_ns[at] / 100000000;
	make_stack(s, at % PROGRAMS + PROGRAMS * zipf(STACKS / PROGRAMS), frames);
	thread = merge_thread(s->merge, merge_process(s->merge, p), &head.who, NULL);
	must(thread && merge_sample(s->merge, &head, thread, frames, DEPTH) == 0, "sample");
}

static void add_accounts(struct sim *s)
{
	for (uint32_t i = 0; i < PROCESSES; i++) {
		struct process_tick t = { .process = merge_process(s->merge, &s->processes[i]) };

		if (below(CHANGED_IN) == 0)
			t.change.cpu_ns = below(30000000);
		t.change.rss_anon_pages = 1000 + i;
		must(t.process && merge_process_tick(s->merge, &t) == 0, "account");
	}
}

static void fill_health(struct health *h, bool first)
{
	char labels[32];

	for (int i = 0; i < HEALTH_MAX; i++) {
		h->present[i] = true;
		h->value[i] = (int64_t)mixed(seed + (uint64_t)i) >> (30 + below(30));
	}
	if (first) {
		h->metrics = calloc(LABELS, sizeof(*h->metrics));
		for (uint32_t i = 0; i < LABELS; i++) {
			snprintf(labels, sizeof(labels), "cpu=%u", i);
			h->metrics[i] = (struct health_metric){ i + 1, strdup("system.cpu.time"),
								strdup(labels), strdup("ns"),
								HEALTH_COUNTER };
		}
		h->metrics_n = LABELS;
	}
	h->labels = calloc(LABELS, sizeof(*h->labels));
	for (uint32_t i = 0; i < LABELS; i++)
		h->labels[i] = (struct health_label){ i + 1, 10000000 * (int64_t)below(100) };
	h->labels_n = LABELS;
}

static void run_tick(struct sim *s, bool first)
{
	struct health health = { 0 };
	struct merge_unnamed unnamed[256];
	struct tick *t = NULL;
	uint32_t gone = below(PROCESSES);

	merge_process_ended(s->merge, s->processes[gone].pid);
	merge_thread_ended(s->merge, s->processes[gone].pid);
	begin_process(s, gone);
	for (uint32_t core = 0; core < CORES; core++)
		for (uint32_t k = 0, at = zipf(PROCESSES); k < HZ; k++) {
			if (below(5) == 0)
				at = zipf(PROCESSES);
			add_sample(s, at, core, s->now_ns + k * (1000000000ULL / HZ) + core * 1000);
		}
	add_accounts(s);
	merge_quality(s->merge, "kymo.cpu_ns", 4000000 + below(1000000));
	fill_health(&health, first);
	s->now_ns += NS_PER_SEC;
	must(merge_tick_close(s->merge, s->now_ns, 1700000000 * NS_PER_SEC + s->now_ns, &health,
			      &t) == 0,
	     "close");
	must(store_write_tick(s->store, t) == 0, "write");
	tick_free(t);
	while (merge_take_unnamed(s->merge, unnamed, 256) > 0)
		;
	merge_tick_begin(s->merge, s->now_ns);
}

static long rss_kib(void)
{
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	must(f && fscanf(f, "%*s %ld", &pages) == 1, "statm");
	fclose(f);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

int main(int argc, char **argv)
{
	static struct sim s = { .now_ns = 100000 * NS_PER_SEC };
	struct rusage usage;
	char *message = NULL;
	long seconds;

	must(argc == 3, "usage: day FILE SECONDS");
	seconds = atol(argv[2]);
	must(merge_new(NULL, &s.merge) == 0, "merge");
	must(store_create(argv[1], getuid(), getgid(), &s.store, &message) == 0, "create");
	store_set_meta(s.store, "tick_ns", "1000000000");
	store_set_meta(s.store, "cpus", "64");
	begin(&s);
	merge_tick_begin(s.merge, s.now_ns);
	for (long i = 0; i < seconds; i++) {
		run_tick(&s, i == 0);
		if ((i + 1) % TOLD_SECONDS == 0 || i + 1 == FIRST_SECONDS)
			printf("after %ld s: %ld KiB, file %" PRIu64 "\n", i + 1, rss_kib(),
			       store_bytes(s.store)),
				fflush(stdout);
	}
	must(store_finish(s.store) == 0, "finish");
	store_close(s.store);
	merge_free(s.merge);
	getrusage(RUSAGE_SELF, &usage);
	printf("peak %ld KiB, CPU %.2f ms a tick\n", usage.ru_maxrss,
	       (double)clock_process_cpu_ns() / 1e6 / (double)seconds);
	return 0;
}
