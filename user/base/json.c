/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

static void note(struct json *j, int r)
{
	if (r < 0 && !j->error)
		j->error = errno ? -errno : -EIO;
}

static void separate(struct json *j)
{
	uint64_t bit = 1ULL << j->depth;

	if (j->after_key) {
		j->after_key = false;
		return;
	}
	if (j->has_items & bit)
		note(j, fputc(',', j->out));
	j->has_items |= bit;
}

void json_begin(struct json *j, FILE *out)
{
	*j = (struct json){ .out = out };
}

int json_end(struct json *j)
{
	assert(j->depth == 0);
	note(j, fputc('\n', j->out));
	note(j, fflush(j->out));
	return j->error;
}

int json_text_begin(struct json_text *t, struct json *j)
{
	*t = (struct json_text){ 0 };
	t->out = open_memstream(&t->text, &t->size);
	if (!t->out)
		return -ENOMEM;
	json_begin(j, t->out);
	return 0;
}

int json_text_end(struct json_text *t, struct json *j, char **ret)
{
	int r = json_end(j);

	if (fclose(t->out) != 0 && r == 0)
		r = -ENOMEM;
	if (r < 0) {
		free(t->text);
		return r;
	}
	t->text[strcspn(t->text, "\n")] = '\0'; /* a value, not a line */
	*ret = t->text;
	return 0;
}

static void open_nest(struct json *j, char c)
{
	separate(j);
	note(j, fputc(c, j->out));
	j->depth++;
	assert(j->depth < 64);
	j->has_items &= ~(1ULL << j->depth);
}

static void close_nest(struct json *j, char c)
{
	assert(j->depth > 0 && !j->after_key);
	j->depth--;
	note(j, fputc(c, j->out));
}

void json_object(struct json *j)
{
	open_nest(j, '{');
}

void json_object_end(struct json *j)
{
	close_nest(j, '}');
}

void json_array(struct json *j)
{
	open_nest(j, '[');
}

void json_array_end(struct json *j)
{
	close_nest(j, ']');
}

static void write_string(struct json *j, const char *value)
{
	struct buf text = { 0 };

	if (text_append_json(&text, value) < 0)
		j->error = j->error ? j->error : -ENOMEM;
	else if (fwrite(text.data, 1, text.size, j->out) != text.size)
		note(j, -1);
	buf_release(&text);
}

void json_key(struct json *j, const char *key)
{
	separate(j);
	write_string(j, key);
	note(j, fputc(':', j->out));
	j->after_key = true;
}

void json_str(struct json *j, const char *value)
{
	if (!value) {
		json_null(j);
		return;
	}
	separate(j);
	write_string(j, value);
}

void json_u64(struct json *j, uint64_t value)
{
	separate(j);
	note(j, fprintf(j->out, "%" PRIu64, value));
}

void json_i64(struct json *j, int64_t value)
{
	separate(j);
	note(j, fprintf(j->out, "%" PRId64, value));
}

void json_double(struct json *j, double value)
{
	if (!isfinite(value)) {
		json_null(j);
		return;
	}
	separate(j);
	note(j, fprintf(j->out, "%.17g", value));
}

void json_bool(struct json *j, bool value)
{
	separate(j);
	note(j, fputs(value ? "true" : "false", j->out));
}

void json_null(struct json *j)
{
	separate(j);
	note(j, fputs("null", j->out));
}
