/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/text.h"

static enum log_level log_level = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
	log_level = level;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	struct buf line = { 0 };
	char *text = NULL;
	va_list args;

	if (level > log_level)
		return;
	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		text = NULL;
	va_end(args);
	if (text && buf_append_str(&line, "kymo: ") == 0 &&
	    text_append_terminal(&line, text) == 0 && buf_append_str(&line, "\n") == 0)
		(void)file_write_all(STDERR_FILENO, line.data, line.size);
	free(text);
	buf_release(&line);
}
