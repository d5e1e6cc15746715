/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ids of keys, counted from 1, for what comes in hundreds of thousands and is looked up thirty
 * times a sample: 4 bytes a slot beside the keys themselves, which stand in an array by id. A
 * general map takes three times the memory and twice the time. Keys have no padding.
 */
#ifndef KYMO_MERGE_IDTABLE_H
#define KYMO_MERGE_IDTABLE_H

#include <stddef.h>
#include <stdint.h>

struct idtable {
	uint32_t *slots; /* ids, 0 = free; at most three quarters are used */
	size_t slots_n;	 /* a power of two */
	uint8_t *keys;
	size_t keys_cap, key_size; /* a multiple of 8 */
	uint32_t count;
	uint64_t seed
		[2]; /* addresses are their processes' choice: nobody may know where keys collide */
};

/* Does not allocate. */
void idtable_init(struct idtable *t, size_t key_size, const uint64_t seed[2]);
void idtable_release(struct idtable *t);
/* 0 = not there. */
uint32_t idtable_find(const struct idtable *t, const void *key);
/* For a key that is not there. Its id, or 0 when memory is short. */
uint32_t idtable_add(struct idtable *t, const void *key);
/* Takes the last one added away again. */
void idtable_drop_last(struct idtable *t);

/* A folded 128-bit product. */
static inline uint64_t idtable_mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline const void *idtable_key(const struct idtable *t, uint32_t id)
{
	return t->keys + (size_t)(id - 1) * t->key_size;
}

#endif
