/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table as bytes: what the parser sends and what the cache keeps. Made and read by the same
 * binary on the same machine. The reader believes nothing: whatever it accepts can be searched and
 * loaded without a further check.
 */
#ifndef KYMO_UNWIND_SERIAL_H
#define KYMO_UNWIND_SERIAL_H

#include <stddef.h>

#include "base/buf.h"
#include "unwind/unwind.h"

/* Above the size of any table. */
#define UNWIND_SERIAL_BYTES_MAX (20U << 20)

/* Appends. 0 or -ENOMEM. */
int unwind_serial_write(const struct unwind_table *t, struct buf *b);
/* 0, -EBADMSG, -ENOMEM. The bytes are copied. */
int unwind_serial_read(const void *data, size_t size, struct unwind_table **ret);

#endif
