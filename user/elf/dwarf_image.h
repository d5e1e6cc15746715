/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside user/elf: those sections of a file that lines and inlined functions need, as an ELF image in memory for libdw.
 * libdw is never given the file: it would ask for its status and open others, and its memory would follow
 * what the file claims.
 */
#ifndef KYMO_ELF_DWARF_IMAGE_H
#define KYMO_ELF_DWARF_IMAGE_H

#include "base/buf.h"
#include "elf/file.h"

/* False without .debug_info. */
bool dwarf_image_possible(const struct elf_file *f);
/*
 * Appended to ret (empty before). Takes what the image and its unpacked sections need from *bytes_left.
 * 0; -ENOENT without DWARF, -EFBIG when bytes_left does not do, -EBADMSG, -errno.
 */
int dwarf_image_make(const struct elf_file *f, uint64_t *bytes_left, struct buf *ret);

#endif
