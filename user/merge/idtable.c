/* SPDX-License-Identifier: Apache-2.0 */
#include "merge/idtable.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SLOTS 1024

void idtable_init(struct idtable *t, size_t key_size, const uint64_t seed[2])
{
	*t = (struct idtable){ .key_size = key_size, .seed = { seed[0], seed[1] } };
}

void idtable_release(struct idtable *t)
{
	free(t->slots);
	free(t->keys);
	t->slots = NULL;
	t->keys = NULL;
	t->slots_n = t->keys_cap = t->count = 0;
}

/* Each word meets a secret before it is multiplied. */
static size_t home(const struct idtable *t, const void *key)
{
	uint64_t h = t->seed[0], word;

	for (size_t at = 0; at < t->key_size; at += sizeof(word)) {
		memcpy(&word, (const uint8_t *)key + at, sizeof(word));
		h = idtable_mix(word ^ h, t->seed[1] | 1);
	}
	return h & (t->slots_n - 1);
}

static bool same_key(const struct idtable *t, uint32_t id, const void *key)
{
	const uint8_t *a = idtable_key(t, id), *b = key;

	/* By words: keys are short, and a call costs more than the comparison. */
	for (size_t at = 0; at < t->key_size; at += sizeof(uint64_t)) {
		uint64_t x, y;

		memcpy(&x, a + at, sizeof(x));
		memcpy(&y, b + at, sizeof(y));
		if (x != y)
			return false;
	}
	return true;
}

uint32_t idtable_find(const struct idtable *t, const void *key)
{
	size_t i;
	uint32_t id;

	if (!t->count)
		return 0;
	for (i = home(t, key); (id = t->slots[i]); i = (i + 1) & (t->slots_n - 1)) {
		if (same_key(t, id, key))
			return id;
	}
	return 0;
}

static void place(struct idtable *t, uint32_t id)
{
	size_t mask = t->slots_n - 1, i = home(t, idtable_key(t, id));

	while (t->slots[i])
		i = (i + 1) & mask;
	t->slots[i] = id;
}

static int grow_slots(struct idtable *t)
{
	size_t n = t->slots_n ? t->slots_n * 2 : FIRST_SLOTS;
	uint32_t *slots = calloc(n, sizeof(*slots));

	if (!slots)
		return -1;
	free(t->slots);
	t->slots = slots;
	t->slots_n = n;
	for (uint32_t id = 1; id <= t->count; id++)
		place(t, id);
	return 0;
}

/* By half, not by two: with a million keys the unused part would be megabytes. */
static int grow_keys(struct idtable *t)
{
	size_t cap = t->keys_cap + t->keys_cap / 2 + FIRST_SLOTS;
	uint8_t *keys = reallocarray(t->keys, cap, t->key_size);

	if (!keys)
		return -1;
	t->keys = keys;
	t->keys_cap = cap;
	return 0;
}

uint32_t idtable_add(struct idtable *t, const void *key)
{
	if (((size_t)t->count + 1) * 4 > t->slots_n * 3 && grow_slots(t) < 0)
		return 0;
	if (t->count >= t->keys_cap && grow_keys(t) < 0)
		return 0;
	memcpy(t->keys + (size_t)t->count * t->key_size, key, t->key_size);
	place(t, ++t->count);
	return t->count;
}

void idtable_drop_last(struct idtable *t)
{
	size_t mask = t->slots_n - 1, i = home(t, idtable_key(t, t->count));

	/* Nothing was added after it, so no chain leads over its slot. */
	while (t->slots[i] != t->count)
		i = (i + 1) & mask;
	t->slots[i] = 0;
	t->count--;
}
