/* SPDX-License-Identifier: Apache-2.0 */
/* What a recording has seen, on one screen, when it ends on a terminal. */
#include "cmd/record_summary.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "cmd/screen.h"
#include "model/process.h"
#include "query/accounts.h"
#include "query/metric.h"
#include "query/query.h"

/* With the headings and the line before it less than the 24 lines of a terminal. */
#define FUNCTIONS_SHOWN 8
#define PROCESSES_SHOWN 5

#define NAME_AT		24
#define NAME_WIDTH	30
#define PROCESS_AT	20

DEFINE_CLEANUP(struct profile *, profile_close);
DEFINE_CLEANUP(struct query_result *, query_free);

static void print_health(struct screen *s, struct profile *p, const struct query_selection *sel)
{
	static const struct {
		const char *words;
		enum metric metric;
	} parts[] = { { "CPU busy", METRIC_CPU_BUSY },
		      { "pressure: CPU", METRIC_PSI_CPU_SOME },
		      { "memory", METRIC_PSI_MEM_SOME },
		      { "I/O", METRIC_PSI_IO_SOME } };
	_cleanup_(buf_release) struct buf line = { 0 };
	struct metric_summary m;
	char bytes[16];
	int r = buf_append_str(&line, "host:");

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && r == 0; i++) {
		metric_summarise(parts[i].metric, p, sel, &m);
		if (m.ticks)
			r = buf_printf(&line, "%s %s %.0f%%", i ? "," : "", parts[i].words, m.mean);
	}
	metric_summarise(METRIC_MEM_AVAILABLE, p, sel, &m);
	if (r == 0 && m.ticks && m.min > 0)
		r = buf_printf(&line, "; %s free", text_bytes((uint64_t)m.min, bytes));
	metric_summarise(METRIC_OOM_KILLS, p, sel, &m);
	if (r == 0 && m.sum > 0)
		r = buf_printf(&line, "; OOM kills: %.0f", m.sum);
	if (r == 0 && buf_str(&line))
		print_line(s, buf_str(&line));
}

static void print_function(struct screen *s, const struct query_result *r,
			   const struct query_item *item)
{
	_cleanup_(buf_release) struct buf name = { 0 }, where = { 0 };
	char share[FORMAT_SIZE], weight[FORMAT_SIZE];
	const char *tail = item->binary;

	(void)path_tails(&tail, 1);
	if (append_name(&name, item->name, NAME_WIDTH, true) < 0 ||
	    append_where(&where, item, tail, s->columns - NAME_AT - NAME_WIDTH) < 0)
		return;
	fprintf(s->out, "%6s %12s   %s%s%s  %s%s%s\n",
		format_percent((double)item->self.weight, (double)r->total.weight, share),
		format_weight(item->self.weight, r->value, weight),
		screen_style(s, style_of_kind(item->kind)), buf_str(&name), screen_plain(s),
		screen_style(s, STYLE_DIM), buf_str(&where) ? buf_str(&where) : "",
		screen_plain(s));
}

static int print_functions(struct screen *s, const struct query_result *r)
{
	_cleanup_free_ uint32_t *list = NULL;
	size_t n;
	int e = query_functions(r, QUERY_BY_SELF, &list, &n);

	if (e < 0)
		return e;
	if (r->total.count == 0) {
		print_line(s, "no samples of the clock: nothing of it ran");
		return 0;
	}
	fprintf(s->out, "\n%s  self          CPU   hottest functions%s\n",
		screen_style(s, STYLE_DIM), screen_plain(s));
	for (size_t i = 0; i < n && i < FUNCTIONS_SHOWN; i++)
		if (r->items[list[i]].self.count)
			print_function(s, r, &r->items[list[i]]);
	return 0;
}

static int print_processes(struct screen *s, struct profile *p, const struct query_selection *sel)
{
	struct query_accounts accounts;
	int r = query_accounts(p, sel, &accounts);

	if (r < 0)
		return r;
	if (accounts.n)
		fprintf(s->out, "\n%s    pid          CPU   busiest processes%s\n",
			screen_style(s, STYLE_DIM), screen_plain(s));
	for (size_t i = 0; i < accounts.n && i < PROCESSES_SHOWN; i++) {
		const struct query_account *a = &accounts.items[i];
		const char *what = a->process->cmdline;
		char cpu[16];

		if (a->total.cpu_ns <= 0)
			break;
		print_cut(s, STYLE_PLAIN, "%7" PRIu32 " %12s   %s", a->process->pid,
			  text_duration((uint64_t)a->total.cpu_ns, cpu),
			  what && *what ? what : a->process->comm);
	}
	query_accounts_release(&accounts);
	return 0;
}

/* What is missing, or that nothing is. */
static void print_faults(struct screen *s, const struct query_result *r, uint64_t lost)
{
	uint64_t whole = r->ends[KYMO_END_WHOLE], all = 0;
	char share[FORMAT_SIZE], count[FORMAT_SIZE];

	for (size_t i = 0; i < KYMO_END_MAX; i++)
		if (i != KYMO_END_NONE && i != KYMO_END_EXECVE)
			all += r->ends[i];
	fputc('\n', s->out);
	if (lost)
		print_cut(s, STYLE_WARNING, "%s samples were lost", text_count(lost, count));
	if (all)
		print_cut(s, STYLE_PLAIN, "%s of user stacks are whole%s; %s",
			  format_percent((double)whole, (double)all, share),
			  whole < all ? " (why not: report --quality)" : "",
			  lost ? "see report --quality" : "no sample was lost");
}

static int print_all(struct screen *s, struct profile *p, const char *path, uint64_t lost,
		     bool next)
{
	const struct query_selection sel = { 0 };
	_cleanup_(query_freep) struct query_result *result = NULL;
	int r = query_run(p, &sel, &result);

	if (r < 0)
		return r;
	print_health(s, p, &sel);
	r = print_functions(s, result);
	if (r == 0)
		r = print_processes(s, p, &sel);
	if (r < 0)
		return r;
	print_faults(s, result, lost);
	/* Of one that is only exported nothing is left to be reported. */
	if (next)
		print_cut(s, STYLE_BOLD, "Next: kymo report %s (or ticks, or export -o flame.svg)",
			  path);
	return 0;
}

void record_summary(const char *path, uint64_t lost, bool next)
{
	_cleanup_(profile_closep) struct profile *p = NULL;
	_cleanup_free_ char *message = NULL;
	struct screen screen;
	int r = profile_open(path, &p, &message);

	screen_init(&screen, stderr, 80);
	if (r == 0)
		r = print_all(&screen, p, path, lost, next);
	if (r < 0)
		log_warning("%s", message ? message : p ? profile_message(p) : path);
}
