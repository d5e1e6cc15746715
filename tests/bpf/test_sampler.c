/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sampler on this kernel: as many samples as the CPU time says, of whom they claim to be, with
 * the kernel's own counters and true stacks.
 */
#include "bpf/session.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define HZ     499
#define PERIOD (NS_PER_SEC / HZ)

static const struct kern_options options = { .cpu_period_ns = PERIOD };

static const struct kept_sample *last_of(const struct session *s, pid_t pid)
{
	for (size_t i = s->samples_n; i > 0; i--)
		if (s->samples[i - 1].head.who.pid == (uint32_t)pid)
			return &s->samples[i - 1];
	fail_msg("no sample of process %d", pid);
	return NULL;
}

/* ---- the rate ---- */

static void burn_a_second(void *unused)
{
	(void)unused;
	burn(NS_PER_SEC);
}

static void test_rate(void **state)
{
	struct session s;
	double expected, n;
	uint64_t cpu_ns;
	pid_t pid;

	(void)state;
	session_open(&s, &options);
	session_start(&s);
	pid = child_start(burn_a_second, NULL);
	cpu_ns = child_wait(pid);
	session_stop(&s);
	expected = (double)cpu_ns / PERIOD;
	n = (double)session_count(&s, pid);
	if (fabs(n - expected) > 4 * sqrt(expected))
		fail_msg("%.0f samples of %.0f", n, expected);
	for (size_t i = 0; i < s.samples_n; i++) {
		assert_int_equal(s.samples[i].head.source, KYMO_SOURCE_CPU);
		assert_int_equal(s.samples[i].head.weight, PERIOD);
		assert_int_not_equal(s.samples[i].head.who.tid, 0);
		if (i > 0)
			assert_true(s.samples[i].head.head.time_ns >=
				    s.samples[i - 1].head.head.time_ns);
	}
	session_counters_are_clean(&s);
	session_close(&s);
}

/* Nothing before kern_start, nothing after kern_stop; and it can be started again. */
static void test_start_and_stop(void **state)
{
	struct session s;
	size_t n;
	pid_t pid;

	(void)state;
	session_open(&s, &options);
	pid = child_start(burn_forever, NULL);
	usleep(100000);
	session_poll_until(&s, UINT64_MAX);
	assert_int_equal(s.samples_n, 0);
	session_start(&s);
	assert_int_equal(kern_start(s.k), -EALREADY);
	session_await(&s, pid, 10);
	session_stop(&s);
	n = s.samples_n;
	usleep(100000);
	session_poll_until(&s, UINT64_MAX);
	assert_int_equal(s.samples_n, n);
	session_start(&s);
	session_await(&s, pid, session_count(&s, pid) + 10);
	child_kill(pid);
	session_close(&s);
}

/* ---- who ---- */

static void *burn_in_thread(void *unused)
{
	prctl(PR_SET_NAME, "second thread");
	burn_forever(unused);
	return NULL;
}

static void two_threads(void *unused)
{
	pthread_t thread;

	prctl(PR_SET_NAME, "first thread");
	if (pthread_create(&thread, NULL, burn_in_thread, NULL) == 0)
		burn_forever(unused);
}

/* The v2 cgroup's id is its folder's inode. */
static uint64_t cgroup_id(pid_t pid)
{
	char path[64], line[4096], folder[8192];
	uint64_t id = 0;
	struct stat st;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		if (strncmp(line, "0::", 3) != 0)
			continue;
		snprintf(folder, sizeof(folder), "/sys/fs/cgroup%s", line + 3);
		if (stat(folder, &st) < 0 ||
		    access("/sys/fs/cgroup/cgroup.controllers", F_OK) < 0) {
			snprintf(folder, sizeof(folder), "/sys/fs/cgroup/unified%s", line + 3);
			if (stat(folder, &st) < 0)
				continue;
		}
		id = st.st_ino;
	}
	fclose(f);
	return id;
}

static void test_who(void **state)
{
	uint64_t tick_ns = NS_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK);
	size_t first = 0, second = 0;
	struct session s;
	uint64_t start, cgroup;
	pid_t pid;

	(void)state;
	session_open(&s, &options);
	session_start(&s);
	pid = child_start(two_threads, NULL);
	session_await(&s, pid, 400);
	start = proc_stat(pid, 22);
	cgroup = cgroup_id(pid);
	child_kill(pid);
	for (size_t i = 0; i < s.samples_n; i++) {
		const struct kymo_who *who = &s.samples[i].head.who;

		if (who->pid != (uint32_t)pid)
			continue;
		assert_int_equal(who->process_start_ns / tick_ns, start);
		if (cgroup)
			assert_int_equal(who->cgroup_id, cgroup);
		if (who->tid == (uint32_t)pid) {
			assert_int_equal(who->thread_start_ns, who->process_start_ns);
			first += !strcmp(who->comm, "first thread");
		} else {
			assert_true(who->thread_start_ns > who->process_start_ns);
			second += !strcmp(who->comm, "second thread");
		}
	}
	assert_true(first > 20);
	assert_true(second > 20);
	session_counters_are_clean(&s);
	session_close(&s);
}

/* ---- counters ---- */

#define TOUCHED_BYTES (64UL << 20)
#define WRITTEN_BYTES (4UL << 20)

struct counted {
	int ready;
	char file[64];
};

static void write_to_disk(const char *path)
{
	static char block[65536];
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	for (size_t done = 0; fd >= 0 && done < WRITTEN_BYTES; done += sizeof(block))
		if (write(fd, block, sizeof(block)) < 0)
			_exit(1);
	fsync(fd);
}

static void grow_and_burn(void *argument)
{
	struct counted *c = argument;
	char *memory = mmap(NULL, TOUCHED_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(memory, 1, TOUCHED_BYTES);
	write_to_disk(c->file);
	if (write(c->ready, "x", 1) == 1)
		burn_forever(NULL);
}

struct reading {
	uint64_t cpu_ns, minor, major, voluntary, involuntary, anon_pages, file_pages, write_bytes,
		read_bytes;
};

static struct reading read_proc(pid_t pid)
{
	uint64_t page_kib = (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
	struct reading r = { .minor = proc_stat(pid, 10), .major = proc_stat(pid, 12) };
	char path[64];
	FILE *f;

	r.voluntary = proc_value(pid, "status", "voluntary_ctxt_switches");
	r.involuntary = proc_value(pid, "status", "nonvoluntary_ctxt_switches");
	r.anon_pages = proc_value(pid, "status", "RssAnon") / page_kib;
	r.file_pages = proc_value(pid, "status", "RssFile") / page_kib;
	r.read_bytes = proc_value(pid, "io", "read_bytes");
	r.write_bytes = proc_value(pid, "io", "write_bytes");
	snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%" SCNu64, &r.cpu_ns), 1);
	fclose(f);
	return r;
}

static void between(const char *name, uint64_t before, uint64_t value, uint64_t after,
		    uint64_t slack)
{
	if (value + slack < before || value > after + slack)
		fail_msg("%s: %" PRIu64 " is not between %" PRIu64 " and %" PRIu64, name, value,
			 before, after);
}

static void test_counters(void **state)
{
	/* The scheduler's tick: a running thread's time is brought up to date so often. */
	uint64_t tick_ns = 11 * NS_PER_MSEC;
	uint64_t cpus = (uint64_t)sysconf(_SC_NPROCESSORS_CONF);
	uint64_t batch = 2 * cpus > 32 ? 2 * cpus : 32, rss_slack = batch * cpus;
	struct reading before, after;
	struct counted c;
	const struct kymo_counters *n;
	struct session s;
	int ready[2];
	char byte;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	c.ready = ready[1];
	snprintf(c.file, sizeof(c.file), "/var/tmp/kymo-test-%d", getpid());
	session_open(&s, &options);
	pid = child_start(grow_and_burn, &c);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	before = read_proc(pid);
	session_start(&s);
	session_await(&s, pid, 50);
	after = read_proc(pid);
	n = &last_of(&s, pid)->head.counters;
	between("cpu_ns", before.cpu_ns, n->cpu_ns, after.cpu_ns, tick_ns);
	between("minor_faults", before.minor, n->minor_faults, after.minor, 0);
	between("major_faults", before.major, n->major_faults, after.major, 0);
	between("voluntary", before.voluntary, n->voluntary_switches, after.voluntary, 0);
	between("involuntary", before.involuntary, n->involuntary_switches, after.involuntary, 0);
	between("anon", before.anon_pages, (uint64_t)n->rss_anon_pages, after.anon_pages,
		rss_slack);
	between("file", before.file_pages, (uint64_t)n->rss_file_pages, after.file_pages,
		rss_slack);
	between("read_bytes", before.read_bytes, n->read_bytes, after.read_bytes, 0);
	between("write_bytes", before.write_bytes, n->write_bytes, after.write_bytes, 0);
	assert_true(n->rss_anon_pages * sysconf(_SC_PAGESIZE) >=
		    (int64_t)TOUCHED_BYTES - (int64_t)(rss_slack * 4096));
	assert_true(n->swap_pages >= 0 && n->rss_shmem_pages >= 0);
	child_kill(pid);
	unlink(c.file);
	close(ready[0]);
	close(ready[1]);
	session_close(&s);
}

/* ---- stacks ---- */

/*
 * A chain with frame pointers whatever the test is compiled with. Each does something after its
 * call, so that none is a jump.
 */
#define WITH_FRAME_POINTER \
	__attribute__((noipa, optimize("no-omit-frame-pointer", "no-stack-protector")))

static volatile uint64_t work;

WITH_FRAME_POINTER static void chain_leaf(void)
{
	/* Asking for it makes a leaf keep a frame pointer. */
	work += (uint64_t)__builtin_frame_address(0);
	for (;;)
		for (int i = 0; i < 1000; i++)
			work += (uint64_t)i;
}

WITH_FRAME_POINTER static void chain_inner(int depth)
{
	if (depth > 0)
		chain_inner(depth - 1);
	else
		chain_leaf();
	work++;
}

WITH_FRAME_POINTER static void chain_outer(void *depth)
{
	chain_inner(*(int *)depth);
	work++;
}

/*
 * Which of the chain's functions holds the address; they stand apart from each other by more than
 * their size.
 */
static int chain_function(uint64_t address)
{
	const uint64_t starts[] = { (uint64_t)chain_leaf, (uint64_t)chain_inner,
				    (uint64_t)chain_outer };
	int found = -1;

	for (int i = 0; i < 3; i++)
		if (address >= starts[i] && address < starts[i] + 256 &&
		    (found < 0 || starts[i] > starts[found]))
			found = i;
	return found;
}

static size_t check_chains(const struct session *s, pid_t pid, size_t depth)
{
	size_t exact = 0;

	for (size_t i = 0; i < s->samples_n; i++) {
		const struct kept_sample *sample = &s->samples[i];

		if (sample->head.who.pid != (uint32_t)pid ||
		    chain_function(sample->user[0].address) != 0)
			continue; /* before and on the way to the loop */
		assert_true(sample->head.user_frames >= depth + 3);
		assert_int_equal(sample->user[0].flags, 0);
		for (size_t f = 1; f < depth + 3; f++) {
			int expected = f < depth + 2 ? 1 : 2;

			assert_int_equal(sample->user[f].kind, KYMO_FRAME_NATIVE);
			assert_int_equal(sample->user[f].flags,
					 KYMO_FRAME_RETURN_ADDRESS | KYMO_FRAME_BY_FP);
			assert_int_equal(chain_function(sample->user[f].address), expected);
		}
		exact++;
	}
	return exact;
}

static void check_depth(int depth)
{
	struct session s;
	pid_t pid;

	session_open(&s, &options);
	session_start(&s);
	pid = child_start(chain_outer, &depth);
	session_await(&s, pid, 200);
	child_kill(pid);
	assert_true(check_chains(&s, pid, (size_t)depth) > 190);
	session_counters_are_clean(&s);
	session_close(&s);
}

static void test_chain(void **state)
{
	(void)state;
	check_depth(0);
	check_depth(30);
	check_depth(400);
}

/* Deeper than a record holds: the newest frames, and it says so. */
static void test_too_deep(void **state)
{
	const struct kept_sample *last;
	struct session s;
	int depth = 2 * KYMO_USER_FRAMES_MAX;
	pid_t pid;

	(void)state;
	session_open(&s, &options);
	session_start(&s);
	pid = child_start(chain_outer, &depth);
	session_await(&s, pid, 20);
	child_kill(pid);
	last = last_of(&s, pid);
	assert_int_equal(last->head.end, KYMO_END_TOO_DEEP);
	assert_int_equal(last->head.user_frames, KYMO_USER_FRAMES_MAX);
	session_close(&s);
}

/* ---- kernel mode ---- */

static void read_zeroes(void *unused)
{
	static char buffer[1 << 20];
	int fd = open("/dev/zero", O_RDONLY);

	(void)unused;
	while (read(fd, buffer, sizeof(buffer)) > 0)
		;
}

static void test_kernel_stack(void **state)
{
	size_t in_kernel = 0, deep = 0, from_user = 0;
	struct session s;
	pid_t pid;

	(void)state;
	session_open(&s, &options);
	session_start(&s);
	pid = child_start(read_zeroes, NULL);
	session_await(&s, pid, 200);
	child_kill(pid);
	for (size_t i = 0; i < s.samples_n; i++) {
		const struct kept_sample *sample = &s.samples[i];

		if (!(sample->head.state & KYMO_STATE_KERNEL)) {
			assert_int_equal(sample->head.kernel_frames, 0);
			continue;
		}
		for (size_t f = 0; f < sample->head.kernel_frames; f++)
			assert_true(sample->kernel[f] >> 63);
		if (sample->head.who.pid != (uint32_t)pid)
			continue;
		in_kernel++;
		deep += sample->head.kernel_frames >= 4; /* read, vfs, the device, the clearing */
		from_user += sample->head.user_frames >= 1;
	}
	assert_true(in_kernel > 150);
	assert_true(deep > in_kernel * 9 / 10);
	assert_int_equal(from_user, in_kernel);
	session_counters_are_clean(&s);
	session_close(&s);
}

/* Kernel threads have neither a memory map nor a user stack. */
static void test_no_memory_map(void **state)
{
	struct session s;

	(void)state;
	session_open(&s, &options);
	session_start(&s);
	usleep(300000);
	session_stop(&s);
	for (size_t i = 0; i < s.samples_n; i++) {
		const struct kymo_sample *head = &s.samples[i].head;

		if (!(head->state & KYMO_STATE_NO_MM))
			continue;
		assert_int_equal(head->user_frames, 0);
		assert_int_equal(head->end, KYMO_END_NONE);
		assert_int_equal(head->counters.rss_anon_pages, -1);
		assert_int_equal(head->counters.swap_pages, -1);
	}
	session_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rate),	     cmocka_unit_test(test_start_and_stop),
		cmocka_unit_test(test_who),	     cmocka_unit_test(test_counters),
		cmocka_unit_test(test_chain),	     cmocka_unit_test(test_too_deep),
		cmocka_unit_test(test_kernel_stack), cmocka_unit_test(test_no_memory_map),
	};

	return cmocka_run_group_tests_name("bpf/sampler", tests, NULL, NULL);
}
