/* SPDX-License-Identifier: Apache-2.0 */
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

#define PIDS_MAX 1024

static const char doc[] =
	"Record which code runs, with the host's health beside it.\v"
	"Without -a, -p or a COMMAND the whole host is recorded. -p and COMMAND include the children. "
	"Started through sudo, a COMMAND runs as the calling user and the profile belongs to that user.\n\n"
	"Examples:\n"
	"  sudo kymo record -d 10\n"
	"  sudo kymo record -p 1234 -F 499\n"
	"  sudo kymo record -o build.kymo -- make -j8\n"
	"\nThen: kymo report, kymo ticks, kymo export -o flame.svg";

static const struct argp_option options[] = {
	{ "all", 'a', NULL, 0, "The whole host (the default)", 0 },
	{ "pid", 'p', "PID,...", 0, "Only these processes and their children", 0 },
	{ "frequency", 'F', "HZ", 0, "Samples per second and CPU (1 to 10000; default 99)", 0 },
	{ "duration", 'd', "SECONDS", 0, "Stop by itself (default: at Ctrl-C, or when COMMAND ends)", 0 },
	{ "tick", 't', "MS", 0, "Length of a tick in milliseconds (50 to 3600000; default 1000)", 0 },
	{ "output", 'o', "FILE", 0, "The profile (default profile.kymo; an older one is kept as .old)", 0 },
	{ "quiet", 'q', NULL, 0, "No progress, no closing line", 0 },
	{ 0 },
};

struct arguments {
	struct agent_options agent;
	uint32_t pids[PIDS_MAX];
};

static uint64_t number(struct argp_state *state, const char *what, const char *arg, uint64_t min,
		       uint64_t max)
{
	uint64_t value;

	if (text_parse_u64(arg, min, max, &value) < 0)
		argp_error(state, "%s: '%s' is not a whole number from %llu to %llu", what, arg,
			   (unsigned long long)min, (unsigned long long)max);
	return value;
}

static void add_pids(struct argp_state *state, struct arguments *a, char *list)
{
	char *save = NULL;

	if (!*list)
		argp_error(state, "-p: no process given");
	for (char *pid = strtok_r(list, ",", &save); pid; pid = strtok_r(NULL, ",", &save)) {
		if (a->agent.pids_n == PIDS_MAX)
			argp_error(state, "-p: more than %d processes", PIDS_MAX);
		a->pids[a->agent.pids_n++] = (uint32_t)number(state, "-p", pid, 1, 4194304);
	}
}

static void check(struct argp_state *state, struct arguments *a)
{
	struct agent_options *o = &a->agent;

	if (o->all + (o->pids_n > 0) + (o->command != NULL) > 1)
		argp_error(state, "-a, -p and a COMMAND exclude each other");
	if (o->all + (o->pids_n > 0) + (o->command != NULL) == 0)
		o->all = true;
	o->pids = a->pids;
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
		add_pids(state, a, arg);
		return 0;
	case 'F':
		o->hz = (uint32_t)number(state, "-F", arg, 1, 10000);
		return 0;
	case 'd':
		o->duration_ns = number(state, "-d", arg, 1, 31536000) * NS_PER_SEC;
		return 0;
	case 't':
		o->tick_ns = number(state, "--tick", arg, 50, 3600000) * NS_PER_MSEC;
		return 0;
	case 'o':
		if (!*arg)
			argp_error(state, "-o: the name of the profile is empty");
		o->output = arg;
		return 0;
	case 'q':
		o->quiet = true;
		return 0;
	case ARGP_KEY_ARGS:
		o->command = state->argv + state->next;
		return 0;
	case ARGP_KEY_END:
		check(state, a);
		return 0;
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

int cmd_record(int argc, char **argv)
{
	static const struct argp argp = { options, parse, "[-- COMMAND [ARG...]]", doc, NULL, NULL, NULL };
	_cleanup_free_ struct arguments *a = calloc(1, sizeof(*a));
	int exit_code = 0;

	if (!a)
		return EXIT_FAILURE;
	a->agent = (struct agent_options){ .hz = 99, .tick_ns = NS_PER_SEC, .output = "profile.kymo" };
	if (argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, a) != 0)
		return EXIT_FAILURE;
	find_user(&a->agent);
	return agent_record(&a->agent, &exit_code) < 0 ? EXIT_FAILURE : exit_code;
}
