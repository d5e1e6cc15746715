/* SPDX-License-Identifier: Apache-2.0 */
#include "base/strings.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hmap.h"

#define CHUNK_BYTES 65536

/* Text lives in chunks that never move; the table holds ids, found by probing with the text's hash. */
struct strings {
	size_t max, bytes_max, bytes;
	char **texts; /* by id - 1 */
	uint64_t *hashes;
	size_t count, texts_cap, hashes_cap;
	uint32_t *table; /* id, 0 = free */
	size_t table_cap;
	char **chunks;
	size_t chunks_n, chunks_cap;
	size_t chunk_used, chunk_size;
};

int strings_new(size_t max, struct strings **ret)
{
	struct strings *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->max = max;
	*ret = s;
	return 0;
}

void strings_free(struct strings *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->chunks_n; i++)
		free(s->chunks[i]);
	free(s->chunks);
	free(s->texts);
	free(s->hashes);
	free(s->table);
	free(s);
}

void strings_limit(struct strings *s, size_t bytes)
{
	s->bytes_max = bytes;
}

static bool is_full(const struct strings *s, size_t size)
{
	return (s->max && s->count >= s->max) || s->count >= UINT32_MAX - 1 ||
	       (s->bytes_max && s->bytes + size + 1 > s->bytes_max);
}

static uint32_t *find(const struct strings *s, const char *text, size_t size, uint64_t hash)
{
	size_t i = hash & (s->table_cap - 1);

	while (s->table[i]) {
		uint32_t id = s->table[i];
		const char *t = s->texts[id - 1];

		/* strncmp: of one hash is not of one size, and t may be the shorter */
		if (s->hashes[id - 1] == hash && strncmp(t, text, size) == 0 && !t[size])
			break;
		i = (i + 1) & (s->table_cap - 1);
	}
	return &s->table[i];
}

static int grow(struct strings *s)
{
	size_t cap = s->table_cap ? s->table_cap * 2 : 64;
	uint32_t *table = calloc(cap, sizeof(*table));

	if (!table)
		return -ENOMEM;
	for (size_t id = 1; id <= s->count; id++) {
		size_t i = s->hashes[id - 1] & (cap - 1);

		while (table[i])
			i = (i + 1) & (cap - 1);
		table[i] = (uint32_t)id;
	}
	free(s->table);
	s->table = table;
	s->table_cap = cap;
	return 0;
}

static char *store(struct strings *s, const char *text, size_t size)
{
	char *t;

	if (!s->chunks_n || s->chunk_size - s->chunk_used < size + 1) {
		size_t want = size + 1 > CHUNK_BYTES ? size + 1 : CHUNK_BYTES;

		if (array_reserve(&s->chunks, &s->chunks_cap, s->chunks_n + 1) < 0)
			return NULL;
		t = malloc(want);
		if (!t)
			return NULL;
		s->chunks[s->chunks_n++] = t;
		s->chunk_size = want;
		s->chunk_used = 0;
	}
	t = s->chunks[s->chunks_n - 1] + s->chunk_used;
	memcpy(t, text, size);
	t[size] = 0;
	s->chunk_used += size + 1;
	return t;
}

int strings_intern_n(struct strings *s, const char *text, size_t size, uint32_t *ret_id)
{
	uint64_t hash;
	uint32_t *slot;
	char *t;

	size = text ? strnlen(text, size) : 0;
	if (!size) {
		*ret_id = 0;
		return 0;
	}
	if ((s->count + 1) * 4 > s->table_cap * 3 && grow(s) < 0)
		return -ENOMEM;
	hash = hash_bytes(text, size, 1);
	slot = find(s, text, size, hash);
	if (*slot) {
		*ret_id = *slot;
		return 0;
	}
	if (is_full(s, size))
		return -ENOSPC;
	if (array_reserve(&s->texts, &s->texts_cap, s->count + 1) < 0 ||
	    array_reserve(&s->hashes, &s->hashes_cap, s->count + 1) < 0)
		return -ENOMEM;
	t = store(s, text, size);
	if (!t)
		return -ENOMEM;
	s->bytes += size + 1;
	s->texts[s->count] = t;
	s->hashes[s->count] = hash;
	*slot = *ret_id = (uint32_t)++s->count;
	return 0;
}

int strings_intern(struct strings *s, const char *text, uint32_t *ret_id)
{
	return strings_intern_n(s, text, text ? strlen(text) : 0, ret_id);
}

const char *strings_get(const struct strings *s, uint32_t id)
{
	return id && id <= s->count ? s->texts[id - 1] : "";
}

size_t strings_count(const struct strings *s)
{
	return s->count;
}
