/* SPDX-License-Identifier: Apache-2.0 */
/* What Python threads are called, by thread: as the kernel side told it last. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hmap.h"
#include "python/python.h"

struct named {
	uint64_t start_ns;
	char *name;
};

struct python_thread_names {
	struct hmap threads; /* tid -> struct named */
	size_t max;
};

static void forget_all(struct python_thread_names *n)
{
	const void *key;
	size_t pos = 0;
	void *value;

	while (hmap_next(&n->threads, &pos, &key, &value))
		free(((struct named *)value)->name);
	hmap_clear(&n->threads);
}

int python_thread_names_new(size_t max, struct python_thread_names **ret)
{
	struct python_thread_names *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	hmap_init(&n->threads, sizeof(uint32_t), sizeof(struct named), max);
	n->max = max;
	*ret = n;
	return 0;
}

void python_thread_names_free(struct python_thread_names *n)
{
	if (!n)
		return;
	forget_all(n);
	hmap_release(&n->threads);
	free(n);
}

int python_thread_names_add(struct python_thread_names *n, const struct kymo_thread_name *head,
			    const uint8_t *text)
{
	_cleanup_(buf_release) struct buf name = { 0 };
	_cleanup_free_ char *copy = NULL;
	struct named *at;
	int r = python_text(&name, text, head->name_size, head->name_kind);

	if (r < 0)
		return r;
	copy = buf_str(&name) ? strdup(buf_str(&name)) : NULL;
	if (!copy)
		return -ENOMEM;
	/* Full: the kernel side tells each of them again. */
	if (n->threads.count >= n->max && !hmap_get(&n->threads, &head->who.tid))
		forget_all(n);
	at = hmap_put(&n->threads, &head->who.tid, NULL);
	if (!at)
		return -ENOMEM;
	free(at->name);
	at->start_ns = head->who.thread_start_ns;
	at->name = TAKE_PTR(copy);
	return 0;
}

const char *python_thread_names_find(const struct python_thread_names *n, uint32_t tid,
				     uint64_t thread_start_ns)
{
	const struct named *at = hmap_get(&n->threads, &tid);

	return at && at->start_ns == thread_start_ns ? at->name : "";
}

void python_thread_names_ended(struct python_thread_names *n, uint32_t tid)
{
	struct named *at = hmap_get(&n->threads, &tid);

	if (!at)
		return;
	free(at->name);
	hmap_remove(&n->threads, &tid);
}
