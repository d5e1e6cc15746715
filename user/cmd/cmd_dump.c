/* SPDX-License-Identifier: Apache-2.0 */
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/dump.h"
#include "base/cleanup.h"
#include "cmd/cmd.h"
#include "cmd/dump_print.h"
#include "cmd/options.h"

static const char doc[] =
	"The stacks of all threads as they stand now, sleeping ones too: Python, native and kernel "
	"frames, as Python's "
	"faulthandler prints them.\v"
	"Needs root. Nothing is stopped: a thread that sleeps is read from outside, one that runs "
	"is met by the clock. 'Current thread' holds the GIL.\n\n"
	"Examples:\n"
	"  sudo kymo dump -p 1234\n"
	"  sudo kymo dump -a --json";

static const struct argp_option options[] = {
	{ "pid", 'p', "PID,...", 0, "These processes", 0 },
	{ "all", 'a', NULL, 0, "All processes of this host", 0 },
	{ "lines", 'l', NULL, 0,
	  "Source lines and inlined functions of native code, too, from DWARF: takes seconds", 0 },
	{ "json", 'j', NULL, 0, "As JSON (docs/formats/json.md)", 0 },
	{ 0 },
};

struct arguments {
	struct dump_options dump;
	uint32_t pids[OPTIONS_PIDS_MAX];
	bool all, json;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;

	switch (key) {
	case 'p':
		return options_pids(state, arg, a->pids, &a->dump.pids_n);
	case 'a':
		a->all = true;
		return 0;
	case 'l':
		a->dump.lines = true;
		return 0;
	case 'j':
		a->json = true;
		return 0;
	case ARGP_KEY_ARG:
		return options_error(state, "dump takes no file; give -p PID or -a");
	case ARGP_KEY_END:
		if (a->all == (a->dump.pids_n > 0))
			return options_error(state, "dump takes either -p PID or -a");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int cmd_dump(int argc, char **argv)
{
	static const struct argp argp = { options, parse, NULL, doc, NULL, NULL, NULL };
	_cleanup_free_ struct arguments *a = calloc(1, sizeof(*a));
	struct dump *dump = NULL;
	struct screen s;
	int r;

	if (!a)
		return EXIT_FAILURE;
	a->dump.pids = a->pids;
	r = options_parse(&argp, 0, "dump", argc, argv, a);
	if (r)
		return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	if (agent_dump(&a->dump, &dump) < 0)
		return EXIT_FAILURE;
	screen_init(&s, stdout, SCREEN_UNLIMITED);
	if (a->json)
		(void)dump_print_json(dump);
	else
		dump_print_text(&s, dump);
	dump_free(dump);
	return screen_finish(&s);
}
