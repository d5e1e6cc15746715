/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which processes are Python is found out in the kernel, once per memory map: by file, in the
 * program or a library, after fork and exec.
 */
#include "bpf/session.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "elf/inspect.h"
#include "python/python.h"

static const struct kern_options options = { .cpu_period_ns = NS_PER_SEC / 499 };

/* Leaf first, as samples have it. */
#define SCRIPT                       \
	"def function():\n"          \
	"    i = 0\n"                \
	"    while True: i += 1\n"   \
	"def caller(): function()\n" \
	"def main(): caller()\n"
static const char *const chain[] = { "function", "caller", "main", "<module>" };

struct interpreter {
	const char *program; /* what to run */
	const char *file;    /* what holds the interpreter; NULL = program */
};

static const struct interpreter debian = { .program = "/usr/bin/python3.11" };

static void python_run(void *argument)
{
	const char *const *words = argument; /* program, script */

	execl(words[0], words[0], "-c", words[1], NULL);
	_exit(127);
}

static pid_t python_start(const char *program, const char *script)
{
	const char *words[] = { program, script };

	return child_start(python_run, words);
}

static bool available(const struct interpreter *i)
{
	if (access(i->program, X_OK) == 0)
		return true;
	print_message("%s is not here\n", i->program);
	return false;
}

static void tell_layouts(struct session *s)
{
	const struct kymo_python_layout *layouts;
	size_t n = python_layouts(&layouts);

	for (size_t i = 0; i < n; i++)
		assert_int_equal(kern_set_python_layout(s->k, (uint32_t)i, &layouts[i]), 0);
}

static void tell_binary(struct session *s, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct kymo_python_binary binary;
	struct elf_facts facts;
	struct kymo_file_key key = { 0 };
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(elf_inspect(fd, &facts), 0);
	close(fd);
	assert_int_equal(python_binary(&facts, &binary), 0);
	key.inode = st.st_ino;
	key.dev = major(st.st_dev) << 20 | minor(st.st_dev);
	assert_int_equal(kern_set_python_binary(s->k, &key, &binary), 0);
}

static const char *code_name(const struct session *s, const struct kymo_sample *head,
			     const struct kymo_frame *frame)
{
	for (size_t i = 0; i < s->codes_n; i++) {
		const struct kymo_code *c = &s->codes[i].head;

		if (c->pid == head->who.pid && c->process_start_ns == head->who.process_start_ns &&
		    c->address == frame->address && c->generation == frame->generation)
			return s->codes[i].name;
	}
	return "";
}

/* The sample's Python frames are exactly the chain. */
static bool is_chain(const struct session *s, const struct kept_sample *sample)
{
	size_t n = 0;

	for (size_t i = 0; i < sample->head.user_frames; i++) {
		if (sample->user[i].kind != KYMO_FRAME_PYTHON)
			continue;
		if (n == 4 || strcmp(code_name(s, &sample->head, &sample->user[i]), chain[n]) != 0)
			return false;
		n++;
	}
	return n == 4;
}

struct verdict {
	size_t samples, python, chains;
};

static struct verdict judge(const struct session *s, pid_t pid)
{
	struct verdict v = { 0 };

	for (size_t i = 0; i < s->samples_n; i++) {
		const struct kept_sample *sample = &s->samples[i];

		if (sample->head.who.pid != (uint32_t)pid)
			continue;
		v.samples++;
		v.python += (sample->head.state & KYMO_STATE_PYTHON) != 0;
		v.chains += is_chain(s, sample);
	}
	return v;
}

static void await_chains(struct session *s, pid_t pid, size_t chains)
{
	uint64_t give_up = clock_mono_ns() + WAIT_NS;
	struct verdict v = { 0 };

	while (v.chains < chains) {
		if (clock_mono_ns() > give_up)
			fail_msg("%zu samples, %zu of Python, %zu of the chain", v.samples,
				 v.python, v.chains);
		session_await(s, pid, session_count(s, pid) + 20);
		v = judge(s, pid);
	}
}

/* From the start of the program to its end: what is not the chain is the start-up. */
static void check_interpreter(const struct interpreter *i)
{
	struct session s;
	size_t first = 0, broken = 0;
	pid_t pid;

	if (!available(i))
		return;
	session_open(&s, &options);
	tell_layouts(&s);
	tell_binary(&s, i->file ? i->file : i->program);
	session_start(&s);
	pid = python_start(i->program, SCRIPT "main()\n");
	await_chains(&s, pid, 300);
	child_kill(pid);
	while (first < s.samples_n &&
	       (s.samples[first].head.who.pid != (uint32_t)pid || !is_chain(&s, &s.samples[first])))
		first++;
	for (size_t n = first; n < s.samples_n; n++) {
		const struct kept_sample *sample = &s.samples[n];

		if (sample->head.who.pid != (uint32_t)pid ||
		    sample->head.end == KYMO_END_PYTHON_TORN)
			continue;
		/* The process being killed has no memory map any more. */
		if (sample->head.state & KYMO_STATE_NO_MM)
			continue;
		assert_true(sample->head.state & KYMO_STATE_PYTHON);
		broken += !is_chain(&s, sample);
	}
	assert_int_equal(broken, 0);
	session_counters_are_clean(&s);
	session_close(&s);
}

static void test_program(void **state)
{
	(void)state;
	if (!available(&debian))
		skip();
	check_interpreter(&debian);
}

static void test_library(void **state)
{
	char program[256], file[256];
	const char *root = getenv("PYENV_ROOT"), *home = getenv("HOME");
	struct interpreter i = { program, file };

	(void)state;
	snprintf(program, sizeof(program), "%s%s/versions/3.11.7/bin/python3.11",
		 root ? root : (home ? home : ""), root ? "" : "/.pyenv");
	snprintf(file, sizeof(file), "%s%s/versions/3.11.7/lib/libpython3.11.so.1.0",
		 root ? root : (home ? home : ""), root ? "" : "/.pyenv");
	if (!available(&i))
		skip();
	check_interpreter(&i);
}

/* A process that was no Python as far as we knew becomes one when its file is told. */
static void test_told_later(void **state)
{
	const struct kymo_file_key other = { .inode = UINT64_MAX };
	const struct kymo_python_binary none = { 0 };
	struct session s;
	pid_t pid;

	(void)state;
	if (!available(&debian))
		skip();
	session_open(&s, &options);
	tell_layouts(&s);
	tell_binary(&s, "/usr/bin/python3.11");
	session_start(&s);
	pid = child_start(burn_forever, NULL);
	session_await(&s, pid, 20);
	assert_int_equal(judge(&s, pid).python, 0);
	child_kill(pid);
	session_close(&s);

	session_open(&s, &options);
	tell_layouts(&s);
	/* Some interpreter is known, or nobody is looked at yet. */
	assert_int_equal(kern_set_python_binary(s.k, &other, &none), 0);
	session_start(&s);
	pid = python_start("/usr/bin/python3.11", SCRIPT "main()\n");
	session_await(&s, pid, 50);
	assert_int_equal(judge(&s, pid).python, 0);
	tell_binary(&s, "/usr/bin/python3.11");
	await_chains(&s, pid, 50);
	child_kill(pid);
	session_close(&s);
}

/* fork without exec: another process, the same interpreter. */
static void test_fork(void **state)
{
	struct session s;
	pid_t pid, child = 0;

	(void)state;
	if (!available(&debian))
		skip();
	session_open(&s, &options);
	tell_layouts(&s);
	tell_binary(&s, "/usr/bin/python3.11");
	session_start(&s);
	pid = python_start(
		"/usr/bin/python3.11", SCRIPT
		"import os, ctypes\n"
		"if os.fork() == 0: ctypes.CDLL(None).prctl(1, 9)\n" /* die with the parent */
		"main()\n");
	await_chains(&s, pid, 50);
	for (size_t i = 0; i < s.events_n; i++)
		if (s.events[i].event.kind == PROCESS_FORK &&
		    s.events[i].event.parent_pid == (uint32_t)pid &&
		    s.events[i].event.pid != (uint32_t)pid)
			child = (pid_t)s.events[i].event.pid;
	assert_true(child > 0);
	await_chains(&s, child, 50);
	child_kill(pid);
	session_close(&s);
}

/* exec: the same pid and start, no longer Python; and back again, elsewhere in memory. */
static void test_exec(void **state)
{
	size_t shell = 0, shell_python = 0;
	struct session s;
	pid_t pid;

	(void)state;
	if (!available(&debian))
		skip();
	session_open(&s, &options);
	tell_layouts(&s);
	tell_binary(&s, "/usr/bin/python3.11");
	session_start(&s);
	pid = python_start("/usr/bin/python3.11",
			   "import os\n"
			   "for i in range(500000): pass\n"
			   "os.execv('/bin/sh', ['sh', '-c', '''\n"
			   "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done\n"
			   "exec /usr/bin/python3.11 -c '\n"
			   "def function():\n"
			   "    i = 0\n"
			   "    while True: i += 1\n"
			   "def caller(): function()\n"
			   "def main(): caller()\n"
			   "main()'\n"
			   "'''])\n");
	await_chains(&s, pid, 50);
	child_kill(pid);
	for (size_t i = 0; i < s.samples_n; i++) {
		const struct kymo_sample *head = &s.samples[i].head;

		if (head->who.pid != (uint32_t)pid || strcmp(head->who.comm, "sh") != 0 ||
		    head->end == KYMO_END_EXECVE)
			continue;
		shell++;
		shell_python += (head->state & KYMO_STATE_PYTHON) != 0;
	}
	assert_true(shell > 10);
	assert_int_equal(shell_python, 0);
	session_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_program),	   cmocka_unit_test(test_library),
		cmocka_unit_test(test_told_later), cmocka_unit_test(test_fork),
		cmocka_unit_test(test_exec),
	};

	return cmocka_run_group_tests_name("bpf/python", tests, NULL, NULL);
}
