/* SPDX-License-Identifier: Apache-2.0 */
/* kymo report --processes: the kernel's own account of every process, beside what samples say of it. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "cmd/json_views.h"
#include "cmd/report.h"
#include "cmd/summary.h"
#include "query/accounts.h"

/* Columns that the command wants before figures of low rank may stay. */
#define COMMAND_COLUMNS 12
/* From here on arguments are shown, too. */
#define CMDLINE_COLUMNS 32

enum figure {
	FIGURE_CPU,
	FIGURE_SAMPLED,
	FIGURE_ERROR,
	FIGURE_RSS,
	FIGURE_FAULTS,
	FIGURE_MAJOR_FAULTS,
	FIGURE_READ,
	FIGURE_WRITTEN,
	FIGURE_SWITCHES,
	FIGURE_FORCED,
	FIGURE_PID,
	FIGURE_MAX,
};

static const struct column {
	const char *title;
	unsigned width; /* with the space before it */
	unsigned rank;	/* on a narrow screen the highest go first */
} columns[FIGURE_MAX] = {
	[FIGURE_CPU] = { "cpu", 8, 0 },		[FIGURE_SAMPLED] = { "sampled", 9, 0 },
	[FIGURE_ERROR] = { "+-", 9, 2 },	[FIGURE_RSS] = { "rss", 6, 1 },
	[FIGURE_FAULTS] = { "faults", 7, 3 },	[FIGURE_MAJOR_FAULTS] = { "major", 6, 7 },
	[FIGURE_READ] = { "read", 6, 4 },	[FIGURE_WRITTEN] = { "write", 6, 4 },
	[FIGURE_SWITCHES] = { "switch", 7, 5 }, [FIGURE_FORCED] = { "forced", 7, 6 },
	[FIGURE_PID] = { "pid", 8, 0 },
};

#define RANK_MAX 7

struct table {
	struct screen *screen;
	struct profile *profile;
	bool shown[FIGURE_MAX];
	size_t command; /* columns left for it */
};

static size_t fixed_width(const struct table *t)
{
	size_t width = 2;

	for (size_t i = 0; i < FIGURE_MAX; i++)
		width += t->shown[i] ? columns[i].width : 0;
	return width;
}

static void choose_columns(struct table *t)
{
	size_t all = t->screen->columns;

	for (size_t i = 0; i < FIGURE_MAX; i++)
		t->shown[i] = true;
	for (unsigned rank = RANK_MAX; rank > 0 && fixed_width(t) + COMMAND_COLUMNS > all; rank--)
		for (size_t i = 0; i < FIGURE_MAX; i++)
			if (columns[i].rank == rank)
				t->shown[i] = false;
	t->command = all > fixed_width(t) + 8 ? all - fixed_width(t) : 8;
}

/* A correction may leave a little less than nothing in a part of the recording. */
static uint64_t not_negative(int64_t value)
{
	return value > 0 ? (uint64_t)value : 0;
}

static double rss_bytes(const struct table *t, const struct seen *c)
{
	double pages =
		(double)c->rss_anon_pages + (double)c->rss_file_pages + (double)c->rss_shmem_pages;

	return pages > 0 ? pages * (double)profile_meta_u64(t->profile, "page_bytes", 4096) : 0;
}

static const char *format_sampled(const struct query_value *v, enum figure figure,
				  char out[FORMAT_SIZE])
{
	if (v->count == 0)
		return strcpy(out, "-");
	return text_duration(
		figure == FIGURE_SAMPLED ? v->weight : (uint64_t)query_sampled_error(v), out);
}

static const char *format_figure(const struct table *t, const struct query_account *a,
				 enum figure figure, char out[FORMAT_SIZE])
{
	const struct seen *c = &a->total;

	switch (figure) {
	case FIGURE_CPU:
		return text_duration(not_negative(c->cpu_ns), out);
	case FIGURE_SAMPLED:
	case FIGURE_ERROR:
		return format_sampled(&a->sampled, figure, out);
	case FIGURE_RSS:
		/* What has ended let go of its memory: that is no reading of it. */
		return a->ended && rss_bytes(t, c) <= 0 ? strcpy(out, "-")
							: format_short_bytes(rss_bytes(t, c), out);
	case FIGURE_FAULTS:
		return format_short((double)not_negative(c->minor_faults) +
					    (double)not_negative(c->major_faults),
				    out);
	case FIGURE_MAJOR_FAULTS:
		return format_short((double)not_negative(c->major_faults), out);
	case FIGURE_READ:
		return format_short_bytes((double)not_negative(c->read_bytes), out);
	case FIGURE_WRITTEN:
		return format_short_bytes((double)not_negative(c->write_bytes), out);
	case FIGURE_SWITCHES:
		return format_short((double)not_negative(c->voluntary_switches) +
					    (double)not_negative(c->involuntary_switches),
				    out);
	case FIGURE_FORCED:
		return format_short((double)not_negative(c->involuntary_switches), out);
	default:
		snprintf(out, FORMAT_SIZE, "%" PRIu32, a->process->pid);
		return out;
	}
}

static const char *command_of(const struct table *t, const struct process *p,
			      char comm[KYMO_COMM_SIZE + 1])
{
	if (t->command >= CMDLINE_COLUMNS && p->cmdline && *p->cmdline)
		return p->cmdline;
	snprintf(comm, KYMO_COMM_SIZE + 1, "%.*s", KYMO_COMM_SIZE, p->comm);
	return comm;
}

static int print_account(const struct table *t, const struct query_account *a)
{
	char figure[FORMAT_SIZE], comm[KYMO_COMM_SIZE + 1];
	FILE *out = t->screen->out;
	struct buf b = { 0 };
	int r = append_text(&b, command_of(t, a->process, comm), t->command, false);
	const char *command = r == 0 ? buf_str(&b) : NULL;

	if (command) {
		for (size_t i = 0; i < FIGURE_MAX; i++)
			if (t->shown[i])
				fprintf(out, "%*s", (int)columns[i].width,
					format_figure(t, a, i, figure));
		fprintf(out, *command ? "  %s\n" : "%s\n", command);
	}
	buf_release(&b);
	return command ? 0 : -ENOMEM;
}

static void print_titles(const struct table *t)
{
	struct screen *s = t->screen;

	fputs(screen_style(s, STYLE_DIM), s->out);
	for (size_t i = 0; i < FIGURE_MAX; i++)
		if (t->shown[i])
			fprintf(s->out, "%*s", (int)columns[i].width, columns[i].title);
	fprintf(s->out, "  command%s\n", screen_plain(s));
}

static void print_sums(const struct table *t, const struct query_accounts *a)
{
	char count[FORMAT_SIZE], exact[16], sampled[16], error[16];
	struct query_value v = { 0 };
	double exact_ns = 0, weight = 0;

	for (size_t i = 0; i < a->n; i++) {
		exact_ns += (double)a->items[i].total.cpu_ns;
		weight += (double)a->items[i].sampled.weight;
		v.count += a->items[i].sampled.count;
	}
	v.weight = weight < 1e19 ? (uint64_t)weight : UINT64_MAX;
	print_cut(t->screen, STYLE_PLAIN, "%s process%s, %s of CPU time, sampled %s +- %s",
		  text_count(a->n, count), a->n == 1 ? "" : "es",
		  text_duration(exact_ns > 0 ? (uint64_t)exact_ns : 0, exact),
		  text_duration(v.weight, sampled),
		  text_duration((uint64_t)query_sampled_error(&v), error));
}

static int print_table(struct screen *s, struct profile *p, const struct query_accounts *a,
		       uint64_t limit)
{
	struct table t = { .screen = s, .profile = p };
	size_t shown = limit && limit < a->n ? limit : a->n;
	int r = 0;

	print_sums(&t, a);
	fputc('\n', s->out);
	choose_columns(&t);
	print_titles(&t);
	for (size_t i = 0; r == 0 && i < shown; i++)
		r = print_account(&t, &a->items[i]);
	if (shown < a->n)
		fprintf(s->out, "%s%zu more processes: --limit 0 shows all%s\n",
			screen_style(s, STYLE_DIM), a->n - shown, screen_plain(s));
	return r;
}

/* As input_query tells it of samples: an empty table would look like an idle host. */
static int check_accounts(struct profile *p, const struct query_selection *sel,
			  const struct query_accounts *a)
{
	size_t ticks;

	profile_ticks(p, &ticks);
	if ((ticks && a->ticks == 0) || (a->n == 0 && (sel->pid || sel->comm))) {
		log_error("%s: no %s in this selection", profile_path(p),
			  a->ticks ? "process" : "tick");
		return -ENODATA;
	}
	if (a->damaged_ticks)
		log_warning("%s: the samples of %u ticks are damaged and left out", profile_path(p),
			    a->damaged_ticks);
	return 0;
}

/* ---- order ---- */

/* As report_orders has them. */
enum account_order {
	BY_CPU,
	BY_SAMPLED,
	BY_RSS,
	BY_FAULTS,
	BY_MAJOR,
	BY_READ,
	BY_WRITE,
	BY_SWITCH,
	BY_PID,
	BY_NAME
};

static double figure_of(const struct query_account *a, enum account_order order)
{
	const struct seen *c = &a->total;

	switch (order) {
	case BY_SAMPLED:
		return (double)a->sampled.weight;
	case BY_RSS:
		return (double)c->rss_anon_pages + (double)c->rss_file_pages +
		       (double)c->rss_shmem_pages;
	case BY_FAULTS:
		return (double)c->minor_faults + (double)c->major_faults;
	case BY_MAJOR:
		return (double)c->major_faults;
	case BY_READ:
		return (double)c->read_bytes;
	case BY_WRITE:
		return (double)c->write_bytes;
	case BY_SWITCH:
		return (double)c->voluntary_switches + (double)c->involuntary_switches;
	case BY_PID:
		return -(double)a->process->pid;
	default:
		return (double)c->cpu_ns;
	}
}

/* Equal ones by CPU time. */
static int compare_accounts(const void *pa, const void *pb, void *data)
{
	const struct query_account *a = pa, *b = pb;
	enum account_order order = *(const enum account_order *)data;
	double x = figure_of(a, order), y = figure_of(b, order);
	int r = 0;

	if (order == BY_NAME)
		r = strncmp(a->process->comm, b->process->comm, sizeof(a->process->comm));
	else if (x != y)
		r = x > y ? -1 : 1;
	if (r == 0 && a->total.cpu_ns != b->total.cpu_ns)
		r = a->total.cpu_ns > b->total.cpu_ns ? -1 : 1;
	return r ?: (a->process->id < b->process->id ? -1 : a->process->id > b->process->id);
}

int report_processes(struct screen *s, struct profile *p, const struct query_selection *sel,
		     const struct report_options *o)
{
	enum account_order order = o->order;
	_cleanup_(query_accounts_release) struct query_accounts a = { 0 };
	int r = query_accounts(p, sel, &a);

	if (r < 0) {
		log_error("%s", profile_message(p));
		return r;
	}
	r = check_accounts(p, sel, &a);
	if (r < 0)
		return r;
	if (a.n && order != BY_CPU)
		qsort_r(a.items, a.n, sizeof(*a.items), compare_accounts, &order);
	if (o->input.json)
		return json_processes(p, &a, o->limit);
	summary_head(s, p, sel);
	if (a.n == 0) {
		fputs("no process was accounted\n", s->out);
		return 0;
	}
	r = print_table(s, p, &a, o->limit);
	if (r < 0)
		log_error("%s", strerror(-r));
	return r;
}
