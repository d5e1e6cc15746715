/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/suspects.h"

#include <errno.h>

#include "base/clock.h"

#define FILES_MAX   4096
#define DEVICES_MAX 256
/* A FUSE mount can have any number of files that hang: after some the whole device rests. */
#define HANGS_MAX 3
#define REST_NS	  (60 * NS_PER_SEC)

struct file_key {
	uint64_t inode;
	uint32_t dev;
	uint32_t use;
};

void suspects_init(struct suspects *s)
{
	hmap_init(&s->files, sizeof(struct file_key), sizeof(int), FILES_MAX);
	s->paths = (struct hangs){ 0 };
	hmap_init(&s->devices, sizeof(uint32_t), sizeof(struct hangs), DEVICES_MAX);
}

void suspects_release(struct suspects *s)
{
	hmap_release(&s->files);
	hmap_release(&s->devices);
}

/* Bounded by forgetting: whoever makes so many bad files costs us a kill for each once more. */
static void *put(struct hmap *m, const void *key)
{
	void *value = hmap_put(m, key, NULL);

	if (!value) {
		hmap_clear(m);
		value = hmap_put(m, key, NULL);
	}
	return value;
}

static void add_hang(struct hangs *h)
{
	if (++h->n < HANGS_MAX)
		return;
	*h = (struct hangs){ .until_ns = clock_mono_ns() + REST_NS };
}

void suspects_add(struct suspects *s, uint32_t dev, uint64_t inode, enum suspect_use use, int error,
		  bool hung)
{
	struct file_key key = { .inode = inode, .dev = dev, .use = use };
	int *known = put(&s->files, &key);
	struct hangs *d;

	if (known)
		*known = error;
	d = hung ? put(&s->devices, &dev) : NULL;
	if (d)
		add_hang(d);
}

void suspects_add_path(struct suspects *s)
{
	add_hang(&s->paths);
}

bool suspects_careful(const struct suspects *s)
{
	return clock_mono_ns() < s->paths.until_ns;
}

int suspects_check(const struct suspects *s, uint32_t dev, uint64_t inode, enum suspect_use use)
{
	struct file_key key = { .inode = inode, .dev = dev, .use = use };
	const int *known = hmap_get(&s->files, &key);
	const struct hangs *d = hmap_get(&s->devices, &dev);

	if (known)
		return *known;
	return d && clock_mono_ns() < d->until_ns ? -ETIMEDOUT : 0;
}
