/* SPDX-License-Identifier: Apache-2.0 */
/* Inside export: protocol buffers' wire format, as far as writing needs it. Fields that are 0 or "" are left out. */
#ifndef KYMO_EXPORT_PROTO_H
#define KYMO_EXPORT_PROTO_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* 0 or -ENOMEM, each. */
int proto_u64(struct buf *b, unsigned field, uint64_t value);
int proto_bytes(struct buf *b, unsigned field, const void *data, size_t size);
int proto_str(struct buf *b, unsigned field, const char *text);
/* Even when empty: elements of a repeated field. */
int proto_message(struct buf *b, unsigned field, const struct buf *message);

#endif
