/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads every program of the object kymo.bpf.o (first argument) into the running kernel and prints what the verifier did: a line
 * "program NAME INSTRUCTIONS MICROSECONDS" each, and "loaded MICROSECONDS" of CPU for all, with their maps. Exit code 1 when one was
 * refused, with the end of its log.
 */
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define PROGRAMS_MAX 32
#define LOG_BYTES    65536
#define SHOWN_BYTES  700
/* BPF_LOG_STATS of the kernel's include/linux/bpf_verifier.h: the totals alone. */
#define LOG_STATS 4

static int no_print(enum libbpf_print_level level, const char *format, va_list args)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, args) : 0;
}

static unsigned long number_behind(const char *log, const char *word)
{
	const char *found = strstr(log, word);

	return found ? strtoul(found + strlen(word), NULL, 10) : 0;
}

static void print_program(const char *name, const char *log)
{
	printf("program %s %lu %lu\n", name, number_behind(log, "processed "),
	       number_behind(log, "verification time "));
}

/* The end of what the verifier says of the first program that it refused: with statistics alone it says nothing. */
static void explain(const char *path, const char *refused)
{
	static char log[16 << 20];
	struct bpf_object *object = bpf_object__open(path);
	struct bpf_program *program;
	size_t size;

	if (!object)
		return;
	bpf_object__for_each_program(program, object)
	{
		bpf_program__set_autoload(program, !strcmp(bpf_program__name(program), refused));
		bpf_program__set_log_level(program, 1);
		bpf_program__set_log_buf(program, log, sizeof(log));
	}
	(void)bpf_object__load(object);
	bpf_object__close(object);
	size = strlen(log);
	fprintf(stderr, "%s\n", size > SHOWN_BYTES ? log + size - SHOWN_BYTES : log);
}

/* The name of the last that was tried; loading ends with the first that is refused. */
static const char *print_programs(struct bpf_object *object, char logs[][LOG_BYTES])
{
	struct bpf_program *program;
	const char *last = "";
	size_t n = 0;

	bpf_object__for_each_program(program, object)
	{
		print_program(bpf_program__name(program), logs[n]);
		if (logs[n++][0])
			last = bpf_program__name(program);
	}
	return last;
}

int main(int argc, char **argv)
{
	static char logs[PROGRAMS_MAX][LOG_BYTES];
	const char *path = argc > 1 ? argv[1] : "kymo.bpf.o", *last;
	struct bpf_object *object;
	struct bpf_program *program;
	uint64_t begun, took;
	size_t n = 0;
	int r;

	libbpf_set_print(no_print);
	object = bpf_object__open(path);
	if (!object)
		return 1;
	bpf_object__for_each_program(program, object)
	{
		if (n == PROGRAMS_MAX)
			return 1;
		bpf_program__set_log_level(program, LOG_STATS);
		bpf_program__set_log_buf(program, logs[n++], LOG_BYTES);
	}
	begun = clock_thread_cpu_ns();
	r = bpf_object__load(object);
	took = clock_thread_cpu_ns() - begun;
	last = print_programs(object, logs);
	printf("loaded %lu\n", took / 1000);
	if (r < 0)
		explain(path, last);
	bpf_object__close(object);
	return r < 0;
}
