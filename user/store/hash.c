/* SPDX-License-Identifier: Apache-2.0 */
#include "store/hash.h"

#include <errno.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"

#define FNV_START 0xcbf29ce484222325ULL
#define FNV_PRIME 0x100000001b3ULL

struct hash_binary {
	uint64_t identity; /* of the build-id if known, else of the path */
	uint64_t path;
};

/* A frame's parts, as its binary's identity may still change. */
struct hash_frame {
	uint64_t rest;
	uint32_t binary;
};

struct hashes {
	struct hash_binary *binaries;
	size_t binaries_n, binaries_cap;
	uint64_t *functions;
	size_t functions_n, functions_cap;
	struct hash_frame *frames;
	size_t frames_n, frames_cap;
	uint64_t *stacks;
	size_t stacks_n, stacks_cap;
	bool changed;
};

int hashes_new(struct hashes **ret)
{
	struct hashes *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	*ret = h;
	return 0;
}

void hashes_free(struct hashes *h)
{
	if (!h)
		return;
	free(h->binaries);
	free(h->functions);
	free(h->frames);
	free(h->stacks);
	free(h);
}

bool hashes_changed(const struct hashes *h)
{
	return h->changed;
}

static uint64_t add_bytes(uint64_t hash, const void *data, size_t size)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ p[i]) * FNV_PRIME;
	return hash;
}

static uint64_t add_text(uint64_t hash, const char *text)
{
	return text ? add_bytes(hash, text, strlen(text) + 1) : add_bytes(hash, "", 1);
}

/* Little endian on every machine. */
static uint64_t add_u64(uint64_t hash, uint64_t v)
{
	for (int i = 0; i < 8; i++, v >>= 8)
		hash = (hash ^ (v & 0xff)) * FNV_PRIME;
	return hash;
}

/* Makes array[id] exist; what is new is zero. Ids count up from 1, so the array has few holes. */
#define GROW(h, array, id)                                                                 \
	({                                                                                 \
		int _r = array_reserve(&(h)->array, &(h)->array##_cap, (size_t)(id) + 1);  \
		if (_r == 0 && (h)->array##_n <= (id)) {                                   \
			memset((h)->array + (h)->array##_n, 0,                             \
			       ((size_t)(id) + 1 - (h)->array##_n) * sizeof(*(h)->array)); \
			(h)->array##_n = (size_t)(id) + 1;                                 \
		}                                                                          \
		_r;                                                                        \
	})

int hashes_binary(struct hashes *h, const struct binary *b)
{
	uint64_t path = add_text(FNV_START, b->path);
	int r = GROW(h, binaries, b->id);

	if (r < 0)
		return r;
	h->binaries[b->id] = (struct hash_binary){ .identity = path, .path = path };
	if (b->build_id.size)
		h->binaries[b->id].identity =
			add_bytes(FNV_START, b->build_id.bytes, b->build_id.size);
	return 0;
}

int hashes_build_id(struct hashes *h, uint32_t binary, const struct build_id *id)
{
	uint64_t identity = add_bytes(FNV_START, id->bytes, id->size);

	if (!id->size || binary >= h->binaries_n || h->binaries[binary].identity == identity)
		return 0;
	h->binaries[binary].identity = identity;
	h->changed = true;
	return 0;
}

int hashes_function(struct hashes *h, const struct function *f, uint64_t *ret)
{
	uint64_t path = f->binary < h->binaries_n ? h->binaries[f->binary].path : 0;
	int r = GROW(h, functions, f->id);

	if (r < 0)
		return r;
	*ret = add_u64(FNV_START, f->kind);
	*ret = add_u64(*ret, path);
	*ret = add_text(*ret, f->name);
	*ret = add_text(*ret, f->file);
	*ret = add_u64(*ret, f->first_line);
	h->functions[f->id] = *ret;
	return 0;
}

int hashes_frame(struct hashes *h, const struct frame *f)
{
	/* A native frame's function and line come late: its binary and offset say the same. */
	bool named = f->kind != FRAME_NATIVE;
	uint64_t function = named && f->function < h->functions_n ? h->functions[f->function] : 0;
	uint64_t rest = add_u64(FNV_START, f->kind);
	int r = GROW(h, frames, f->id);

	if (r < 0)
		return r;
	rest = add_u64(rest, f->offset);
	rest = add_u64(rest, function);
	rest = add_u64(rest, named ? f->line : 0);
	h->frames[f->id] = (struct hash_frame){ .rest = rest, .binary = f->binary };
	return 0;
}

int hashes_stack(struct hashes *h, const struct stack *s, uint64_t *ret)
{
	struct hash_frame frame = { 0 };
	int r = GROW(h, stacks, s->id);

	if (r < 0)
		return r;
	if (s->frame < h->frames_n)
		frame = h->frames[s->frame];
	*ret = add_u64(FNV_START, s->parent < h->stacks_n ? h->stacks[s->parent] : 0);
	*ret = add_u64(*ret, frame.binary < h->binaries_n ? h->binaries[frame.binary].identity : 0);
	*ret = add_u64(*ret, frame.rest);
	h->stacks[s->id] = *ret;
	return 0;
}
