/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a command as people do, for tests of what it prints. */
#ifndef KYMO_TEST_COMMAND_H
#define KYMO_TEST_COMMAND_H

#include <stddef.h>

struct run {
	int exit_code;
	char *out, *err;
};

/* In a child: argp and stdout are the process's. NULL-terminated arguments; columns NULL = not told. */
struct run run(int (*command)(int, char **), const char *columns, const char *const *arguments);
#define RUN(command, columns, ...) run(command, columns, (const char *const[]){ __VA_ARGS__, NULL })

void run_free(struct run *r);

size_t lines_of(const char *text);
/* The widest line, in columns; and no line may end in a space or hold a control character. */
size_t widest(const char *text);
/* It failed with one line that has the word, and printed nothing. Frees it. */
void assert_refused(struct run r, const char *word);

#endif
