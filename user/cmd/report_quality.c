/* SPDX-License-Identifier: Apache-2.0 */
/* kymo report --quality: what the recording lacks, and what it cost. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "cmd/json_views.h"
#include "cmd/report.h"
#include "cmd/summary.h"
#include "model/sample.h"

#define COUNT_WIDTH   12
#define COUNTER_WIDTH 26
#define PLACE_COLUMNS 32
/* From here on a counter's name stands before its meaning. */
#define ONE_LINE_COLUMNS 100

struct counters {
	struct query_quality *items;
	size_t n;
};

static void counters_release(struct counters *q)
{
	query_quality_free(q->items, q->n);
}

DEFINE_CLEANUP(struct query_result *, query_free);

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && strcmp(text + n - m, end) == 0;
}

static const char *format_value(const struct query_quality *q, bool is_gauge, char out[FORMAT_SIZE])
{
	int64_t value = is_gauge ? q->max : q->sum;
	uint64_t positive = value > 0 ? (uint64_t)value : 0;

	if (value < 0)
		snprintf(out, FORMAT_SIZE, "%" PRId64, value);
	else if (ends_with(q->counter, "_ns"))
		text_duration(positive, out);
	else if (ends_with(q->counter, "_bytes"))
		text_bytes(positive, out);
	else
		text_count(positive, out);
	return out;
}

/* On as many lines as its words take. */
static void print_meaning(struct screen *s, const char *value, const char *meaning)
{
	size_t room = s->columns - COUNT_WIDTH - 2;

	for (const char *first = value; *meaning; first = "") {
		size_t n = strlen(meaning), space = room;

		if (n > room) {
			while (space && meaning[space] != ' ')
				space--;
			n = space ? space : room;
			while (n && (meaning[n] & 0xc0) == 0x80) /* not inside a character */
				n--;
		}
		fprintf(s->out, "%*s  %.*s\n", COUNT_WIDTH, first, (int)n, meaning);
		meaning += n + strspn(meaning + n, " ");
	}
}

static void print_counter(struct screen *s, const struct query_quality *q)
{
	char value[FORMAT_SIZE];
	bool is_gauge;
	const char *meaning = query_quality_meaning(q->counter, &is_gauge);

	format_value(q, is_gauge, value);
	if (!meaning)
		meaning = "not known to this version of kymo";
	if (s->columns >= ONE_LINE_COLUMNS)
		print_cut(s, STYLE_PLAIN, "%*s  %-*s  %s", COUNT_WIDTH, value, COUNTER_WIDTH,
			  q->counter, meaning);
	else
		print_meaning(s, value, meaning);
}

/* Told apart: what kymo itself took. */
static bool is_cost(const char *counter)
{
	return strncmp(counter, "kymo.", 5) == 0 || strcmp(counter, "health.span_ns") == 0;
}

static void print_counters(struct screen *s, const struct counters *q)
{
	bool any = false;

	for (size_t i = 0; i < q->n; i++) {
		if (is_cost(q->items[i].counter))
			continue;
		if (!any)
			fprintf(s->out, "\n%s%*s  counter%s\n", screen_style(s, STYLE_DIM),
				COUNT_WIDTH, "count", screen_plain(s));
		any = true;
		print_counter(s, &q->items[i]);
	}
	if (!any)
		fputs("\nno counter was kept\n", s->out);
}

static void print_ends(struct screen *s, const struct query_result *r)
{
	char count[FORMAT_SIZE], share[FORMAT_SIZE];
	size_t order[KYMO_END_MAX], n = 0, at;

	for (size_t i = 0; i < KYMO_END_MAX; i++) {
		if (!r->ends[i])
			continue;
		for (at = n++; at > 0 && r->ends[order[at - 1]] < r->ends[i]; at--)
			order[at] = order[at - 1];
		order[at] = i;
	}
	if (n)
		fprintf(s->out, "\n%s%*s  why the user stack ends where it does%s\n",
			screen_style(s, STYLE_DIM), COUNT_WIDTH, "samples", screen_plain(s));
	for (size_t i = 0; i < n; i++)
		print_cut(s, STYLE_PLAIN, "%*s %6s  %s", COUNT_WIDTH,
			  text_count(r->ends[order[i]], count),
			  format_percent((double)r->ends[order[i]], (double)r->total.count, share),
			  end_names[order[i]]);
}

/* ---- by binary ---- */

/* "12  stacks of nginx stop in libfoo.so at 0x1234 (handler): no rule" */
static int print_stop(struct screen *s, const struct query_result *r, const struct query_stop *stop)
{
	const struct query_item *item = &r->items[stop->item];
	_cleanup_(buf_release) struct buf b = { 0 };
	const char *stops = stop->samples == 1 ? " stops in " : " stop in ";
	char count[FORMAT_SIZE];
	int e;

	e = buf_printf(&b, "stack%s of ", stop->samples == 1 ? "" : "s");
	if (e == 0)
		e = append_text(&b, stop->comm, KYMO_COMM_SIZE, false);
	if (e == 0 && !stop->item) {
		e = buf_append_str(&b, " without a user frame");
	} else if (e == 0 && !*stop->binary) {
		e = buf_append_str(&b, stops);
		if (e == 0)
			e = append_name(&b, item->name, PLACE_COLUMNS, false);
	} else if (e == 0) {
		e = buf_append_str(&b, stops);
		if (e == 0)
			e = append_text(&b, query_base_name(stop->binary), PLACE_COLUMNS, false);
		if (e == 0)
			e = buf_printf(&b, "%s at 0x%" PRIx64,
				       stop->offset_samples < stop->samples ? ", mostly" : "",
				       stop->offset);
		if (e == 0 && item->unnamed == QUERY_NAMED && (e = buf_append_str(&b, " (")) == 0)
			e = append_name(&b, item->name, PLACE_COLUMNS, false);
		if (e == 0 && item->unnamed == QUERY_NAMED)
			e = buf_append_str(&b, ")");
	}
	if (e == 0)
		e = buf_printf(&b, ": %s", end_names[stop->end]);
	if (e < 0 || !buf_str(&b))
		return -ENOMEM;
	print_meaning(s, text_count(stop->samples, count), buf_str(&b));
	return 0;
}

static int print_stops(struct screen *s, const struct query_result *r, uint64_t limit)
{
	size_t shown = limit && limit < r->stops_n ? limit : r->stops_n;
	int e = 0;

	if (r->stops_n)
		fprintf(s->out, "\n%s%*s  where stacks stop that are not whole%s\n",
			screen_style(s, STYLE_DIM), COUNT_WIDTH, "samples", screen_plain(s));
	for (size_t i = 0; e == 0 && i < shown; i++)
		e = print_stop(s, r, &r->stops[i]);
	if (shown < r->stops_n)
		fprintf(s->out, "%s%zu more places: --limit 0 shows all%s\n",
			screen_style(s, STYLE_DIM), r->stops_n - shown, screen_plain(s));
	return e;
}

/* Functions of one stripped file stand in one line, that of the most frequent. Moves those to the front. */
static size_t one_per_stripped(const struct query_result *r, uint32_t *list, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		const struct query_item *item = &r->items[list[i]];
		size_t k = 0;

		while (k < kept && (item->unnamed != QUERY_BY_ADDRESS ||
				    r->items[list[k]].unnamed != QUERY_BY_ADDRESS ||
				    strcmp(r->items[list[k]].binary, item->binary) != 0))
			k++;
		if (k == kept)
			list[kept++] = list[i];
	}
	return kept;
}

static int print_unnamed(struct screen *s, const struct query_result *r, uint64_t limit)
{
	_cleanup_free_ uint32_t *list = NULL;
	char count[FORMAT_SIZE], share[FORMAT_SIZE];
	size_t n, shown;
	int e = query_unnamed_items(r, &list, &n);

	if (e < 0)
		return e;
	n = one_per_stripped(r, list, n);
	shown = limit && limit < n ? limit : n;
	if (n)
		fprintf(s->out, "\n%s%*s  code without a name, on the stack of so many%s\n",
			screen_style(s, STYLE_DIM), COUNT_WIDTH, "samples", screen_plain(s));
	for (size_t i = 0; i < shown; i++) {
		const struct query_item *item = &r->items[list[i]];

		print_cut(s, STYLE_PLAIN, "%*s %6s  %s: %s", COUNT_WIDTH,
			  text_count(item->total.count, count),
			  format_percent((double)item->total.count, (double)r->total.count, share),
			  *item->binary ? item->binary : item->name,
			  query_unnamed_reasons[item->unnamed]);
	}
	if (shown < n)
		fprintf(s->out, "%s%zu more: --limit 0 shows all%s\n", screen_style(s, STYLE_DIM),
			n - shown, screen_plain(s));
	return 0;
}

static uint64_t sum_of(const struct counters *q, const char *counter)
{
	int64_t sum = query_quality_sum(q->items, q->n, counter);

	return sum > 0 ? (uint64_t)sum : 0;
}

static uint64_t max_of(const struct counters *q, const char *counter)
{
	for (size_t i = 0; i < q->n; i++)
		if (strcmp(q->items[i].counter, counter) == 0)
			return q->items[i].max > 0 ? (uint64_t)q->items[i].max : 0;
	return 0;
}

static void print_cost(struct screen *s, const struct counters *q, uint64_t duration_ns)
{
	uint64_t cpu = sum_of(q, "kymo.cpu_ns"), bpf = sum_of(q, "kymo.bpf_ns"),
		 runs = sum_of(q, "kymo.bpf_runs");
	char share[FORMAT_SIZE], a[FORMAT_SIZE], b[16], c[16];

	fprintf(s->out, "\n%skymo itself%s\n", screen_style(s, STYLE_DIM), screen_plain(s));
	snprintf(share, sizeof(share), duration_ns ? "%.2f%%" : "-",
		 duration_ns ? (double)cpu * 100 / (double)duration_ns : 0.0);
	print_cut(s, STYLE_PLAIN, "%*s  of one CPU: %s in %s", COUNT_WIDTH, share,
		  text_duration(cpu, b), text_duration(duration_ns, c));
	if (runs)
		print_cut(s, STYLE_PLAIN, "%*s  a run in the kernel: %s in %s runs", COUNT_WIDTH,
			  text_duration(bpf / runs, b), text_duration(bpf, c), text_count(runs, a));
	print_cut(s, STYLE_PLAIN, "%*s  of memory at most", COUNT_WIDTH,
		  text_bytes(max_of(q, "kymo.rss_bytes"), b));
	if (max_of(q, "health.span_ns"))
		print_cut(s, STYLE_PLAIN, "%*s  to read the host's health, in the slowest tick",
			  COUNT_WIDTH, text_duration(max_of(q, "health.span_ns"), b));
}

static int read_all(struct profile *p, const struct query_selection *sel, struct counters *q,
		    struct query_result **ret)
{
	struct query_selection with_stops = *sel;
	int r = query_quality(p, sel, &q->items, &q->n);
	size_t ticks;

	with_stops.with_stops = true;
	if (r == 0)
		r = query_run(p, &with_stops, ret);
	if (r < 0) {
		log_error("%s", profile_message(p));
		return r;
	}
	profile_ticks(p, &ticks);
	if (ticks && (*ret)->ticks_n == 0) {
		log_error("%s: no tick in this selection", profile_path(p));
		return -ENODATA;
	}
	return 0;
}

int report_quality(struct screen *s, struct profile *p, const struct query_selection *sel,
		   const struct report_options *o)
{
	_cleanup_(counters_release) struct counters q = { 0 };
	_cleanup_(query_freep) struct query_result *result = NULL;
	int r = read_all(p, sel, &q, &result);

	if (r < 0)
		return r;
	if (o->input.json)
		return json_quality(p, q.items, q.n, result);
	summary_head(s, p, sel);
	if (result->damaged_ticks)
		print_cut(s, STYLE_WARNING, "The samples of %" PRIu32 " ticks are damaged.",
			  result->damaged_ticks);
	print_counters(s, &q);
	print_ends(s, result);
	r = print_stops(s, result, o->limit);
	if (r == 0)
		r = print_unnamed(s, result, o->limit);
	if (r < 0) {
		log_error("%s", strerror(-r));
		return r;
	}
	print_cost(s, &q, result->duration_ns);
	return 0;
}
