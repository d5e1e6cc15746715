/* SPDX-License-Identifier: Apache-2.0 */
/* kymo export: the recording in the formats of other tools. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cmd/cmd.h"
#include "cmd/open.h"
#include "cmd/options.h"
#include "cmd/output.h"
#include "export/export.h"
#include "model/sample.h"

DEFINE_CLEANUP(struct profile *, profile_close);
DEFINE_CLEANUP(struct query_result *, query_free);

struct export_command {
	struct input_options input;
	const char *name; /* of the format; NULL = the output's ending tells */
	const struct exporter *format;
	const char *output; /* NULL, "-" = standard output */
	const char *title;
};

enum { KEY_TITLE = 0x200 };

static error_t choose_format(struct export_command *o, const char *name,
			     const struct argp_state *state)
{
	_cleanup_free_ char *message = NULL;

	o->format = exporter_choose(name, o->output, &message);
	if (!o->format)
		return options_error(state, "%s", message ? message : "out of memory");
	if (o->format->write_file && (!o->output || strcmp(o->output, "-") == 0))
		return options_error(state, "format %s needs a file: -o FILE%.*s", o->format->name,
				     (int)strcspn(o->format->endings, " "), o->format->endings);
	return 0;
}

static error_t export_parse(int key, char *arg, struct argp_state *state)
{
	struct export_command *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->input;
		return 0;
	case 'f':
		o->name = arg;
		return 0;
	case 'o':
		o->output = arg;
		return 0;
	case KEY_TITLE:
		o->title = arg;
		return 0;
	case ARGP_KEY_END:
		return choose_format(o, o->name, state);
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
		if (asprintf(&more, "%s  %-10s  %s\n", all ? all : "Formats:\n", e->name, e->help) <
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

int cmd_export(int argc, char **argv)
{
	_cleanup_(profile_closep) struct profile *p = NULL;
	_cleanup_(query_freep) struct query_result *result = NULL;
	struct export_command o = { 0 };
	struct query_selection sel;
	struct export_options options = { 0 };
	enum kymo_source source;
	int r = options_parse(&export_argp, 0, "export", argc, argv, &o);

	if (r)
		return r < 0;
	if (input_open(&o.input, &p) < 0 || input_select(&o.input, p, &sel) < 0)
		return 1;
	source = sel.value ? values[sel.value].source : KYMO_SOURCE_CPU;
	if (!input_has_source(p, source)) {
		log_error("%s: source %s was not recorded: nothing to export", profile_path(p),
			  source_names[source]);
		return 1;
	}
	if (input_query(p, &sel, &result) < 0)
		return 1;
	if (result->total.count == 0) {
		log_error("%s: no samples in this selection: nothing to export", profile_path(p));
		return 1;
	}
	options.title = o.title;
	if (!profile_ended(p))
		log_warning("%s: the recording did not end", profile_path(p));
	return output_export(o.output, o.format, p, &sel, result, &options) < 0;
}
