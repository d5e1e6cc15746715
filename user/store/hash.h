/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content hashes: what functions and stacks are called on every host and in every segment.
 * Equal hashes mean equal contents. The bytes that go in are part of the format
 * (docs/formats/profile.md); FNV-1a, 64 bits.
 */
#ifndef KYMO_STORE_HASH_H
#define KYMO_STORE_HASH_H

#include <stdbool.h>
#include <stdint.h>

#include "model/frame.h"

struct hashes;

int hashes_new(struct hashes **ret);
void hashes_free(struct hashes *h); /* NULL is allowed */

/* Each returns 0 or -ENOMEM. What they refer to has come before, or counts as unknown. */
int hashes_binary(struct hashes *h, const struct binary *b);
/* A build-id that came late: stacks hashed before have another hash now (hashes_changed). */
int hashes_build_id(struct hashes *h, uint32_t binary, const struct build_id *id);
int hashes_function(struct hashes *h, const struct function *f, uint64_t *ret);
int hashes_frame(struct hashes *h, const struct frame *f);
int hashes_stack(struct hashes *h, const struct stack *s, uint64_t *ret);

bool hashes_changed(const struct hashes *h);

#endif
