/* SPDX-License-Identifier: Apache-2.0 */
/* Control groups of both versions, from folders of the test's own. */
#include "unit/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "health/cgroup_files.h"
#include "health/cgroups.h"
#include "unit/support/tree.h"

struct fixture {
	char root[64];
	int proc_fd;
	struct cgroups *c;
	struct reading r;
	struct health h;
	struct health_metric *told;
	size_t told_n;
};

static void put(const struct fixture *f, const char *path, const char *text)
{
	tree_put(f->root, path, text);
}

static void mount_at(const struct fixture *f, const char *lines)
{
	char text[1024], *out = text;

	/* '%' stands for the test's folder. */
	for (; *lines; lines++) {
		if (*lines == '%')
			out += sprintf(out, "%s", f->root);
		else
			*out++ = *lines;
	}
	*out = '\0';
	put(f, "proc/mounts", text);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char proc[96];

	assert_non_null(f);
	strcpy(f->root, "/tmp/kymo-cgroup-XXXXXX");
	assert_non_null(mkdtemp(f->root));
	snprintf(proc, sizeof(proc), "%s/proc", f->root);
	mkdir(proc, 0755);
	f->proc_fd = open(proc, O_PATH | O_DIRECTORY);
	assert_true(f->proc_fd >= 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	cgroups_free(f->c);
	reading_release(&f->r);
	health_release(&f->h);
	for (size_t i = 0; i < f->told_n; i++) {
		free(f->told[i].name);
		free(f->told[i].labels);
		free(f->told[i].unit);
	}
	free(f->told);
	close(f->proc_fd);
	tree_remove(f->root, "");
	free(f);
	return 0;
}

static void reread(struct fixture *f)
{
	health_release(&f->h);
	f->h = (struct health){ 0 };
	if (!f->c)
		assert_int_equal(cgroups_new(f->proc_fd, 0, &f->c), 0);
	reading_begin(&f->r);
	cgroups_read(f->c, &f->r);
	assert_int_equal(reading_end(&f->r, &f->h), 0);
	f->told = reallocarray(f->told, f->told_n + f->h.metrics_n + 1, sizeof(*f->told));
	assert_non_null(f->told);
	for (size_t i = 0; i < f->h.metrics_n; i++)
		f->told[f->told_n++] = f->h.metrics[i];
	f->h.metrics_n = 0;
}

static int64_t value(const struct fixture *f, const char *name, const char *labels)
{
	for (size_t i = 0; i < f->h.labels_n; i++) {
		const struct health_metric *m = &f->told[f->h.labels[i].metric - 1];

		if (strcmp(m->name, name) == 0 && strcmp(m->labels, labels) == 0)
			return f->h.labels[i].value;
	}
	return 0;
}

static void version_2_has_all_in_one_tree(void **state)
{
	struct fixture *f = *state;

	mount_at(f, "proc /proc proc rw 0 0\ncgroup2 %/with\\040blank cgroup2 rw,nsdelegate 0 0\n");
	put(f, "with blank/cgroup.procs", "");
	put(f, "with blank/a/b/cpu.stat",
	    "usage_usec 100\nuser_usec 5\nnr_periods 9\nnr_throttled 1\nthrottled_usec 7\n");
	put(f, "with blank/a/memory.current", "4096\n");
	put(f, "with blank/a/memory.events",
	    "low 0\nhigh 1\nmax 2\noom 3\noom_kill 4\noom_group_kill 9\n");
	put(f, "with blank/a/memory.pressure",
	    "some avg10=0.00 avg60=0.00 avg300=0.00 total=10\nfull avg10=0.00 avg60=0.00 "
	    "avg300=0.00 total=5\n");
	put(f, "with blank/a/io.stat",
	    "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n8:16 rbytes=5 wbytes=1 "
	    "rios=1\n");
	reread(f);
	/* The first reading is what the changes count from. */
	assert_int_equal(f->h.labels_n, 0);
	put(f, "with blank/a/b/cpu.stat",
	    "usage_usec 150\nuser_usec 5\nnr_periods 9\nnr_throttled 3\nthrottled_usec 9\n");
	put(f, "with blank/a/memory.current", "8192\n");
	put(f, "with blank/a/memory.events",
	    "low 0\nhigh 2\nmax 2\noom 3\noom_kill 6\noom_group_kill 11\n");
	put(f, "with blank/a/memory.pressure",
	    "some avg10=0.00 avg60=0.00 avg300=0.00 total=30\nfull avg10=0.00 avg60=0.00 "
	    "avg300=0.00 total=6\n");
	put(f, "with blank/a/io.stat",
	    "8:0 rbytes=11 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n8:16 rbytes=6 wbytes=9 "
	    "rios=1\n");
	reread(f);
	assert_int_equal(value(f, "linux.cgroup.cpu.usage", "cgroup=/a/b"), 50000);
	assert_int_equal(value(f, "linux.cgroup.cpu.nr_throttled", "cgroup=/a/b"), 2);
	assert_int_equal(value(f, "linux.cgroup.cpu.throttled_time", "cgroup=/a/b"), 2000);
	assert_int_equal(value(f, "linux.cgroup.memory.current", "cgroup=/a"), 8192);
	assert_int_equal(value(f, "linux.cgroup.memory.events", "cgroup=/a,event=high"), 1);
	assert_int_equal(value(f, "linux.cgroup.memory.events", "cgroup=/a,event=oom_kill"), 2);
	assert_int_equal(value(f, "linux.cgroup.pressure.total",
			       "cgroup=/a,resource=memory,stall=some"),
			 20000);
	assert_int_equal(value(f, "linux.cgroup.pressure.total",
			       "cgroup=/a,resource=memory,stall=full"),
			 1000);
	assert_int_equal(value(f, "linux.cgroup.io", "cgroup=/a,direction=read"), 2);
	assert_int_equal(value(f, "linux.cgroup.io", "cgroup=/a,direction=write"), 8);
	assert_int_equal(f->h.labels_n, 10);
	assert_int_equal(f->h.read_errors, 0);
}

static void version_1_has_a_tree_per_controller(void **state)
{
	struct fixture *f = *state;

	mount_at(f, "cgroup %/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0\n"
		    "cgroup %/memory cgroup rw,memory 0 0\ncgroup %/blkio cgroup rw,blkio 0 0\n"
		    "cgroup2 %/unified cgroup2 rw 0 0\n");
	put(f, "cpu,cpuacct/job/cpu.stat", "nr_periods 1\nnr_throttled 1\nthrottled_time 500\n");
	put(f, "cpu,cpuacct/job/cpuacct.usage", "1000\n");
	put(f, "memory/job/memory.usage_in_bytes", "77\n");
	put(f, "memory/job/memory.failcnt", "1\n");
	put(f, "memory/job/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n");
	put(f, "blkio/job/blkio.throttle.io_service_bytes",
	    "8:0 Read 5\n8:0 Write 6\n8:0 Total 11\nTotal 11\n");
	/* The same group shows its CPU in the other tree too: it is counted once. */
	put(f, "unified/job/cpu.stat", "usage_usec 1\n");
	put(f, "unified/job/cpu.pressure", "some avg10=0.00 total=10\nfull avg10=0.00 total=0\n");
	reread(f);
	put(f, "cpu,cpuacct/job/cpu.stat", "nr_periods 1\nnr_throttled 4\nthrottled_time 900\n");
	put(f, "cpu,cpuacct/job/cpuacct.usage", "1234\n");
	put(f, "memory/job/memory.usage_in_bytes", "99\n");
	put(f, "memory/job/memory.failcnt", "3\n");
	put(f, "memory/job/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n");
	put(f, "blkio/job/blkio.throttle.io_service_bytes",
	    "8:0 Read 9\n8:0 Write 6\n8:0 Total 11\nTotal 11\n");
	put(f, "unified/job/cpu.stat", "usage_usec 900\n");
	put(f, "unified/job/cpu.pressure", "some avg10=0.00 total=12\nfull avg10=0.00 total=1\n");
	reread(f);
	assert_int_equal(value(f, "linux.cgroup.cpu.usage", "cgroup=/job"), 234);
	assert_int_equal(value(f, "linux.cgroup.cpu.nr_throttled", "cgroup=/job"), 3);
	assert_int_equal(value(f, "linux.cgroup.cpu.throttled_time", "cgroup=/job"), 400);
	assert_int_equal(value(f, "linux.cgroup.memory.current", "cgroup=/job"), 99);
	assert_int_equal(value(f, "linux.cgroup.memory.events", "cgroup=/job,event=max"), 2);
	assert_int_equal(value(f, "linux.cgroup.memory.events", "cgroup=/job,event=oom_kill"), 1);
	assert_int_equal(value(f, "linux.cgroup.io", "cgroup=/job,direction=read"), 4);
	assert_int_equal(value(f, "linux.cgroup.pressure.total",
			       "cgroup=/job,resource=cpu,stall=some"),
			 2000);
	assert_int_equal(value(f, "linux.cgroup.pressure.total",
			       "cgroup=/job,resource=cpu,stall=full"),
			 1000);
	assert_int_equal(f->h.labels_n, 9);
}

/* A group has no line in io.stat before its first I/O, and that is not the base of what follows. */
static void first_io_of_a_group_counts(void **state)
{
	struct fixture *f = *state;

	mount_at(f, "cgroup2 % cgroup2 rw 0 0\n");
	put(f, "a/io.stat", "");
	reread(f);
	put(f, "a/io.stat", "1:0 rbytes=10 wbytes=20\n");
	reread(f);
	assert_int_equal(value(f, "linux.cgroup.io", "cgroup=/a,direction=read"), 10);
	assert_int_equal(value(f, "linux.cgroup.io", "cgroup=/a,direction=write"), 20);
	put(f, "a/io.stat", "1:0 rbytes=10 wbytes=20\n8:0 rbytes=1 wbytes=2\n");
	reread(f);
	assert_int_equal(value(f, "linux.cgroup.io", "cgroup=/a,direction=read"), 1);
	assert_int_equal(value(f, "linux.cgroup.io", "cgroup=/a,direction=write"), 2);
}

static void groups_come_and_go(void **state)
{
	struct fixture *f = *state;

	mount_at(f, "cgroup2 % cgroup2 rw 0 0\n");
	put(f, "old/memory.current", "5\n");
	reread(f);
	put(f, "new/memory.current", "6\n");
	reread(f);
	assert_int_equal(value(f, "linux.cgroup.memory.current", "cgroup=/old"), 5);
	assert_int_equal(value(f, "linux.cgroup.memory.current", "cgroup=/new"), 6);
	tree_remove(f->root, "old");
	reread(f);
	assert_int_equal(f->h.labels_n, 1);
	put(f, "old/memory.current", "7\n");
	reread(f);
	assert_int_equal(value(f, "linux.cgroup.memory.current", "cgroup=/old"), 7);
	assert_int_equal(f->h.read_errors, 0);
}

static void nothing_mounted_is_no_error(void **state)
{
	struct fixture *f = *state;

	reread(f);
	assert_int_equal(f->h.labels_n, 0);
	assert_int_equal(f->h.read_errors, 0);
}

static void hostile_trees_are_bounded(void **state)
{
	struct fixture *f = *state;
	char path[1200] = "", link[200];

	mount_at(f,
		 "\n \ncgroup\ncgroup2 /nonexistent cgroup2 rw 0 0\ncgroup2 %/cg cgroup2 rw 0 0\n");
	for (int i = 0; i < 600; i++) {
		snprintf(path, sizeof(path), "cg/g%d/memory.current", i);
		put(f, path, "1\n");
	}
	/* Links are no groups. */
	snprintf(link, sizeof(link), "%s/cg/loop", f->root);
	assert_int_equal(symlink(".", link), 0);
	/* The mount that does not exist leaves the place to the next. */
	reread(f);
	assert_int_equal(f->h.read_errors, 600 - 512);
	reread(f);
	assert_int_equal(f->h.labels_n, 512);
	put(f, "cg/g5/memory.current", "18446744073709551615\n");
	put(f, "cg/g6/memory.current", "x\n");
	put(f, "cg/g7/memory.current", "");
	put(f, "cg/g8/memory.current", "55");
	reread(f);
	assert_true(f->h.labels_n >= 508);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(version_2_has_all_in_one_tree), TEST(version_1_has_a_tree_per_controller),
		TEST(first_io_of_a_group_counts),    TEST(groups_come_and_go),
		TEST(nothing_mounted_is_no_error),   TEST(hostile_trees_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
