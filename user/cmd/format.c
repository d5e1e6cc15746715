/* SPDX-License-Identifier: Apache-2.0 */
/* How figures and names look in a column. */
#include <errno.h>
#include <inttypes.h>
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

int append_name(struct buf *b, const char *name, size_t columns)
{
	static const char noise[] = ".<locals>";
	_cleanup_(release_buf) struct buf shorter = { 0 };
	const char *at;

	if (safe_width(name) <= columns || !strstr(name, noise))
		return append_text(b, name, columns, true);
	for (; (at = strstr(name, noise)); name = at + strlen(noise))
		if (buf_append(&shorter, name, (size_t)(at - name)) < 0)
			return -ENOMEM;
	if (buf_append_str(&shorter, name) < 0 || !buf_str(&shorter))
		return -ENOMEM;
	return append_text(b, buf_str(&shorter), columns, true);
}

size_t safe_width(const char *text)
{
	_cleanup_(release_buf) struct buf safe = { 0 };
	const char *s = text_append_terminal(&safe, text) == 0 ? buf_str(&safe) : NULL;

	return s ? text_width(s) : 0;
}

/* "file:line", "file", "binary" or "". */
static const char *where_text(const struct query_item *item, const char *path, struct buf *b)
{
	int r = 0;

	buf_clear(b);
	if (*item->file)
		r = item->line ? buf_printf(b, "%s:%" PRIu32, path, item->line)
			       : buf_append_str(b, path);
	else if (item->kind != FRAME_SYNTHETIC && strcmp(item->binary, KERNEL_PATH) != 0 &&
		 item->name[0] != '[') /* named after its binary */
		r = buf_append_str(b, query_base_name(item->binary));
	return r == 0 ? buf_str(b) : NULL;
}

size_t where_width(const struct query_item *item)
{
	_cleanup_(release_buf) struct buf b = { 0 };
	const char *text = where_text(item, query_short_path(item->file), &b);

	return text ? safe_width(text) : 0;
}

int append_where(struct buf *b, const struct query_item *item, size_t columns)
{
	_cleanup_(release_buf) struct buf shortened = { 0 };
	const char *path = query_short_path(item->file), *text = where_text(item, path, &shortened),
		   *slash;

	/* ".../views/list.py:12" tells more than a path cut in its middle. */
	while (text && safe_width(text) > columns && *item->file &&
	       (slash = strchr(path + 1, '/')) && slash[1]) {
		path = slash + 1;
		text = where_text(item, path, &shortened);
	}
	return text ? append_text(b, text, columns, false) : -ENOMEM;
}

const char *format_count(uint64_t n, char out[FORMAT_SIZE])
{
	char digits[24];
	int size = snprintf(digits, sizeof(digits), "%" PRIu64, n), used = 0;

	for (int i = 0; i < size; i++) {
		if (i && (size - i) % 3 == 0)
			out[used++] = ',';
		out[used++] = digits[i];
	}
	out[used] = '\0';
	return out;
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

const char *format_weight(uint64_t weight, unsigned source, char out[FORMAT_SIZE])
{
	char text[16];

	if (source == KYMO_SOURCE_FAULT || source == KYMO_SOURCE_IO)
		return strcpy(out, text_bytes(weight, text));
	return strcpy(out, text_duration(weight, text));
}

const char *format_wall(uint64_t wall_ns, char out[64])
{
	time_t seconds = (time_t)(wall_ns / NS_PER_SEC);
	struct tm tm;

	if (!localtime_r(&seconds, &tm) || strftime(out, 64, "%Y-%m-%d %H:%M:%S %Z", &tm) == 0)
		strcpy(out, "at an unknown time");
	return out;
}
