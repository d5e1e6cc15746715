/* SPDX-License-Identifier: Apache-2.0 */
/* What merge promises: sums balance, ids are given once, bounds are counted, a tick is sorted and whole. */
#include "unit/test.h"

#include <stdio.h>

#include "merge/state.h"

#define MS 1000000ULL

struct fixture {
	struct merge *m;
	uint32_t process, thread;
};

static const struct process init = {
	.pid = 1, .start_ns = 7, .comm = "init", .exe = (char *)"/sbin/init"
};

static struct kymo_sample sample_of(uint32_t pid, uint32_t tid, uint64_t time_ns)
{
	struct kymo_sample s = {
		.head = { .time_ns = time_ns },
		.who = { .pid = pid, .tid = tid, .process_start_ns = 7, .thread_start_ns = 8 },
		.weight = 10,
		.source = KYMO_SOURCE_CPU,
		.end = KYMO_END_WHOLE
	};

	return s;
}

static struct sample_frame native(uint32_t binary, uint64_t offset)
{
	return (struct sample_frame){ .kind = FRAME_NATIVE, .binary = binary, .offset = offset };
}

static struct tick *close_at(struct merge *m, uint64_t end_ns)
{
	struct health health = { 0 };
	struct tick *t = NULL;

	assert_int_equal(merge_tick_close(m, end_ns, 1, &health, &t), 0);
	assert_non_null(t);
	return t;
}

static int64_t quality_of(const struct tick *t, const char *counter)
{
	for (size_t i = 0; i < t->quality_n; i++) {
		if (strcmp(t->quality[i].counter, counter) == 0)
			return t->quality[i].value;
	}
	return 0;
}

static int setup_with(void **state, const struct merge_limits *limits)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct kymo_who who = {
		.pid = 1, .tid = 1, .process_start_ns = 7, .thread_start_ns = 8, .comm = "init"
	};

	assert_non_null(f);
	assert_int_equal(merge_new(limits, &f->m), 0);
	f->process = merge_process(f->m, &init);
	f->thread = merge_thread(f->m, f->process, &who, NULL);
	merge_tick_begin(f->m, 1000 * MS);
	*state = f;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, NULL);
}

static int setup_small(void **state)
{
	const struct merge_limits limits = { .stacks = 10, .frames = 5, .functions = 3 };

	return setup_with(state, &limits);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	merge_free(f->m);
	free(f);
	return 0;
}

/* For a new profile all is told again, and what was seen of a thread goes on. */
static void renewed_tells_all_again(void **state)
{
	struct fixture *f = *state;
	struct binary b = { .kind = BINARY_FILE, .path = (char *)"/bin/x", .inode = 5, .dev = 1 };
	struct kymo_sample s = sample_of(1, 1, 1010 * MS);
	struct function late = { .kind = FRAME_NATIVE, .binary = 1, .name = (char *)"late" };
	struct late_names names = { 0 };
	struct sample_frame frame = native(merge_binary(f->m, &b), 0x10);
	struct merge_unnamed unnamed;
	struct merge *old = NULL;
	struct tick *t;

	s.counters.cpu_ns = 100;
	assert_int_equal(merge_sample(f->m, &s, f->thread, &frame, 1), 0);
	t = close_at(f->m, 2000 * MS);
	tick_free(t);
	assert_int_equal(merge_take_unnamed(f->m, &unnamed, 1), 1);

	assert_int_equal(merge_renew(f->m, &old), 0);
	assert_int_equal(merge_process(f->m, &init), 1);
	assert_int_equal(merge_thread(f->m, 1, &s.who, NULL), 1);
	frame.binary = merge_binary(f->m, &b);
	assert_int_equal(frame.binary, 1);
	s.head.time_ns = 2010 * MS;
	s.counters.cpu_ns = 175;
	assert_int_equal(merge_sample(f->m, &s, 1, &frame, 1), 0);
	/* A name that comes for the old one is the old one's. */
	assert_int_equal(merge_function(old, &late), 1);
	assert_int_equal(merge_take_functions(old, &names), 0);
	assert_int_equal(names.functions_n, 1);
	t = close_at(f->m, 3000 * MS);
	assert_int_equal(t->id, 1);
	assert_int_equal(t->start_ns, 2000 * MS);
	assert_int_equal(t->processes_n, 1);
	assert_int_equal(t->threads_n, 1);
	assert_int_equal(t->binaries_n, 1);
	assert_int_equal(t->functions_n, 0);
	assert_int_equal(t->frames_n, 1);
	assert_int_equal(t->stacks_n, 1);
	assert_int_equal(t->rows_n, 1);
	assert_int_equal(t->rows[0].seen.cpu_ns, 75);
	tick_free(t);
	for (size_t i = 0; i < names.functions_n; i++) {
		free(names.functions[i].name);
		free(names.functions[i].file);
	}
	free(names.functions);
	merge_free(old);
}

static void ids_are_given_once(void **state)
{
	struct fixture *f = *state;
	struct binary b = { .kind = BINARY_FILE, .path = (char *)"/bin/x", .inode = 5, .dev = 1 };
	struct function fn = { .kind = FRAME_PYTHON,
			       .name = (char *)"main",
			       .file = (char *)"a.py",
			       .first_line = 3 };
	uint32_t binary = merge_binary(f->m, &b), function = merge_function(f->m, &fn);
	struct tick *t;

	assert_int_equal(binary, 1);
	assert_int_equal(merge_binary(f->m, &b), binary);
	b.inode = 6;
	assert_int_equal(merge_binary(f->m, &b), 2);
	assert_int_equal(function, 1);
	assert_int_equal(merge_function(f->m, &fn), function);
	fn.first_line = 4;
	assert_int_equal(merge_function(f->m, &fn), 2);
	fn.file = NULL;
	fn.name = NULL;
	assert_int_equal(merge_function(f->m, &fn), 3);

	t = close_at(f->m, 2000 * MS);
	assert_int_equal(t->binaries_n, 2);
	assert_string_equal(t->binaries[1].path, "/bin/x");
	assert_int_equal(t->binaries[1].id, 2);
	assert_int_equal(t->functions_n, 3);
	assert_string_equal(t->functions[2].name, "");
	tick_free(t);

	/* The next tick has nothing new. */
	fn = (struct function){ .kind = FRAME_PYTHON,
				.name = (char *)"main",
				.file = (char *)"a.py",
				.first_line = 3 };
	assert_int_equal(merge_function(f->m, &fn), 1);
	t = close_at(f->m, 3000 * MS);
	assert_int_equal(t->id, 2);
	assert_int_equal(t->binaries_n + t->functions_n + t->processes_n + t->threads_n, 0);
	tick_free(t);
}

static void changes_of_processes_are_told_again(void **state)
{
	struct fixture *f = *state;
	struct process p = init;
	struct kymo_who who = {
		.pid = 1, .tid = 1, .process_start_ns = 7, .thread_start_ns = 8, .comm = "init"
	};
	struct tick *t;

	/* Changed in the tick in which it was told: once, with the newest. */
	p.exe = (char *)"/usr/bin/python3";
	assert_int_equal(merge_process(f->m, &p), f->process);
	t = close_at(f->m, 2000 * MS);
	assert_int_equal(t->processes_n, 1);
	assert_string_equal(t->processes[0].exe, "/usr/bin/python3");
	assert_string_equal(t->processes[0].cmdline, "");
	assert_int_equal(t->threads_n, 1);
	tick_free(t);

	strcpy(who.comm, "worker");
	assert_int_equal(merge_thread(f->m, f->process, &who, NULL), f->thread);
	p.cmdline = (char *)"python3 x.py";
	assert_int_equal(merge_process(f->m, &p), f->process);
	assert_int_equal(merge_process(f->m, &p), f->process);
	t = close_at(f->m, 3000 * MS);
	assert_int_equal(t->processes_n, 1);
	assert_int_equal(t->processes[0].id, f->process);
	assert_string_equal(t->processes[0].cmdline, "python3 x.py");
	assert_string_equal(t->threads[0].comm, "worker");
	tick_free(t);

	/* A reused pid is another process. */
	p.start_ns = 99;
	assert_int_not_equal(merge_process(f->m, &p), f->process);
}

/* The program before an exec, also when the one behind it has been sampled already; not the one before that. */
static void a_program_before_is_known(void **state)
{
	struct fixture *f = *state;
	struct process p = {
		.pid = 9, .start_ns = 7, .exe = (char *)"/bin/a", .cmdline = (char *)""
	};
	uint32_t a, c;

	assert_int_equal(merge_process_before(f->m, 9, 7, 1), 0);
	a = merge_process(f->m, &p);
	assert_int_equal(merge_process_before(f->m, 9, 7, 0), 0);
	assert_int_equal(merge_process_before(f->m, 9, 7, 1), a);
	/* of the second nothing was seen */
	assert_int_equal(merge_process_before(f->m, 9, 7, 2), 0);
	p.execs = 2;
	p.exe = (char *)"/bin/c";
	c = merge_process(f->m, &p);
	assert_int_not_equal(a, c);
	assert_int_equal(merge_process_before(f->m, 9, 7, 2), 0);
	assert_int_equal(merge_process_before(f->m, 9, 7, 3), c);
	p.execs = 3;
	p.exe = (char *)"/bin/d";
	assert_int_not_equal(merge_process(f->m, &p), c);
	assert_int_equal(merge_process_before(f->m, 9, 7, 3), c);
	assert_int_equal(merge_process_before(f->m, 9, 8, 3), 0);
}

static void rows_gather_samples_and_are_sorted(void **state)
{
	struct fixture *f = *state;
	const struct sample_frame a[] = { native(1, 0x10), native(1, 0x20) },
				  b[] = { native(1, 0x30), native(1, 0x20) };
	struct kymo_sample s = sample_of(1, 1, 1000 * MS);
	struct tick *t;

	for (unsigned int i = 0; i < 6; i++) {
		s.head.time_ns = 1000 * MS + (6 - i) * MS;
		s.state = i == 5 ? KYMO_STATE_KERNEL : 0;
		assert_int_equal(merge_sample(f->m, &s, f->thread, i % 2 ? a : b, 2), 0);
	}
	t = close_at(f->m, 2000 * MS);
	assert_int_equal(t->rows_n, 3);
	assert_int_equal(t->offsets_n, 6);
	assert_int_equal(t->stacks_n, 3);
	assert_int_equal(t->frames_n, 3);
	for (size_t i = 0; i < t->rows_n; i++) {
		const struct tick_row *r = &t->rows[i];

		assert_int_equal(r->weight, 10 * r->count);
		if (i > 0)
			assert_true(r[-1].stack < r->stack ||
				    (r[-1].stack == r->stack && r[-1].state < r->state));
		for (uint32_t k = 1; k < r->count; k++)
			assert_true(t->offsets_us[r->first_offset + k - 1] <=
				    t->offsets_us[r->first_offset + k]);
	}
	/* b, three times: at 6, 4 and 2 ms; it came first, so its leaf has the lower id. */
	assert_int_equal(t->rows[0].count, 3);
	assert_int_equal(t->offsets_us[t->rows[0].first_offset], 2000);
	assert_int_equal(t->offsets_us[t->rows[0].first_offset + 2], 6000);
	tick_free(t);
}

static void stacks_are_a_tree_with_lower_parents(void **state)
{
	struct fixture *f = *state;
	const struct sample_frame deep[] = { native(1, 3), native(1, 2), native(1, 1) };
	struct kymo_sample s = sample_of(1, 1, 1000 * MS);
	struct tick *t;

	assert_int_equal(merge_sample(f->m, &s, f->thread, deep, 3), 0);
	assert_int_equal(merge_sample(f->m, &s, f->thread, deep + 1, 2), 0);
	t = close_at(f->m, 2000 * MS);
	assert_int_equal(t->stacks_n, 3);
	assert_int_equal(t->stacks[0].parent, 0);
	assert_int_equal(t->frames[t->stacks[0].frame - 1].offset, 1);
	for (size_t i = 0; i < t->stacks_n; i++) {
		assert_int_equal(t->stacks[i].id, i + 1);
		assert_true(t->stacks[i].parent < t->stacks[i].id);
	}
	assert_int_equal(t->rows[0].stack, 2);
	assert_int_equal(t->rows[1].stack, 3);
	tick_free(t);
}

/* Frames root first of a row's stack, against those that were given leaf first. */
static void check_stack(const struct tick *t, const struct tick_row *row,
			const struct sample_frame *frames, size_t n)
{
	uint32_t stack = row->stack;

	for (size_t i = 0; i < n; i++) {
		const struct frame *f;

		assert_int_not_equal(stack, 0);
		f = &t->frames[t->stacks[stack - 1].frame - 1];
		assert_int_equal(f->kind, frames[i].kind);
		assert_int_equal(f->by_fp, frames[i].by_fp);
		assert_int_equal(f->binary, frames[i].binary);
		assert_int_equal(f->offset, frames[i].offset);
		assert_int_equal(f->function, frames[i].function);
		assert_int_equal(f->line, frames[i].line);
		stack = t->stacks[stack - 1].parent;
	}
	assert_int_equal(stack, 0);
}

/* Stacks that differ in one thing are different ones, though all of them are kept in one place of
 * the table of recent ones. */
static void stacks_are_the_same_only_as_a_whole(void **state)
{
	struct fixture *f = *state;
	const struct sample_frame base = native(1, 0x10);
	struct sample_frame stacks[8][2] = {
		{ base, base }, { base, base }, { base, base }, { base, base },
		{ base, base }, { base, base }, { base, base }, { base, base },
	};
	const size_t depth[8] = { 2, 1, 2, 2, 2, 2, 2, 2 };
	struct kymo_sample s = sample_of(1, 1, 1000 * MS);
	struct tick *t;

	stacks[2][0].kind = FRAME_KERNEL;
	stacks[3][0].by_fp = true;
	stacks[4][0].binary = 2;
	stacks[5][1].offset = 0x11;
	stacks[6][0].function = 1;
	stacks[7][1].line = 7;
	f->m->recent_n = 1;
	for (unsigned int round = 0; round < 8 * 8; round++) {
		/* each after each */
		unsigned int a = round / 8, b = round % 8;

		s.state = (uint16_t)a;
		assert_int_equal(merge_sample(f->m, &s, f->thread, stacks[a], depth[a]), 0);
		s.state = (uint16_t)b;
		assert_int_equal(merge_sample(f->m, &s, f->thread, stacks[b], depth[b]), 0);
	}
	t = close_at(f->m, 2000 * MS);
	assert_int_equal(t->rows_n, 8);
	for (size_t i = 0; i < t->rows_n; i++) {
		const struct tick_row *row = &t->rows[i];

		assert_int_equal(row->count, 16);
		check_stack(t, row, stacks[row->state], depth[row->state]);
	}
	tick_free(t);
}

/* The deltas of all rows of all ticks add up to last - first, whatever the counters do. */
static void seen_changes_balance(void **state)
{
	struct fixture *f = *state;
	const struct sample_frame frames[] = { native(1, 1), native(1, 2), native(1, 3) };
	struct kymo_sample s = sample_of(1, 1, 1000 * MS), first = s, last;
	struct seen sum = { 0 };
	uint64_t random = 1;

	for (unsigned int i = 0; i < 1000; i++) {
		struct kymo_counters *c = &s.counters;

		random = random * 6364136223846793005ULL + 1442695040888963407ULL;
		c->cpu_ns += random >> 40;
		c->rss_anon_pages = (int64_t)(random >> 48);
		c->swap_pages = (int64_t)(random >> 50);
		c->minor_faults += random >> 60;
		c->read_bytes += random >> 44;
		c->involuntary_switches += random >> 63;
		s.head.time_ns += MS;
		if (i == 0)
			first = s;
		last = s;
		assert_int_equal(merge_sample(f->m, &s, f->thread, frames + random % 3, 1), 0);
		if (i % 100 == 99) {
			struct tick *t = close_at(f->m, s.head.time_ns);

			for (size_t k = 0; k < t->rows_n; k++) {
				sum.cpu_ns += t->rows[k].seen.cpu_ns;
				sum.rss_anon_pages += t->rows[k].seen.rss_anon_pages;
				sum.swap_pages += t->rows[k].seen.swap_pages;
				sum.minor_faults += t->rows[k].seen.minor_faults;
				sum.read_bytes += t->rows[k].seen.read_bytes;
				sum.involuntary_switches += t->rows[k].seen.involuntary_switches;
			}
			tick_free(t);
		}
	}
	assert_int_equal(sum.cpu_ns, last.counters.cpu_ns - first.counters.cpu_ns);
	assert_int_equal(sum.rss_anon_pages,
			 last.counters.rss_anon_pages - first.counters.rss_anon_pages);
	assert_int_equal(sum.swap_pages, last.counters.swap_pages - first.counters.swap_pages);
	assert_int_equal(sum.minor_faults,
			 last.counters.minor_faults - first.counters.minor_faults);
	assert_int_equal(sum.read_bytes, last.counters.read_bytes - first.counters.read_bytes);
	assert_int_equal(sum.involuntary_switches,
			 last.counters.involuntary_switches - first.counters.involuntary_switches);
}

/* Samples of other sources in between: they have a weight, and take nothing from what the clock sees. */
static void only_the_clock_sees(void **state)
{
	struct fixture *f = *state;
	const struct sample_frame frame = native(1, 1);
	struct kymo_sample s = sample_of(1, 1, 1000 * MS);
	struct tick *t;

	for (unsigned int i = 0; i < 4; i++) {
		s.source = i % 2 ? KYMO_SOURCE_CPU : KYMO_SOURCE_FAULT;
		s.weight = 4096;
		s.counters.cpu_ns += 100;
		s.counters.rss_anon_pages += 10;
		assert_int_equal(merge_sample(f->m, &s, f->thread, &frame, 1), 0);
	}
	t = close_at(f->m, 2000 * MS);
	assert_int_equal(t->rows_n, 2);
	assert_int_equal(t->rows[0].source, KYMO_SOURCE_CPU);
	assert_int_equal(t->rows[0].seen.cpu_ns, 200);
	assert_int_equal(t->rows[0].seen.rss_anon_pages, 20);
	assert_int_equal(t->rows[1].source, KYMO_SOURCE_FAULT);
	assert_int_equal(t->rows[1].weight, 2 * 4096);
	assert_int_equal(t->rows[1].seen.cpu_ns, 0);
	assert_int_equal(t->rows[1].seen.rss_anon_pages, 0);
	tick_free(t);
	/* Known by a fault alone, it is forgotten as any other. */
	merge_thread_ended(f->m, 1);
	assert_int_equal(f->m->thread_seen.count, 0);
}

static void rss_is_the_process_s_and_cpu_the_thread_s(void **state)
{
	struct fixture *f = *state;
	const struct sample_frame frame = native(1, 1);
	struct kymo_who second = {
		.pid = 1, .tid = 2, .process_start_ns = 7, .thread_start_ns = 9
	};
	struct kymo_sample s = sample_of(1, 1, 1000 * MS), other = sample_of(1, 2, 1001 * MS);
	uint32_t thread = merge_thread(f->m, f->process, &second, NULL);
	struct tick *t;

	s.counters = (struct kymo_counters){ .cpu_ns = 100, .rss_anon_pages = 10 };
	other.counters = (struct kymo_counters){ .cpu_ns = 5000, .rss_anon_pages = 30 };
	assert_int_equal(merge_sample(f->m, &s, f->thread, &frame, 1), 0);
	assert_int_equal(merge_sample(f->m, &other, thread, &frame, 1), 0);
	/* No memory map at the instant: -1 is no gauge. */
	s.counters = (struct kymo_counters){ .cpu_ns = 150,
					     .rss_anon_pages = -1,
					     .rss_file_pages = -1,
					     .rss_shmem_pages = -1,
					     .swap_pages = -1 };
	assert_int_equal(merge_sample(f->m, &s, f->thread, &frame, 1), 0);
	t = close_at(f->m, 2000 * MS);
	assert_int_equal(t->rows_n, 2);
	assert_int_equal(t->rows[0].seen.cpu_ns, 50);
	assert_int_equal(t->rows[0].seen.rss_anon_pages, 0);
	assert_int_equal(t->rows[1].seen.cpu_ns, 0);
	assert_int_equal(t->rows[1].seen.rss_anon_pages, 20);
	tick_free(t);
}

static void ended_threads_and_reused_ids_start_anew(void **state)
{
	struct fixture *f = *state;
	const struct sample_frame frame = native(1, 1);
	struct kymo_sample s = sample_of(1, 1, 1000 * MS);
	struct tick *t;

	s.counters.cpu_ns = 1000;
	s.counters.rss_anon_pages = 5;
	assert_int_equal(merge_sample(f->m, &s, f->thread, &frame, 1), 0);
	merge_thread_ended(f->m, 1);
	merge_process_ended(f->m, 1);
	s.counters.cpu_ns = 5;
	assert_int_equal(merge_sample(f->m, &s, f->thread, &frame, 1), 0);
	/* The end was not told, but another thread and process have the numbers now. */
	s.counters.cpu_ns = 3;
	s.counters.rss_anon_pages = 1;
	s.who.process_start_ns = 70;
	assert_int_equal(merge_sample(f->m, &s, f->thread + 1, &frame, 1), 0);
	t = close_at(f->m, 2000 * MS);
	assert_int_equal(t->rows_n, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(t->rows[i].seen.cpu_ns, 0);
		assert_int_equal(t->rows[i].seen.rss_anon_pages, 0);
	}
	tick_free(t);
}

/* A host that starts processes for ever: memory goes with those that live, ids are not reused. */
static void ended_processes_are_forgotten(void **state)
{
	struct fixture *f = *state;
	const struct sample_frame frame = native(1, 1);
	uint32_t last = f->process;

	for (uint32_t pid = 2; pid < 60000; pid++) {
		struct process p = { .pid = pid, .start_ns = pid, .comm = "short" };
		struct kymo_sample s = sample_of(pid, pid, 1000 * MS);
		uint32_t process, thread;

		s.who.process_start_ns = s.who.thread_start_ns = pid;
		process = merge_process(f->m, &p);
		thread = merge_thread(f->m, process, &s.who, NULL);
		assert_int_equal(process, ++last);
		assert_int_equal(thread, process);
		assert_int_equal(merge_sample(f->m, &s, thread, &frame, 1), 0);
		merge_thread_ended(f->m, pid);
		merge_process_ended(f->m, pid);
		/* Late ones of this tick and the one before still find theirs. */
		if (pid > 502) {
			p.pid = pid - 500;
			p.start_ns = pid - 500;
			assert_int_equal(merge_process(f->m, &p), process - 500);
		}
		if (pid % 1000 == 0)
			tick_free(close_at(f->m, (1000 + pid) * MS));
	}
	assert_true(f->m->processes.map.count < 20000);
	assert_true(f->m->threads.map.count < 20000);
	assert_true(f->m->process_seen.count + f->m->thread_seen.count < 10);
	assert_int_equal(merge_process(f->m, &init), f->process);
}

static void samples_without_frames_say_why(void **state)
{
	struct fixture *f = *state;
	struct kymo_sample s = sample_of(1, 1, 1000 * MS);
	char expected[128];
	struct tick *t;

	s.end = KYMO_END_EXECVE;
	assert_int_equal(merge_sample(f->m, &s, f->thread, NULL, 0), 0);
	assert_int_equal(merge_sample(f->m, &s, f->thread, NULL, 0), 0);
	s.end = 60000; /* no such end */
	assert_int_equal(merge_sample(f->m, &s, f->thread, NULL, 0), 0);
	t = close_at(f->m, 2000 * MS);
	assert_int_equal(t->rows_n, 2);
	assert_int_equal(t->rows[0].count, 2);
	assert_int_equal(t->rows[1].end, 60000);
	assert_int_equal(t->frames[0].kind, FRAME_SYNTHETIC);
	snprintf(expected, sizeof(expected), "[no stack: %s]", end_names[KYMO_END_EXECVE]);
	assert_string_equal(t->functions[t->frames[0].function - 1].name, expected);
	assert_string_equal(t->functions[t->frames[1].function - 1].name,
			    "[no stack: unknown end]");
	tick_free(t);
}

static void late_and_early_samples_stay_and_are_counted(void **state)
{
	struct fixture *f = *state;
	const struct sample_frame frame = native(1, 1);
	struct kymo_sample s = sample_of(1, 1, 999 * MS);
	struct tick *t;

	assert_int_equal(merge_sample(f->m, &s, f->thread, &frame, 1), 0);
	s.head.time_ns = 2500 * MS;
	assert_int_equal(merge_sample(f->m, &s, f->thread, &frame, 1), 0);
	t = close_at(f->m, 2000 * MS);
	assert_int_equal(quality_of(t, "merge.late"), 1);
	assert_int_equal(quality_of(t, "merge.early"), 1);
	assert_int_equal(t->offsets_us[0], 0);
	assert_int_equal(t->offsets_us[1], 1000000);
	tick_free(t);
	/* Counted for their tick, not again. */
	t = close_at(f->m, 3000 * MS);
	assert_int_equal(t->quality_n, 0);
	tick_free(t);
}

static void at_the_bounds_stacks_become_one_and_weights_stay(void **state)
{
	struct fixture *f = *state;
	struct kymo_sample s = sample_of(1, 1, 1000 * MS);
	uint64_t weight = 0;
	uint32_t dropped = 0;
	struct tick *t;

	for (uint64_t i = 0; i < 1000; i++) {
		const struct sample_frame frames[] = { native(1, i % 7), native(1, i % 3) };

		assert_int_equal(merge_sample(f->m, &s, f->thread, frames, 2), 0);
	}
	t = close_at(f->m, 2000 * MS);
	assert_true(t->stacks_n <= 11 && t->frames_n <= 6);
	for (size_t i = 0; i < t->rows_n; i++) {
		const struct frame *leaf = &t->frames[t->stacks[t->rows[i].stack - 1].frame - 1];

		weight += t->rows[i].weight;
		if (leaf->kind == FRAME_SYNTHETIC) {
			dropped = t->rows[i].count;
			assert_string_equal(t->functions[leaf->function - 1].name,
					    "[dropped: too many stacks]");
		}
	}
	assert_int_equal(weight, 10000);
	assert_true(dropped > 0);
	assert_int_equal(quality_of(t, "merge.stacks_dropped"), dropped);
	tick_free(t);
}

static void functions_beyond_the_bound_have_no_id(void **state)
{
	struct fixture *f = *state;
	struct tick *t;
	char name[16];

	for (unsigned int i = 0; i < 10; i++) {
		const struct function fn = { .kind = FRAME_KERNEL, .name = name };

		snprintf(name, sizeof(name), "f%u", i);
		assert_int_equal(merge_function(f->m, &fn), i < 3 ? i + 1 : 0);
	}
	t = close_at(f->m, 2000 * MS);
	assert_int_equal(t->functions_n, 3);
	assert_int_equal(quality_of(t, "merge.functions_dropped"), 7);
	tick_free(t);
}

static void unnamed_frames_are_told_once(void **state)
{
	struct fixture *f = *state;
	struct kymo_sample s = sample_of(1, 1, 1000 * MS);
	struct sample_frame frames[300];
	struct merge_unnamed out[128];
	size_t total = 0, n;

	for (unsigned int i = 0; i < 300; i++)
		frames[i] = native(1, i);
	frames[7].kind = FRAME_KERNEL;
	frames[8].function = 5; /* has its name */
	assert_int_equal(merge_sample(f->m, &s, f->thread, frames, 300), 0);
	assert_int_equal(merge_sample(f->m, &s, f->thread, frames, 300), 0);
	/* a name must not reach the store before its frame: nothing of the open tick */
	assert_int_equal(merge_take_unnamed(f->m, out, 128), 0);
	tick_free(close_at(f->m, 2000 * MS));
	while ((n = merge_take_unnamed(f->m, out, 128)) > 0) {
		assert_int_equal(out[0].binary, 1);
		total += n;
	}
	assert_int_equal(total, 298);
	frames[0] = native(2, 0x77);
	assert_int_equal(merge_sample(f->m, &s, f->thread, frames, 1), 0);
	assert_int_equal(merge_take_unnamed(f->m, out, 128), 0);
	tick_free(close_at(f->m, 3000 * MS));
	assert_int_equal(merge_take_unnamed(f->m, out, 128), 1);
	assert_int_equal(out[0].binary, 2);
	assert_int_equal(out[0].offset, 0x77);
}

static void late_functions_leave_the_tick(void **state)
{
	struct fixture *f = *state;
	struct function fn = { .kind = FRAME_NATIVE, .binary = 1, .name = (char *)"a" };
	struct late_names *names = calloc(1, sizeof(*names));
	struct tick *t;

	assert_non_null(names);
	assert_int_equal(merge_function(f->m, &fn), 1);
	assert_int_equal(merge_take_functions(f->m, names), 0);
	fn.name = (char *)"b";
	assert_int_equal(merge_function(f->m, &fn), 2);
	assert_int_equal(merge_take_functions(f->m, names), 0);
	fn.name = (char *)"c";
	assert_int_equal(merge_function(f->m, &fn), 3);
	assert_int_equal(names->functions_n, 2);
	assert_string_equal(names->functions[1].name, "b");
	late_names_free(names);
	t = close_at(f->m, 2000 * MS);
	assert_int_equal(t->functions_n, 1);
	assert_int_equal(t->functions[0].id, 3);
	tick_free(t);
}

static void what_stands_beside_samples_is_kept(void **state)
{
	struct fixture *f = *state;
	const struct sample_frame frame = native(1, 1);
	struct event e = {
		.kind = EVENT_GC, .time_ns = 5, .thread = f->thread, .fields = (char *)"{}"
	};
	struct process_tick p = { .process = 1,
				  .change = { .cpu_ns = 5, .rss_anon_pages = 7, .read_bytes = 1 } };
	struct health health = { .read_errors = 3 };
	struct tick *t;

	health.labels = calloc(1, sizeof(*health.labels));
	health.labels_n = 1;
	assert_int_equal(merge_event(f->m, &e, &frame, 1), 0);
	assert_int_equal(merge_event(f->m, &e, NULL, 0), 0);
	assert_int_equal(merge_process_tick(f->m, &p), 0);
	p.ended = 1;
	p.change.rss_anon_pages = 0;
	assert_int_equal(merge_process_tick(f->m, &p), 0);
	assert_int_equal(merge_quality(f->m, "bpf.ring_full", 2), 0);
	assert_int_equal(merge_quality(f->m, "bpf.ring_full", 3), 0);
	assert_int_equal(merge_tick_close(f->m, 2000 * MS, 42, &health, &t), 0);
	assert_null(health.labels);
	assert_int_equal(health.labels_n, 0);
	assert_int_equal(t->health.read_errors, 3);
	assert_int_equal(t->wall_ns, 42);
	assert_int_equal(t->start_ns, 1000 * MS);
	assert_int_equal(t->end_ns, 2000 * MS);
	assert_int_equal(t->events_n, 2);
	assert_int_equal(t->events[0].stack, 1);
	assert_int_equal(t->events[1].stack, 0);
	assert_string_equal(t->events[0].fields, "{}");
	/* Swept and ended within one tick: one entry. */
	assert_int_equal(t->process_ticks_n, 1);
	assert_int_equal(t->process_ticks[0].change.cpu_ns, 10);
	assert_int_equal(t->process_ticks[0].change.rss_anon_pages, 0);
	assert_int_equal(t->process_ticks[0].ended, 1);
	assert_int_equal(quality_of(t, "bpf.ring_full"), 5);
	tick_free(t);
}

static void extreme_counters_are_no_undefined_behaviour(void **state)
{
	struct fixture *f = *state;
	const struct sample_frame frame = native(UINT32_MAX, UINT64_MAX);
	struct kymo_sample s = sample_of(UINT32_MAX, UINT32_MAX, UINT64_MAX);
	struct tick *t;

	memset(&s.counters, 0x7f, sizeof(s.counters));
	assert_int_equal(merge_sample(f->m, &s, f->thread, &frame, 1), 0);
	memset(&s.counters, 0xff, sizeof(s.counters));
	assert_int_equal(merge_sample(f->m, &s, f->thread, &frame, 1), 0);
	s.counters =
		(struct kymo_counters){ .rss_anon_pages = INT64_MAX, .rss_file_pages = INT64_MIN };
	assert_int_equal(merge_sample(f->m, &s, f->thread, &frame, 1), 0);
	s.weight = UINT64_MAX;
	assert_int_equal(merge_sample(f->m, &s, f->thread, &frame, 1), 0);
	/* An end before the start is a tick of no length. */
	t = close_at(f->m, 5);
	assert_int_equal(t->end_ns, t->start_ns);
	assert_int_equal(t->rows[0].count, 4);
	tick_free(t);
}

int main(void)
{
#define TEST(name)	 cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_SMALL(name) cmocka_unit_test_setup_teardown(name, setup_small, teardown)
	const struct CMUnitTest tests[] = {
		TEST(ids_are_given_once),
		TEST(renewed_tells_all_again),
		TEST(changes_of_processes_are_told_again),
		TEST(a_program_before_is_known),
		TEST(rows_gather_samples_and_are_sorted),
		TEST(stacks_are_a_tree_with_lower_parents),
		TEST(stacks_are_the_same_only_as_a_whole),
		TEST(seen_changes_balance),
		TEST(only_the_clock_sees),
		TEST(rss_is_the_process_s_and_cpu_the_thread_s),
		TEST(ended_threads_and_reused_ids_start_anew),
		TEST(ended_processes_are_forgotten),
		TEST(samples_without_frames_say_why),
		TEST(late_and_early_samples_stay_and_are_counted),
		TEST_SMALL(at_the_bounds_stacks_become_one_and_weights_stay),
		TEST_SMALL(functions_beyond_the_bound_have_no_id),
		TEST(unnamed_frames_are_told_once),
		TEST(late_functions_leave_the_tick),
		TEST(what_stands_beside_samples_is_kept),
		TEST(extreme_counters_are_no_undefined_behaviour),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
