/* SPDX-License-Identifier: Apache-2.0 */
/* A process's story comes in order, before its first sample; losses are told, never hidden. */
#include "bpf/session.h"

static const struct kern_options options = { .cpu_period_ns = NS_PER_SEC / 999 };

static const struct kept_event *find(const struct session *s, enum process_event_kind kind,
				     pid_t pid, const char *path)
{
	for (size_t i = 0; i < s->events_n; i++) {
		const struct kept_event *e = &s->events[i];

		if (e->event.kind == kind && e->event.pid == (uint32_t)pid &&
		    (!path || strstr(e->path, path)))
			return e;
	}
	fail_msg("no event %d of process %d", kind, pid);
	return NULL;
}

static void exec_loop(void *unused)
{
	(void)unused;
	execl("/bin/sh", "sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done", NULL);
	_exit(1);
}

static void test_a_short_life(void **state)
{
	const struct kept_event *born, *exec, *libc, *end;
	struct session s;
	size_t after_exec = 0;
	pid_t pid;

	(void)state;
	session_open(&s, &options);
	session_start(&s);
	pid = child_start(exec_loop, NULL);
	(void)child_wait(pid);
	session_stop(&s);
	born = find(&s, PROCESS_FORK, pid, NULL);
	exec = find(&s, PROCESS_EXEC, pid, NULL);
	libc = find(&s, PROCESS_MMAP, pid, "libc");
	end = find(&s, PROCESS_EXIT, pid, NULL);
	assert_int_equal(born->event.parent_pid, getpid());
	assert_string_equal(exec->event.comm, "sh");
	assert_true(born->turn < exec->turn && exec->turn < libc->turn && libc->turn < end->turn);
	assert_true(libc->event.end > libc->event.start && libc->event.inode &&
		    libc->path[0] == '/');
	for (size_t i = 0; i < s.samples_n; i++) {
		const struct kept_sample *sample = &s.samples[i];

		if (sample->head.who.pid != (uint32_t)pid)
			continue;
		assert_true(sample->turn > born->turn);
		if (strcmp(sample->head.who.comm, "sh") != 0)
			continue;
		assert_true(sample->turn > exec->turn);
		after_exec++;
	}
	assert_true(after_exec > 3);
	session_counters_are_clean(&s);
	session_close(&s);
}

/* Every frame of the program lies in a mapping that was told before. */
static void test_mappings_come_before_their_samples(void **state)
{
	size_t frames = 0, known = 0;
	struct session s;
	pid_t pid;

	(void)state;
	session_open(&s, &options);
	session_start(&s);
	pid = child_start(exec_loop, NULL);
	(void)child_wait(pid);
	session_stop(&s);
	for (size_t i = 0; i < s.samples_n; i++) {
		const struct kept_sample *sample = &s.samples[i];

		if (sample->head.who.pid != (uint32_t)pid ||
		    strcmp(sample->head.who.comm, "sh") != 0)
			continue;
		for (size_t f = 0; f < sample->head.user_frames; f++) {
			bool found = false;

			for (size_t e = 0; e < s.events_n && s.events[e].turn < sample->turn; e++)
				found |= s.events[e].event.kind == PROCESS_MMAP &&
					 s.events[e].event.pid == (uint32_t)pid &&
					 sample->user[f].address >= s.events[e].event.start &&
					 sample->user[f].address < s.events[e].event.end;
			frames++;
			known += found;
		}
	}
	assert_true(frames > 3);
	assert_int_equal(known, frames);
	session_close(&s);
}

/* The sideband runs since kern_open: what starts before the sampling is told too. */
static void test_before_the_start(void **state)
{
	struct session s;
	pid_t pid;

	(void)state;
	session_open(&s, &options);
	pid = child_start(exec_loop, NULL);
	(void)child_wait(pid);
	session_poll_until(&s, UINT64_MAX);
	assert_non_null(find(&s, PROCESS_EXEC, pid, NULL));
	assert_non_null(find(&s, PROCESS_EXIT, pid, NULL));
	session_close(&s);
}

static void fork_storm(void *unused)
{
	(void)unused;
	for (int i = 0; i < 15000; i++) {
		pid_t pid = vfork();

		if (pid == 0)
			_exit(0);
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			_exit(1);
	}
}

/* Nobody reads for as long as it takes to fill the ring. */
static void test_lost_events_are_told(void **state)
{
	struct kern_stats stats;
	uint64_t told = 0;
	struct session s;
	pid_t pid;

	(void)state;
	session_open(&s, &options);
	pid = child_start(fork_storm, NULL);
	(void)child_wait(pid);
	session_poll_until(&s, UINT64_MAX);
	pid = child_start(exec_loop,
			  NULL); /* the kernel tells of losses when there is room again */
	(void)child_wait(pid);
	session_poll_until(&s, UINT64_MAX);
	for (size_t i = 0; i < s.events_n; i++)
		if (s.events[i].event.kind == PROCESS_LOST)
			told += s.events[i].event.lost;
	assert_int_equal(kern_stats(s.k, &stats), 0);
	assert_true(told > 0);
	assert_int_equal(stats.sideband_lost, told);
	assert_int_equal(stats.malformed, 0);
	session_close(&s);
}

/* A ring of one page, nobody reads: what fits is whole, the rest is counted. */
static void test_full_ring(void **state)
{
	const struct kern_options small = { .cpu_period_ns = NS_PER_SEC / 4999, .ring_bytes = 1 };
	uint64_t counters[KYMO_COUNTER_MAX] = { 0 }, give_up = clock_mono_ns() + WAIT_NS;
	struct kern_stats stats;
	struct session s;
	pid_t pid;

	(void)state;
	session_open(&s, &small);
	session_start(&s);
	pid = child_start(burn_forever, NULL);
	while (counters[KYMO_COUNTER_RING_FULL] < 100) {
		assert_true(clock_mono_ns() < give_up);
		usleep(10000);
		assert_int_equal(kern_counters(s.k, counters), 0);
	}
	session_stop(&s);
	assert_int_equal(kern_counters(s.k, counters), 0);
	assert_int_equal(kern_stats(s.k, &stats), 0);
	assert_int_equal(stats.malformed, 0);
	assert_true(s.samples_n > 0);
	assert_int_equal(s.samples_n, counters[KYMO_COUNTER_SAMPLES]);
	child_kill(pid);
	session_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_short_life),
		cmocka_unit_test(test_mappings_come_before_their_samples),
		cmocka_unit_test(test_before_the_start),
		cmocka_unit_test(test_lost_events_are_told),
		cmocka_unit_test(test_full_ring),
	};

	return cmocka_run_group_tests_name("bpf/sideband", tests, NULL, NULL);
}
