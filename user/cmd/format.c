/* SPDX-License-Identifier: Apache-2.0 */
/* How figures and names look in a column. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "cmd/screen.h"
#include "query/query.h"

/* The binary that the kernel's own functions belong to: their kind has said so. */
#define KERNEL_PATH "[kernel]"

static void release_buf(struct buf *b)
{
	buf_release(b);
}

int append_text(struct buf *b, const char *text, size_t columns, bool pad)
{
	_cleanup_(release_buf) struct buf safe = { 0 };
	int r = text_append_terminal(&safe, text);
	const char *s = r == 0 ? buf_str(&safe) : NULL;

	return s ? text_append_fit(b, s, columns, pad) : -ENOMEM;
}

size_t safe_width(const char *text)
{
	_cleanup_(release_buf) struct buf safe = { 0 };
	const char *s = text_append_terminal(&safe, text) == 0 ? buf_str(&safe) : NULL;

	return s ? text_width(s) : 0;
}

static bool is_named_after_binary(const struct query_item *item)
{
	return item->name[0] == '[';
}

bool item_shows_binary(const struct query_item *item)
{
	return !*item->file && *item->binary && item->kind != FRAME_SYNTHETIC &&
	       strcmp(item->binary, KERNEL_PATH) != 0 &&
	       (!is_named_after_binary(item) || strchr(item->binary, '/'));
}

/* "file:line", "file" or the path itself. */
static const char *where_text(const struct query_item *item, const char *path, struct buf *b)
{
	int r;

	buf_clear(b);
	if (*item->file && item->line)
		r = buf_printf(b, "%s:%" PRIu32, path, item->line);
	else
		r = buf_append_str(b, path);
	return r == 0 ? buf_str(b) : NULL;
}

size_t where_width(const struct query_item *item, const char *tail)
{
	_cleanup_(release_buf) struct buf b = { 0 };
	const char *text = "";

	if (*item->file)
		text = where_text(item, query_short_path(item->file), &b);
	else if (item_shows_binary(item))
		text = tail;
	return text ? safe_width(text) : 0;
}

/* "chroot/.../libc.so.6": what tells a tail from others stands in its first folder. */
static const char *without_middle(const char *tail, struct buf *b)
{
	const char *slash = strchr(tail + 1, '/');

	buf_clear(b);
	if (!slash || slash + 1 == query_base_name(tail))
		return tail;
	if (buf_append(b, tail, (size_t)(slash - tail)) < 0 ||
	    buf_printf(b, "/\xe2\x80\xa6/%s", query_base_name(tail)) < 0)
		return NULL;
	return buf_str(b);
}

static int append_binary(struct buf *b, const struct query_item *item, const char *tail,
			 size_t columns)
{
	_cleanup_(release_buf) struct buf shortened = { 0 };
	const char *text = is_named_after_binary(item) ? item->binary : tail;

	while (text < tail && safe_width(text) > columns)
		text = strchr(text + 1, '/') && strchr(text + 1, '/') < tail
			       ? strchr(text + 1, '/') + 1
			       : tail;
	if (text == query_base_name(text) && is_named_after_binary(item))
		text = ""; /* the name has said so */
	else if (safe_width(text) > columns)
		text = without_middle(text, &shortened);
	return text ? append_text(b, text, columns, false) : -ENOMEM;
}

int append_where(struct buf *b, const struct query_item *item, const char *tail, size_t columns)
{
	_cleanup_(release_buf) struct buf shortened = { 0 };
	const char *path, *text, *slash;

	if (!*item->file)
		return item_shows_binary(item) ? append_binary(b, item, tail, columns)
					       : append_text(b, "", columns, false);
	path = query_short_path(item->file);
	text = where_text(item, path, &shortened);
	/* ".../views/list.py:12" tells more than a path cut in its middle. */
	while (text && safe_width(text) > columns && (slash = strchr(path + 1, '/')) && slash[1]) {
		path = slash + 1;
		text = where_text(item, path, &shortened);
	}
	return text ? append_text(b, text, columns, false) : -ENOMEM;
}

/* ---- tails ---- */

/* From the last byte on: paths with the same end become neighbours. */
static int compare_ends(const char *a, const char *b)
{
	size_t i = strlen(a), k = strlen(b);

	while (i > 0 && k > 0)
		if (a[--i] != b[--k])
			return (unsigned char)a[i] < (unsigned char)b[k] ? -1 : 1;
	return i ? 1 : k ? -1 : 0;
}

static int compare_tails(const void *pa, const void *pb)
{
	return compare_ends(**(const char **const *)pa, **(const char **const *)pb);
}

/* Where the folders begin that path and other do not have in common; path itself when other ends in all of it. */
static const char *differing_tail(const char *path, const char *other)
{
	size_t i = strlen(path), k = strlen(other);

	while (i > 0 && k > 0 && path[i - 1] == other[k - 1])
		i--, k--;
	while (i > 0 && path[i - 1] != '/')
		i--;
	return path + i;
}

int path_tails(const char **paths, size_t n)
{
	_cleanup_free_ const char ***sorted = calloc(n + 1, sizeof(*sorted));
	_cleanup_free_ const char **tails = calloc(n + 1, sizeof(*tails));

	if (!sorted || !tails)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		sorted[i] = &paths[i];
	qsort(sorted, n, sizeof(*sorted), compare_tails);
	for (size_t i = 0, first, last; i < n; i = last) {
		const char *path = *sorted[i], *tail = query_base_name(path), *with;

		for (first = last = i; last < n && strcmp(*sorted[last], path) == 0;)
			last++;
		if (first > 0 && (with = differing_tail(path, *sorted[first - 1])) < tail)
			tail = with;
		if (last < n && (with = differing_tail(path, *sorted[last])) < tail)
			tail = with;
		for (size_t k = first; k < last; k++)
			tails[sorted[k] - paths] = *sorted[k] + (tail - path);
	}
	memcpy(paths, tails, n * sizeof(*paths));
	return 0;
}

static const char *scale(double value, double base, char out[FORMAT_SIZE])
{
	static const char units[] = "\0KMGTPE";
	size_t unit = 0;

	while (value >= 9999.5 || (unit && value >= base && unit + 2 < sizeof(units))) {
		if (unit + 2 >= sizeof(units))
			break;
		value /= base;
		unit++;
	}
	if (!unit)
		snprintf(out, FORMAT_SIZE, "%.0f", value);
	else
		snprintf(out, FORMAT_SIZE, value < 99.95 ? "%.1f%c" : "%.0f%c", value, units[unit]);
	return out;
}

const char *format_short(double value, char out[FORMAT_SIZE])
{
	return scale(value, 1000, out);
}

const char *format_short_bytes(double bytes, char out[FORMAT_SIZE])
{
	return scale(bytes, 1024, out);
}

const char *format_percent(double part, double whole, char out[FORMAT_SIZE])
{
	if (whole <= 0)
		return strcpy(out, "-");
	snprintf(out, FORMAT_SIZE, "%.1f%%", part * 100 / whole);
	return out;
}

const char *format_weight(uint64_t weight, unsigned value, char out[FORMAT_SIZE])
{
	char text[16];

	if (strcmp(values[value].unit, "bytes") == 0)
		return strcpy(out, text_bytes(weight, text));
	if (strcmp(values[value].unit, "count") == 0)
		return format_short((double)weight, out);
	return strcpy(out, text_duration(weight, text));
}

const char *weight_title(unsigned value)
{
	return strcmp(values[value].unit, "ns") == 0 ? "time" : values[value].unit;
}

const char *format_wall(uint64_t wall_ns, char out[64])
{
	time_t seconds = (time_t)(wall_ns / NS_PER_SEC);
	struct tm tm;

	if (!localtime_r(&seconds, &tm) || strftime(out, 64, "%Y-%m-%d %H:%M:%S %Z", &tm) == 0)
		strcpy(out, "at an unknown time");
	return out;
}
