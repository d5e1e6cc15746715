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
	uint32_t pad;
};

struct device {
	uint32_t hangs;
	uint64_t until_ns;
};

void suspects_init(struct suspects *s)
{
	hmap_init(&s->files, sizeof(struct file_key), sizeof(int), FILES_MAX);
	hmap_init(&s->devices, sizeof(uint32_t), sizeof(struct device), DEVICES_MAX);
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

void suspects_add(struct suspects *s, uint32_t dev, uint64_t inode, int error, bool hung)
{
	struct file_key key = { .inode = inode, .dev = dev };
	int *known = put(&s->files, &key);
	struct device *d;

	if (known)
		*known = error;
	d = hung ? put(&s->devices, &dev) : NULL;
	if (d && ++d->hangs >= HANGS_MAX) {
		d->hangs = 0;
		d->until_ns = clock_mono_ns() + REST_NS;
	}
}

int suspects_check(const struct suspects *s, uint32_t dev, uint64_t inode)
{
	struct file_key key = { .inode = inode, .dev = dev };
	const int *known = hmap_get(&s->files, &key);
	const struct device *d = hmap_get(&s->devices, &dev);

	if (known)
		return *known;
	return d && clock_mono_ns() < d->until_ns ? -ETIMEDOUT : 0;
}
