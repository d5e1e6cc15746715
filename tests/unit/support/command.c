/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/support/command.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "unit/test.h"

#define OUTPUT_MAX (1 << 20)

static char *read_back(FILE *f)
{
	char *text = calloc(1, OUTPUT_MAX);

	assert_non_null(text);
	rewind(f);
	(void)!fread(text, 1, OUTPUT_MAX - 1, f);
	fclose(f);
	return text;
}

struct run run(int (*command)(int, char **), const char *columns, const char *const *arguments)
{
	FILE *out = tmpfile(), *err = tmpfile();
	char *argv[16] = { (char *)"command" };
	int argc = 1, status;
	pid_t child;

	assert_non_null(out);
	assert_non_null(err);
	for (; arguments[argc - 1]; argc++)
		argv[argc] = (char *)arguments[argc - 1];
	fflush(NULL);
	child = fork();
	if (child == 0) {
		dup2(fileno(out), 1);
		dup2(fileno(err), 2);
		if (columns)
			setenv("COLUMNS", columns, 1);
		else
			unsetenv("COLUMNS");
		status = command(argc, argv);
		fflush(NULL);
		_exit(status);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return (struct run){ WEXITSTATUS(status), read_back(out), read_back(err) };
}

void run_free(struct run *r)
{
	free(r->out);
	free(r->err);
}

size_t lines_of(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

size_t widest(const char *text)
{
	char *copy = strdup(text), *save, *line;
	size_t most = 0;

	assert_non_null(copy);
	for (line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		size_t width = text_width(line);

		for (const char *c = line; *c; c++)
			assert_true((unsigned char)*c >= 0x20 && *c != 0x7f);
		assert_true(line[strlen(line) - 1] != ' ');
		most = width > most ? width : most;
	}
	free(copy);
	return most;
}

void assert_refused(struct run r, const char *word)
{
	assert_int_equal(r.exit_code, 1);
	assert_string_equal(r.out, "");
	assert_int_equal(lines_of(r.err), 1);
	assert_memory_equal(r.err, "kymo: ", 6);
	assert_non_null(strstr(r.err, word));
	run_free(&r);
}
