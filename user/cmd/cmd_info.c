/* SPDX-License-Identifier: Apache-2.0 */
/* kymo info: what a profile is and where its bytes go. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/json_views.h"
#include "cmd/open.h"
#include "cmd/options.h"
#include "cmd/screen.h"

#define KEY_WIDTH 15

DEFINE_CLEANUP(struct profile *, profile_close);

static void print_fact(struct screen *s, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void print_fact(struct screen *s, const char *key, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	struct buf b = { 0 };
	const char *safe;
	va_list args;

	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		text = NULL;
	va_end(args);
	safe = text && append_text(&b, text, s->columns - KEY_WIDTH, false) == 0 ? buf_str(&b)
										 : NULL;
	fprintf(s->out, "%s%-*s%s%s\n", screen_style(s, STYLE_DIM), KEY_WIDTH, key, screen_plain(s),
		safe ? safe : "");
	buf_release(&b);
}

static const char *meta_text(const struct profile *p, const char *key)
{
	const char *value = profile_meta(p, key);

	return value && *value ? value : "unknown";
}

static void print_recording(struct screen *s, struct profile *p)
{
	uint64_t period = profile_meta_u64(p, "period_ns.cpu", 0),
		 tick = profile_meta_u64(p, "tick_ns", 0);
	char wall[64], length[16], tick_length[16] = "unknown length";
	size_t ticks;

	profile_ticks(p, &ticks);
	print_fact(s, "file", "%s", profile_path(p));
	print_fact(s, "format", "kymo profile, version %u, written by kymo %s", profile_format(p),
		   meta_text(p, "kymo.version"));
	print_fact(s, "host", "%s, %s CPUs", meta_text(p, "host"), meta_text(p, "cpus"));
	print_fact(s, "kernel", "%s %s", meta_text(p, "kernel"), meta_text(p, "arch"));
	if (profile_meta(p, "selection"))
		print_fact(s, "recorded", "%s", profile_meta(p, "selection"));
	if (profile_meta(p, "sources"))
		print_fact(s, "sources", "%s", profile_meta(p, "sources"));
	if (period)
		print_fact(s, "rate", "%.0f Hz (source cpu)", 1e9 / (double)period);
	print_fact(s, "start", "%s",
		   ticks ? format_wall(profile_start_wall_ns(p), wall) : "no tick was recorded");
	if (tick)
		text_duration(tick, tick_length);
	print_fact(s, "duration", "%s in %zu ticks of %s",
		   text_duration(profile_duration_ns(p), length), ticks, tick_length);
	print_fact(s, "ended", "%s",
		   profile_ended(p) ? "yes"
				    : "no: it still runs, or was cut off after the last tick");
}

static void print_counts(struct screen *s, const struct profile_counts *c)
{
	char a[FORMAT_SIZE], b[FORMAT_SIZE], d[FORMAT_SIZE], size[16];

	print_fact(s, "samples", "%s in %s rows", text_count(c->samples, a),
		   text_count(c->rows, b));
	print_fact(s, "stacks", "%s of %s frames, %s functions", text_count(c->stacks, a),
		   text_count(c->frames, b), text_count(c->functions, d));
	print_fact(s, "processes", "%s, %s threads, %s binaries", text_count(c->processes, a),
		   text_count(c->threads, b), text_count(c->binaries, d));
	print_fact(s, "size", "%s (%s bytes)", text_bytes(c->file_bytes, size),
		   text_count(c->file_bytes, a));
	if (c->samples)
		print_fact(s, "per sample", "%.1f bytes, everything included",
			   (double)c->file_bytes / (double)c->samples);
}

static void print_sizes(struct screen *s, const struct profile_size *sizes, size_t n)
{
	char bytes[16], count[FORMAT_SIZE], share[FORMAT_SIZE];
	uint64_t total = 0;

	if (n == 0)
		return;
	for (size_t i = 0; i < n; i++)
		total += sizes[i].bytes;
	fprintf(s->out, "\n%s%-*s%15s%s\n", screen_style(s, STYLE_DIM), KEY_WIDTH, "table", "bytes",
		screen_plain(s));
	for (size_t i = 0; i < n; i++)
		fprintf(s->out, "%-*s%15s %9s %6s\n", KEY_WIDTH, sizes[i].table,
			text_count(sizes[i].bytes, count), text_bytes(sizes[i].bytes, bytes),
			format_percent((double)sizes[i].bytes, (double)total, share));
}

/* Everything is read before anything is said: a damaged profile is refused, not half shown. */
static int info(struct screen *s, struct profile *p, bool json)
{
	_cleanup_free_ struct profile_size *sizes = NULL;
	struct profile_counts counts;
	size_t sizes_n = 0;
	int r = profile_count(p, &counts);

	if (r == 0)
		r = profile_sizes(p, &sizes, &sizes_n);
	if (r < 0 && r != -ENOTSUP) {
		log_error("%s", profile_message(p));
		return r;
	}
	if (json)
		return json_info(p, &counts, sizes, sizes_n);
	print_recording(s, p);
	print_counts(s, &counts);
	print_sizes(s, sizes, sizes_n);
	return 0;
}

static const struct argp_child info_children[] = { { .argp = &input_argp },
						   { .argp = &json_argp },
						   { 0 } };

static const struct argp info_argp = {
	.parser = input_parse_command,
	.children = info_children,
	.args_doc = "[FILE]",
	.doc = "Shows what a recording (default: profile.kymo) is: where and when it was made, "
	       "what it holds, and "
	       "where its bytes go.",
};

int cmd_info(int argc, char **argv)
{
	_cleanup_(profile_closep) struct profile *p = NULL;
	struct input_options o = { 0 };
	struct screen screen;
	int r = input_begin(&info_argp, "info", argc, argv, &o, &p, NULL);

	if (r)
		return r < 0;
	screen_init(&screen, stdout, SCREEN_UNLIMITED);
	if (info(&screen, p, o.json) < 0)
		return 1;
	return o.json ? 0 : screen_finish(&screen);
}
