/* SPDX-License-Identifier: Apache-2.0 */
/* ELF notes, and the build-id among them. */
#ifndef KYMO_ELF_NOTE_H
#define KYMO_ELF_NOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "elf/file.h"
#include "model/frame.h"

/* Points into what the reader reads; the name's size counts its NUL. */
struct elf_note {
	uint32_t type;
	const char *name;
	size_t name_size;
	const uint8_t *desc;
	size_t desc_size;
};

/* The next one; false at the end and where the rest is damaged. */
bool elf_note_next(struct reader *r, struct elf_note *ret);
bool elf_note_is_named(const struct elf_note *n, const char *name);

/* Size 0 when there is none. 0 or -errno; damaged notes are no error. */
int elf_note_build_id(const struct elf_file *f, struct build_id *ret);

#endif
