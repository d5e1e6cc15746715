/* SPDX-License-Identifier: Apache-2.0 */
/* What the reading commands share: which file, which part of it, and how failures are told. */
#ifndef KYMO_CMD_OPEN_H
#define KYMO_CMD_OPEN_H

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>

#include "query/query.h"

/* A point in time as given: from the recording's start, from its end, or on the clock. */
struct time_option {
	enum { TIME_NONE, TIME_FROM_START, TIME_FROM_END, TIME_OF_DAY, TIME_WALL } form;
	uint64_t ns; /* OF_DAY: since midnight, WALL: since 1970 */
};

struct input_options {
	const char *path; /* DEFAULT_PROFILE when not given */
	struct time_option since, until;
	uint64_t pid;
	const char *comm;
	bool json;
	enum value_id value; /* --value; VALUE_NONE = not given: cpu */
};

/* Children for a command's argp: FILE alone; FILE with --since, --until; with --pid, --comm too; and with --value. */
extern const struct argp input_argp, input_time_argp, input_selection_argp, input_value_argp;

extern const struct argp json_argp; /* --json */

/*
 * The parser of a command whose input is a struct input_options, or begins with one, and whose children are
 * two of the above. One with options of its own calls it for the keys that it does not take.
 */
error_t input_parse_command(int key, char *arg, struct argp_state *state);

/*
 * How a reading command begins: options, the profile, what of it is selected (ret_selection NULL: not
 * asked). 0; 1 when help was shown and the command ends well; -errno, told.
 */
int input_begin(const struct argp *argp, const char *name, int argc, char **argv,
		struct input_options *o, struct profile **ret,
		struct query_selection *ret_selection);

/* 0, or -errno with the reason told in one line. */
int input_open(const struct input_options *o, struct profile **ret);
/* Resolves the options against the profile. 0, or -EINVAL, told. */
int input_select(const struct input_options *o, const struct profile *p,
		 struct query_selection *ret);
/* Whether samples of it were asked for when it was recorded. */
bool input_has_source(const struct profile *p, enum kymo_source source);
/*
 * As query_run, telling failures, and damaged ticks as a warning. Damage that leaves no samples, and a
 * selection that takes none, are failures: -EBADMSG, -ENODATA.
 */
int input_query(struct profile *p, const struct query_selection *s, struct query_result **ret);

/* 0 or -EINVAL. */
int time_option_parse(const char *text, struct time_option *ret);

/* Whether a source's events may be absent: 0, or -ENODATA with the reason told. */
int input_check_events(const struct profile *p, const struct query_selection *s,
		       enum kymo_source source, bool any);

#endif
