/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash map of fixed-size keys (compared as bytes: zero the padding) to
 * fixed-size values, open addressing, bounded. Pointers to values are valid
 * until the next put or remove.
 */
#ifndef KYMO_BASE_HMAP_H
#define KYMO_BASE_HMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hmap {
	uint8_t *slots;
	size_t key_size, value_size, slot_size;
	size_t count, cap; /* entries; slots (a power of two) */
	size_t max;	   /* entries at most; 0 = no bound */
};

/* Does not allocate. */
void hmap_init(struct hmap *m, size_t key_size, size_t value_size, size_t max);
void hmap_release(struct hmap *m);		       /* also valid on zeroes */
void hmap_clear(struct hmap *m);		       /* empties and frees the slots */
void *hmap_get(const struct hmap *m, const void *key); /* NULL when absent */
/*
 * Finds or inserts (the new value zeroed); *ret_new may be NULL.
 * NULL when the map is full (max) or memory is short.
 */
void *hmap_put(struct hmap *m, const void *key, bool *ret_new);
bool hmap_remove(struct hmap *m, const void *key);
/* Iterates: start with *pos = 0; false at the end. Removing during iteration is not allowed. */
bool hmap_next(const struct hmap *m, size_t *pos, const void **ret_key, void **ret_value);
uint64_t hash_bytes(const void *data, size_t size, uint64_t seed);

#endif
