/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A streaming JSON writer onto a stdio stream: exports may be larger than
 * memory, which is why no document tree is built. Commas and nesting are kept
 * by the writer; a write error is kept and returned by json_end.
 */
#ifndef KYMO_BASE_JSON_H
#define KYMO_BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json {
	FILE *out; /* not owned */
	int depth;
	uint64_t has_items; /* a bit per depth; at most 63 deep (asserted) */
	bool after_key;
	int error; /* -errno of the first failed write */
};

void json_begin(struct json *j, FILE *out);
int json_end(struct json *j); /* newline, flush; 0 or -errno */
/*
 * A value in memory instead: json_text_begin gives the stream, json_text_end its text (without a
 * newline; the caller frees it) and closes it, also after an error. 0 or -errno.
 */
struct json_text {
	FILE *out;
	char *text;
	size_t size;
};
int json_text_begin(struct json_text *t, struct json *j);
int json_text_end(struct json_text *t, struct json *j, char **ret);
void json_object(struct json *j);
void json_object_end(struct json *j);
void json_array(struct json *j);
void json_array_end(struct json *j);
void json_key(struct json *j, const char *key);
void json_str(struct json *j, const char *value); /* NULL writes null */
void json_u64(struct json *j, uint64_t value);
void json_i64(struct json *j, int64_t value);
void json_double(struct json *j, double value); /* NaN and infinities write null */
void json_bool(struct json *j, bool value);
void json_null(struct json *j);

#endif
