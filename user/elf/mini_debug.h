/* SPDX-License-Identifier: Apache-2.0 */
/*
 * .gnu_debugdata: an ELF file of symbols alone, compressed with xz, that some distributions leave in stripped files. Its
 * addresses are those of the file around it.
 */
#ifndef KYMO_ELF_MINI_DEBUG_H
#define KYMO_ELF_MINI_DEBUG_H

#include "base/buf.h"
#include "elf/file.h"

/* Real ones: 1 MB at most, unpacked ten times that. */
#define MINI_DEBUG_PACKED_MAX (32U << 20)
#define MINI_DEBUG_BYTES_MAX  (64U << 20)
#define MINI_DEBUG_XZ_MEMORY  (64U << 20)

/* The file's bytes into ret (empty before). 0; -ENOENT without one; -EFBIG beyond the bounds, -EBADMSG, -ENOMEM. */
int mini_debug_unpack(const struct elf_file *f, struct buf *ret);

#endif
