/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The USDT probes of an interpreter: which, and where their arguments lie when one is hit. */
#ifndef KYMO_PROBE_H
#define KYMO_PROBE_H

#include "kymo/types.h"

#define KYMO_PROBE_FILES_MAX 64 /* whose probes are attached at the same time */
#define KYMO_PROBES_MAX	     8	/* sites in one file: the compiler may copy a probe */
#define KYMO_PROBE_ARGUMENTS 2
#define KYMO_REGISTERS	     16

enum kymo_probe_kind {
	KYMO_PROBE_GC_START = 1,     /* int generation */
	KYMO_PROBE_GC_DONE = 2,	     /* long: objects collected, and those that could not be */
	KYMO_PROBE_IMPORT_START = 3, /* char *name */
	KYMO_PROBE_IMPORT_DONE = 4,  /* char *name, int found */
	KYMO_PROBE_KIND_MAX,
};

enum kymo_argument_kind {
	KYMO_ARGUMENT_UNKNOWN = 0, /* described in a way that we do not read */
	KYMO_ARGUMENT_CONSTANT = 1,
	KYMO_ARGUMENT_REGISTER = 2,
	KYMO_ARGUMENT_MEMORY = 3, /* at register + offset */
	KYMO_ARGUMENT_KIND_MAX,
};

struct kymo_probe_argument {
	__s64 offset; /* CONSTANT: the value */
	__u8 kind;    /* enum kymo_argument_kind */
	__u8 reg;     /* by DWARF's number */
	__u8 size;    /* 1, 2, 4 or 8 bytes */
	__u8 is_signed;
	__u32 pad;
};
static_assert(sizeof(struct kymo_probe_argument) == 16, "layout");

struct kymo_probe_site {
	__u32 kind; /* enum kymo_probe_kind */
	__u32 pad;
	struct kymo_probe_argument arguments[KYMO_PROBE_ARGUMENTS];
};
static_assert(sizeof(struct kymo_probe_site) == 40, "layout");

#endif
