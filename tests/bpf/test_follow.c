/* SPDX-License-Identifier: Apache-2.0 */
/* Only what was asked for is sampled: a process with all that it forks, whoever else runs. */
#include "bpf/session.h"

#include <bpf/bpf.h>

static const struct kern_options options = { .cpu_period_ns = NS_PER_SEC / 499, .filter = true };

struct family {
	int go[2];	 /* the parent may begin */
	int children[2]; /* pids */
};

static void grandchild(struct family *f)
{
	pid_t pid = fork();

	if (pid < 0)
		_exit(1);
	if (pid > 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pid = getpid();
	if (write(f->children[1], &pid, sizeof(pid)) != sizeof(pid))
		_exit(1);
	burn_forever(NULL);
}

static void parent(void *argument)
{
	struct family *f = argument;
	char byte;

	if (read(f->go[0], &byte, 1) != 1)
		_exit(1);
	grandchild(f);
	burn_forever(NULL);
}

/* The session's own map of that name, among our descriptors: others may be recording too. */
static int map_find(const char *name)
{
	for (int fd = 3; fd < 1024; fd++) {
		struct bpf_map_info info = { 0 };
		uint32_t size = sizeof(info);

		if (bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && !strcmp(info.name, name))
			return fd;
	}
	fail_msg("no map %s", name);
	return -1;
}

static size_t map_entries(const char *name)
{
	uint32_t key = 0, *previous = NULL;
	int fd = map_find(name);
	size_t n = 0;

	while (bpf_map_get_next_key(fd, previous, &key) == 0) {
		previous = &key;
		n++;
	}
	return n;
}

static void test_family(void **state)
{
	struct family f;
	struct session s;
	pid_t pid, child = 0, stranger;
	uint64_t counters[KYMO_COUNTER_MAX];

	(void)state;
	assert_int_equal(pipe(f.go), 0);
	assert_int_equal(pipe(f.children), 0);
	session_open(&s, &options);
	stranger = child_start(burn_forever, NULL);
	pid = child_start(parent, &f);
	assert_int_equal(kern_follow(s.k, (uint32_t)pid), 0);
	session_start(&s);
	assert_int_equal(write(f.go[1], "x", 1), 1);
	assert_int_equal(read(f.children[0], &child, sizeof(child)), sizeof(child));
	session_await(&s, pid, 50);
	session_await(&s, child, 50);
	for (size_t i = 0; i < s.samples_n; i++)
		assert_true(s.samples[i].head.who.pid == (uint32_t)pid ||
			    s.samples[i].head.who.pid == (uint32_t)child);
	assert_int_equal(kern_counters(s.k, counters), 0);
	assert_true(counters[KYMO_COUNTER_FILTERED] > 0);
	session_counters_are_clean(&s);
	child_kill(stranger);
	child_kill(pid); /* the grandchild's parent: it dies with it */
	session_close(&s);
}

static void nothing(void *unused)
{
	(void)unused;
}

static void fork_many(void *argument)
{
	char byte;

	if (read(*(int *)argument, &byte, 1) != 1)
		_exit(1);
	for (int i = 0; i < 300; i++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			_exit(1);
	}
}

/*
 * The dead are forgotten, or the map would fill up and a later process of the same pid be followed.
 */
static void test_the_dead_are_forgotten(void **state)
{
	uint64_t give_up;
	struct session s;
	int go[2];
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(go), 0);
	session_open(&s, &options);
	pid = child_start(fork_many, &go[0]);
	assert_int_equal(kern_follow(s.k, (uint32_t)pid), 0);
	assert_int_equal(map_entries("followed"), 1);
	assert_int_equal(write(go[1], "x", 1), 1);
	(void)child_wait(pid);
	/* The kernel frees tasks after a grace period. */
	give_up = clock_mono_ns() + WAIT_NS;
	while (map_entries("followed") > 0) {
		assert_true(clock_mono_ns() < give_up);
		usleep(20000);
	}
	session_close(&s);
}

static void test_no_such_process(void **state)
{
	struct session s;
	pid_t pid;

	(void)state;
	session_open(&s, &options);
	pid = child_start(nothing, NULL);
	(void)child_wait(pid);
	assert_int_equal(kern_follow(s.k, (uint32_t)pid), -ESRCH);
	assert_int_equal(map_entries("followed"), 0);
	session_close(&s);
}

static void test_nobody(void **state)
{
	struct session s;
	pid_t pid;

	(void)state;
	session_open(&s, &options);
	session_start(&s);
	pid = child_start(burn_forever, NULL);
	usleep(200000);
	session_stop(&s);
	assert_int_equal(s.samples_n, 0);
	child_kill(pid);
	session_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_family),
		cmocka_unit_test(test_the_dead_are_forgotten),
		cmocka_unit_test(test_no_such_process),
		cmocka_unit_test(test_nobody),
	};

	return cmocka_run_group_tests_name("bpf/follow", tests, NULL, NULL);
}
