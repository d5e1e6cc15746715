/* SPDX-License-Identifier: Apache-2.0 */
/* A file is held while its process lives and until the names of its last samples are asked for: who unmounts waits no longer. */
#include "unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "worker/held.h"

/* Of a tick, at whose end names are asked for. */
#define KEPT_NS	   NS_PER_SEC
#define PAUSE_NS   (100 * NS_PER_MSEC)
#define PAUSES_MAX 13

static pid_t sleeper(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		pause();
		_exit(0);
	}
	assert_true(pid > 0);
	return pid;
}

static void end(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void files_are_let_go_a_tick_after_their_process(void **state)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	const struct file_identity identity = { .inode = 7 };
	struct file_identity found = { 0 };
	struct held held = { 0 };
	pid_t pid = sleeper();
	const struct worker_file file = { .inode = 7, .dev = 1, .pid = (uint32_t)pid };
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), copy, pauses = 0;
	uint64_t ended_ns;

	(void)state;
	assert_true(fd >= 0);
	held_put(&held, &file, &identity, fd);
	close(fd);
	assert_true(held_expire(&held));
	end(pid);
	ended_ns = clock_mono_ns();
	/* Each pause is at least as long as it says, however busy the host: so many are enough. */
	while (held_expire(&held)) {
		copy = held_get(&held, &file, &found);
		assert_true(copy >= 0);
		assert_int_equal(found.inode, 7);
		close(copy);
		nanosleep(&pause, NULL);
		assert_true(++pauses <= PAUSES_MAX);
	}
	assert_true(clock_mono_ns() - ended_ns >= KEPT_NS);
	assert_int_equal(held_get(&held, &file, &found), -ENOENT);
	held_release(&held);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_are_let_go_a_tick_after_their_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
