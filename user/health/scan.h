/* SPDX-License-Identifier: Apache-2.0 */
/* Text of /proc, read without allocation: lines, words and numbers. Only whole lines count: a
 * line that was cut off has a number that was cut off. */
#ifndef KYMO_HEALTH_SCAN_H
#define KYMO_HEALTH_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const char *p, *end;
};

/* The next line without its newline; false at the end and at a line without one. */
static inline bool span_line(struct span *text, struct span *ret)
{
	const char *newline =
		text->p < text->end ? memchr(text->p, '\n', (size_t)(text->end - text->p)) : NULL;

	if (!newline)
		return false;
	*ret = (struct span){ text->p, newline };
	text->p = newline + 1;
	return true;
}

static inline void span_skip_blank(struct span *s)
{
	while (s->p < s->end && (*s->p == ' ' || *s->p == '\t'))
		s->p++;
}

/* The next word, up to a blank; false when there is none. */
static inline bool span_word(struct span *s, struct span *ret)
{
	span_skip_blank(s);
	ret->p = s->p;
	while (s->p < s->end && *s->p != ' ' && *s->p != '\t')
		s->p++;
	ret->end = s->p;
	return ret->p < ret->end;
}

/* The next word as a number; false when it is none or has more than 64 bits (the word is passed
 * over all the same). */
static inline bool span_u64(struct span *s, uint64_t *ret)
{
	struct span word;
	uint64_t v = 0;

	if (!span_word(s, &word))
		return false;
	for (; word.p < word.end; word.p++) {
		unsigned int digit = (unsigned int)*word.p - '0';

		if (digit > 9 || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, digit, &v))
			return false;
	}
	*ret = v;
	return true;
}

static inline size_t span_size(const struct span *s)
{
	return (size_t)(s->end - s->p);
}

static inline bool span_is(const struct span *s, const char *text)
{
	size_t n = strlen(text);

	return span_size(s) == n && memcmp(s->p, text, n) == 0;
}

static inline bool span_starts(const struct span *s, const char *text)
{
	size_t n = strlen(text);

	return span_size(s) >= n && memcmp(s->p, text, n) == 0;
}

#endif
