/* SPDX-License-Identifier: Apache-2.0 */
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/record_summary.h"
#include "export/export.h"
#include "kern/kern.h"

static const char doc[] =
	"Record which code runs, with the host's health beside it.\v"
	"Without -a, -p, --cgroup or a COMMAND the whole host is recorded. -p and COMMAND "
	"include the children. "
	"Started through sudo, a COMMAND runs as the calling user and the "
	"profile belongs to that user.\n\n"
	"Examples:\n"
	"  sudo kymo record -d 10\n"
	"  sudo kymo record -p 1234 -F 499\n"
	"  sudo kymo record -o build.kymo -- make -j8\n"
	"  sudo kymo record --rotate 1h --keep 24 -o day\n"
	"\nThen: kymo report, kymo ticks, kymo export -o flame.svg";

enum { KEY_NO_CMDLINE = 0x100, KEY_ROTATE, KEY_KEEP, KEY_CGROUP };

static const struct argp_option options[] = {
	{ "all", 'a', NULL, 0, "The whole host (the default)", 0 },
	{ "pid", 'p', "PID,...", 0, "Only these processes and their children", 0 },
	{ "cgroup", KEY_CGROUP, "PATH", 0,
	  "Only the processes of this cgroup and those below it (as system.slice/x.service, or a "
	  "folder)",
	  0 },
	{ "frequency", 'F', "HZ", 0, "Samples per second and CPU (1 to 10000; default 99)", 0 },
	{ "duration", 'd', "SECONDS", 0,
	  "Stop by itself (default: at Ctrl-C, or when COMMAND ends)", 0 },
	{ "tick", 't', "MS", 0, "Length of a tick in milliseconds (50 to 3600000; default 1000)",
	  0 },
	{ "sources", 's', "SOURCE,...", 0,
	  "What makes samples: cpu, fault (memory), io (disk), gc, import (of Python, where it "
	  "has probes), gil (waits for Python's lock; with cpu); default cpu,fault,io",
	  0 },
	{ "output", 'o', "FILE", 0,
	  "The profile (default profile.kymo; an older one is kept as .old), x.svg and the like: "
	  "what export makes of it; or the folder of "
	  "--rotate (one that is there is continued)",
	  0 },
	{ "rotate", KEY_ROTATE, "TIME", 0,
	  "Into a folder (-o): a new file in it after TIME (1s to 30d, as 1h), each whole in "
	  "itself",
	  0 },
	{ "keep", KEY_KEEP, "N", 0, "With --rotate: keep the newest N files, remove older ones",
	  0 },
	{ "no-cmdline", KEY_NO_CMDLINE, NULL, 0,
	  "Leave the arguments of programs out of the profile: they may hold secrets", 0 },
	{ "quiet", 'q', NULL, 0, "No progress, no closing line", 0 },
	{ 0 },
};

struct arguments {
	struct agent_options agent;
	uint32_t pids[OPTIONS_PIDS_MAX];
};

static error_t set_sources(const struct argp_state *state, struct agent_options *o, char *list)
{
	char *name;

	if (!*list)
		return options_error(state, "--sources: no source given");
	o->sources = 0;
	while ((name = strsep(&list, ","))) {
		unsigned source = options_source(name);

		if (!source)
			return options_error(
				state,
				"--sources takes cpu, fault, io, gc, import and gil, not '%s'",
				name);
		o->sources |= 1U << source;
	}
	/* Who holds it is seen by the clock; both ends of it are one source to ask for. */
	if (o->sources & (KERN_SOURCE(KYMO_SOURCE_GIL) | KERN_SOURCE(KYMO_SOURCE_HELD)))
		o->sources |= KERN_SOURCE(KYMO_SOURCE_CPU) | KERN_SOURCE(KYMO_SOURCE_GIL) |
			      KERN_SOURCE(KYMO_SOURCE_HELD);
	return 0;
}

static error_t check(const struct argp_state *state, struct arguments *a)
{
	struct agent_options *o = &a->agent;
	bool empty_command = !o->command && state->next > 0 &&
			     strcmp(state->argv[state->next - 1], "--") == 0;
	int given = o->all + (o->pids_n > 0) + (o->command != NULL) + (o->cgroup != NULL);

	if (empty_command)
		return options_error(state, "no COMMAND behind --");
	if (given > 1)
		return options_error(state, "-a, -p, --cgroup and a COMMAND exclude each other");
	if (o->rotate_ns && exporter_by_ending(o->output))
		return options_error(state, "--rotate: -o names a folder, not '%s'", o->output);
	if (o->keep && !o->rotate_ns)
		return options_error(state, "--keep goes with --rotate");
	if (given == 0 || o->cgroup)
		o->all = true;
	o->pids = a->pids;
	return 0;
}

/* A number option: parsed, scaled, stored. */
static error_t set(const struct argp_state *state, const char *what, const char *arg, uint64_t min,
		   uint64_t max, uint64_t scale, uint64_t *ret)
{
	uint64_t value;
	error_t r = options_number(state, what, arg, min, max, &value);

	if (!r)
		*ret = value * scale;
	return r;
}

/* A time with its unit: not to be taken for hours when seconds were meant. */
static error_t set_rotate(const struct argp_state *state, struct agent_options *o, const char *arg)
{
	static const struct {
		char unit;
		uint64_t seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	_cleanup_free_ char *number = strdup(arg);
	size_t n = strlen(arg);
	uint64_t value;

	if (!number)
		return ENOMEM;
	if (n)
		number[n - 1] = '\0';
	for (size_t i = 0; n && i < sizeof(units) / sizeof(units[0]); i++)
		if (arg[n - 1] == units[i].unit &&
		    text_parse_u64(number, 1, 30 * 86400, &value) == 0 &&
		    value * units[i].seconds >= 1 && value * units[i].seconds <= 30 * 86400) {
			o->rotate_ns = value * units[i].seconds * NS_PER_SEC;
			return 0;
		}
	return options_error(state, "--rotate takes 1s to 30d, as 90s, 15m, 1h or 1d, not '%s'",
			     arg);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	struct agent_options *o = &a->agent;

	switch (key) {
	case 'a':
		o->all = true;
		return 0;
	case 'p':
		return options_pids(state, arg, a->pids, &a->agent.pids_n);
	case 'F':
		return set(state, "-F", arg, 1, 10000, 1, &o->hz);
	case 'd':
		return set(state, "-d", arg, 1, 31536000, NS_PER_SEC, &o->duration_ns);
	case 't':
		return set(state, "--tick", arg, 50, 3600000, NS_PER_MSEC, &o->tick_ns);
	case 's':
		return set_sources(state, o, arg);
	case 'o':
		if (!*arg)
			return options_error(state, "-o: the name of the profile is empty");
		if (strcmp(arg, "-") == 0)
			return options_error(state, "-o -: a profile cannot go to standard output");
		o->output = arg;
		return 0;
	case KEY_NO_CMDLINE:
		o->no_cmdline = true;
		return 0;
	case KEY_CGROUP:
		if (!*arg)
			return options_error(state, "--cgroup: the path is empty");
		o->cgroup = arg;
		return 0;
	case KEY_ROTATE:
		return set_rotate(state, o, arg);
	case KEY_KEEP:
		return set(state, "--keep", arg, 1, 1000000, 1, &o->keep);
	case 'q':
		o->quiet = true;
		return 0;
	case ARGP_KEY_ARGS:
		o->command = state->argv + state->next;
		return 0;
	case ARGP_KEY_END:
		return check(state, a);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* sudo says who called; believed only when we really run as root. */
static void find_user(struct agent_options *o)
{
	const char *uid = getenv("SUDO_UID"), *gid = getenv("SUDO_GID");
	uint64_t u, g;

	o->uid = getuid();
	o->gid = getgid();
	if (o->uid != 0 || !uid || !gid || text_parse_u64(uid, 1, UINT32_MAX - 1, &u) < 0 ||
	    text_parse_u64(gid, 0, UINT32_MAX - 1, &g) < 0)
		return;
	o->user_set = true;
	o->uid = (uid_t)u;
	o->gid = (gid_t)g;
}

static int record_one(struct agent_options *o, bool exported, struct agent_result *result)
{
	/* Of a folder the other files may be many and long: of those report tells. */
	bool shown = !o->quiet && !o->rotate_ns && isatty(STDERR_FILENO);
	int r;

	o->summarised = shown;
	o->exported = exported;
	r = agent_record(o, result);
	if (r == 0 && shown)
		record_summary(o->output, result->lost, !exported);
	return r;
}

/* An output whose ending is that of an export: recorded beside it, which stays where the export fails. */
static int record_then_export(struct agent_options *o, struct agent_result *result)
{
	_cleanup_free_ char *profile = NULL;
	const char *output = o->output;
	int r;

	if (!exporter_by_ending(output))
		return record_one(o, false, result);
	if (asprintf(&profile, "%s.kymo", output) < 0) {
		profile = NULL;
		return -ENOMEM;
	}
	o->output = profile;
	r = record_one(o, true, result);
	if (r < 0)
		return r;
	if (cmd_export(4, (char *[]){ "export", "-o", (char *)output, profile, NULL }) != 0) {
		log_warning("the recording itself is in %s", profile);
		return -EIO;
	}
	if (o->user_set)
		(void)!lchown(output, o->uid, o->gid);
	unlink(profile);
	if (!o->quiet)
		log_info("%s is written", output);
	return 0;
}

int cmd_record(int argc, char **argv)
{
	static const struct argp argp = { options, parse, "[-- COMMAND [ARG...]]", doc, NULL,
					  NULL,	   NULL };
	_cleanup_free_ struct arguments *a = calloc(1, sizeof(*a));
	struct agent_result result = { 0 };
	int r;

	if (!a)
		return EXIT_FAILURE;
	a->agent = (struct agent_options){
		.hz = 99, .tick_ns = NS_PER_SEC, .sources = KERN_SOURCES, .output = "profile.kymo"
	};
	r = options_parse(&argp, ARGP_IN_ORDER, "record", argc, argv, a);
	if (r)
		return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	find_user(&a->agent);
	r = record_then_export(&a->agent, &result);
	return r < 0 ? EXIT_FAILURE : result.exit_code;
}
