/* SPDX-License-Identifier: Apache-2.0 */
/* What the host must offer before anything is loaded, and what its refusals mean in one line. */
#ifndef KYMO_KERN_FEATURES_H
#define KYMO_KERN_FEATURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KERNEL_VERSION_MIN_MAJOR 6
#define KERNEL_VERSION_MIN_MINOR 1

struct features {
	char release[65];  /* uname -r */
	bool nested_pids;  /* in a pid namespace below the host's */
	bool btf;	   /* the kernel describes its own types */
	bool confidential; /* lockdown lets no program read the kernel's memory */
	bool usercopy_locks; /* reading user memory in an interrupt may stop the CPU for ever: usercopy.c */
	uint64_t capabilities; /* effective, bit per CAP_* */
};

/* 0 or -errno. */
int features_probe(struct features *ret);
/* 0, or -EPERM, -EOPNOTSUPP with *ret_message (malloced, one line). */
int features_check(const struct features *f, char **ret_message);

/* usercopy.c: false also where that cannot be told. */
bool usercopy_locks(const char *release);
/* Whether the code of a function that starts at `at` calls another one. */
bool usercopy_calls(const uint8_t *code, size_t size, uint64_t at, uint64_t callee);
/* Whether the check is switched off by the kernel's command line. */
bool usercopy_switched_off(const char *command_line);

/* The line of the verifier's log that says why; written into out, "" when there is none. */
void features_verifier_reason(const char *log, char *out, unsigned long out_size);

#endif
