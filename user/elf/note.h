/* SPDX-License-Identifier: Apache-2.0 */
/* ELF notes: the build-id, and which USDT probes of CPython a file has. */
#ifndef KYMO_ELF_NOTE_H
#define KYMO_ELF_NOTE_H

#include <stdbool.h>

#include "elf/file.h"
#include "model/frame.h"

/* Size 0 when there is none. 0 or -errno; damaged notes are no error. */
int elf_note_build_id(const struct elf_file *f, struct build_id *ret);
int elf_note_python_probes(const struct elf_file *f, bool *ret_gc, bool *ret_import);

#endif
