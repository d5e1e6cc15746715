/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hmap.h"

#include <stdlib.h>
#include <string.h>

/* A slot: key, value, one byte "used". Linear probing; removal shifts back, so there are no tombstones. */

void hmap_init(struct hmap *m, size_t key_size, size_t value_size, size_t max)
{
	/* values are kept 8-byte aligned behind the key */
	size_t key_space = (key_size + 7) & ~(size_t)7;

	*m = (struct hmap){ .key_size = key_size,
			    .value_size = value_size,
			    .slot_size = key_space + ((value_size + 7) & ~(size_t)7) + 8,
			    .max = max };
}

void hmap_release(struct hmap *m)
{
	free(m->slots);
	m->slots = NULL;
	m->count = m->cap = 0;
}

void hmap_clear(struct hmap *m)
{
	hmap_release(m);
}

uint64_t hash_bytes(const void *data, size_t size, uint64_t seed)
{
	const uint8_t *p = data;
	uint64_t h = seed ^ 0x9e3779b97f4a7c15ULL ^ (size * 0xff51afd7ed558ccdULL);

	while (size >= 8) {
		uint64_t v;

		memcpy(&v, p, 8);
		h = (h ^ v) * 0xff51afd7ed558ccdULL;
		h ^= h >> 32;
		p += 8;
		size -= 8;
	}
	if (size) {
		uint64_t v = 0;

		memcpy(&v, p, size);
		h = (h ^ v) * 0xff51afd7ed558ccdULL;
		h ^= h >> 32;
	}
	h *= 0xc4ceb9fe1a85ec53ULL;
	return h ^ (h >> 29);
}

static uint8_t *slot_at(const struct hmap *m, size_t i)
{
	return m->slots + i * m->slot_size;
}

static uint8_t *slot_used(const struct hmap *m, uint8_t *slot)
{
	return slot + m->slot_size - 8;
}

static void *slot_value(const struct hmap *m, uint8_t *slot)
{
	return slot + ((m->key_size + 7) & ~(size_t)7);
}

static size_t home_of(const struct hmap *m, const void *key)
{
	return hash_bytes(key, m->key_size, 0) & (m->cap - 1);
}

/* The slot of the key, or the free one where it would go. */
static uint8_t *find(const struct hmap *m, const void *key)
{
	size_t i = home_of(m, key);

	for (;;) {
		uint8_t *slot = slot_at(m, i);

		if (!*slot_used(m, slot) || memcmp(slot, key, m->key_size) == 0)
			return slot;
		i = (i + 1) & (m->cap - 1);
	}
}

void *hmap_get(const struct hmap *m, const void *key)
{
	uint8_t *slot;

	if (!m->count)
		return NULL;
	slot = find(m, key);
	return *slot_used(m, slot) ? slot_value(m, slot) : NULL;
}

static int grow(struct hmap *m)
{
	struct hmap bigger = *m;

	bigger.cap = m->cap ? m->cap * 2 : 16;
	bigger.slots = calloc(bigger.cap, bigger.slot_size);
	if (!bigger.slots)
		return -1;
	for (size_t i = 0; i < m->cap; i++) {
		uint8_t *slot = slot_at(m, i);

		if (*slot_used(m, slot))
			memcpy(find(&bigger, slot), slot, m->slot_size);
	}
	free(m->slots);
	*m = bigger;
	return 0;
}

void *hmap_put(struct hmap *m, const void *key, bool *ret_new)
{
	uint8_t *slot;

	if (ret_new)
		*ret_new = false;
	if (m->count) {
		slot = find(m, key);
		if (*slot_used(m, slot))
			return slot_value(m, slot);
	}
	if (m->max && m->count >= m->max)
		return NULL;
	/* at most three quarters full */
	if ((m->count + 1) * 4 > m->cap * 3 && grow(m) < 0)
		return NULL;
	slot = find(m, key);
	memset(slot, 0, m->slot_size);
	memcpy(slot, key, m->key_size);
	*slot_used(m, slot) = 1;
	m->count++;
	if (ret_new)
		*ret_new = true;
	return slot_value(m, slot);
}

bool hmap_remove(struct hmap *m, const void *key)
{
	uint8_t *slot;
	size_t hole, i;

	if (!m->count)
		return false;
	slot = find(m, key);
	if (!*slot_used(m, slot))
		return false;
	hole = i = (size_t)(slot - m->slots) / m->slot_size;
	for (;;) {
		size_t home;

		i = (i + 1) & (m->cap - 1);
		slot = slot_at(m, i);
		if (!*slot_used(m, slot))
			break;
		home = home_of(m, slot);
		/* may it move to the hole: is its home not between hole (exclusive) and i? */
		if (((i - home) & (m->cap - 1)) >= ((i - hole) & (m->cap - 1))) {
			memcpy(slot_at(m, hole), slot, m->slot_size);
			hole = i;
		}
	}
	*slot_used(m, slot_at(m, hole)) = 0;
	m->count--;
	return true;
}

bool hmap_next(const struct hmap *m, size_t *pos, const void **ret_key, void **ret_value)
{
	while (*pos < m->cap) {
		uint8_t *slot = slot_at(m, (*pos)++);

		if (!*slot_used(m, slot))
			continue;
		if (ret_key)
			*ret_key = slot;
		if (ret_value)
			*ret_value = slot_value(m, slot);
		return true;
	}
	return false;
}
