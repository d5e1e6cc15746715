/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/summary.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "model/sample.h"
#include "query/accounts.h"
#include "query/metric.h"

/* "memory available   21.5 GiB    20.9 GiB  +12 s  of 23.5 GiB" */
#define SIGMAS_MISSED 5
#define LABEL_WIDTH   17
#define MEAN_WIDTH    11
#define WORST_WIDTH   12
#define AT_WIDTH      6
#define WORDS_AT      (LABEL_WIDTH + MEAN_WIDTH + WORST_WIDTH + 2 + AT_WIDTH + 2)

/* A damaged profile has any value. */
static uint64_t whole(double value)
{
	return value <= 0 ? 0 : value >= 1.8e19 ? UINT64_MAX : (uint64_t)value;
}

static uint64_t not_negative(int64_t value)
{
	return value > 0 ? (uint64_t)value : 0;
}

static void add_saturating(uint64_t *sum, uint64_t v)
{
	if (__builtin_add_overflow(*sum, v, sum))
		*sum = UINT64_MAX;
}

/* ---- head ---- */

static const char *meta_or(const struct profile *p, const char *key, const char *missing)
{
	const char *value = profile_meta(p, key);

	return value && *value ? value : missing;
}

static void print_host(struct screen *s, struct profile *p, const struct query_selection *sel)
{
	struct metric_summary memory;
	char *line = NULL;
	char size[16] = "";
	uint64_t cpus = profile_meta_u64(p, "cpus", 0);

	metric_summarise(METRIC_MEM_TOTAL, p, sel, &memory);
	if (memory.ticks)
		text_bytes(whole(memory.max), size);
	if (asprintf(&line, "%s, Linux %s, %" PRIu64 " CPU%s%s%s",
		     meta_or(p, "host", "unknown host"), meta_or(p, "kernel", "of unknown version"),
		     cpus, cpus == 1 ? "" : "s", *size ? ", " : "", size) < 0)
		return;
	print_cut(s, STYLE_BOLD, "%s", line);
	free(line);
}

/* How much of the recording the selection takes. */
static void selected_time(struct profile *p, const struct query_selection *sel, size_t *ret_ticks,
			  uint64_t *ret_ns)
{
	const struct profile_tick *ticks;
	size_t n;

	*ret_ticks = 0;
	*ret_ns = 0;
	ticks = profile_ticks(p, &n);
	for (size_t i = 0; i < n; i++)
		if (query_selects_tick(p, sel, &ticks[i])) {
			(*ret_ticks)++;
			*ret_ns += ticks[i].end_ns > ticks[i].start_ns
					   ? ticks[i].end_ns - ticks[i].start_ns
					   : 0;
		}
}

void summary_head(struct screen *s, struct profile *p, const struct query_selection *sel)
{
	char wall[64], length[16], selected[16];
	uint64_t selected_ns;
	size_t selected_n, n;

	print_host(s, p, sel);
	profile_ticks(p, &n);
	selected_time(p, sel, &selected_n, &selected_ns);
	if (n == 0)
		fprintf(s->out, "no tick was recorded\n");
	else
		fprintf(s->out, "%s, %s in %zu tick%s\n",
			format_wall(profile_start_wall_ns(p), wall),
			text_duration(profile_duration_ns(p), length), n, n == 1 ? "" : "s");
	if (selected_n < n)
		fprintf(s->out, "selected: %zu of the ticks, %s\n", selected_n,
			text_duration(selected_ns, selected));
	if (!profile_ended(p))
		fprintf(s->out,
			"%sThe recording did not end: it still runs, or was cut off after the last "
			"tick.%s\n",
			screen_style(s, STYLE_WARNING), screen_plain(s));
}

const char *tick_offset(const struct profile *p, size_t tick, char out[FORMAT_SIZE])
{
	const struct profile_tick *ticks;
	uint64_t ns;
	size_t n;

	ticks = profile_ticks(p, &n);
	ns = ticks[tick].start_ns > ticks[0].start_ns ? ticks[tick].start_ns - ticks[0].start_ns
						      : 0;
	if (ns >= 600 * NS_PER_SEC)
		snprintf(out, FORMAT_SIZE,
			 ns >= 3600 * NS_PER_SEC ? "+%d:%02d:%02d" : "+%.0d%02d:%02d",
			 (int)(ns / (3600 * NS_PER_SEC)), (int)(ns / (60 * NS_PER_SEC) % 60),
			 (int)(ns / NS_PER_SEC % 60));
	/* A tenth of a second tells all ticks apart that have room to differ. */
	else if (profile_meta_u64(p, "tick_ns", NS_PER_SEC) % NS_PER_SEC)
		snprintf(out, FORMAT_SIZE, "+%.1f s", (double)ns / 1e9);
	else
		snprintf(out, FORMAT_SIZE, "+%.0f s", (double)ns / 1e9);
	return out;
}

/* ---- health ---- */

enum unit { UNIT_PERCENT, UNIT_BYTES, UNIT_BYTES_RATE, UNIT_PAGES_RATE, UNIT_EVENTS };

struct health_line {
	const char *label;
	enum metric metric;
	enum unit unit;
	bool low_is_bad;
	bool only_when_any; /* not shown while it is zero */
};

static const struct health_line health_lines[] = {
	{ "CPU busy", METRIC_CPU_BUSY, UNIT_PERCENT, false, false },
	{ "CPU steal", METRIC_CPU_STEAL, UNIT_PERCENT, false, true },
	{ "CPU pressure", METRIC_PSI_CPU_SOME, UNIT_PERCENT, false, false },
	{ "memory pressure", METRIC_PSI_MEM_SOME, UNIT_PERCENT, false, false },
	{ "I/O pressure", METRIC_PSI_IO_SOME, UNIT_PERCENT, false, false },
	{ "memory available", METRIC_MEM_AVAILABLE, UNIT_BYTES, true, false },
	{ "swap used", METRIC_SWAP_USED, UNIT_BYTES, false, true },
	{ "swap in", METRIC_SWAP_IN, UNIT_PAGES_RATE, false, true },
	{ "swap out", METRIC_SWAP_OUT, UNIT_PAGES_RATE, false, true },
	{ "disk read", METRIC_DISK_READ, UNIT_BYTES_RATE, false, false },
	{ "disk write", METRIC_DISK_WRITE, UNIT_BYTES_RATE, false, false },
	{ "OOM kills", METRIC_OOM_KILLS, UNIT_EVENTS, false, true },
};

static const char *format_unit(const struct profile *p, enum unit unit, double value,
			       char out[FORMAT_SIZE])
{
	char bytes[16];

	switch (unit) {
	case UNIT_PERCENT:
		snprintf(out, FORMAT_SIZE, "%.1f%%", value);
		break;
	case UNIT_PAGES_RATE:
		value *= (double)profile_meta_u64(p, "page_bytes", 4096);
		/* fallthrough */
	case UNIT_BYTES_RATE:
		snprintf(out, FORMAT_SIZE, "%s/s", text_bytes(whole(value), bytes));
		break;
	case UNIT_BYTES:
		snprintf(out, FORMAT_SIZE, "%s", text_bytes(whole(value), bytes));
		break;
	case UNIT_EVENTS:
		snprintf(out, FORMAT_SIZE, "%.0f", value);
		break;
	}
	return out;
}

/* What a figure is made of, in words: "user 80.1%, system 16.9%, iowait 0.3%". */
static void describe(struct profile *p, const struct query_selection *sel, enum metric metric,
		     char *out, size_t size)
{
	struct metric_summary a, b, c;

	*out = '\0';
	switch (metric) {
	case METRIC_CPU_BUSY:
		metric_summarise(METRIC_CPU_USER, p, sel, &a);
		metric_summarise(METRIC_CPU_SYSTEM, p, sel, &b);
		metric_summarise(METRIC_CPU_IOWAIT, p, sel, &c);
		snprintf(out, size, "user %.0f%%, sys %.0f%%, iowait %.0f%%", a.mean, b.mean,
			 c.mean);
		break;
	case METRIC_PSI_MEM_SOME:
	case METRIC_PSI_IO_SOME:
		metric_summarise(metric + 1, p, sel, &a);
		if (a.ticks)
			snprintf(out, size, "full %.1f%%, max %.1f%%", a.mean, a.max);
		break;
	case METRIC_SWAP_USED:
	case METRIC_MEM_AVAILABLE:
		metric_summarise(metric == METRIC_SWAP_USED ? METRIC_SWAP_TOTAL : METRIC_MEM_TOTAL,
				 p, sel, &a);
		if (a.ticks)
			snprintf(out, size, "of %s", text_bytes(whole(a.max), (char[16]){ 0 }));
		break;
	case METRIC_DISK_READ:
	case METRIC_DISK_WRITE:
		metric_summarise(metric == METRIC_DISK_READ ? METRIC_DISK_READS
							    : METRIC_DISK_WRITES,
				 p, sel, &a);
		if (a.ticks)
			snprintf(out, size, "%.0f operations/s", a.mean);
		break;
	default:
		break;
	}
}

static void print_words(struct screen *s, const char *words)
{
	struct buf b = { 0 };
	const char *text = append_text(&b, words, s->columns - WORDS_AT, false) == 0 ? buf_str(&b)
										     : NULL;

	if (text)
		fprintf(s->out, "  %s%s%s", screen_style(s, STYLE_DIM), text, screen_plain(s));
	buf_release(&b);
}

static void print_health_line(struct screen *s, struct profile *p,
			      const struct query_selection *sel, const struct health_line *line)
{
	char mean[FORMAT_SIZE], worst[FORMAT_SIZE], at[FORMAT_SIZE], words[80];
	struct metric_summary m;
	bool flat, with_words;

	metric_summarise(line->metric, p, sel, &m);
	if (m.ticks == 0) {
		if (!line->only_when_any)
			fprintf(s->out, "%-*s%sthis host does not have it%s\n", LABEL_WIDTH,
				line->label, screen_style(s, STYLE_DIM), screen_plain(s));
		return;
	}
	if (line->only_when_any && m.max <= 0)
		return;
	describe(p, sel, line->metric, words, sizeof(words));
	flat = m.max <= 0;
	format_unit(p, line->unit, line->unit == UNIT_EVENTS ? m.sum : m.mean, mean);
	format_unit(p, line->unit, line->low_is_bad ? m.min : m.max, worst);
	tick_offset(p, line->low_is_bad ? m.min_tick : m.max_tick, at);
	fprintf(s->out, "%-*s%*s%*s", LABEL_WIDTH, line->label, MEAN_WIDTH, mean, WORST_WIDTH,
		worst);
	with_words = *words && s->columns > WORDS_AT + 8;
	if (with_words || !flat)
		fprintf(s->out, "  %-*s", with_words ? AT_WIDTH : 0, flat ? "" : at);
	if (with_words)
		print_words(s, words);
	fputc('\n', s->out);
}

void summary_health(struct screen *s, struct profile *p, const struct query_selection *sel)
{
	fprintf(s->out, "%s%-*s%*s%*s  at%s\n", screen_style(s, STYLE_DIM), LABEL_WIDTH, "host",
		MEAN_WIDTH, "mean", WORST_WIDTH, "worst", screen_plain(s));
	for (size_t i = 0; i < sizeof(health_lines) / sizeof(health_lines[0]); i++)
		print_health_line(s, p, sel, &health_lines[i]);
}

/* ---- samples ---- */

/* Every way in which a sample can be missing from the profile. */
static const char *const lost_counters[] = {
	"bpf.ring_full",	 "bpf.nested", "ring.malformed", "ring.queue_dropped",
	"merge.samples_dropped",
};

/* One of a list, on a new line where this one has no room for it and the comma behind it. */
static void print_cause(struct screen *s, const char *name, uint64_t count, bool last,
			size_t *column)
{
	char text[128];
	size_t width;

	snprintf(text, sizeof(text), "%s %" PRIu64 "%s", name, count, last ? "" : ",");
	width = text_width(text);
	if (*column + 1 + width > s->columns) {
		fputs("\n ", s->out);
		*column = 1;
	}
	fprintf(s->out, " %s", text);
	*column += 1 + width;
}

/* Of the samples that have a user stack: how many are whole, and why the others are not, the commonest first. */
static void print_ends(struct screen *s, const struct query_result *r)
{
	uint64_t with_stack = r->ends[KYMO_END_WHOLE];
	size_t causes[KYMO_END_MAX], n = 0, column = 0, at;
	char share[FORMAT_SIZE];

	for (size_t i = 0; i < KYMO_END_MAX; i++) {
		if (!query_is_broken_end(i) || !r->ends[i])
			continue;
		with_stack += r->ends[i];
		for (at = n++; at > 0 && r->ends[causes[at - 1]] < r->ends[i]; at--)
			causes[at] = causes[at - 1];
		causes[at] = i;
	}
	if (!with_stack)
		return;
	format_percent((double)r->ends[KYMO_END_WHOLE], (double)with_stack, share);
	column += (size_t)fprintf(s->out, "%s of user stacks are whole%s", share,
				  n ? "; others:" : "");
	for (size_t i = 0; i < n; i++)
		print_cause(s, end_names[causes[i]], r->ends[causes[i]], i + 1 == n, &column);
	fputc('\n', s->out);
}

static int count_lost(struct profile *p, const struct query_selection *sel, int64_t *ret)
{
	struct query_quality *quality = NULL;
	size_t n = 0;
	int error = query_quality(p, sel, &quality, &n);

	if (error < 0)
		return error;
	*ret = 0;
	for (size_t i = 0; i < sizeof(lost_counters) / sizeof(lost_counters[0]); i++)
		*ret += query_quality_sum(quality, n, lost_counters[i]);
	query_quality_free(quality, n);
	return 0;
}

/* " at 99 Hz", " of one fault in 7": of the blocks submitted all are taken. */
static void describe_sampling(struct profile *p, const struct query_result *r, char *out,
			      size_t size)
{
	uint64_t period_ns = profile_meta_u64(p, "period_ns.cpu", 0),
		 faults = profile_meta_u64(p, "period_faults.fault", 0);

	*out = '\0';
	if (r->source == KYMO_SOURCE_CPU && period_ns)
		snprintf(out, size, " at %.0f Hz", 1e9 / (double)period_ns);
	else if (r->source == KYMO_SOURCE_FAULT && faults)
		snprintf(out, size, " of one fault in %" PRIu64, faults);
}

/*
 * What the clock cannot have met by chance alone: an interrupt is put off while the host itself is not run, and the kernel
 * drops a sample while another program of BPF is at work on the CPU (kernel/events/core.c, bpf_prog_active); neither is
 * counted anywhere.
 */
static const char *describe_missed(struct profile *p, const struct query_result *r, int64_t cpu_ns,
				   char out[64])
{
	double period_ns = (double)profile_meta_u64(p, "period_ns.cpu", 0);
	double missed_ns = (double)cpu_ns - (double)r->total.weight;
	char text[16];

	*out = '\0';
	if (missed_ns > SIGMAS_MISSED * sqrt((double)r->total.count + 1) * period_ns)
		snprintf(out, 64, "; the clock missed %s of it",
			 text_duration((uint64_t)missed_ns, text));
	return out;
}

static int print_account(struct screen *s, struct profile *p, const struct query_selection *sel,
			 const struct query_result *r)
{
	char faults[FORMAT_SIZE], major[FORMAT_SIZE], text[16], missed[64];
	struct seen sum;
	bool any;
	int error = query_account_sum(p, sel, r->source, &sum, &any);

	if (error < 0 || !any)
		return error;
	if (r->value == VALUE_CPU)
		print_cut(s, STYLE_PLAIN, "The kernel's own account of the same: %s%s",
			  text_duration(not_negative(sum.cpu_ns), text),
			  describe_missed(p, r, sum.cpu_ns, missed));
	else
		print_cut(
			s, STYLE_PLAIN,
			"The kernel's own account: %s page faults, %s of them major",
			text_count(not_negative(sum.minor_faults) + not_negative(sum.major_faults),
				   faults),
			text_count(not_negative(sum.major_faults), major));
	return 0;
}

/* Processes' accounts have written bytes when pages became dirty, and their children's: the devices' are the same. */
static void print_disks(struct screen *s, struct profile *p, const struct query_selection *sel)
{
	const char *recorded = profile_meta(p, "selection");
	const struct profile_tick *ticks;
	uint64_t read = 0, written = 0;
	bool any = false;
	char a[16], b[16];
	size_t n;

	if (sel->pid || sel->comm || (recorded && strcmp(recorded, "all") != 0))
		return;
	ticks = profile_ticks(p, &n);
	for (size_t i = 0; i < n; i++) {
		const struct health *h = &ticks[i].health;

		if (!query_selects_tick(p, sel, &ticks[i]) || !h->present[HEALTH_disk_read_bytes] ||
		    !h->present[HEALTH_disk_write_bytes])
			continue;
		any = true;
		add_saturating(&read, not_negative(h->value[HEALTH_disk_read_bytes]));
		add_saturating(&written, not_negative(h->value[HEALTH_disk_write_bytes]));
	}
	if (any)
		print_cut(s, STYLE_PLAIN, "The disks' own account: %s read, %s written",
			  text_bytes(read, a), text_bytes(written, b));
}

/* What the kernel itself counted, where it is the same that the samples stand for. */
static int print_exact(struct screen *s, struct profile *p, const struct query_selection *sel,
		       const struct query_result *r)
{
	if (r->value == VALUE_CPU || r->value == VALUE_FAULT)
		return print_account(s, p, sel, r);
	if (r->value == VALUE_IO)
		print_disks(s, p, sel);
	return 0;
}

/* Correlation is told as such, always. */
static void print_seen(struct screen *s, const struct query_result *r)
{
	char shrunk[FORMAT_SIZE];

	if (!values[r->value].is_seen)
		return;
	if (values[r->value].is_gauge)
		print_cut(s, STYLE_PLAIN, "%s was given back at others",
			  format_weight(r->shrunk, r->value, shrunk));
	print_cut(s, STYLE_WARNING,
		  "Seen at these stacks since the thread's previous sample: "
		  "correlation, not cause.");
}

int summary_samples(struct screen *s, struct profile *p, const struct query_selection *sel,
		    const struct query_result *r)
{
	char count[FORMAT_SIZE], weight[FORMAT_SIZE], lost_text[FORMAT_SIZE] = "none";
	char how[80], deviation[FORMAT_SIZE + 8] = "";
	int64_t lost;
	int error = count_lost(p, sel, &lost);

	if (error < 0)
		return error;
	if (lost > 0)
		text_count((uint64_t)lost, lost_text);
	describe_sampling(p, r, how, sizeof(how));
	if (r->value == VALUE_CPU && r->total.count)
		snprintf(deviation, sizeof(deviation), " +- %s",
			 text_duration((uint64_t)query_sampled_error(&r->total), weight));
	print_cut(s, lost > 0 ? STYLE_WARNING : STYLE_PLAIN, "%s sample%s%s = %s%s of %s; %s lost",
		  text_count(r->total.count, count), r->total.count == 1 ? "" : "s", how,
		  format_weight(r->total.weight, r->value, weight), deviation,
		  values[r->value].charges, lost_text);
	if (r->source == KYMO_SOURCE_IO && r->total.count)
		print_cut(s, STYLE_PLAIN, "%s read, %s written",
			  format_weight(r->total.weight - r->written.weight, r->value, count),
			  format_weight(r->written.weight, r->value, weight));
	error = print_exact(s, p, sel, r);
	if (error < 0)
		return error;
	print_seen(s, r);
	print_ends(s, r);
	return 0;
}
