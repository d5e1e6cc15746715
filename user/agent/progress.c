/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/text.h"

#define PROGRESS_NS (500 * NS_PER_MSEC)

void progress_init(struct progress *p, bool quiet, const char *output)
{
	*p = (struct progress){ .on = !quiet && isatty(STDERR_FILENO),
				.output = output,
				.start_ns = clock_mono_ns() };
}

static size_t columns(void)
{
	struct winsize size;

	return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/* One column is left free: a full line would wrap on some terminals. */
static void draw(const char *line)
{
	struct buf out = { 0 };

	if (buf_append_str(&out, "\r\033[K") == 0 &&
	    text_append_fit(&out, line, columns() - 1, false) == 0)
		(void)!write(STDERR_FILENO, out.data, out.size);
	buf_release(&out);
}

static bool due(struct progress *p)
{
	uint64_t now = clock_mono_ns();

	if (!p->on || (p->shown_ns && now - p->shown_ns < PROGRESS_NS))
		return false;
	p->shown_ns = now;
	return true;
}

/* What is lost must stay readable: only the file's name is cut, and the hint goes first. */
static int compose(struct buf *line, const char *counts, const char *path, size_t room)
{
	static const char hint[] = "  (Ctrl-C ends)";
	size_t used = text_width(counts) + strlen(" in ");
	bool with_hint = used + text_width(path) + strlen(hint) <= room;
	int r = buf_append_str(line, counts);

	if (r == 0)
		r = buf_append_str(line, " in ");
	if (r == 0)
		r = text_append_fit(line, path, room > used ? room - used : 0, false);
	return r == 0 && with_hint ? buf_append_str(line, hint) : r;
}

void progress_recording(struct progress *p, const struct pipeline_stats *stats)
{
	uint64_t seconds = (clock_mono_ns() - p->start_ns) / NS_PER_SEC;
	struct buf line = { 0 }, counts = { 0 }, path = { 0 };
	char bytes[16];

	if (!due(p))
		return;
	if (text_append_terminal(&path, p->output) == 0 &&
	    buf_printf(&counts,
		       "recording %" PRIu64 ":%02" PRIu64 "  CPU %.0f %%  %" PRIu64
		       " samples, %" PRIu64 " lost  %s",
		       seconds / 60, seconds % 60, stats->cpu_busy * 100, stats->samples,
		       stats->lost, text_bytes(stats->bytes, bytes)) == 0 &&
	    compose(&line, buf_str(&counts), buf_str(&path), columns() - 1) == 0)
		draw(buf_str(&line));
	buf_release(&line);
	buf_release(&counts);
	buf_release(&path);
}

void progress_naming(struct progress *p, size_t waiting)
{
	struct buf line = { 0 };

	if (!due(p))
		return;
	if (buf_printf(&line, "naming the last frames (%zu jobs)", waiting) == 0)
		draw(buf_str(&line));
	buf_release(&line);
}

void progress_clear(struct progress *p)
{
	if (p->on && p->shown_ns)
		(void)!write(STDERR_FILENO, "\r\033[K", 4);
	p->shown_ns = 0;
}
