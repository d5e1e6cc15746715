/* SPDX-License-Identifier: Apache-2.0 */
#include "export/gzip.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

#define GZIP_WINDOW (15 + 16) /* zlib.h: 16 asks for gzip's header */

struct gzip {
	FILE *out;
	z_stream z;
	unsigned char space[65536];
};

int gzip_new(FILE *out, struct gzip **ret)
{
	struct gzip *g = calloc(1, sizeof(*g));

	if (!g)
		return -ENOMEM;
	g->out = out;
	if (deflateInit2(&g->z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, 8,
			 Z_DEFAULT_STRATEGY) != Z_OK) {
		free(g);
		return -ENOMEM;
	}
	*ret = g;
	return 0;
}

void gzip_free(struct gzip *g)
{
	if (!g)
		return;
	deflateEnd(&g->z);
	free(g);
}

static void drain(struct gzip *g, int flush)
{
	do {
		g->z.next_out = g->space;
		g->z.avail_out = sizeof(g->space);
		deflate(&g->z, flush);
		fwrite(g->space, 1, sizeof(g->space) - g->z.avail_out, g->out);
	} while (g->z.avail_out == 0);
}

void gzip_write(struct gzip *g, const void *data, size_t size)
{
	while (size) {
		size_t part = size < (1 << 30) ? size : 1 << 30;

		g->z.next_in = (Bytef *)data;
		g->z.avail_in = (uInt)part;
		drain(g, Z_NO_FLUSH);
		data = (const char *)data + part;
		size -= part;
	}
}

void gzip_finish(struct gzip *g)
{
	g->z.next_in = NULL;
	g->z.avail_in = 0;
	drain(g, Z_FINISH);
}
