/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a start takes to prepare the files of running processes: what is to be known of each, and its rules for
 * unwinding; with nothing on disk, and again with what the first start left there.
 *
 * usage: prepare KYMO CACHE FILE...   (KYMO: the program, whose helpers do the work; CACHE: a folder, which is emptied)
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/clock.h"
#include "worker/options.h"

#define ROUNDS 4

static uint64_t cpu_ns(void)
{
	struct rusage self, children;

	getrusage(RUSAGE_SELF, &self);
	getrusage(RUSAGE_CHILDREN, &children);
	return ((uint64_t)self.ru_utime.tv_sec + (uint64_t)self.ru_stime.tv_sec +
		(uint64_t)children.ru_utime.tv_sec + (uint64_t)children.ru_stime.tv_sec) *
		       NS_PER_SEC +
	       ((uint64_t)self.ru_utime.tv_usec + (uint64_t)self.ru_stime.tv_usec +
		(uint64_t)children.ru_utime.tv_usec + (uint64_t)children.ru_stime.tv_usec) *
		       1000;
}

static void empty_folder(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *d;

	while (dir && (d = readdir(dir)))
		if (d->d_name[0] != '.')
			unlinkat(dirfd(dir), d->d_name, 0);
	if (dir)
		closedir(dir);
}

static int submit(struct worker *w, const char *path, uint64_t cookie)
{
	struct worker_file f = { .path = path };
	struct stat st;
	int r;

	if (stat(path, &st) < 0)
		return -errno;
	f.inode = st.st_ino;
	f.dev = major(st.st_dev) << 20 | minor(st.st_dev);
	r = worker_submit(w, WORKER_INSPECT, &f, NULL, 0, cookie);
	return r < 0 ? r : worker_submit(w, WORKER_UNWIND, &f, NULL, 0, cookie);
}

static size_t fetch(struct worker *w, uint64_t *rows)
{
	struct pollfd p = { .fd = worker_fd(w), .events = POLLIN };
	struct worker_reply *r;
	size_t n = 0;

	poll(&p, 1, 1000);
	for (; (r = worker_fetch(w)); n++) {
		*rows += r->table ? r->table->rows_n : 0;
		worker_reply_free(r);
	}
	return n;
}

static int prepare(const struct worker_options *o, char **paths, size_t n, const char *what)
{
	uint64_t start = clock_mono_ns(), cpu = cpu_ns(), rows = 0, span;
	struct worker_stats stats;
	struct worker *w;
	size_t got = 0;
	int r = worker_new_with(o, &w);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n && r == 0; i++) {
		r = submit(w, paths[i], i);
		while (i - got / 2 > 1000)
			got += fetch(w, &rows);
	}
	while (r == 0 && got < 2 * n)
		got += fetch(w, &rows);
	span = clock_mono_ns() - start;
	worker_stats(w, &stats);
	worker_free(w);
	printf("%-8s %6zu files %9lu rows %8.1f ms %8.1f ms of CPU, %lu of %zu answers from disk\n",
	       what, n, (unsigned long)rows, (double)span / 1e6, (double)(cpu_ns() - cpu) / 1e6,
	       (unsigned long)stats.kept, 2 * n);
	return r;
}

int main(int argc, char **argv)
{
	struct worker_options o = worker_defaults;
	int r = 0;

	if (argc < 4) {
		fprintf(stderr, "usage: prepare KYMO CACHE FILE...\n");
		return 2;
	}
	o.executable = argv[1];
	o.cache = argv[2];
	for (int i = 0; i < ROUNDS && r == 0; i++) {
		empty_folder(argv[2]);
		r = prepare(&o, argv + 3, (size_t)argc - 3, "first");
		if (r == 0)
			r = prepare(&o, argv + 3, (size_t)argc - 3, "second");
	}
	if (r < 0)
		fprintf(stderr, "prepare: %s\n", strerror(-r));
	return r < 0;
}
