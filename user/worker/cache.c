/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/cache.h"

#include <errno.h>
#include <string.h>

void cache_init(struct cache *c, size_t bytes_max)
{
	*c = (struct cache){ .bytes_max = bytes_max };
}

static void drop(struct cache *c, size_t i)
{
	if (c->entries[i].symbols)
		c->bytes -= elf_symbols_bytes(c->entries[i].symbols);
	elf_symbols_free(c->entries[i].symbols);
	c->entries[i] = c->entries[--c->n];
}

void cache_release(struct cache *c)
{
	while (c->n)
		drop(c, c->n - 1);
}

static bool same(const struct file_identity *a, const struct file_identity *b)
{
	return a->dev == b->dev && a->inode == b->inode && a->size == b->size &&
	       a->mtime_ns == b->mtime_ns;
}

static struct cache_entry *find(struct cache *c, const struct file_identity *key)
{
	for (size_t i = 0; i < c->n; i++)
		if (same(&c->entries[i].key, key))
			return &c->entries[i];
	return NULL;
}

static void drop_oldest(struct cache *c)
{
	size_t oldest = 0;

	for (size_t i = 1; i < c->n; i++)
		if (c->entries[i].used < c->entries[oldest].used)
			oldest = i;
	drop(c, oldest);
}

/* Room first, so that the bound holds for what is kept; one table may be larger than all of it. */
static struct cache_entry *add(struct cache *c, const struct file_identity *key,
			       struct elf_symbols *symbols, int error)
{
	size_t bytes = symbols ? elf_symbols_bytes(symbols) : 0;
	struct cache_entry *e;

	while (c->n && (c->n == CACHE_FILES_MAX || c->bytes + bytes > c->bytes_max))
		drop_oldest(c);
	e = &c->entries[c->n++];
	*e = (struct cache_entry){ .key = *key, .symbols = symbols, .error = error };
	c->bytes += bytes;
	return e;
}

int cache_symbols(struct cache *c, const struct file_identity *key, int fd,
		  const struct elf_symbols **ret)
{
	struct cache_entry *e = find(c, key);
	struct elf_symbols *symbols = NULL;
	int r;

	if (!e) {
		r = elf_symbols_new(fd, &symbols);
		if (r == -ENOMEM && c->n) {
			cache_release(c);
			r = elf_symbols_new(fd, &symbols);
		}
		e = add(c, key, symbols, r);
	}
	e->used = ++c->clock;
	*ret = e->symbols;
	return e->error;
}
