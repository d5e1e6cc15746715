/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/progress.h"

#include <inttypes.h>
#include <stdio.h>
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

void progress_recording(struct progress *p, const struct pipeline_stats *stats)
{
	uint64_t seconds = (clock_mono_ns() - p->start_ns) / NS_PER_SEC;
	struct buf line = { 0 }, path = { 0 };
	char bytes[16];

	if (!due(p))
		return;
	(void)text_append_terminal(&path, p->output);
	if (buf_printf(&line,
		       "recording %" PRIu64 ":%02" PRIu64 "  CPU %2.0f %%  %" PRIu64
		       " samples, %" PRIu64 " lost  %s in %s  (Ctrl-C ends)",
		       seconds / 60, seconds % 60, stats->cpu_busy * 100, stats->samples,
		       stats->lost, text_bytes(stats->bytes, bytes), buf_str(&path)) == 0)
		draw(buf_str(&line));
	buf_release(&line);
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
