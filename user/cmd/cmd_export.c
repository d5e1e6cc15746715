/* SPDX-License-Identifier: Apache-2.0 */
/* kymo export: the recording in the formats of other tools. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cmd/cmd.h"
#include "cmd/open.h"
#include "cmd/options.h"
#include "cmd/screen.h"
#include "export/export.h"

DEFINE_CLEANUP(struct profile *, profile_close);
DEFINE_CLEANUP(struct query_result *, query_free);

struct export_command {
	struct input_options input;
	const struct exporter *format;
	const char *output; /* NULL, "-" = standard output */
	const char *title;
};

enum { KEY_TITLE = 0x200 };

static const char *format_names(char *out, size_t size)
{
	*out = '\0';
	for (const struct exporter *e = exporters; e->name; e++) {
		strncat(out, e == exporters ? "" : ", ", size - strlen(out) - 1);
		strncat(out, e->name, size - strlen(out) - 1);
	}
	return out;
}

static error_t export_parse(int key, char *arg, struct argp_state *state)
{
	struct export_command *o = state->input;
	char names[256];

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->input;
		return 0;
	case 'f':
		o->format = exporter_by_name(arg);
		if (!o->format)
			return options_error(state, "no format '%s'; there are: %s", arg,
					     format_names(names, sizeof(names)));
		return 0;
	case 'o':
		o->output = arg;
		return 0;
	case KEY_TITLE:
		o->title = arg;
		return 0;
	case ARGP_KEY_END:
		if (!o->format && o->output)
			o->format = exporter_by_ending(o->output);
		if (!o->format)
			return options_error(
				state,
				"which format? --format NAME, or -o FILE with its ending; "
				"there are: %s",
				format_names(names, sizeof(names)));
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option export_options[] = {
	{ "format", 'f', "NAME", 0, "The format; else OUTPUT's ending tells", 0 },
	{ "output", 'o', "OUTPUT", 0, "Write to this file (default, and -: standard output)", 0 },
	{ "title", KEY_TITLE, "TEXT", 0, "The title of a picture", 0 },
	{ 0 },
};

static const struct argp_child export_children[] = { { .argp = &input_selection_argp }, { 0 } };

/* The formats, from their own table, behind the options. */
static char *describe_formats(int key, const char *text, void *input)
{
	char *all = NULL, *more;

	(void)input;
	if (key != ARGP_KEY_HELP_POST_DOC)
		return (char *)text;
	for (const struct exporter *e = exporters; e->name; e++) {
		if (asprintf(&more, "%s  %-10s %s\n", all ? all : "Formats:\n", e->name, e->help) <
		    0)
			break;
		free(all);
		all = more;
	}
	return all;
}

static const struct argp export_argp = {
	.options = export_options,
	.parser = export_parse,
	.children = export_children,
	.args_doc = "[FILE]",
	.doc = "Writes a recording (default: profile.kymo) in a format that other tools read.",
	.help_filter = describe_formats,
};

/* ---- output ---- */

/* A new file beside the one asked for, which it replaces when it is whole. */
struct output {
	FILE *file;
	char *path, *temporary; /* NULL for what is written directly */
};

static void output_release(struct output *o)
{
	if (o->temporary)
		unlink(o->temporary);
	if (o->file && o->file != stdout)
		fclose(o->file);
	free(o->path);
	free(o->temporary);
}

static bool is_special(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

/* mkstemp's 0600 is for secrets; an export gets what any new file gets. */
static void set_usual_mode(int fd)
{
	mode_t mask = umask(0);

	umask(mask);
	(void)fchmod(fd, 0666 & ~mask);
}

static int output_open(struct output *o, const char *path)
{
	_cleanup_close_ int fd = -1;

	if (!path || strcmp(path, "-") == 0) {
		o->file = stdout;
		return 0;
	}
	if (is_special(path)) {
		o->file = fopen(path, "we");
		return o->file ? 0 : -errno;
	}
	if (asprintf(&o->temporary, "%s.XXXXXX", path) < 0) {
		o->temporary = NULL;
		return -ENOMEM;
	}
	o->path = strdup(path);
	fd = mkostemp(o->temporary, O_CLOEXEC);
	if (fd < 0) {
		int r = -errno;

		free(TAKE_PTR(o->temporary));
		return r;
	}
	set_usual_mode(fd);
	o->file = fdopen(fd, "w");
	if (!o->file || !o->path)
		return -ENOMEM;
	(void)TAKE_FD(fd);
	return 0;
}

static int output_finish(struct output *o)
{
	bool failed;

	errno = 0;
	failed = fflush(o->file) != 0 || ferror(o->file);
	if (failed)
		return -(errno ? errno : EIO);
	if (o->file != stdout && fclose(TAKE_PTR(o->file)) != 0)
		return -errno;
	if (!o->temporary)
		return 0;
	if (rename(o->temporary, o->path) < 0)
		return -errno;
	free(TAKE_PTR(o->temporary));
	return 0;
}

static int export_to(const struct export_command *o, struct profile *p,
		     const struct query_selection *sel, const struct query_result *result)
{
	_cleanup_(output_release) struct output out = { 0 };
	const struct export_options options = { .title = o->title };
	int r = output_open(&out, o->output);

	if (r == 0)
		r = o->format->write(out.file, p, sel, result, &options);
	if (r == 0)
		r = output_finish(&out);
	/* Whoever reads from us may have had enough. */
	if (r < 0 && errno == EPIPE && out.file == stdout)
		return 0;
	if (r < 0)
		log_error("cannot write %s: %s", o->output ? o->output : "to standard output",
			  strerror(-r));
	return r;
}

int cmd_export(int argc, char **argv)
{
	_cleanup_(profile_closep) struct profile *p = NULL;
	_cleanup_(query_freep) struct query_result *result = NULL;
	struct export_command o = { 0 };
	struct query_selection sel;
	int r = options_parse(&export_argp, 0, "export", argc, argv, &o);

	if (r)
		return r < 0;
	if (input_open(&o.input, &p) < 0 || input_select(&o.input, p, &sel) < 0 ||
	    input_query(p, &sel, &result) < 0)
		return 1;
	if (result->total.count == 0)
		log_warning("%s: no samples in this selection", profile_path(p));
	if (!profile_ended(p))
		log_warning("%s: the recording did not end", profile_path(p));
	return export_to(&o, p, &sel, result) < 0;
}
