/* SPDX-License-Identifier: Apache-2.0 */
/* Processes from a /proc of the test's own, from the real one with real children, and from events. */
#include "unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "proc/proc.h"

#define TICK_NS	   10000000ULL /* USER_HZ is 100 on every architecture that we know */

#define MAPPED_DEV (8 << 20 | 1) /* of files that events tell of */

struct fixture {
	char root[64];
	struct proc_table *t;
	unsigned int files; /* told as new */
	uint64_t last_inode;
};

static void on_file(void *data, uint32_t pid, const struct proc_mapping *m)
{
	struct fixture *f = data;

	(void)pid;
	f->files++;
	f->last_inode = m->inode;
}

static void put(const struct fixture *f, uint32_t pid, const char *name, const void *text,
		size_t size)
{
	char path[128];
	FILE *out;

	snprintf(path, sizeof(path), "%s/%u", f->root, pid);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/%u/%s", f->root, pid, name);
	out = fopen(path, "w");
	assert_non_null(out);
	assert_int_equal(fwrite(text, 1, size, out), size);
	fclose(out);
}

static void put_stat(const struct fixture *f, uint32_t pid, const char *comm, char state,
		     uint32_t parent, uint32_t threads, uint64_t ticks)
{
	char text[256];
	int n = snprintf(text, sizeof(text),
			 "%u (%s) %c %u 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 %u 0 %llu 1 2 3 4\n",
			 pid, comm, state, parent, threads, (unsigned long long)ticks);

	put(f, pid, "stat", text, (size_t)n);
}

static void put_text(const struct fixture *f, uint32_t pid, const char *name, const char *text)
{
	put(f, pid, name, text, strlen(text));
}

static void put_exe(const struct fixture *f, uint32_t pid, const char *target)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%u/exe", f->root, pid);
	unlink(path);
	assert_int_equal(symlink(target, path), 0);
}

static void put_process(const struct fixture *f, uint32_t pid, uint64_t ticks)
{
	static const char cmdline[] = "/usr/bin/cat\0-n\0file";

	put_stat(f, pid, "cat", 'S', 1, 1, ticks);
	put_text(f, pid, "status",
		 "Name:\tcat\nUmask:\t0022\nPPid:\t1\nUid:\t1000\t1001\t1002\t1003\n");
	put(f, pid, "cmdline", cmdline, sizeof(cmdline));
	put_exe(f, pid, "/usr/bin/cat");
	put_text(f, pid, "maps",
		 "00400000-00401000 r--p 00000000 fd:01 77 /usr/bin/cat\n"
		 "00401000-00405000 r-xp 00001000 fd:01 77 /usr/bin/cat\n"
		 "00600000-00601000 rw-p 00002000 fd:01 77 /usr/bin/cat\n"
		 "7f0000000000-7f0000010000 r-xp 00000000 103:05 88 /lib/libc.so.6 (deleted)\n"
		 "7f0000100000-7f0000101000 rwxp 00000000 00:00 0 \n"
		 "7fff00000000-7fff00002000 r-xp 00000000 00:00 0                          "
		 "[vdso]\n");
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static void remove_process(const struct fixture *f, uint32_t pid)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/%u", f->root, pid);
	assert_int_equal(nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	strcpy(f->root, "/tmp/kymo-proc-XXXXXX");
	assert_non_null(mkdtemp(f->root));
	assert_int_equal(proc_table_new(f->root, on_file, f, &f->t), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	proc_table_free(f->t);
	nftw(f->root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(f);
	return 0;
}

static struct proc_process *find(const struct fixture *f, uint32_t pid, uint64_t start_ns)
{
	struct kymo_who who = {
		.pid = pid, .tid = pid, .process_start_ns = start_ns, .cgroup_id = 9, .comm = "told"
	};

	return proc_find(f->t, &who);
}

static struct process_event event(enum process_event_kind kind, uint32_t pid, uint64_t time_ns)
{
	struct process_event e = { .kind = kind, .pid = pid, .tid = pid, .time_ns = time_ns };

	return e;
}

static void apply_map(const struct fixture *f, uint32_t pid, uint64_t start, uint64_t end,
		      uint64_t inode, const char *path)
{
	struct process_event e = event(PROCESS_MMAP, pid, clock_mono_ns());

	e.start = start;
	e.end = end;
	e.pgoff_bytes = 0x1000;
	e.inode = inode;
	e.dev = MAPPED_DEV;
	e.path = path;
	assert_int_equal(proc_apply(f->t, &e), 0);
}

static void apply_fork(const struct fixture *f, uint32_t parent, uint32_t pid)
{
	struct process_event e = event(PROCESS_FORK, pid, clock_mono_ns());

	e.parent_pid = parent;
	assert_int_equal(proc_apply(f->t, &e), 0);
}

static void apply_exec(const struct fixture *f, uint32_t pid, const char *comm)
{
	struct process_event e = event(PROCESS_EXEC, pid, clock_mono_ns());

	strncpy(e.comm, comm, sizeof(e.comm) - 1);
	assert_int_equal(proc_apply(f->t, &e), 0);
}

static void apply_exit(const struct fixture *f, uint32_t pid, uint64_t time_ns)
{
	const struct process_event e = event(PROCESS_EXIT, pid, time_ns);

	assert_int_equal(proc_apply(f->t, &e), 0);
}

static void a_scan_reads_what_proc_shows(void **state)
{
	struct fixture *f = *state;
	const struct proc_mapping *m;
	struct proc_process *p;
	struct proc_stats stats;

	put_process(f, 100, 5000);
	assert_int_equal(proc_scan(f->t, 0), 0);
	p = find(f, 100, 5000 * TICK_NS + 1234567);
	assert_non_null(p);
	assert_int_equal(p->info.pid, 100);
	assert_int_equal(p->info.parent_pid, 1);
	assert_int_equal(p->info.uid, 1000);
	assert_int_equal(p->info.cgroup_id, 9);
	assert_string_equal(p->info.comm, "cat");
	assert_string_equal(p->info.exe, "/usr/bin/cat");
	assert_string_equal(p->info.cmdline, "/usr/bin/cat -n file");
	/* From here on it has the kernel's start, exactly. */
	assert_int_equal(p->info.start_ns, 5000 * TICK_NS + 1234567);
	assert_false(p->exited);

	m = proc_find_mapping(p, 0x401234);
	assert_non_null(m);
	assert_string_equal(m->path, "/usr/bin/cat");
	assert_true(m->is_file);
	assert_int_equal(m->pgoff_bytes, 0x1000);
	assert_int_equal(m->dev, 0xfd << 20 | 1);
	assert_int_equal(m->inode, 77);
	assert_null(proc_find_mapping(p, 0x400000)); /* not executable */
	assert_null(proc_find_mapping(p, 0x405000)); /* the end is exclusive */
	assert_string_equal(proc_find_mapping(p, 0x7f0000000000)->path, "/lib/libc.so.6");
	assert_int_equal(proc_find_mapping(p, 0x7f0000000000)->dev, 0x103 << 20 | 5);
	assert_false(proc_find_mapping(p, 0x7f0000100000)->is_file);
	assert_string_equal(proc_find_mapping(p, 0x7f0000100000)->path, "");
	assert_string_equal(proc_find_mapping(p, 0x7fff00000000)->path, "[vdso]");
	assert_null(proc_find_mapping(p, UINT64_MAX));
	proc_table_stats(f->t, &stats);
	assert_int_equal(stats.processes, 1);
	assert_int_equal(stats.mappings, 4);
	/* libc and cat; a second reading finds nothing new. */
	assert_int_equal(f->files, 2);
	assert_int_equal(proc_scan(f->t, 0), 0);
	assert_int_equal(f->files, 2);
	proc_table_stats(f->t, &stats);
	assert_int_equal(stats.mappings, 4);
}

static void names_may_hold_anything(void **state)
{
	struct fixture *f = *state;
	char longest[5000];

	put_process(f, 7, 100);
	put_stat(f, 7, "a) R 1 (b\n", 'S', 3, 1, 100);
	memset(longest, 'x', sizeof(longest));
	longest[10] = '\xff';
	longest[11] = '\0';
	put(f, 7, "cmdline", longest, sizeof(longest));
	put_text(f, 7, "maps", "1000-2000 r-xp 00000000 08:01 5 /tmp/a\\012b c\n");
	assert_int_equal(proc_scan(f->t, 7), 0);
	{
		struct proc_process *p = find(f, 7, 100 * TICK_NS);

		assert_string_equal(p->info.comm, "a) R 1 (b\n");
		assert_int_equal(p->info.parent_pid, 3);
		assert_true(strlen(p->info.cmdline) <= 1024 + 2);
		assert_memory_equal(p->info.cmdline, "xxxxxxxxxx\xef\xbf\xbd xxx", 17);
		assert_string_equal(proc_find_mapping(p, 0x1000)->path, "/tmp/a\nb c");
	}
}

static void broken_files_are_no_processes(void **state)
{
	struct fixture *f = *state;
	struct proc_stats stats;
	char big[200000];

	mkdir(f->root, 0755);
	put_text(f, 10, "stat", "");
	put_text(f, 11, "stat", "11 (x");
	put_text(f, 12, "stat", "12 )x( S 1");
	put_text(f, 13, "stat", "13 (x) S 1 2 3");
	put_stat(f, 14, "dead", 'Z', 1, 1, 5);
	/* maps without a newline for ever, garbage, ends before starts */
	put_process(f, 15, 9);
	memset(big, '7', sizeof(big));
	put(f, 15, "maps", big, sizeof(big));
	put_process(f, 16, 9);
	put_text(f, 16, "maps",
		 "zz\n\n1000-2000\n2000-1000 r-xp 00000000 08:01 5 /backwards\n"
		 "ffffffffffffffffffff-1 r-xp 0 0:0 0 /x\n"
		 "3000-4000 r-xp 00000000 08:01 6 /good\n5000-6000 r-xp 00000000 08:01 7 /cut");
	assert_int_equal(proc_scan(f->t, 0), 0);
	proc_table_stats(f->t, &stats);
	assert_int_equal(stats.processes, 2);
	assert_int_equal(stats.mappings, 1);
	assert_string_equal(proc_find_mapping(find(f, 16, 9 * TICK_NS), 0x3000)->path, "/good");
	/* No folder at all. */
	{
		struct proc_table *none = NULL;

		assert_int_equal(proc_table_new("/nonexistent/proc", NULL, NULL, &none), -ENOENT);
		assert_null(none);
	}
}

static void a_fork_has_its_parent_s_mappings_until_one_changes(void **state)
{
	struct fixture *f = *state;
	struct proc_process *p;

	put_process(f, 100, 5000);
	assert_int_equal(proc_scan(f->t, 0), 0);
	apply_fork(f, 100, 101);
	p = find(f, 101, clock_boot_ns() - 1000);
	assert_string_equal(p->info.exe, "/usr/bin/cat");
	assert_string_equal(p->info.cmdline, "/usr/bin/cat -n file");
	assert_int_equal(p->info.parent_pid, 100);
	assert_int_equal(p->info.uid, 1000);
	assert_string_equal(proc_find_mapping(p, 0x401000)->path, "/usr/bin/cat");

	apply_map(f, 101, 0x402000, 0x403000, 90, "/lib/new.so");
	p = find(f, 101, p->info.start_ns);
	assert_string_equal(proc_find_mapping(p, 0x402000)->path, "/lib/new.so");
	assert_string_equal(proc_find_mapping(p, 0x401fff)->path, "/usr/bin/cat");
	assert_int_equal(proc_find_mapping(p, 0x401fff)->pgoff_bytes, 0x1000);
	assert_string_equal(proc_find_mapping(p, 0x403000)->path, "/usr/bin/cat");
	assert_int_equal(proc_find_mapping(p, 0x403000)->start, 0x403000);
	assert_int_equal(proc_find_mapping(p, 0x403000)->pgoff_bytes, 0x3000);
	/* The parent still has its own. */
	p = find(f, 100, 5000 * TICK_NS);
	assert_string_equal(proc_find_mapping(p, 0x402000)->path, "/usr/bin/cat");
	/* A thread is no process. */
	{
		struct process_event e = event(PROCESS_FORK, 100, clock_mono_ns());
		struct proc_stats stats;

		e.tid = 102;
		e.parent_pid = 100;
		assert_int_equal(proc_apply(f->t, &e), 0);
		proc_table_stats(f->t, &stats);
		assert_int_equal(stats.processes, 2);
	}
}

static void who_maps_a_file_is_known(void **state)
{
	struct fixture *f = *state;
	uint32_t pid = 0;

	put_process(f, 100, 5000);
	assert_int_equal(proc_scan(f->t, 0), 0);
	assert_false(proc_maps_file(f->t, 100, 0, 90, &pid));
	apply_fork(f, 100, 101);
	apply_map(f, 101, 0x7f0000000000, 0x7f0000001000, 90, "/lib/new.so");
	assert_true(proc_maps_file(f->t, 101, MAPPED_DEV, 90, &pid));
	assert_int_equal(pid, 101);
	pid = 0;
	assert_true(proc_maps_file(f->t, 100, MAPPED_DEV, 90, &pid));
	assert_int_equal(pid, 101);
	assert_false(proc_maps_file(f->t, 101, MAPPED_DEV + 1, 90, &pid));
	assert_false(proc_maps_file(f->t, 101, MAPPED_DEV, 91, &pid));
	/* Not by the dead, though they are remembered. */
	apply_exit(f, 101, clock_mono_ns());
	assert_false(proc_maps_file(f->t, 101, MAPPED_DEV, 90, &pid));
}

/* Of others they cost as much to read as their own. */
static void files_are_told_of_processes_that_are_wanted(void **state)
{
	struct fixture *f = *state;
	unsigned int wanted;

	proc_want_named(f->t);
	put_process(f, 100, 5000);
	put_process(f, 300, 5000);
	assert_int_equal(proc_scan(f->t, 0), 0);
	apply_map(f, 300, 0x7f0000000000, 0x7f0000001000, 90, "/lib/both.so");
	assert_int_equal(f->files, 0);
	assert_int_equal(proc_want(f->t, 100), 0);
	wanted = f->files;
	assert_true(wanted > 0);
	assert_int_equal(proc_want(f->t, 100), 0);
	assert_int_equal(f->files, wanted);
	/* Its children, whatever they run; and a file that one of the others had first. */
	apply_fork(f, 100, 101);
	apply_exec(f, 101, "child");
	apply_map(f, 101, 0x7f0000000000, 0x7f0000001000, 90, "/lib/both.so");
	assert_int_equal(f->files, wanted + 1);
	assert_int_equal(f->last_inode, 90);
	apply_fork(f, 300, 301);
	apply_map(f, 301, 0x7f0000002000, 0x7f0000003000, 91, "/lib/other.so");
	assert_int_equal(f->files, wanted + 1);
	assert_int_equal(proc_want(f->t, 301), 0);
	assert_int_equal(f->last_inode, 91);
	/* One that no event told of is read; one that is gone is no error. */
	put_process(f, 400, 6000);
	assert_int_equal(proc_want(f->t, 400), 0);
	assert_int_equal(proc_want(f->t, 4711), 0);
}

static void new_mappings_replace_what_they_cover(void **state)
{
	struct fixture *f = *state;
	struct proc_process *p;
	struct proc_stats stats;

	put_process(f, 100, 5000);
	assert_int_equal(proc_scan(f->t, 0), 0);
	for (uint64_t i = 0; i < 10; i++)
		apply_map(f, 100, 0x10000 + i * 0x1000, 0x11000 + i * 0x1000, 200 + i,
			  "/lib/part.so");
	apply_map(f, 100, 0x11800, 0x18800, 300, "/lib/whole.so");
	p = find(f, 100, 5000 * TICK_NS);
	for (uint64_t at = 0x10000; at < 0x1a000; at += 0x400) {
		const struct proc_mapping *m = proc_find_mapping(p, at);
		bool covered = at >= 0x11800 && at < 0x18800;

		assert_non_null(m);
		assert_int_equal(m->inode, covered ? 300 : 200 + (at - 0x10000) / 0x1000);
		/* Wherever it was cut: an address leads to the same place of the file. */
		assert_int_equal(at - m->start + m->pgoff_bytes,
				 covered ? at - 0x11800 + 0x1000 : at % 0x1000 + 0x1000);
	}
	proc_table_stats(f->t, &stats);
	assert_int_equal(stats.mappings, 4 + 2 + 1 + 2);
	/* The same again, and one over all. */
	apply_map(f, 100, 0x11800, 0x18800, 300, "/lib/whole.so");
	apply_map(f, 100, 0, UINT64_MAX, 0, "//anon");
	p = find(f, 100, 5000 * TICK_NS);
	proc_table_stats(f->t, &stats);
	assert_int_equal(stats.mappings, 1);
	assert_false(proc_find_mapping(p, 5)->is_file);
}

/* What lives for milliseconds has no /proc when its events are read. */
static void short_lived_processes_come_from_events_alone(void **state)
{
	struct fixture *f = *state;
	uint64_t start = clock_boot_ns();
	struct proc_process *p;

	put_process(f, 100, 5000);
	assert_int_equal(proc_scan(f->t, 0), 0);
	apply_fork(f, 100, 200);
	apply_exec(f, 200, "short");
	apply_map(f, 200, 0x1000, 0x2000, 501, "/usr/bin/short");
	apply_map(f, 200, 0x7f0000000000, 0x7f0000001000, 502, "/lib64/ld-linux-x86-64.so.2");
	apply_exit(f, 200, clock_mono_ns());
	p = find(f, 200, start);
	assert_non_null(p);
	assert_true(p->exited);
	assert_string_equal(p->info.comm, "short");
	assert_string_equal(p->info.exe, "/usr/bin/short");
	assert_string_equal(p->info.cmdline, "");
	assert_int_equal(p->info.parent_pid, 100);
	assert_int_equal(p->info.start_ns, start);
	assert_string_equal(proc_find_mapping(p, 0x1000)->path, "/usr/bin/short");
	/* The mappings before the exec are gone. */
	assert_null(proc_find_mapping(p, 0x401000));
	assert_int_equal(f->files, 4);

	/* Kept for its late samples, then forgotten. */
	proc_forget_exited(f->t, clock_mono_ns() - NS_PER_SEC);
	assert_true(find(f, 200, start)->exited);
	proc_forget_exited(f->t, clock_mono_ns());
	p = find(f, 200, start);
	assert_string_equal(p->info.comm, "told");
	assert_null(proc_find_mapping(p, 0x1000));
}

static void apply_args(const struct fixture *f, uint32_t pid, uint32_t uid, const char *args,
		       size_t size)
{
	struct process_event e = event(PROCESS_ARGS, pid, clock_mono_ns());

	e.uid = uid;
	e.args = args;
	e.args_size = (uint32_t)size;
	assert_int_equal(proc_apply(f->t, &e), 0);
}

/* Found when the time in which its arguments may still be told is over. */
static struct proc_process *find_waited(const struct fixture *f, uint32_t pid, uint64_t start_ns)
{
	const struct timespec wait = { .tv_nsec = 600 * NS_PER_MSEC };

	nanosleep(&wait, NULL);
	return find(f, pid, start_ns);
}

/* /proc has the program that the pid runs by now, which may be the next one: what the kernel told counts. */
static void the_arguments_of_an_exec_are_told(void **state)
{
	struct fixture *f = *state;
	uint64_t start = 5000 * TICK_NS;
	struct proc_process *p;

	put_process(f, 100, 5000);
	assert_int_equal(proc_scan(f->t, 0), 0);
	put_exe(f, 100, "/bin/next");
	put(f, 100, "cmdline", "next\0", 5);
	apply_exec(f, 100, "perl");
	apply_map(f, 100, 0x1000, 0x2000, 600, "/usr/bin/perl");
	/* A sample within the exec: not told yet. */
	p = find(f, 100, start);
	assert_string_equal(p->info.exe, "/usr/bin/perl");
	assert_string_equal(p->info.cmdline, "");
	apply_args(f, 100, 7, "perl\0-e\0 1 \0\0", 14);
	p = (struct proc_process *)proc_named_late(f->t, 100);
	assert_non_null(p);
	assert_string_equal(p->info.cmdline, "perl -e  1 ");
	assert_int_equal(p->info.uid, 7);
	assert_null(proc_named_late(f->t, 100));
	/* Its child without an exec is the same program. */
	apply_fork(f, 100, 101);
	p = find(f, 101, clock_boot_ns());
	assert_string_equal(p->info.exe, "/usr/bin/perl");
	assert_string_equal(p->info.cmdline, "perl -e  1 ");
	p = find_waited(f, 100, start);
	assert_string_equal(p->info.exe, "/usr/bin/perl");
	/* Longer than there is room for. */
	apply_args(f, 100, 7, memset((char[5000]){ 0 }, 'x', 5000), 5000);
	assert_int_equal(strlen(find(f, 100, start)->info.cmdline), KYMO_ARGS_MAX);
	/* Nobody ever told them to be read: none known, not those of another. */
	apply_exec(f, 100, "quiet");
	apply_map(f, 100, 0x1000, 0x2000, 601, "/usr/bin/quiet");
	apply_args(f, 100, 7, NULL, 0);
	p = find_waited(f, 100, start);
	assert_string_equal(p->info.exe, "/usr/bin/quiet");
	assert_string_equal(p->info.cmdline, "");
}

static void after_exec_proc_is_read_again_when_it_is_still_there(void **state)
{
	struct fixture *f = *state;
	struct proc_process *p;

	put_process(f, 100, 5000);
	assert_int_equal(proc_scan(f->t, 0), 0);
	apply_exec(f, 100, "perl");
	apply_map(f, 100, 0x1000, 0x2000, 600, "/usr/bin/perl");
	put_exe(f, 100, "/usr/bin/perl5.36");
	put(f, 100, "cmdline", "perl\0x.pl\0", 10);
	p = find_waited(f, 100, 5000 * TICK_NS);
	assert_string_equal(p->info.comm, "perl");
	assert_string_equal(p->info.exe, "/usr/bin/perl5.36");
	assert_string_equal(p->info.cmdline, "perl x.pl");
	/* Its pid has been given to another: what stands there is not this one's. */
	apply_exec(f, 100, "sh");
	apply_map(f, 100, 0x1000, 0x2000, 601, "/bin/sh");
	put_stat(f, 100, "other", 'S', 1, 1, 7000);
	p = find_waited(f, 100, 5000 * TICK_NS);
	assert_string_equal(p->info.exe, "/bin/sh");
	assert_string_equal(p->info.cmdline, "");
}

static void a_reused_pid_is_another_process(void **state)
{
	struct fixture *f = *state;
	struct proc_process *p;

	put_process(f, 100, 5000);
	assert_int_equal(proc_scan(f->t, 0), 0);
	assert_string_equal(find(f, 100, 5000 * TICK_NS)->info.comm, "cat");
	put_stat(f, 100, "second", 'S', 1, 1, 6000);
	p = find(f, 100, 6000 * TICK_NS + 5);
	assert_string_equal(p->info.comm, "second");
	assert_int_equal(p->info.start_ns, 6000 * TICK_NS + 5);
	assert_false(p->exited);
	/* Late samples of the first still find it. */
	p = find(f, 100, 5000 * TICK_NS);
	assert_string_equal(p->info.comm, "cat");
	assert_true(p->exited);
	/* A life that nobody has seen: the sample's own word. The one that lives does not end by it. */
	p = find(f, 100, 5500 * TICK_NS);
	assert_string_equal(p->info.comm, "told");
	assert_null(proc_find_mapping(p, 0x401000));
	apply_map(f, 100, 0x1000, 0x2000, 5, "/bin/second");
	p = find(f, 100, 6000 * TICK_NS + 5);
	assert_false(p->exited);
	assert_string_equal(proc_find_mapping(p, 0x1000)->path, "/bin/second");
}

static void a_start_in_another_tick_is_another_life(void **state)
{
	struct fixture *f = *state;

	put_process(f, 100, 5000);
	assert_int_equal(proc_scan(f->t, 0), 0);
	assert_string_equal(find(f, 100, 4999 * TICK_NS)->info.comm, "told");
	assert_string_equal(find(f, 100, 5001 * TICK_NS)->info.comm, "told");
	assert_string_equal(find(f, 100, 5001 * TICK_NS - 1)->info.comm, "cat");
}

static void events_from_before_the_reading_are_part_of_it(void **state)
{
	struct fixture *f = *state;
	uint64_t before = clock_mono_ns();
	struct process_event e;
	struct proc_process *p;

	put_process(f, 100, 5000);
	assert_int_equal(proc_scan(f->t, 0), 0);
	e = event(PROCESS_EXEC, 100, before);
	assert_int_equal(proc_apply(f->t, &e), 0);
	e = event(PROCESS_FORK, 100, before);
	e.parent_pid = 1;
	assert_int_equal(proc_apply(f->t, &e), 0);
	e = event(PROCESS_EXIT, 100, before);
	assert_int_equal(proc_apply(f->t, &e), 0);
	p = find(f, 100, 5000 * TICK_NS);
	assert_false(p->exited);
	assert_string_equal(p->info.comm, "cat");
	assert_non_null(proc_find_mapping(p, 0x401000));
}

/* Its memory map has gone, so that nothing could be read: what comes late is all that will ever be known. */
static void events_from_before_a_reading_that_came_too_late_count(void **state)
{
	struct fixture *f = *state;
	uint64_t before = clock_mono_ns(), start = clock_boot_ns();
	struct process_event e;
	struct proc_process *p;

	put_stat(f, 100, "python3", 'R', 1, 1, start / TICK_NS);
	put_text(f, 100, "status", "Name:\tpython3\nUid:\t0\t0\t0\t0\n");
	put_text(f, 100, "cmdline", "");
	put_text(f, 100, "maps", "");
	assert_int_equal(proc_scan(f->t, 100), 0);
	e = event(PROCESS_FORK, 100, before);
	e.parent_pid = 1;
	assert_int_equal(proc_apply(f->t, &e), 0);
	e = event(PROCESS_EXEC, 100, before);
	memcpy(e.comm, "python3", 8);
	assert_int_equal(proc_apply(f->t, &e), 0);
	e = event(PROCESS_MMAP, 100, before);
	e.start = 0x1000;
	e.end = 0x2000;
	e.inode = 600;
	e.dev = 1;
	e.path = "/usr/bin/python3.12";
	assert_int_equal(proc_apply(f->t, &e), 0);
	p = find(f, 100, start);
	assert_string_equal(p->info.exe, "/usr/bin/python3.12");
	assert_non_null(proc_find_mapping(p, 0x1000));
	/* A kernel thread never has one: it is read nevertheless. */
	put(f, 200, "stat",
	    "200 (kworker/0:1) I 2 0 0 0 -1 69238880 0 0 0 0 0 0 0 0 20 0 1 0 6000 0 0\n", 74);
	put_text(f, 200, "status", "Name:\tkworker/0:1\nUid:\t0\t0\t0\t0\n");
	put_text(f, 200, "maps", "");
	assert_int_equal(proc_scan(f->t, 200), 0);
	e = event(PROCESS_COMM, 200, before);
	memcpy(e.comm, "older", 6);
	e.tid = 200;
	assert_int_equal(proc_apply(f->t, &e), 0);
	assert_string_equal(find(f, 200, 6000 * TICK_NS)->info.comm, "kworker/0:1");
}

static void after_lost_events_everything_is_read_anew(void **state)
{
	struct fixture *f = *state;
	struct process_event e = event(PROCESS_LOST, 0, 0);
	struct proc_process *p;

	put_process(f, 100, 5000);
	put_process(f, 101, 5000);
	/* Never read as a whole: the first chance is at once. */
	assert_int_equal(proc_scan(f->t, 100), 0);
	assert_int_equal(proc_scan(f->t, 101), 0);
	put_text(f, 100, "maps", "9000-a000 r-xp 00000000 08:01 5 /lost.so\n");
	remove_process(f, 101);
	e.lost = 3;
	assert_int_equal(proc_apply(f->t, &e), 0);
	p = find(f, 100, 5000 * TICK_NS);
	assert_string_equal(proc_find_mapping(p, 0x9000)->path, "/lost.so");
	assert_null(proc_find_mapping(p, 0x401000));
	assert_true(find(f, 101, 5000 * TICK_NS)->exited);
}

static void a_leader_may_end_before_its_threads(void **state)
{
	struct fixture *f = *state;
	struct proc_process *p;
	uint64_t now;

	/* Read again in that state, it has no map to show. */
	put_process(f, 90, 4000);
	assert_int_equal(proc_scan(f->t, 0), 0);
	put_stat(f, 90, "cat", 'Z', 1, 2, 4000);
	put_text(f, 90, "maps", "");
	assert_int_equal(proc_scan(f->t, 0), 0);
	p = find(f, 90, 4000 * TICK_NS);
	assert_false(p->exited);
	assert_non_null(proc_find_mapping(p, 0x401000));
	remove_process(f, 90);
	assert_int_equal(proc_scan(f->t, 0), 0);
	proc_forget_exited(f->t, clock_mono_ns());

	put_process(f, 100, 5000);
	assert_int_equal(proc_scan(f->t, 0), 0);
	p = find(f, 100, 5000 * TICK_NS);
	put_stat(f, 100, "cat", 'Z', 1, 3, 5000);
	now = clock_mono_ns();
	apply_exit(f, 100, now);
	proc_forget_exited(f->t, now + 1);
	p = find(f, 100, 5000 * TICK_NS);
	assert_false(p->exited);
	assert_non_null(proc_find_mapping(p, 0x401000));
	put_stat(f, 100, "cat", 'Z', 1, 1, 5000);
	apply_exit(f, 100, clock_mono_ns());
	proc_forget_exited(f->t, clock_mono_ns());
	{
		struct proc_stats stats;

		proc_table_stats(f->t, &stats);
		assert_int_equal(stats.processes, 0);
		assert_int_equal(stats.mappings, 0);
	}
}

static void mappings_are_bounded(void **state)
{
	struct fixture *f = *state;
	struct proc_stats stats;

	put_process(f, 100, 5000);
	assert_int_equal(proc_scan(f->t, 0), 0);
	for (uint64_t i = 0; i < 9000; i++)
		apply_map(f, 100, i << 20, (i << 20) + 0x1000, 1000 + i, "/jit.so");
	proc_table_stats(f->t, &stats);
	assert_true(stats.mappings <= 8192);
	assert_true(stats.dropped > 800);
}

/* A host that maps new names for ever: those that are gone make room. */
static void paths_of_the_past_are_dropped(void **state)
{
	struct fixture *f = *state;
	struct proc_stats stats;
	char path[64];

	put_process(f, 100, 5000);
	assert_int_equal(proc_scan(f->t, 0), 0);
	for (uint64_t i = 0; i < 200000; i++) {
		snprintf(path, sizeof(path), "/build/%llu/a.out", (unsigned long long)i);
		apply_map(f, 100, 0x1000, 0x2000, 1, path);
	}
	proc_table_stats(f->t, &stats);
	assert_int_equal(stats.dropped, 0);
	assert_string_equal(proc_find_mapping(find(f, 100, 5000 * TICK_NS), 0x1000)->path, path);
	assert_string_equal(proc_find_mapping(find(f, 100, 5000 * TICK_NS), 0x401000)->path,
			    "/usr/bin/cat");
}

static void processes_are_bounded(void **state)
{
	struct fixture *f = *state;
	uint64_t start = clock_boot_ns();
	struct proc_stats stats;

	for (uint32_t pid = 1; pid <= 70000; pid++)
		apply_fork(f, pid - 1, pid);
	proc_table_stats(f->t, &stats);
	assert_int_equal(stats.processes, 65536);
	assert_int_equal(stats.dropped, 70000 - 65536);
	/* At the bound there is no place for one more; those that are there are found. */
	assert_null(find(f, 69999, 5));
	assert_non_null(find(f, 5, start));
}

static pid_t start_child(int *ret_fd)
{
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		char byte;

		close(fds[1]);
		_exit((int)read(fds[0], &byte, 1));
	}
	close(fds[0]);
	*ret_fd = fds[1];
	return pid;
}

static uint64_t start_ticks(pid_t pid)
{
	unsigned long long ticks = 0;
	char path[64];
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	in = fopen(path, "r");
	assert_non_null(in);
	assert_int_equal(
		fscanf(in,
		       "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d "
		       "%*d %*d %*d %*d %*d %llu",
		       &ticks),
		1);
	fclose(in);
	return ticks;
}

static void real_children_are_read_and_gone(void **state)
{
	struct fixture *f = *state;
	struct proc_table *t;
	struct kymo_who who = { .comm = "x" };
	struct proc_process *p;
	const struct proc_mapping *m;
	char self[4096];
	int fd;
	pid_t pid = start_child(&fd);
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	assert_true(n > 0);
	self[n] = '\0';
	assert_int_equal(proc_table_new("/proc", on_file, f, &t), 0);
	assert_int_equal(proc_scan(t, (uint32_t)pid), 0);
	who.pid = who.tid = (uint32_t)pid;
	who.process_start_ns = start_ticks(pid) * TICK_NS + 123;
	p = proc_find(t, &who);
	assert_false(p->exited);
	assert_string_equal(p->info.exe, self);
	assert_int_equal(p->info.parent_pid, getpid());
	assert_int_equal(p->info.uid, getuid());
	m = proc_find_mapping(p, (uint64_t)(uintptr_t)real_children_are_read_and_gone);
	assert_non_null(m);
	assert_string_equal(m->path, self);
	{
		struct stat st;

		assert_int_equal(stat(self, &st), 0);
		assert_int_equal(m->inode, st.st_ino);
	}
	close(fd);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(proc_scan(t, (uint32_t)pid), 0);
	assert_int_equal(proc_scan(t, 0), 0);
	assert_true(proc_find(t, &who)->exited);
	proc_table_free(t);
}

static void descendants_are_all_below(void **state)
{
	struct fixture *f = *state;
	uint32_t *pids = NULL;
	size_t n = 0;

	put_stat(f, 10, "a", 'S', 1, 1, 1);
	put_stat(f, 20, "b", 'S', 10, 1, 1);
	put_stat(f, 5, "c", 'S', 20, 1, 1);
	put_stat(f, 30, "d", 'S', 10, 1, 1);
	put_stat(f, 40, "e", 'S', 1, 1, 1);
	/* No real /proc shows circles, but nothing may hang on one. */
	put_stat(f, 50, "f", 'S', 51, 1, 1);
	put_stat(f, 51, "g", 'S', 50, 1, 1);
	assert_int_equal(proc_descendants(f->root, 10, &pids, &n), 0);
	assert_int_equal(n, 3);
	assert_int_equal(pids[2], 5);
	free(pids);
	assert_int_equal(proc_descendants(f->root, 50, &pids, &n), 0);
	assert_int_equal(n, 1);
	free(pids);
	assert_int_equal(proc_descendants(f->root, 4711, &pids, &n), 0);
	assert_int_equal(n, 0);
	free(pids);
	assert_int_equal(proc_descendants("/nonexistent", 1, &pids, &n), -ENOENT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_scan_reads_what_proc_shows),
		TEST(names_may_hold_anything),
		TEST(broken_files_are_no_processes),
		TEST(a_fork_has_its_parent_s_mappings_until_one_changes),
		TEST(who_maps_a_file_is_known),
		TEST(files_are_told_of_processes_that_are_wanted),
		TEST(new_mappings_replace_what_they_cover),
		TEST(short_lived_processes_come_from_events_alone),
		TEST(the_arguments_of_an_exec_are_told),
		TEST(after_exec_proc_is_read_again_when_it_is_still_there),
		TEST(a_reused_pid_is_another_process),
		TEST(a_start_in_another_tick_is_another_life),
		TEST(events_from_before_the_reading_are_part_of_it),
		TEST(events_from_before_a_reading_that_came_too_late_count),
		TEST(after_lost_events_everything_is_read_anew),
		TEST(a_leader_may_end_before_its_threads),
		TEST(mappings_are_bounded),
		TEST(paths_of_the_past_are_dropped),
		TEST(processes_are_bounded),
		TEST(real_children_are_read_and_gone),
		TEST(descendants_are_all_below),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
