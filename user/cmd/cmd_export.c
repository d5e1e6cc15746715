/* SPDX-License-Identifier: Apache-2.0 */
/* kymo export: the recording in the formats of other tools. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
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

static const struct argp_child export_children[] = { { .argp = &input_value_argp }, { 0 } };

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
	FILE *file; /* onto fd */
	int fd;
	int error;		/* of the first failed write: stdio forgets it */
	char *path, *temporary; /* NULL for what is written directly */
};

static void output_release(struct output *o)
{
	if (o->temporary)
		unlink(o->temporary);
	if (o->file)
		fclose(o->file);
	closep(&o->fd);
	free(o->path);
	free(o->temporary);
}

static ssize_t output_write(void *cookie, const char *data, size_t size)
{
	struct output *o = cookie;

	if (o->error == 0)
		o->error = file_write_all(o->fd, data, size);
	return o->error == 0 ? (ssize_t)size : 0;
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

/* A descriptor of the new file, or -errno. */
static int open_beside(struct output *o, const char *path)
{
	int fd;

	o->path = strdup(path);
	if (!o->path || asprintf(&o->temporary, "%s.XXXXXX", path) < 0) {
		o->temporary = NULL;
		return -ENOMEM;
	}
	fd = mkostemp(o->temporary, O_CLOEXEC);
	if (fd < 0) {
		fd = -errno;
		free(TAKE_PTR(o->temporary));
		return fd;
	}
	set_usual_mode(fd);
	return fd;
}

/* The descriptor to write to, or -errno. */
static int open_output(struct output *o, const char *path)
{
	int fd;

	if (!path || strcmp(path, "-") == 0)
		fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	else if (is_special(path))
		fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	else
		return open_beside(o, path);
	return fd < 0 ? -errno : fd;
}

static int output_open(struct output *o, const char *path)
{
	static const cookie_io_functions_t functions = { .write = output_write };
	int fd = open_output(o, path);

	if (fd < 0)
		return fd;
	o->fd = fd;
	o->file = fopencookie(o, "w", functions);
	return o->file ? 0 : -ENOMEM;
}

static int output_finish(struct output *o)
{
	if (fflush(o->file) != 0 || ferror(o->file))
		return o->error ? o->error : -EIO;
	if (close(TAKE_FD(o->fd)) < 0) /* some file systems tell here that they are full */
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
	_cleanup_(output_release) struct output out = { .fd = -1 };
	const struct export_options options = { .title = o->title };
	int r = output_open(&out, o->output);

	if (r == 0)
		r = o->format->write(out.file, p, sel, result, &options);
	if (r == 0)
		r = output_finish(&out);
	return r < 0 ? output_failed(o->output, r) : 0;
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
	if (result->total.count == 0) {
		log_error("%s: no samples in this selection: nothing to export", profile_path(p));
		return 1;
	}
	if (!profile_ended(p))
		log_warning("%s: the recording did not end", profile_path(p));
	return export_to(&o, p, &sel, result) < 0;
}
