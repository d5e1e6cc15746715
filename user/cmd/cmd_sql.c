/* SPDX-License-Identifier: Apache-2.0 */
/* kymo sql: a statement over the recording's tables. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/open.h"
#include "cmd/options.h"
#include "cmd/screen.h"
#include "cmd/sql_table.h"
#include "query/plain.h"

#define STATEMENT_BYTES_MAX (1 << 20)

DEFINE_CLEANUP(struct profile *, profile_close);
DEFINE_CLEANUP(struct plain *, plain_close);

struct sql_command {
	struct input_options input;
	enum { FORM_TABLE, FORM_CSV, FORM_JSON } form;
	const char *words[2];
	size_t words_n;
};

enum { KEY_CSV = 0x300, KEY_JSON_ROWS };

static error_t sql_parse(int key, char *arg, struct argp_state *state)
{
	struct sql_command *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->input;
		return 0;
	case KEY_CSV:
		o->form = FORM_CSV;
		return 0;
	case KEY_JSON_ROWS:
		o->form = FORM_JSON;
		return 0;
	case ARGP_KEY_ARG:
		if (o->words_n == 2)
			return options_error(
				state, "FILE and one 'STATEMENT' (in quotes), not also '%s'", arg);
		o->words[o->words_n++] = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option sql_options[] = {
	{ "csv", KEY_CSV, NULL, 0, "Comma-separated values, the names first", 0 },
	{ "json", KEY_JSON_ROWS, NULL, 0, "For programs: one JSON object", 0 },
	{ 0 },
};

static const struct argp_child sql_children[] = { { .argp = &input_selection_argp }, { 0 } };

static const struct argp sql_argp = {
	.options = sql_options,
	.parser = sql_parse,
	.children = sql_children,
	.args_doc = "FILE ['STATEMENT' | -]",
	.doc = "Runs a SELECT over a recording: samples, ticks, processes and all else as tables.\v"
	       "Without a statement: the tables and their columns. '-' takes the statement from "
	       "standard input. Nothing can be changed. With --pid, --comm, --since or --until the "
	       "tables have that part of the recording alone.\n\n"
	       "  kymo sql FILE 'SELECT function, sum(weight) / 1e9 AS s FROM sample_named\n"
	       "                 GROUP BY 1 ORDER BY 2 DESC LIMIT 10'",
};

/* ---- programs' forms ---- */

/* A program gets what is there; a terminal is not told what to do by a name that was recorded. */
static char *csv_for_terminal(const char *text, size_t size)
{
	struct buf utf8 = { 0 }, safe = { 0 };
	int r = text_append_utf8(&utf8, text, size);

	if (r == 0)
		r = buf_str(&utf8) ? text_append_terminal(&safe, buf_str(&utf8)) : -ENOMEM;
	buf_release(&utf8);
	if (r == 0 && buf_str(&safe))
		return (char *)safe.data;
	buf_release(&safe);
	return NULL;
}

static void write_csv_text(FILE *out, const char *text, size_t size)
{
	_cleanup_free_ char *shown = isatty(fileno(out)) ? csv_for_terminal(text, size) : NULL;
	bool quote;

	if (shown) {
		text = shown;
		size = strlen(shown);
	}
	quote = size == 0;
	for (size_t i = 0; i < size && !quote; i++)
		quote = strchr(",\"\r\n", text[i]) != NULL; /* a NUL, too */
	if (!quote) {
		fwrite(text, 1, size, out);
		return;
	}
	fputc('"', out);
	for (size_t i = 0; i < size; i++) {
		if (text[i] == '"')
			fputc('"', out);
		fputc(text[i], out);
	}
	fputc('"', out);
}

static void write_csv_value(FILE *out, const struct plain_value *v)
{
	switch (v->type) {
	case PLAIN_NULL: /* nothing; an empty text is "" */
		break;
	case PLAIN_INTEGER:
		fprintf(out, "%" PRId64, v->integer);
		break;
	case PLAIN_REAL:
		fprintf(out, "%.15g", v->real);
		break;
	case PLAIN_TEXT:
		write_csv_text(out, v->data, v->size);
		break;
	case PLAIN_BLOB:
		for (size_t i = 0; i < v->size; i++)
			fprintf(out, "%02x", (unsigned char)v->data[i]);
	}
}

static int write_csv(struct plain *q, FILE *out)
{
	size_t n = plain_columns(q);
	int r;

	for (size_t i = 0; i < n; i++) {
		const char *name = plain_column_name(q, i);

		fputs(i ? "," : "", out);
		write_csv_text(out, name, strlen(name));
	}
	fputs("\r\n", out);
	while ((r = plain_step(q)) > 0) {
		for (size_t i = 0; i < n; i++) {
			struct plain_value v = plain_value(q, i);

			fputs(i ? "," : "", out);
			write_csv_value(out, &v);
		}
		fputs("\r\n", out);
	}
	return r;
}

static int write_json_blob(struct json *j, const struct plain_value *v)
{
	_cleanup_free_ char *text = malloc(2 * v->size + 1);

	if (!text)
		return -ENOMEM;
	*text = '\0';
	for (size_t i = 0; i < v->size; i++)
		snprintf(text + 2 * i, 3, "%02x", (unsigned char)v->data[i]);
	json_str(j, text);
	return 0;
}

static int write_json_value(struct json *j, const struct plain_value *v)
{
	struct buf text = { 0 };
	int r = 0;

	switch (v->type) {
	case PLAIN_NULL:
		json_null(j);
		break;
	case PLAIN_INTEGER:
		json_i64(j, v->integer);
		break;
	case PLAIN_REAL:
		json_double(j, v->real);
		break;
	case PLAIN_BLOB:
		return write_json_blob(j, v);
	case PLAIN_TEXT: /* a statement makes any bytes: CAST(x'00ff' AS TEXT) */
		r = text_append_utf8(&text, v->data, v->size);
		if (r == 0)
			json_str(j, text.size ? buf_str(&text) : "");
	}
	buf_release(&text);
	return r;
}

static int write_json(struct plain *q, FILE *out)
{
	size_t n = plain_columns(q);
	struct json j;
	int r, e = 0;

	json_begin(&j, out);
	json_object(&j);
	json_key(&j, "columns");
	json_array(&j);
	for (size_t i = 0; i < n; i++)
		json_str(&j, plain_column_name(q, i));
	json_array_end(&j);
	json_key(&j, "rows");
	json_array(&j);
	while ((r = plain_step(q)) > 0 && e == 0) {
		json_array(&j);
		for (size_t i = 0; i < n && e == 0; i++) {
			struct plain_value v = plain_value(q, i);

			e = write_json_value(&j, &v);
		}
		json_array_end(&j);
	}
	if (r < 0 || e < 0)
		return r < 0 ? r : e; /* not closed: no reader takes half of it for the whole */
	json_array_end(&j);
	json_object_end(&j);
	json_end(&j);
	return 0;
}

/* ---- the command ---- */

static int list_tables(void)
{
	struct plain_description d;
	struct screen s;

	screen_init(&s, stdout, 80);
	for (size_t i = 0; plain_describe(i, &d); i++) {
		_cleanup_free_ char *columns = d.columns;

		print_cut(&s, STYLE_BOLD, "%-13s %s", d.name, d.help);
		sql_print_columns(&s, columns ? columns : "");
	}
	puts("\nstack_text(STACK): its frames in one text, the outermost first");
	return screen_finish(&s);
}

/* The statement: the word itself, or standard input. NULL = told. */
static char *read_statement(const char *word)
{
	struct buf b = { 0 };
	char chunk[4096];
	size_t n;

	if (strcmp(word, "-") != 0)
		return strdup(word);
	while ((n = fread(chunk, 1, sizeof(chunk), stdin)) > 0)
		if (memchr(chunk, '\0', n) || b.size + n > STATEMENT_BYTES_MAX ||
		    buf_append(&b, chunk, n) < 0)
			break;
	if (n > 0 || ferror(stdin) || !buf_str(&b)) {
		log_error("sql: standard input is no statement: %s",
			  ferror(stdin) ? strerror(errno) : "too long, or not text");
		buf_release(&b);
		return NULL;
	}
	return (char *)b.data;
}

static int run_statement(const struct sql_command *o, struct profile *p, const char *sql)
{
	_cleanup_(plain_closep) struct plain *q = NULL;
	_cleanup_free_ char *message = NULL;
	struct query_selection sel;
	struct screen s;
	int r;

	if (input_select(&o->input, p, &sel) < 0)
		return 1;
	if (plain_open(p, &sel, &q, &message) < 0) {
		log_error("%s", message ? message : "out of memory");
		return 1;
	}
	screen_init(&s, stdout, 80);
	r = plain_prepare(q, sql);
	if (r == 0)
		r = o->form == FORM_CSV	   ? write_csv(q, stdout)
		    : o->form == FORM_JSON ? write_json(q, stdout)
					   : sql_print_table(&s, q);
	if (screen_finish(&s))
		return 1;
	if (r < 0) {
		log_error("sql: %s", plain_message(q));
		return 1;
	}
	if (plain_damaged_ticks(q))
		log_warning("%s: the samples of %u ticks are damaged and left out", profile_path(p),
			    plain_damaged_ticks(q));
	return 0;
}

int cmd_sql(int argc, char **argv)
{
	_cleanup_(profile_closep) struct profile *p = NULL;
	_cleanup_free_ char *sql = NULL;
	struct sql_command o = { 0 };
	int r = options_parse(&sql_argp, 0, "sql", argc, argv, &o);

	if (r)
		return r < 0;
	o.input.path = o.words[0];
	if (input_open(&o.input, &p) < 0)
		return 1;
	if (o.words_n < 2)
		return list_tables();
	sql = read_statement(o.words[1]);
	return sql ? run_statement(&o, p, sql) : 1;
}
