/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/screen.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "model/frame.h"

#define COLUMNS_MIN 40

static const char *const styles[STYLE_MAX] = {
	[STYLE_PLAIN] = "\033[0m",    [STYLE_BOLD] = "\033[1m",	      [STYLE_DIM] = "\033[2m",
	[STYLE_WARNING] = "\033[33m", [STYLE_KERNEL] = "\033[31m",    [STYLE_NATIVE] = "\033[33m",
	[STYLE_PYTHON] = "\033[36m",  [STYLE_SYNTHETIC] = "\033[35m",
};

static bool wants_color(int fd)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(fd) && !(no_color && *no_color) && term && *term && strcmp(term, "dumb") != 0;
}

void screen_init(struct screen *s, FILE *out, size_t piped_columns)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;
	uint64_t n;

	*s = (struct screen){ .out = out,
			      .columns = piped_columns,
			      .color = wants_color(fileno(out)) };
	if (isatty(fileno(out)) && ioctl(fileno(out), TIOCGWINSZ, &size) == 0) {
		s->columns = size.ws_col ? size.ws_col : 80;
		s->lines = size.ws_row ? size.ws_row : 24;
	}
	if (columns && text_parse_u64(columns, 1, SCREEN_UNLIMITED, &n) == 0)
		s->columns = n;
	if (s->columns < COLUMNS_MIN)
		s->columns = COLUMNS_MIN;
}

const char *screen_style(const struct screen *s, enum screen_style style)
{
	return s->color ? styles[style] : "";
}

const char *screen_plain(const struct screen *s)
{
	return screen_style(s, STYLE_PLAIN);
}

enum screen_style style_of_kind(unsigned kind)
{
	switch (kind) {
	case FRAME_KERNEL:
		return STYLE_KERNEL;
	case FRAME_NATIVE:
		return STYLE_NATIVE;
	case FRAME_PYTHON:
		return STYLE_PYTHON;
	default:
		return STYLE_SYNTHETIC;
	}
}

int output_failed(const char *path, int error)
{
	if (error == -EPIPE)
		return 0;
	log_error("%s: cannot be written: %s",
		  path && strcmp(path, "-") != 0 ? path : "standard output", strerror(-error));
	return error;
}

int screen_finish(struct screen *s)
{
	errno = 0;
	if (fflush(s->out) == 0 && !ferror(s->out))
		return 0;
	return output_failed(NULL, errno ? -errno : -EIO) < 0;
}

void print_line(struct screen *s, const char *text)
{
	struct buf b = { 0 };
	const char *line = append_text(&b, text, s->columns, false) == 0 ? buf_str(&b) : NULL;

	fprintf(s->out, "%s\n", line ? line : "");
	buf_release(&b);
}

void print_cut(struct screen *s, enum screen_style style, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	struct buf b = { 0 };
	const char *line;
	va_list args;

	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		text = NULL;
	va_end(args);
	line = text && append_text(&b, text, s->columns, false) == 0 ? buf_str(&b) : NULL;
	fprintf(s->out, "%s%s%s\n", style == STYLE_PLAIN ? "" : screen_style(s, style),
		line ? line : "", style == STYLE_PLAIN ? "" : screen_plain(s));
	buf_release(&b);
}
