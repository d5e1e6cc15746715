/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The USDT probes of CPython in a file, from its .note.stapsdt (as systemtap's sys/sdt.h writes it). Only
 * sites that can be believed are told: a no-op instruction in code, with a semaphore in data of the file.
 */
#ifndef KYMO_ELF_PROBES_H
#define KYMO_ELF_PROBES_H

#include <stdint.h>

#include "elf/file.h"
#include "kymo/probe.h"

struct elf_probe {
	uint64_t offset;	   /* in the file, of the instruction */
	uint64_t semaphore_offset; /* in the file; 0 = none */
	struct kymo_probe_site site;
};

/* At most KYMO_PROBES_MAX, in the file's order. 0 or -ENOMEM; damaged notes are no error. */
int elf_probes_read(const struct elf_file *f, struct elf_probe ret[KYMO_PROBES_MAX],
		    uint32_t *ret_n);

/*
 * One argument of a probe's description ("-4@%eax", "8@-20(%rbp)", "4@$3"), from *at on, which moves behind it
 * and the space that follows. UNKNOWN where it is none of these.
 */
struct kymo_probe_argument elf_probe_argument(const char **at);

#endif
