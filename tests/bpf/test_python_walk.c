/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Python stacks as the kernel sees them, of a program that calls all the time
 * (tests/fixtures/python/graph.py), against what its lines may call: exact names in exact order
 * with exact lines, none that cannot be.
 *   test_python_walk --measure PYTHON SCRIPT HZ SECONDS   prints the figures of one run.
 */
#include "bpf/session.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "elf/inspect.h"
#include "python/python.h"
#include "unit/support/pythons.h"

#define DROPPED	    "tests/fixtures/python/dropped.py"
#define GRAPH	    "tests/fixtures/python/graph.py"
#define LINES_MAX   1024
#define HZ	    4999
#define RUN_SECONDS 2
/* Of a run's samples: caught in a change of the frames, and said so. */
#define TORN_PER_MILLE_MAX 5

struct run {
	struct kern *k;
	pid_t pid;
	const char *script;
	struct python_codes *codes;
	char *lines[LINES_MAX]; /* counted from 1 */
	size_t samples, graph, frames, unnamed, impossible, made, codes_n;
	size_t ends[KYMO_END_MAX];
	size_t holding;
	size_t depth_max;
};

/* ---- what may be ---- */

static void read_script(struct run *r, const char *path)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	char line[1024];
	size_t n = 1;

	assert_non_null(f);
	while (n < LINES_MAX && fgets(line, sizeof(line), f))
		r->lines[n++] = strdup(line);
}

/* The caller's line names it behind "#>". */
static bool may_call(const struct run *r, uint32_t line, const char *qualified)
{
	const char *name = strrchr(qualified, '.'), *at;
	size_t size;

	name = name ? name + 1 : qualified;
	size = strlen(name);
	at = line < LINES_MAX && r->lines[line] ? strstr(r->lines[line], "#>") : NULL;
	for (at = at ? at + 2 : NULL; at && (at = strstr(at, name)); at += size)
		if (at[-1] == ' ' && (at[size] == ' ' || at[size] == '\n'))
			return true;
	return false;
}

struct level {
	const struct python_code *code;
	uint32_t line;
};

static size_t python_levels(struct run *r, const struct raw_sample *s,
			    struct level levels[KYMO_USER_FRAMES_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < s->head->user_frames; i++) {
		const struct kymo_frame *f = &s->user[i];
		struct python_code *code;

		if (f->kind != KYMO_FRAME_PYTHON)
			continue;
		code = python_codes_find(r->codes, s->head->who.pid, s->head->who.process_start_ns,
					 f->address, f->generation);
		levels[n].code = code;
		levels[n].line = code ? python_codes_line(code, f->instruction) : 0;
		r->unnamed += !code;
		n++;
	}
	return n;
}

static void complain(struct run *r, const struct level *levels, size_t n)
{
	if (r->impossible++ >= 5)
		return;
	print_message("impossible:");
	for (size_t i = n; i > 0; i--)
		print_message(" %s:%u", levels[i - 1].code ? levels[i - 1].code->name : "?",
			      levels[i - 1].line);
	print_message("\n");
}

static bool in_script(const struct run *r, const struct level *l)
{
	size_t size = l->code ? strlen(l->code->file) : 0, want = strlen(r->script);

	return size >= want && strcmp(l->code->file + size - want, r->script) == 0;
}

/* The functions of dropped.py: their names say where they are, and the one calls the other of the same name. */
static bool made_is_right(const struct level *at, const struct level *by)
{
	unsigned first, spins, by_first, by_spins;

	if (sscanf(at->code->name, "at_%u_%u", &first, &spins) != 2 ||
	    sscanf(by->code->name, "by_%u_%u", &by_first, &by_spins) != 2)
		return false;
	return first == by_first && spins == by_spins && at->code->first_line == first &&
	       by->code->first_line == spins + 2 && by->line == spins + 3 &&
	       (at->line == first || at->line == first + 1 || at->line == spins ||
		at->line == spins + 1);
}

static void judge_made(struct run *r, const struct level *levels, size_t n)
{
	if (n < 2 || !levels[0].code || strncmp(levels[0].code->name, "at_", 3) != 0)
		return;
	if (!levels[1].code)
		return; /* put off, and counted as that: codes made by the thousand meet the limit */
	r->made++;
	if (!made_is_right(&levels[0], &levels[1]))
		complain(r, levels, n);
}

static void judge(struct run *r, const struct level *levels, size_t n)
{
	/* Before and after the script: the interpreter's own modules. */
	if (!n || !in_script(r, &levels[n - 1]))
		return;
	r->graph++;
	r->frames += n;
	r->depth_max = n > r->depth_max ? n : r->depth_max;
	if (strcmp(levels[n - 1].code->name, "<module>") != 0) {
		complain(r, levels, n);
		return;
	}
	if (strcmp(r->script, "dropped.py") == 0) {
		judge_made(r, levels, n);
		return;
	}
	for (size_t i = n - 1; i > 0; i--) {
		if (!in_script(r, &levels[i]) || !in_script(r, &levels[i - 1]))
			return;
		if (!may_call(r, levels[i].line, levels[i - 1].code->name)) {
			complain(r, levels, n);
			return;
		}
	}
}

static void on_sample(void *data, const struct raw_sample *s)
{
	static struct level levels[KYMO_USER_FRAMES_MAX];
	struct run *r = data;

	if (s->head->who.pid != (uint32_t)r->pid || !(s->head->state & KYMO_STATE_PYTHON))
		return;
	r->samples++;
	r->ends[s->head->end]++;
	r->holding += (s->head->state & KYMO_STATE_GIL_HOLDING) != 0;
	if (s->head->end == KYMO_END_PYTHON_TORN || s->head->end == KYMO_END_PYTHON_UNREADABLE)
		return;
	judge(r, levels, python_levels(r, s, levels));
}

static void on_code(void *data, const struct kern_code *c)
{
	struct run *r = data;

	r->codes_n++;
	assert_int_equal(python_codes_add(r->codes, c->head, c->file, c->name, c->table), 0);
}

static void on_process(void *data, const struct process_event *event)
{
	(void)data;
	(void)event;
}

/* ---- the run ---- */

static void child(void *argument)
{
	char **words = argument;
	char byte;

	/* Its interpreter is told before it starts. */
	if (read(STDIN_FILENO, &byte, 1) != 1)
		_exit(1);
	execv(words[0], words);
	_exit(127);
}

static pid_t start(const char *python, const char *script, const char *seconds, int *ret_go)
{
	const char *words[] = { python, "-S", script, seconds, NULL };
	int go[2], old = dup(STDIN_FILENO);
	pid_t pid;

	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	dup2(go[0], STDIN_FILENO);
	pid = child_start(child, words);
	dup2(old, STDIN_FILENO);
	close(old);
	close(go[0]);
	*ret_go = go[1];
	return pid;
}

static int tell_file(struct kern *k, const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct kymo_file_key key = { 0 };
	struct kymo_python_binary binary;
	struct elf_facts facts;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || elf_inspect(fd, &facts) < 0 || !facts.has_python)
		return -ENOENT;
	assert_int_equal(python_binary(&facts, &binary), 0);
	key.inode = st.st_ino;
	key.dev = major(st.st_dev) << 20 | minor(st.st_dev);
	return kern_set_python_binary(k, &key, &binary);
}

/* The program or the library that it runs by: ../lib/libpython3.*.so.1.0. */
static void tell_interpreter(struct kern *k, const char *python)
{
	const struct kymo_python_layout *layouts;
	size_t n = python_layouts(&layouts);
	char command[1024], path[512] = "";
	FILE *f;

	for (size_t i = 0; i < n; i++)
		assert_int_equal(kern_set_python_layout(k, (uint32_t)i, &layouts[i]), 0);
	if (tell_file(k, python) == 0)
		return;
	snprintf(command, sizeof(command),
		 "%s -c 'import re; print(re.search(r\"\\S*libpython\\S*\", "
		 "open(\"/proc/self/maps\").read()).group())'",
		 python);
	f = popen(command, "re");
	assert_non_null(f);
	assert_non_null(fgets(path, sizeof(path), f));
	assert_int_equal(pclose(f), 0);
	path[strcspn(path, "\n")] = 0;
	assert_int_equal(tell_file(k, path), 0);
}

static void poll_until_it_ends(struct run *r)
{
	const struct kern_handler handler = {
		.sample = on_sample, .code = on_code, .process = on_process, .data = r
	};
	const struct timespec pause = { .tv_nsec = 20 * NS_PER_MSEC };
	int status;

	while (waitpid(r->pid, &status, WNOHANG) == 0) {
		nanosleep(&pause, NULL);
		assert_int_equal(kern_poll(r->k, clock_mono_ns() - 20 * NS_PER_MSEC, &handler), 0);
	}
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(kern_stop(r->k), 0);
	assert_int_equal(kern_poll(r->k, UINT64_MAX, &handler), 0);
}

static void run_open(struct run *r, const char *script, uint64_t hz)
{
	const struct kern_options options = { .cpu_period_ns = NS_PER_SEC / hz, .filter = true };
	const char *name = strrchr(script, '/');
	char *message = NULL;

	*r = (struct run){ .script = name ? name + 1 : script };
	read_script(r, script);
	assert_int_equal(python_codes_new(65536, &r->codes), 0);
	if (kern_open(&options, &r->k, &message) < 0)
		fail_msg("kern_open: %s", message ? message : "no message");
}

static void run(struct run *r, const char *python, const char *script, const char *seconds)
{
	int go;

	tell_interpreter(r->k, python);
	r->pid = start(python, script, seconds, &go);
	assert_int_equal(kern_follow(r->k, (uint32_t)r->pid), 0);
	assert_int_equal(kern_start(r->k), 0);
	assert_int_equal(write(go, "", 1), 1);
	close(go);
	poll_until_it_ends(r);
}

static void print_run(struct run *r, const char *python)
{
	uint64_t counters[KYMO_COUNTER_MAX];
	struct kern_stats stats;

	assert_int_equal(kern_counters(r->k, counters), 0);
	assert_int_equal(kern_stats(r->k, &stats), 0);
	print_message("%s: %zu samples, %zu of the script (%zu made), %.1f frames, at most %zu; ",
		      python, r->samples, r->graph, r->made,
		      r->graph ? (double)r->frames / (double)r->graph : 0, r->depth_max);
	print_message("impossible %zu, unnamed frames %zu, torn %zu, unreadable %zu, holding %zu; ",
		      r->impossible, r->unnamed, r->ends[KYMO_END_PYTHON_TORN],
		      r->ends[KYMO_END_PYTHON_UNREADABLE], r->holding);
	print_message("%zu codes, put off %" PRIu64 ", without a part %" PRIu64 ", lost %" PRIu64
		      "; ",
		      r->codes_n, counters[KYMO_COUNTER_CODE_LIMIT],
		      counters[KYMO_COUNTER_CODE_UNREADABLE],
		      counters[KYMO_COUNTER_CODE_RING_FULL]);
	print_message("%.1f us a sample\n",
		      r->samples ? (double)stats.bpf_run_ns / 1000 / (double)r->samples : 0);
}

static void run_close(struct run *r)
{
	for (size_t i = 0; i < LINES_MAX; i++)
		free(r->lines[i]);
	python_codes_free(r->codes);
	kern_close(r->k);
}

static void check_exact(struct run *r)
{
	assert_int_equal(r->impossible, 0);
	assert_true(r->graph > 100); /* a busy host gives it little */
	assert_true((r->ends[KYMO_END_PYTHON_TORN] + r->ends[KYMO_END_PYTHON_UNREADABLE]) * 1000 <=
		    r->samples * TORN_PER_MILLE_MAX);
	assert_true(r->holding * 10 > r->graph * 9);
}

static void check_dropped(struct run *r)
{
	assert_int_equal(r->impossible, 0);
	assert_true(r->made > 300);
}

static void with_each_python(const char *script, void (*check)(struct run *))
{
	struct pythons p;

	pythons_find(&p);
	if (!p.n) {
		print_message("skip: no CPython on this machine\n");
		pythons_release(&p);
		skip();
	}
	for (size_t i = 0; i < p.n; i++) {
		char seconds[16];
		struct run r;

		snprintf(seconds, sizeof(seconds), "%d", RUN_SECONDS);
		run_open(&r, script, HZ);
		run(&r, p.paths[i], script, seconds);
		print_run(&r, p.paths[i]);
		check(&r);
		run_close(&r);
	}
	pythons_release(&p);
}

static void stacks_are_exact(void **state)
{
	(void)state;
	with_each_python(GRAPH, check_exact);
}

static void dropped_code_keeps_its_name(void **state)
{
	(void)state;
	with_each_python(DROPPED, check_dropped);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stacks_are_exact),
		cmocka_unit_test(dropped_code_keeps_its_name),
	};

	if (argc == 6 && strcmp(argv[1], "--measure") == 0) {
		struct run r;

		run_open(&r, argv[3], strtoull(argv[4], NULL, 10));
		run(&r, argv[2], argv[3], argv[5]);
		print_run(&r, argv[2]);
		run_close(&r);
		return 0;
	}
	return cmocka_run_group_tests_name("bpf/python walk", tests, NULL, NULL);
}
