/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_read.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"

#define DEPTH_MAX 16

static const char *skip_space(const char *at)
{
	return at + strspn(at, " \t\r\n");
}

/* Behind a string's closing quote; NULL where it has none. */
static const char *skip_string(const char *at)
{
	for (at++; *at && *at != '"'; at++)
		if (*at == '\\' && !*++at)
			return NULL;
	return *at ? at + 1 : NULL;
}

static const char *skip_value(const char *at, int depth);

/* Behind the closing bracket; `at` stands on the opening one. */
static const char *skip_list(const char *at, int depth)
{
	bool object = *at == '{';
	char close = object ? '}' : ']';

	if (depth >= DEPTH_MAX)
		return NULL;
	at = skip_space(at + 1);
	if (*at == close)
		return at + 1;
	for (;;) {
		if (object) {
			at = *at == '"' ? skip_string(at) : NULL;
			at = at ? skip_space(at) : NULL;
			if (!at || *at != ':')
				return NULL;
			at = skip_space(at + 1);
		}
		at = skip_value(at, depth + 1);
		if (!at)
			return NULL;
		at = skip_space(at);
		if (*at == close)
			return at + 1;
		if (*at != ',')
			return NULL;
		at = skip_space(at + 1);
	}
}

static const char *skip_value(const char *at, int depth)
{
	size_t size;

	if (*at == '"')
		return skip_string(at);
	if (*at == '{' || *at == '[')
		return skip_list(at, depth);
	size = strspn(at, "+-.0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
	return size ? at + size : NULL;
}

static bool is_key(const char *at, const char *key)
{
	_cleanup_(buf_release) struct buf text = { 0 };

	return json_get_text(at, &text) == 0 && buf_str(&text) && strcmp(buf_str(&text), key) == 0;
}

const char *json_member(const char *object, const char *key)
{
	const char *at = object ? skip_space(object) : "";

	if (*at != '{')
		return NULL;
	for (at = skip_space(at + 1); *at == '"'; at = skip_space(at + 1)) {
		const char *name = at;

		at = skip_string(at);
		at = at ? skip_space(at) : NULL;
		if (!at || *at != ':')
			return NULL;
		at = skip_space(at + 1);
		if (is_key(name, key))
			return skip_value(at, 0) ? at : NULL;
		at = skip_value(at, 0);
		at = at ? skip_space(at) : NULL;
		if (!at || *at != ',')
			return NULL;
	}
	return NULL;
}

const char *json_element(const char *array, size_t index)
{
	const char *at = array ? skip_space(array) : "";

	if (*at != '[')
		return NULL;
	for (at = skip_space(at + 1); *at && *at != ']'; at = skip_space(at + 1)) {
		const char *end = skip_value(at, 0);

		if (!end || index-- == 0)
			return end ? at : NULL;
		at = skip_space(end);
		if (*at != ',')
			return NULL;
	}
	return NULL;
}

bool json_get_number(const char *value, double *ret)
{
	char *end;
	double v;

	if (!value || (*value != '-' && (*value < '0' || *value > '9')))
		return false;
	v = strtod(value, &end);
	if (end == value || !isfinite(v))
		return false;
	*ret = v;
	return true;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

/* Four hexadecimal digits; -1. */
static int32_t read_hex(const char *at)
{
	int32_t v = 0;

	for (int i = 0; i < 4; i++) {
		int digit = hex_digit(at[i]);

		if (digit < 0)
			return -1;
		v = v << 4 | digit;
	}
	return v;
}

static int append_code_point(struct buf *out, uint32_t c)
{
	const char utf8[4][4] = {
		{ (char)c },
		{ (char)(0xc0 | c >> 6), (char)(0x80 | (c & 0x3f)) },
		{ (char)(0xe0 | c >> 12), (char)(0x80 | (c >> 6 & 0x3f)),
		  (char)(0x80 | (c & 0x3f)) },
		{ (char)(0xf0 | c >> 18), (char)(0x80 | (c >> 12 & 0x3f)),
		  (char)(0x80 | (c >> 6 & 0x3f)), (char)(0x80 | (c & 0x3f)) },
	};
	size_t size = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

	return buf_append(out, utf8[size - 1], size);
}

/* "\uD83D\uDE00" and its like; *at stands on the u, then on the last digit. */
static int append_escaped(struct buf *out, const char **at)
{
	int32_t c = read_hex(*at + 1), low;

	if (c < 0)
		return -EINVAL;
	*at += 4;
	if (c >= 0xd800 && c < 0xdc00 && (*at)[1] == '\\' && (*at)[2] == 'u') {
		low = read_hex(*at + 3);
		if (low >= 0xdc00 && low < 0xe000) {
			c = 0x10000 + ((c & 0x3ff) << 10) + (low & 0x3ff);
			*at += 6;
		}
	}
	if (c == 0 || (c >= 0xd800 && c < 0xe000))
		c = 0xfffd;
	return append_code_point(out, (uint32_t)c);
}

int json_get_text(const char *value, struct buf *out)
{
	static const char escapes[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
	_cleanup_(buf_release) struct buf raw = { 0 };
	int r = 0;

	if (!value || *value != '"' || !skip_string(value))
		return -EINVAL;
	for (const char *at = value + 1; *at != '"' && r == 0; at++) {
		const char *escape = *at == '\\' ? strchr(escapes, at[1]) : NULL;

		if (*at != '\\') {
			r = buf_append(&raw, at, 1);
			continue;
		}
		at++;
		if (*at == 'u')
			r = append_escaped(&raw, &at);
		else
			r = escape ? buf_append(&raw, &meant[escape - escapes], 1) : -EINVAL;
	}
	return r < 0 ? r : text_append_utf8(out, raw.data, raw.size);
}
