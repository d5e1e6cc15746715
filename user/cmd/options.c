/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "cmd/screen.h"
#include "model/sample.h"

#define PID_MAX 4194304 /* include/linux/threads.h */

/* What parsers return when the mistake has been told. */
#define TOLD ECANCELED

enum { KEY_HELP = 'h' };

struct wrapper {
	const char *name;
	void *input;
	bool help_shown;
	int next; /* argv's index behind what was wrong */
};

static error_t wrapper_parse(int key, char *arg, struct argp_state *state)
{
	struct wrapper *w = state->input;

	(void)arg;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = w->input;
		return 0;
	case KEY_HELP:
		/* Not argp's note on arguments of long options: our usage shows both forms. */
		setenv("ARGP_HELP_FMT", "no-dup-args-note", 1);
		argp_help(state->root_argp, stdout, ARGP_HELP_STD_HELP & ~ARGP_HELP_EXIT_OK,
			  state->name);
		w->help_shown = true;
		return TOLD;
	case ARGP_KEY_ERROR:
		w->next = state->next;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* "kymo report" is what usage lines say; in messages "kymo: " stands in front already. */
static const char *short_name(const char *name)
{
	return strncmp(name, "kymo ", 5) == 0 ? name + 5 : name;
}

static size_t count_matches(const struct argp_option *o, const char *name, size_t size,
			    bool *ret_value)
{
	size_t n = 0;

	for (; o && (o->name || o->key || o->doc); o++) {
		if (!o->name || strncmp(o->name, name, size) != 0)
			continue;
		*ret_value = o->arg;
		if (strlen(o->name) == size)
			return 1;
		n++;
	}
	return n;
}

static void tell_long_option(const struct wrapper *w, const struct argp *argp, const char *word)
{
	size_t size = strcspn(word + 2, "=");
	bool takes_value = false;
	size_t n = count_matches(argp->options, word + 2, size, &takes_value);

	for (const struct argp_child *c = argp->children; c && c->argp; c++)
		n += count_matches(c->argp->options, word + 2, size, &takes_value);
	if (n > 1)
		log_error("%s: option '%s' could mean several; see '%s --help'",
			  short_name(w->name), word, w->name);
	else if (n == 1 && takes_value)
		log_error("%s: option '%s' needs a value; see '%s --help'", short_name(w->name),
			  word, w->name);
	else if (n == 1)
		log_error("%s: option '%.*s' takes no value", short_name(w->name), (int)size + 2,
			  word);
	else
		log_error("%s: unknown option '%s'; see '%s --help'", short_name(w->name), word,
			  w->name);
}

static bool is_short_option(const struct argp *argp, char letter)
{
	for (const struct argp_option *o = argp->options; o && (o->name || o->key || o->doc); o++)
		if (o->key == letter)
			return true;
	for (const struct argp_child *c = argp->children; c && c->argp; c++)
		if (is_short_option(c->argp, letter))
			return true;
	return letter == KEY_HELP;
}

/* argp's own messages take two lines and name no remedy; what was wrong is found again here. */
static void tell_mistake(const struct wrapper *w, const struct argp *argp, int argc, char **argv)
{
	const char *word = w->next >= 1 && w->next <= argc ? argv[w->next - 1] : "";

	if (word[0] != '-' && w->next >= 1 && w->next < argc)
		word = argv[w->next]; /* stopped inside a bundle: -xyz */
	if (strncmp(word, "--", 2) == 0 && word[2]) {
		tell_long_option(w, argp, word);
		return;
	}
	for (const char *c = word + (*word == '-'); *c; c++)
		if (!is_short_option(argp, *c)) {
			log_error("%s: unknown option '-%c'; see '%s --help'", short_name(w->name),
				  *c, w->name);
			return;
		}
	log_error("%s: option '%s' needs a value; see '%s --help'", short_name(w->name), word,
		  w->name);
}

int options_parse(const struct argp *argp, unsigned flags, const char *name, int argc, char **argv,
		  void *input)
{
	static const struct argp_option help[] = {
		{ "help", KEY_HELP, NULL, 0, "Show this help", -1 },
		{ 0 },
	};
	_cleanup_free_ char *full_name = NULL;
	struct argp child = *argp;
	struct argp_child children[] = { { .argp = &child }, { 0 } };
	struct argp root = { .options = help,
			     .parser = wrapper_parse,
			     .args_doc = argp->args_doc,
			     .doc = argp->doc,
			     .children = children };
	struct wrapper w = { .input = input };
	char *own = argv[0];
	int r;

	if (asprintf(&full_name, *name ? "kymo %s" : "kymo%s", name) < 0) {
		full_name = NULL;
		log_error("out of memory");
		return -ENOMEM;
	}
	w.name = full_name;
	child.args_doc = NULL;
	child.doc = NULL;
	argv[0] = full_name;
	r = argp_parse(&root, argc, argv, flags | ARGP_NO_ERRS | ARGP_NO_HELP, NULL, &w);
	argv[0] = own;
	if (w.help_shown && (fflush(stdout) != 0 || ferror(stdout))) {
		r = output_failed(NULL, errno ? -errno : -EIO);
		return r < 0 ? r : 1;
	}
	if (w.help_shown)
		return 1;
	if (r == EINVAL)
		tell_mistake(&w, argp, argc, argv);
	else if (r && r != TOLD)
		log_error("%s: %s", short_name(full_name), strerror(r));
	return r ? -EINVAL : 0;
}

error_t options_error(const struct argp_state *state, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list args;

	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		text = NULL;
	va_end(args);
	log_error("%s: %s", short_name(state->name), text ? text : "out of memory");
	return TOLD;
}

error_t options_number(const struct argp_state *state, const char *what, const char *arg,
		       uint64_t min, uint64_t max, uint64_t *ret)
{
	int r = text_parse_u64(arg, min, max, ret);

	if (r == 0)
		return 0;
	return options_error(state, "%s takes a whole number from %llu to %llu, not '%s'", what,
			     (unsigned long long)min, (unsigned long long)max, arg);
}

error_t options_pids(const struct argp_state *state, char *list, uint32_t pids[OPTIONS_PIDS_MAX],
		     size_t *n)
{
	char *pid;
	uint64_t value;

	if (!*list)
		return options_error(state, "-p: no process given");
	while ((pid = strsep(&list, ","))) {
		error_t r = options_number(state, "-p", pid, 1, PID_MAX, &value);

		if (r)
			return r;
		if (*n == OPTIONS_PIDS_MAX)
			return options_error(state, "-p: more than %d processes", OPTIONS_PIDS_MAX);
		pids[(*n)++] = (uint32_t)value;
	}
	return 0;
}

unsigned options_source(const char *name)
{
	for (unsigned source = KYMO_SOURCE_CPU; source < KYMO_SOURCE_MAX; source++)
		if (strcmp(name, source_names[source]) == 0)
			return source;
	return 0;
}
