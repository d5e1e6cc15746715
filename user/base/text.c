/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

/* One character of UTF-8 (RFC 3629: no overlong forms, no surrogates). Bytes taken, 0 = invalid. */
static size_t decode(const uint8_t *p, size_t size, uint32_t *ret)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = p[0] < 0x80	     ? 1
		   : p[0] >> 5 == 6  ? 2
		   : p[0] >> 4 == 14 ? 3
		   : p[0] >> 3 == 30 ? 4
				     : 0;
	uint32_t c;

	if (!n || n > size)
		return 0;
	c = n == 1 ? p[0] : p[0] & (0x7fU >> n);
	for (size_t i = 1; i < n; i++) {
		if (p[i] >> 6 != 2)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	*ret = c;
	return n;
}

int text_append_utf8(struct buf *b, const void *text, size_t size)
{
	const uint8_t *p = text;

	while (size > 0) {
		uint32_t c;
		size_t n = decode(p, size, &c);
		int r = n && c ? buf_append(b, p, n) : buf_append_str(b, "\xef\xbf\xbd");

		if (r < 0)
			return r;
		n = n ? n : 1;
		p += n;
		size -= n;
	}
	return 0;
}

/* Characters that move the cursor, hide or reorder what a person reads. */
static bool is_unsafe(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x061c || c == 0x200e || c == 0x200f ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

static int append_safe(struct buf *b, const char *text, char from, char to)
{
	const uint8_t *p = (const uint8_t *)text;
	size_t size = strlen(text);

	while (size > 0) {
		uint32_t c = 0;
		size_t n = decode(p, size, &c);
		int r;

		if (!n || (n == 1 && is_unsafe(c)))
			r = buf_printf(b, "\\x%02x", *p);
		else if (is_unsafe(c))
			r = buf_printf(b, "\\u{%04x}", c);
		else if (n == 1 && from && c == (uint32_t)from)
			r = buf_append(b, &to, 1);
		else
			r = buf_append(b, p, n);
		if (r < 0)
			return r;
		n = n ? n : 1;
		p += n;
		size -= n;
	}
	return 0;
}

int text_append_terminal(struct buf *b, const char *text)
{
	return append_safe(b, text, 0, 0);
}

int text_append_folded(struct buf *b, const char *text)
{
	return append_safe(b, text, ';', ',');
}

static int append_xml_char(struct buf *b, const uint8_t *p, size_t n, uint32_t c)
{
	switch (c) {
	case '&':
		return buf_append_str(b, "&amp;");
	case '<':
		return buf_append_str(b, "&lt;");
	case '>':
		return buf_append_str(b, "&gt;");
	case '"':
		return buf_append_str(b, "&quot;");
	case '\'':
		return buf_append_str(b, "&#39;");
	}
	/* XML 1.0 (2.2): no C0 but tab and newlines, no U+FFFE and U+FFFF; and nothing that hides or reorders others */
	if ((is_unsafe(c) && c != '\t' && c != '\n') || c == 0xfffe || c == 0xffff)
		return buf_append_str(b, "\xef\xbf\xbd");
	return buf_append(b, p, n);
}

int text_append_xml(struct buf *b, const char *text)
{
	const uint8_t *p = (const uint8_t *)text;
	size_t size = strlen(text);

	while (size > 0) {
		uint32_t c = 0;
		size_t n = decode(p, size, &c);
		int r = n ? append_xml_char(b, p, n, c) : buf_append_str(b, "\xef\xbf\xbd");

		if (r < 0)
			return r;
		n = n ? n : 1;
		p += n;
		size -= n;
	}
	return 0;
}

int text_append_json(struct buf *b, const char *text)
{
	const uint8_t *p = (const uint8_t *)text;
	size_t size = strlen(text);
	int r = buf_append(b, "\"", 1);

	while (size > 0 && r == 0) {
		uint32_t c = 0;
		size_t n = decode(p, size, &c);

		if (!n)
			r = buf_append_str(b, "\xef\xbf\xbd");
		else if (c == '"' || c == '\\')
			r = buf_printf(b, "\\%c", (int)c);
		else if (is_unsafe(c))
			r = buf_printf(b, "\\u%04x", c);
		else
			r = buf_append(b, p, n);
		n = n ? n : 1;
		p += n;
		size -= n;
	}
	return r < 0 ? r : buf_append(b, "\"", 1);
}

/* East Asian wide and emoji blocks (Unicode TR 11, coarse); combining marks take none. */
static size_t char_width(uint32_t c)
{
	if ((c >= 0x300 && c <= 0x36f) || (c >= 0x200b && c <= 0x200f) ||
	    (c >= 0xfe00 && c <= 0xfe0f))
		return 0;
	if ((c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf) ||
	    (c >= 0xac00 && c <= 0xd7a3) || (c >= 0xf900 && c <= 0xfaff) ||
	    (c >= 0xfe30 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff60) ||
	    (c >= 0xffe0 && c <= 0xffe6) || (c >= 0x1f300 && c <= 0x1faff) ||
	    (c >= 0x20000 && c <= 0x3fffd))
		return 2;
	return 1;
}

size_t text_width(const char *text)
{
	const uint8_t *p = (const uint8_t *)text;
	size_t size = strlen(text), width = 0;

	while (size > 0) {
		uint32_t c = 0;
		size_t n = decode(p, size, &c);

		width += n ? char_width(c) : 1;
		n = n ? n : 1;
		p += n;
		size -= n;
	}
	return width;
}

/* The longest start of text within `columns`; its bytes, and its columns in *ret_width. */
static size_t head_bytes(const char *text, size_t columns, size_t *ret_width)
{
	const uint8_t *p = (const uint8_t *)text;
	size_t size = strlen(text), width = 0, taken = 0;

	while (size > 0) {
		uint32_t c = 0;
		size_t n = decode(p + taken, size, &c);
		size_t w = n ? char_width(c) : 1;

		if (width + w > columns)
			break;
		width += w;
		n = n ? n : 1;
		taken += n;
		size -= n;
	}
	*ret_width = width;
	return taken;
}

/* Where the longest end of text within `columns` starts. */
static const char *tail_of(const char *text, size_t columns, size_t *ret_width)
{
	size_t width = text_width(text), skipped, w;

	while (width > columns) {
		skipped = head_bytes(text, 1, &w);
		if (!skipped)
			skipped = head_bytes(text, 2, &w);
		text += skipped;
		width -= w;
	}
	*ret_width = width;
	return text;
}

static int append_cut(struct buf *b, const char *text, size_t columns, size_t *ret_width)
{
	size_t head_width, tail_width, head;
	const char *tail;
	int r;

	*ret_width = 0;
	if (!columns)
		return 0;
	head = head_bytes(text, columns / 2, &head_width);
	tail = tail_of(text + head, columns - 1 - head_width, &tail_width);
	*ret_width = head_width + 1 + tail_width;
	r = buf_append(b, text, head);
	if (r == 0)
		r = buf_append_str(b, "\xe2\x80\xa6"); /* the ellipsis */
	return r == 0 ? buf_append_str(b, tail) : r;
}

int text_append_fit(struct buf *b, const char *text, size_t columns, bool pad)
{
	size_t width = text_width(text);
	int r = width <= columns ? buf_append_str(b, text) : append_cut(b, text, columns, &width);

	for (; r == 0 && pad && width < columns; width++)
		r = buf_append(b, " ", 1);
	return r;
}

int text_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (!*text)
		return -EINVAL;
	for (const char *p = text; *p; p++) {
		if (*p < '0' || *p > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return -ERANGE;
	}
	if (v < min || v > max)
		return -ERANGE;
	*ret = v;
	return 0;
}

const char *text_bytes(uint64_t bytes, char out[16])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double v = (double)bytes;
	size_t unit = 0;

	while (v >= 1023.5 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		v /= 1024;
		unit++;
	}
	snprintf(out, 16, unit && v < 9.95 ? "%.1f %s" : "%.0f %s", v, units[unit]);
	return out;
}

const char *text_duration(uint64_t ns, char out[16])
{
	static const struct {
		double ns;
		const char *unit;
	} units[] = { { 1e9, "s" }, { 1e6, "ms" }, { 1e3, "us" } };
	double v = (double)ns;

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		double u = v / units[i].ns;

		if (u < 0.9995)
			continue;
		snprintf(out, 16,
			 u < 9.995   ? "%.2f %s"
			 : u < 99.95 ? "%.1f %s"
				     : "%.0f %s",
			 u, units[i].unit);
		return out;
	}
	snprintf(out, 16, "%.0f ns", v);
	return out;
}

const char *text_count(uint64_t n, char out[32])
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
