/* SPDX-License-Identifier: Apache-2.0 */
/* One line about a failure. Whoever shows it escapes it: it may quote a hostile file. */
#ifndef KYMO_STORE_MESSAGE_H
#define KYMO_STORE_MESSAGE_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Replaces *ret_message (NULL when memory is short) and returns `error`. */
__attribute__((format(printf, 3, 4))) static inline int message_fail(char **ret_message, int error,
								     const char *fmt, ...)
{
	char *text;
	va_list args;

	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		text = NULL;
	va_end(args);
	for (char *newline = text; newline && (newline = strchr(newline, '\n'));)
		*newline = ' ';
	free(*ret_message);
	*ret_message = text;
	return error;
}

#endif
