/* SPDX-License-Identifier: Apache-2.0 */
#include "export/proto.h"

#include <string.h>

enum { WIRE_VARINT = 0, WIRE_BYTES = 2 };

int proto_u64(struct buf *b, unsigned field, uint64_t value)
{
	int r;

	if (value == 0)
		return 0;
	r = buf_put_varint(b, field << 3 | WIRE_VARINT);
	return r < 0 ? r : buf_put_varint(b, value);
}

static int put_bytes(struct buf *b, unsigned field, const void *data, size_t size)
{
	int r = buf_put_varint(b, field << 3 | WIRE_BYTES);

	if (r == 0)
		r = buf_put_varint(b, size);
	return r < 0 || size == 0 ? r : buf_append(b, data, size);
}

int proto_bytes(struct buf *b, unsigned field, const void *data, size_t size)
{
	return size ? put_bytes(b, field, data, size) : 0;
}

int proto_str(struct buf *b, unsigned field, const char *text)
{
	return proto_bytes(b, field, text, strlen(text));
}

int proto_message(struct buf *b, unsigned field, const struct buf *message)
{
	return put_bytes(b, field, message->data, message->size);
}
