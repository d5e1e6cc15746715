/* SPDX-License-Identifier: Apache-2.0 */
/* From a profile's ids to indices of an array: ids are nearly dense in what we write, anything in what an enemy does. */
#ifndef KYMO_QUERY_IDMAP_H
#define KYMO_QUERY_IDMAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/hmap.h"

struct idmap {
	uint32_t
		identity_n; /* ids 1..n in order, as we write them: nothing to look up; 0 = not so */
	uint32_t *direct;   /* id -> index + 1 */
	size_t direct_n;
	struct hmap sparse; /* the same, when ids are scattered */
};

/* ids are found at `first_id`, then every `stride` bytes. Zeroed before. 0 or -ENOMEM. */
int idmap_build(struct idmap *m, const uint32_t *first_id, size_t stride, size_t n);
void idmap_release(struct idmap *m);
uint32_t idmap_find_sparse(const struct idmap *m, uint32_t id);

/* index + 1, or 0 for an unknown id. */
static inline uint32_t idmap_find(const struct idmap *m, uint32_t id)
{
	if (m->identity_n)
		return id <= m->identity_n ? id : 0;
	if (id < m->direct_n)
		return m->direct[id];
	return m->direct ? 0 : idmap_find_sparse(m, id);
}

#endif
