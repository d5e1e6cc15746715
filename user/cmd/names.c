/* SPDX-License-Identifier: Apache-2.0 */
/* Long names of functions, cut so that they still tell functions apart. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "cmd/screen.h"

#define ELLIPSIS "\xe2\x80\xa6"

/* What stands in brackets deeper than this is left out. */
struct depth {
	int angle, round;
};

/* From the least loss to the greatest. */
static const struct depth losses[] = { { INT_MAX, 0 }, { 2, 0 }, { 1, 0 }, { 0, 0 } };

/* In brackets, but part of the name. */
static size_t kept_word(const char *at)
{
	static const char *const words[] = { "(anonymous namespace)",
					     "(inlined)",
					     "operator()",
					     "operator<=>",
					     "operator<<=",
					     "operator<<",
					     "operator<=",
					     "operator<",
					     "operator->*",
					     "operator->",
					     "operator>>=",
					     "operator>>",
					     "operator>=",
					     "operator>",
					     "<lambda>",
					     "<module>",
					     "<genexpr>",
					     "<listcomp>",
					     "<dictcomp>",
					     "<setcomp>",
					     "<locals>" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strncmp(at, words[i], strlen(words[i])) == 0)
			return strlen(words[i]);
	/* "->" of a return type closes nothing */
	return strncmp(at, "->", 2) == 0 ? 2 : 0;
}

/* "walk<int, main::{lambda(int)#1}>(std::map<...> const&)" -> "walk<...>(...)". 0 or -ENOMEM. */
static int without_inner(const char *name, const struct depth *max, struct buf *out)
{
	int angle = 0, round = 0, r = 0;

	for (const char *c = name; *c && r == 0;) {
		bool kept = angle <= max->angle && round <= max->round;
		size_t word = kept_word(c);

		if (word) {
			r = kept ? buf_append(out, c, word) : 0;
			c += word;
			continue;
		}
		if ((*c == '>' && angle) || (*c == ')' && round)) {
			*c == '>' ? angle-- : round--;
			kept = angle <= max->angle && round <= max->round;
		}
		if (kept)
			r = buf_append(out, c, 1);
		if (*c == '<' || *c == '(') {
			*c == '<' ? angle++ : round++;
			if (r == 0 && kept && (angle > max->angle || round > max->round) &&
			    c[1] != '>' && c[1] != ')')
				r = buf_append_str(out, ELLIPSIS);
		}
		c++;
	}
	return r < 0 || !buf_str(out) ? -ENOMEM : 0;
}

/* 0 or -ENOMEM. */
static int without_locals(const char *name, struct buf *out)
{
	static const char noise[] = ".<locals>";

	for (const char *at; (at = strstr(name, noise)); name = at + strlen(noise))
		if (buf_append(out, name, (size_t)(at - name)) < 0)
			return -ENOMEM;
	return buf_append_str(out, name) < 0 || !buf_str(out) ? -ENOMEM : 0;
}

int append_name(struct buf *b, const char *name, size_t columns, bool pad)
{
	_cleanup_(buf_release) struct buf plain = { 0 };
	_cleanup_(buf_release) struct buf shorter = { 0 };

	if (safe_width(name) <= columns)
		return append_text(b, name, columns, pad);
	if (without_locals(name, &plain) < 0)
		return -ENOMEM;
	name = buf_str(&plain);
	for (size_t i = 0; i < ARRAY_SIZE(losses) && safe_width(name) > columns; i++) {
		/* Rust's "<T as Trait>::f": without what is in them, nothing is left. */
		if (losses[i].angle == 0 && *buf_str(&plain) == '<')
			break;
		buf_clear(&shorter);
		if (without_inner(buf_str(&plain), &losses[i], &shorter) < 0)
			return -ENOMEM;
		name = buf_str(&shorter);
	}
	return append_text(b, name, columns, pad);
}
