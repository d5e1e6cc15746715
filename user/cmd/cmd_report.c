/* SPDX-License-Identifier: Apache-2.0 */
/* kymo report: how the host was, and what ran: its options, and which view they ask for. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/report.h"
#include "cmd/summary.h"

#define DEFAULT_LIMIT	   30
#define DEFAULT_TREE_LIMIT 60

DEFINE_CLEANUP(struct profile *, profile_close);

enum {
	KEY_LIMIT = 0x200,
	KEY_TREE,
	KEY_ALL_FRAMES,
	KEY_PROCESSES,
	KEY_QUALITY,
	KEY_GC,
	KEY_IMPORTS,
	KEY_GIL,
	KEY_SORT
};

const char *const report_orders[VIEW_MAX][ORDERS_MAX] = {
	[VIEW_FUNCTIONS] = { "self", "total", "samples", "name" },
	[VIEW_TREE] = { "total", "self", "samples", "name" },
	[VIEW_PROCESSES] = { "cpu", "sampled", "rss", "faults", "major", "read", "write", "switch",
			     "pid", "name" },
	[VIEW_GC] = { "time", "longest", "count", "objects", "pid", "name" },
	[VIEW_IMPORTS] = { "total", "own", "memory", "name", "end" },
	[VIEW_GIL] = { "waiting", "holding", "without", "tid", "name" },
};

/* "self, total or name" */
static void list_orders(enum report_view view, char *out, size_t size)
{
	const char *const *words = report_orders[view];

	*out = '\0';
	for (size_t i = 0; i < ORDERS_MAX && words[i]; i++) {
		bool last = i + 1 == ORDERS_MAX || !words[i + 1];

		strncat(out, i == 0 ? "" : last ? " or " : ", ", size - strlen(out) - 1);
		strncat(out, words[i], size - strlen(out) - 1);
	}
}

static error_t check_options(struct report_options *o, const struct argp_state *state)
{
	char names[160];

	if (o->all_frames && o->view != VIEW_TREE &&
	    (o->view != VIEW_FUNCTIONS || !report_charges(o->input.value)))
		return options_error(state,
				     "--all-frames is for --tree, --value fault, io, gil and held");
	if (o->input.value && o->view == VIEW_PROCESSES)
		return options_error(state, "--processes shows all accounts: not with --value");
	if (o->input.value && o->view == VIEW_QUALITY)
		return options_error(state, "--quality is of all sources: not with --value");
	if (o->input.value && o->view == VIEW_GIL)
		return options_error(state,
				     "--gil shows all that is known of it: not with --value");
	if (o->input.value && (o->view == VIEW_GC || o->view == VIEW_IMPORTS))
		return options_error(state, "--gc and --imports show events: not with --value");
	if (!o->sort)
		return 0;
	if (o->view == VIEW_QUALITY)
		return options_error(state, "--quality has an order of its own: not with --sort");
	for (unsigned i = 0; i < ORDERS_MAX && report_orders[o->view][i]; i++)
		if (strcmp(report_orders[o->view][i], o->sort) == 0) {
			o->order = i;
			return 0;
		}
	list_orders(o->view, names, sizeof(names));
	return options_error(state, "--sort takes %s here, not '%s'", names, o->sort);
}

static error_t choose_view(struct report_options *o, enum report_view view,
			   const struct argp_state *state)
{
	if (o->view && o->view != view)
		return options_error(
			state, "--tree, --processes, --gc, --imports, --gil and --quality: one "
			       "at a time");
	o->view = view;
	return 0;
}

static error_t report_parse(int key, char *arg, struct argp_state *state)
{
	struct report_options *o = state->input;

	switch (key) {
	case KEY_LIMIT:
		return options_number(state, "--limit", arg, 0, UINT32_MAX, &o->limit);
	case KEY_SORT:
		o->sort = arg;
		return 0;
	case KEY_ALL_FRAMES:
		o->all_frames = true;
		return 0;
	case KEY_TREE:
		return choose_view(o, VIEW_TREE, state);
	case KEY_PROCESSES:
		return choose_view(o, VIEW_PROCESSES, state);
	case KEY_QUALITY:
		return choose_view(o, VIEW_QUALITY, state);
	case KEY_GC:
		return choose_view(o, VIEW_GC, state);
	case KEY_GIL:
		return choose_view(o, VIEW_GIL, state);
	case KEY_IMPORTS:
		return choose_view(o, VIEW_IMPORTS, state);
	case ARGP_KEY_END:
		return check_options(o, state);
	default:
		return input_parse_command(key, arg, state);
	}
}

static const struct argp_option report_options[] = {
	{ "tree", KEY_TREE, NULL, 0, "Who called whom, from the processes down", 0 },
	{ "all-frames", KEY_ALL_FRAMES, NULL, 0,
	  "With --tree: libraries, interpreters and the kernel frame by frame, too; with --value "
	  "fault or io: self of the functions in which it happened, the kernel's",
	  0 },
	{ "processes", KEY_PROCESSES, NULL, 0,
	  "Processes instead of functions, by the kernel's own account: exact CPU time and the "
	  "sampled estimate, memory, faults, storage bytes, switches",
	  0 },
	{ "gc", KEY_GC, NULL, 0,
	  "Garbage collections of Python by process: how many, how long, what made it collect", 0 },
	{ "imports", KEY_IMPORTS, NULL, 0,
	  "First imports of Python modules: time and memory, with and without imports within", 0 },
	{ "gil", KEY_GIL, NULL, 0,
	  "Python's lock: of each thread the share of time in which it held it, waited for it, ran "
	  "without it; whose code waited for whose (recorded with --sources gil)",
	  0 },
	{ "quality", KEY_QUALITY, NULL, 0,
	  "What went wrong or is missing in the recording, by cause and binary, and what recording "
	  "cost",
	  0 },
	{ "sort", KEY_SORT, "KEY", 0,
	  "By self (the default), total, samples or name; --tree: by total (the default), self, "
	  "samples or name; --processes: by cpu (the default), sampled, rss, faults, major, read, "
	  "write, switch, pid or name; --gc: by time (the default), longest, count, objects, pid "
	  "or name; --imports: by total (the default), own, memory, name or end (nested); --gil: "
	  "by "
	  "waiting (the default), holding, without, tid or name",
	  0 },
	{ "limit", KEY_LIMIT, "N", 0,
	  "At most N functions, processes, causes (default 30) or lines of the tree (default 60); "
	  "0 = all",
	  0 },
	{ 0 },
};

static const struct argp_child report_children[] = { { .argp = &input_value_argp },
						     { .argp = &json_argp },
						     { 0 } };

static const struct argp report_argp = {
	.options = report_options,
	.parser = report_parse,
	.children = report_children,
	.args_doc = "[FILE]",
	.doc = "Shows a recording (default: profile.kymo): how the host was, and which functions "
	       "ran.\v"
	       "self: the share of samples in which the function itself ran; total: those in which "
	       "it was "
	       "anywhere on the stack; time: what its self share stands for. With --value fault or "
	       "io "
	       "the shares are of bytes: memory that was brought in by the page faults of a "
	       "function, blocks that it made the disk read or write (of buffered writes only "
	       "those that it waited for: the others are the kernel's flusher's); self is charged "
	       "to "
	       "the innermost function that the program brought along (as --tree says), where "
	       "there "
	       "is none to that of a library; [kernel alone]: stacks of the kernel and nothing "
	       "else. gc, import: the "
	       "time "
	       "that passed in what a function made Python collect or import. With --value "
	       "seen:... they are of what the kernel counted for the thread (memory: the process) "
	       "since its "
	       "previous sample, shown at the stack that was seen at its end: correlation, never "
	       "cause.\n"
	       "--tree folds away what the program did not bring along: functions of Python's "
	       "standard "
	       "library and of site-packages, of an interpreter (python, libpython), and of "
	       "binaries in lib folders "
	       "of the system (/lib, /usr/lib, /usr/libexec, /usr/local/lib) that are no recorded "
	       "process's own executable, and _start. "
	       "Time that ended in them "
	       "is one line of their caller, the kernel's another; an ellipsis before a name says "
	       "that it was called "
	       "through such. A function that calls itself, also by way of others, is shown "
	       "once: (recursive).\n"
	       "With --processes: cpu is exact, sampled +- one standard error is what the samples "
	       "make "
	       "of "
	       "it; rss is the last reading before its end; major faults are among the faults, "
	       "forced switches among the switches; a program that another took the place of "
	       "(exec) "
	       "has a line of its own.\n"
	       "With --gc, of each process the three places that made it collect longest: the "
	       "innermost Python function, whether it allocated or asked, and its callers; "
	       "objects: found to be garbage. With --imports: own is without the imports within; "
	       "memory: by what the process's grew meanwhile, likewise without them.\n"
	       "With --gil the shares are of the time that is shown, per thread. holding: on the "
	       "CPU, by samples, or off the CPU (preempted, faulting, asleep in code that keeps "
	       "the lock), which stands apart, too; waiting: asleep for it; without: on the CPU "
	       "without it; the rest is sleep and waiting for a CPU. For whom: who was seen with "
	       "the lock "
	       "during the wait; at low rates many waits end before anyone is.\n"
	       "With --quality: --pid and --comm select whose stacks are "
	       "counted; the counters are of all.",
};

int report_head(struct screen *s, struct profile *p, const struct query_selection *sel,
		const struct query_result *r)
{
	int error;

	summary_head(s, p, sel);
	fputc('\n', s->out);
	summary_health(s, p, sel);
	fputc('\n', s->out);
	error = summary_samples(s, p, sel, r);
	if (error < 0) {
		log_error("%s", profile_message(p));
		return error;
	}
	fputc('\n', s->out);
	return 0;
}

int cmd_report(int argc, char **argv)
{
	static report_view_fn *const views[VIEW_MAX] = {
		[VIEW_FUNCTIONS] = report_functions,
		[VIEW_TREE] = report_tree,
		[VIEW_PROCESSES] = report_processes,
		[VIEW_QUALITY] = report_quality,
		[VIEW_GC] = report_gc,
		[VIEW_IMPORTS] = report_imports,
		[VIEW_GIL] = report_gil,
	};
	_cleanup_(profile_closep) struct profile *p = NULL;
	struct report_options o = { .limit = UINT64_MAX };
	struct query_selection sel;
	struct screen screen;
	int r = input_begin(&report_argp, "report", argc, argv, &o.input, &p, &sel);

	if (r)
		return r < 0;
	if (o.limit == UINT64_MAX)
		o.limit = o.view == VIEW_TREE ? DEFAULT_TREE_LIMIT : DEFAULT_LIMIT;
	screen_init(&screen, stdout, 80);
	sel.merge_processes = o.view != VIEW_TREE;
	if (views[o.view](&screen, p, &sel, &o) < 0)
		return 1;
	return o.input.json ? 0 : screen_finish(&screen);
}
