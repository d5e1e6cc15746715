/* SPDX-License-Identifier: Apache-2.0 */
/* Inside export: a gzip stream onto stdio. */
#ifndef KYMO_EXPORT_GZIP_H
#define KYMO_EXPORT_GZIP_H

#include <stddef.h>
#include <stdio.h>

struct gzip;

/* 0 or -ENOMEM. A failed write is left in the stream `out`. */
int gzip_new(FILE *out, struct gzip **ret);
void gzip_free(struct gzip *g); /* NULL is allowed; without gzip_finish the stream is cut off */
void gzip_write(struct gzip *g, const void *data, size_t size);
void gzip_finish(struct gzip *g);

#endif
