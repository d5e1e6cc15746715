/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unwind rows made per second of CPU time, beside libdw's addrframe over the same descriptions in
 * the same run; and what the tables take. Files are read once before, so the page cache is warm.
 *
 * usage: unwind_rows FILE...
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <elfutils/libdw.h>
#include <libelf.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "elf/eh_frame.h"
#include "unwind/serial.h"
#include "unwind/unwind.h"

#define ROUNDS 5

struct range {
	uint64_t start, end;
};

struct result {
	uint64_t rows;
	double seconds;
};

static double seconds_since(uint64_t start_ns)
{
	return (double)(clock_thread_cpu_ns() - start_ns) / 1e9;
}

/* The best of some rounds. */
static struct unwind_table *build(int fd, double *ret_seconds)
{
	struct unwind_table *t = NULL;

	*ret_seconds = 1e9;
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t start = clock_thread_cpu_ns();
		double seconds;

		unwind_table_free(t);
		t = NULL;
		if (unwind_table_build(fd, &t) < 0)
			return NULL;
		seconds = seconds_since(start);
		if (seconds < *ret_seconds)
			*ret_seconds = seconds;
	}
	return t;
}

static double read_back(const struct unwind_table *t)
{
	struct unwind_table *back = NULL;
	struct buf b = { 0 };
	double seconds = 0;

	if (unwind_serial_write(t, &b) == 0) {
		uint64_t start = clock_thread_cpu_ns();

		if (unwind_serial_read(b.data, b.size, &back) == 0)
			seconds = seconds_since(start);
	}
	unwind_table_free(back);
	buf_release(&b);
	return seconds;
}

/* Where libdw starts: the ranges of the descriptions, which it is not asked to find. */
static size_t ranges_of(int fd, struct range **ret)
{
	struct elf_file f = { .fd = -1 };
	struct eh_frame e = { 0 };
	struct range *ranges = NULL;
	size_t n = 0, cap = 0, pos = 0;
	struct eh_fde fde;

	if (elf_file_init(&f, fd) == 0 && eh_frame_init(&e, &f) == 0)
		while (eh_frame_next(&e, &pos, &fde) == 1 &&
		       array_reserve(&ranges, &cap, n + 1) == 0)
			ranges[n++] = (struct range){ fde.start, fde.end };
	eh_frame_release(&e);
	elf_file_release(&f);
	*ret = ranges;
	return n;
}

/* What a row says: the CFA, and where the return address, rbp and rbx are. */
static void ask(Dwarf_Frame *frame, int ra)
{
	const int registers[] = { ra, KYMO_UNWIND_X86_RBP, KYMO_UNWIND_X86_RBX };
	Dwarf_Op memory[3], *ops;
	size_t n;

	dwarf_frame_cfa(frame, &ops, &n);
	for (size_t i = 0; i < ARRAY_SIZE(registers); i++)
		dwarf_frame_register(frame, registers[i], memory, &ops, &n);
}

static uint64_t libdw_rows(Dwarf_CFI *cfi, const struct range *at)
{
	uint64_t rows = 0;

	for (uint64_t pc = at->start; pc < at->end; rows++) {
		Dwarf_Addr start, end = 0;
		Dwarf_Frame *frame;
		bool signal;

		if (dwarf_cfi_addrframe(cfi, pc, &frame) != 0)
			break;
		ask(frame, dwarf_frame_info(frame, &start, &end, &signal));
		free(frame);
		if (end <= pc)
			break;
		pc = end;
	}
	return rows;
}

static struct result libdw(int fd)
{
	_cleanup_free_ struct range *ranges = NULL;
	size_t n = ranges_of(fd, &ranges);
	struct result result = { 0 };
	uint64_t start = clock_thread_cpu_ns();
	Elf *elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	Dwarf_CFI *cfi = elf ? dwarf_getcfi_elf(elf) : NULL;

	for (size_t i = 0; cfi && i < n; i++)
		result.rows += libdw_rows(cfi, &ranges[i]);
	result.seconds = seconds_since(start);
	if (cfi)
		dwarf_cfi_end(cfi);
	elf_end(elf);
	return result;
}

/* 0, or why the file is left out. */
static int bench(const char *path, struct result *sum_ours, struct result *sum_libdw)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct unwind_table *t;
	struct result theirs;
	double seconds;

	if (fd < 0)
		return -errno;
	t = build(fd, &seconds);
	if (!t)
		return -ENOENT;
	theirs = libdw(fd);
	/* Rows of libdw are those before neighbours are merged: the same work for both. */
	printf("%-28.28s %8u %9lu %9u %6u %8.1f K %8.2f %7.1f %7.2f %6.1f %8.2f\n",
	       strrchr(path, '/') ? strrchr(path, '/') + 1 : path, t->counts.fdes,
	       (unsigned long)theirs.rows, t->rows_n, t->rules_n,
	       (double)(t->rows_n * sizeof(*t->rows) +
			t->pages_n * sizeof(struct kymo_unwind_page)) /
		       1024,
	       seconds * 1e3, (double)theirs.rows / seconds / 1e6,
	       (double)theirs.rows / theirs.seconds / 1e6, theirs.seconds / seconds,
	       read_back(t) * 1e3);
	sum_ours->rows += theirs.rows;
	sum_ours->seconds += seconds;
	sum_libdw->rows += theirs.rows;
	sum_libdw->seconds += theirs.seconds;
	unwind_table_free(t);
	return 0;
}

int main(int argc, char **argv)
{
	struct result ours = { 0 }, theirs = { 0 };

	if (argc < 2) {
		fprintf(stderr, "usage: unwind_rows FILE...\n");
		return 2;
	}
	elf_version(EV_CURRENT);
	printf("%-28s %8s %9s %9s %6s %10s %8s %7s %7s %6s %8s\n", "file", "FDEs", "rows", "merged",
	       "rules", "in kernel", "ms", "M/s", "libdw", "times", "reload");
	for (int i = 1; i < argc; i++) {
		int r = bench(argv[i], &ours, &theirs);

		if (r < 0)
			printf("%s: left out (%s)\n", argv[i], strerror(-r));
	}
	if (ours.seconds > 0)
		printf("all: %.1f M rows a second, libdw %.2f: %.1f times\n",
		       (double)ours.rows / ours.seconds / 1e6,
		       (double)theirs.rows / theirs.seconds / 1e6, theirs.seconds / ours.seconds);
	return 0;
}
