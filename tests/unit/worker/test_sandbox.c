/* SPDX-License-Identifier: Apache-2.0 */
/* What code that took a helper process over could still do: each attempt in a child behind the sandbox. */
#include "unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "worker/sandbox.h"

#define REFUSED_SANDBOX 99

#ifdef KYMO_SANITIZED
#define SANITIZED true
#else
#define SANITIZED false
#endif

/* The exit code of `attempt` in a child behind a sandbox, or minus the signal that ended it. */
static int behind(int (*sandbox)(void), int (*attempt)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		int r = sandbox();

		if (r < 0)
			fprintf(stderr, "sandbox: %s\n", strerror(-r));
		_exit(r < 0 ? REFUSED_SANDBOX : attempt());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/* 0 when the call failed with EPERM or EACCES. */
static int denied(long r)
{
	return r < 0 && (errno == EPERM || errno == EACCES) ? 0 : 1;
}

static int nothing(void)
{
	return 0;
}

static int open_file(void)
{
	return denied(open("/etc/passwd", O_RDONLY));
}

static int stat_file(void)
{
	char buf[512];

	return denied(syscall(SYS_newfstatat, AT_FDCWD, "/etc/passwd", buf, 0));
}

static int map_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return denied(p == MAP_FAILED ? -1 : 0);
}

static int make_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return 2;
	return denied(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

static int map_file(void)
{
	void *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, 0, 0);

	return denied(p == MAP_FAILED ? -1 : 0);
}

static int write_output(void)
{
	return denied(syscall(SYS_write, 1, "x", 1));
}

static int regain_root(void)
{
	return denied(syscall(SYS_setresuid, 0, 0, 0));
}

static int raise_limits(void)
{
	struct rlimit l = { RLIM_INFINITY, RLIM_INFINITY };

	return denied(setrlimit(RLIMIT_NPROC, &l));
}

static int read_memory(void)
{
	return denied(syscall(SYS_process_madvise, 1, NULL, 0, 0, 0));
}

static int make_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) < 0 ? 0 : 1;
}

static int make_process(void)
{
	return fork() < 0 ? 0 : 1;
}

static int run_program(void)
{
	return execl("/bin/true", "true", NULL) < 0 ? 0 : 1;
}

static int trace(void)
{
	return ptrace(PTRACE_ATTACH, getppid(), 0, 0) < 0 ? 0 : 1;
}

static int signal_agent(void)
{
	return kill(getppid(), 0) < 0 ? 0 : 1;
}

static int peek(void)
{
	return syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0) < 0 ? 0 : 1;
}

static int load_bpf(void)
{
	return syscall(SYS_bpf, 0, NULL, 0) < 0 ? 0 : 1;
}

/* 2 GiB are more than it may have; 64 MiB must work. */
static int eat_memory(void)
{
	void *small = malloc(64 << 20), *large;

	if (!small)
		return 2;
	memset(small, 1, 64 << 20);
	large = malloc(2ULL << 30);
	return large ? 1 : 0;
}

static void the_sandbox_stands(void **state)
{
	(void)state;
	assert_int_equal(behind(sandbox_parser, nothing), 0);
	assert_int_equal(behind(sandbox_opener, nothing), 0);
}

static void the_parser_is_denied(void **state)
{
	static const struct {
		const char *what;
		int (*attempt)(void);
		bool sanitizers_may; /* they map, print and reserve more */
	} attempts[] = {
		{ "open", open_file, false },
		{ "stat", stat_file, false },
		{ "setresuid", regain_root, false },
		{ "setrlimit", raise_limits, false },
		{ "process_madvise", read_memory, false },
		{ "mmap of code", map_code, true },
		{ "mprotect to code", make_code, true },
		{ "mmap of a file", map_file, true },
		{ "write", write_output, true },
		{ "2 GiB", eat_memory, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
		int r = attempts[i].sanitizers_may && SANITIZED
				? 0
				: behind(sandbox_parser, attempts[i].attempt);

		if (r != 0)
			fail_msg("%s: %d", attempts[i].what, r);
	}
}

static void both_are_killed_for_what_no_parser_does(void **state)
{
	static const struct {
		const char *what;
		int (*attempt)(void);
	} attempts[] = {
		{ "socket", make_socket }, { "fork", make_process }, { "execve", run_program },
		{ "ptrace", trace },	   { "kill", signal_agent }, { "process_vm_readv", peek },
		{ "bpf", load_bpf },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
		int parser = behind(sandbox_parser, attempts[i].attempt);
		int opener = behind(sandbox_opener, attempts[i].attempt);

		if (parser != -SIGSYS || opener != -SIGSYS)
			fail_msg("%s: %d, %d", attempts[i].what, parser, opener);
	}
}

static void the_opener_can_open_and_not_read(void **state)
{
	(void)state;
	assert_int_equal(behind(sandbox_opener, open_file), 1); /* it did open */
	if (!SANITIZED) {
		assert_int_equal(behind(sandbox_opener, write_output), 0);
		assert_int_equal(behind(sandbox_opener, map_code), 0);
	}
	assert_int_equal(behind(sandbox_opener, regain_root), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_sandbox_stands),
		cmocka_unit_test(the_parser_is_denied),
		cmocka_unit_test(both_are_killed_for_what_no_parser_does),
		cmocka_unit_test(the_opener_can_open_and_not_read),
	};

	return cmocka_run_group_tests_name("worker/sandbox", tests, NULL, NULL);
}
