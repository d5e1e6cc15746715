/* SPDX-License-Identifier: Apache-2.0 */
/* Probes of Debian's python3.11: every collection, what it is of, and what is known while it runs. */
#include "bpf/session.h"

#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "elf/inspect.h"

#define PYTHON	    "/usr/bin/python3.11"
#define COLLECTIONS 50

static const struct kern_options options = {
	.cpu_period_ns = NS_PER_SEC / 999,
	.sources = KERN_SOURCE(KYMO_SOURCE_CPU) | KERN_SOURCE(KYMO_SOURCE_GC),
	.filter = true,
};

static bool available(void)
{
	if (access(PYTHON, X_OK) == 0)
		return true;
	print_message("skip: " PYTHON " is not here\n");
	return false;
}

static struct kymo_file_key python_key(void)
{
	struct stat st;

	assert_int_equal(stat(PYTHON, &st), 0);
	return (struct kymo_file_key){ .inode = st.st_ino,
				       .dev = major(st.st_dev) << 20 | minor(st.st_dev) };
}

static int attach(struct session *s, const char *path)
{
	const struct kymo_file_key key = python_key();
	int fd = open(PYTHON, O_RDONLY | O_CLOEXEC), r;
	struct elf_facts facts;

	assert_true(fd >= 0);
	assert_int_equal(elf_inspect(fd, &facts), 0);
	close(fd);
	assert_true(facts.probes_n >= 4);
	r = kern_attach_probes(s->k, &key, path, facts.probes, facts.probes_n);
	if (r == 0) /* attached twice is attached once */
		assert_int_equal(kern_attach_probes(s->k, &key, path, facts.probes, facts.probes_n),
				 0);
	return r;
}

static void run(void *script)
{
	execl(PYTHON, PYTHON, "-I", "-S", "-c", script, NULL);
	_exit(127);
}

static void record(struct session *s, const char *script, pid_t *ret_pid)
{
	session_open(s, &options);
	assert_int_equal(kern_follow(s->k, (uint32_t)getpid()), 0);
	assert_int_equal(attach(s, PYTHON), 0);
	session_start(s);
	*ret_pid = child_start(run, (void *)script);
}

static uint64_t counter(struct session *s, enum kymo_counter which)
{
	uint64_t counters[KYMO_COUNTER_MAX];

	assert_int_equal(kern_counters(s->k, counters), 0);
	return counters[which];
}

/* 1,000 objects in cycles each time, but for what the interpreter did itself before. */
static void every_collection_is_told(void **state)
{
	struct session s;
	size_t n = 0;
	pid_t pid;

	(void)state;
	if (!available())
		skip();
	record(&s,
	       "import gc, os\n"
	       "gc.disable()\n"
	       "gc.collect()\n"
	       "for i in range(50):\n"
	       "  for j in range(1000): a = []; a.append(a)\n"
	       "  del a\n"
	       "  gc.collect(1)\n"
	       "os._exit(0)\n",
	       &pid);
	child_wait(pid);
	session_stop(&s);
	for (size_t i = 0; i < s.samples_n; i++) {
		const struct kept_sample *sample = &s.samples[i];

		if (sample->head.source != KYMO_SOURCE_GC || sample->probe.generation != 1)
			continue;
		n++;
		assert_int_equal(sample->head.who.pid, pid);
		assert_true(sample->probe.value_known);
		assert_int_equal(sample->probe.value, 1000);
		assert_true(sample->head.state & KYMO_STATE_IN_GC);
		assert_int_equal(sample->head.kernel_frames, 0);
		assert_true(sample->head.user_frames > 0);
		assert_in_range(sample->head.weight, 1, 10 * NS_PER_SEC);
		assert_in_range(sample->head.head.time_ns - sample->probe.start_ns,
				sample->head.weight, 10 * NS_PER_SEC);
		assert_in_range(sample->probe.rss_after_bytes, 1 << 20, 1 << 30);
	}
	assert_int_equal(n, COLLECTIONS);
	assert_int_equal(counter(&s, KYMO_COUNTER_PROBE_NO_START), 0);
	session_counters_are_clean(&s);
	session_close(&s);
}

/* The clock's samples within collections are as many as their time says: they wait for nothing. */
static void the_clock_knows_of_collections(void **state)
{
	double within = 0, expected = 0;
	struct session s;
	pid_t pid;

	(void)state;
	if (!available())
		skip();
	record(&s,
	       "import gc, os, time\n"
	       "gc.disable()\n"
	       "kept = [[i] for i in range(200000)]\n"
	       "t = time.process_time\n"
	       "for i in range(20):\n"
	       "  gc.collect()\n"
	       "  end = t() + 0.02\n"
	       "  while t() < end: pass\n"
	       "os._exit(0)\n",
	       &pid);
	child_wait(pid);
	session_stop(&s);
	for (size_t i = 0; i < s.samples_n; i++) {
		const struct kymo_sample *head = &s.samples[i].head;

		if (head->source == KYMO_SOURCE_CPU && head->state & KYMO_STATE_IN_GC)
			within++;
		if (head->source == KYMO_SOURCE_GC)
			expected += (double)head->weight / (double)options.cpu_period_ns;
	}
	/* Wall clock on a loaded host: less of it is CPU time. */
	print_message("%.0f samples in collections of %.0f periods\n", within, expected);
	assert_true(within > 0 && within <= expected + 4 * sqrt(expected) + 4);
	session_close(&s);
}

/* Left by os._exit in a finalizer, and by an exec whose program then runs: no collection, and not in one. */
static void ends_within_collections(void **state)
{
	size_t after = 0;
	struct session s;
	pid_t pid;

	(void)state;
	if (!available())
		skip();
	record(&s,
	       "import gc, os, time\n"
	       "gc.disable()\n"
	       "class End:\n"
	       "  def __del__(self):\n"
	       "    if not os.fork(): os._exit(0)\n"
	       "    os.wait()\n"
	       "    os.execv('/bin/sh', ['sh', '-c', 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); "
	       "done'])\n"
	       "e = End(); e.self = e; del e\n"
	       "gc.collect()\n",
	       &pid);
	child_wait(pid);
	session_stop(&s);
	for (size_t i = 0; i < s.samples_n; i++) {
		const struct kymo_sample *head = &s.samples[i].head;

		if (head->source != KYMO_SOURCE_CPU || strcmp(head->who.comm, "sh") != 0)
			continue;
		after++;
		assert_false(head->state & KYMO_STATE_IN_GC);
	}
	assert_true(after > 10);
	/* The child of the fork has no start of its own: what it left is its parent's. */
	assert_int_equal(counter(&s, KYMO_COUNTER_PROBE_UNFINISHED), 1);
	assert_int_equal(counter(&s, KYMO_COUNTER_PROBE_NO_START), 0);
	session_close(&s);
}

/* The path is looked at again: a breakpoint meant for one file is put into no other. */
static void another_file_is_refused(void **state)
{
	struct session s;

	(void)state;
	if (!available())
		skip();
	session_open(&s, &options);
	assert_int_equal(attach(&s, "/bin/sh"), -ESTALE);
	assert_int_equal(attach(&s, "/proc"), -ESTALE);
	assert_int_equal(attach(&s, "/nonexistent"), -ENOENT);
	assert_int_equal(attach(&s, PYTHON), 0);
	session_close(&s);
}

static size_t collections(const struct session *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->samples_n; i++)
		n += s->samples[i].head.source == KYMO_SOURCE_GC;
	return n;
}

static void let_go_and_taken_again(void **state)
{
	struct kymo_file_key key;
	static char script[] = "import gc; gc.collect()";
	struct session s;

	(void)state;
	if (!available())
		skip();
	key = python_key();
	session_open(&s, &options);
	assert_int_equal(kern_follow(s.k, (uint32_t)getpid()), 0);
	kern_detach_probes(s.k, &key); /* not attached: nothing */
	assert_int_equal(attach(&s, PYTHON), 0);
	session_start(&s);
	kern_detach_probes(s.k, &key);
	kern_detach_probes(s.k, &key);
	/* It goes on beside us; the next one waits for it. */
	assert_int_equal(attach(&s, PYTHON), 0);
	kern_detach_probes(s.k, &key);
	assert_int_equal(attach(&s, PYTHON), 0);
	child_wait(child_start(run, script));
	session_poll_until(&s, UINT64_MAX);
	assert_true(collections(&s) > 0);
	session_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_collection_is_told),
		cmocka_unit_test(the_clock_knows_of_collections),
		cmocka_unit_test(ends_within_collections),
		cmocka_unit_test(another_file_is_refused),
		cmocka_unit_test(let_go_and_taken_again),
	};

	return cmocka_run_group_tests_name("bpf/probes", tests, NULL, NULL);
}
