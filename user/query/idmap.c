/* SPDX-License-Identifier: Apache-2.0 */
#include "query/idmap.h"

#include <errno.h>
#include <stdlib.h>

static uint32_t id_at(const uint32_t *first_id, size_t stride, size_t i)
{
	return *(const uint32_t *)((const char *)first_id + i * stride);
}

static int idmap_build_sparse(struct idmap *m, const uint32_t *first_id, size_t stride, size_t n)
{
	hmap_init(&m->sparse, sizeof(uint32_t), sizeof(uint32_t), 0);
	for (size_t i = 0; i < n; i++) {
		uint32_t id = id_at(first_id, stride, i);
		uint32_t *value = hmap_put(&m->sparse, &id, NULL);

		if (!value)
			return -ENOMEM;
		*value = (uint32_t)i + 1;
	}
	return 0;
}

int idmap_build(struct idmap *m, const uint32_t *first_id, size_t stride, size_t n)
{
	uint64_t max = 0;
	size_t in_order = 0;

	for (size_t i = 0; i < n; i++) {
		uint32_t id = id_at(first_id, stride, i);

		in_order += id == i + 1;
		if (id > max)
			max = id;
	}
	if (n && in_order == n) {
		m->identity_n = (uint32_t)n;
		return 0;
	}
	if (max > 4 * (uint64_t)n + 4096)
		return idmap_build_sparse(m, first_id, stride, n);

	m->direct = calloc(max + 1, sizeof(*m->direct));
	if (!m->direct)
		return -ENOMEM;
	m->direct_n = max + 1;
	for (size_t i = 0; i < n; i++)
		m->direct[id_at(first_id, stride, i)] = (uint32_t)i + 1;
	m->direct[0] = 0;
	return 0;
}

void idmap_release(struct idmap *m)
{
	free(m->direct);
	hmap_release(&m->sparse);
	*m = (struct idmap){ 0 };
}

uint32_t idmap_find_sparse(const struct idmap *m, uint32_t id)
{
	const uint32_t *value = m->sparse.slots && id ? hmap_get(&m->sparse, &id) : NULL;

	return value ? *value : 0;
}
