/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command lines by argp's tables, in kymo's manner: -h and --help everywhere, one line for
 * a mistake, exit code 1 (argp's own would be several lines and 64).
 */
#ifndef KYMO_CMD_OPTIONS_H
#define KYMO_CMD_OPTIONS_H

#include <argp.h>
#include <stdint.h>

/*
 * Parses with `argp` (its parser gets `input`; flags as ARGP_IN_ORDER) under the name "kymo NAME". 0: go on. 1: help was
 * shown, the command ends well. -errno: the mistake has been told.
 */
int options_parse(const struct argp *argp, unsigned flags, const char *name, int argc, char **argv,
		  void *input);

/* For parsers: tells the mistake in one line and returns what the parser must return. */
error_t options_error(const struct argp_state *state, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* A whole number in min..max, or options_error. `what` as in "--limit". */
error_t options_number(const struct argp_state *state, const char *what, const char *arg,
		       uint64_t min, uint64_t max, uint64_t *ret);

#define OPTIONS_PIDS_MAX 1024
/* -p's list, "1,22,333": adds to the *n that there are, or options_error. Cuts `list` up. */
error_t options_pids(const struct argp_state *state, char *list, uint32_t pids[OPTIONS_PIDS_MAX],
		     size_t *n);

/* enum kymo_source of a source that can be recorded (cpu, fault, io); 0 = none of that name. */
unsigned options_source(const char *name);

#endif
