/* SPDX-License-Identifier: Apache-2.0 */
/* Inside export: the writers, one per file. */
#ifndef KYMO_EXPORT_FORMATS_H
#define KYMO_EXPORT_FORMATS_H

#include "base/buf.h"
#include "export/export.h"

int export_folded(FILE *out, struct profile *p, const struct query_selection *s,
		  const struct query_result *r, const struct export_options *options);
int export_svg(FILE *out, struct profile *p, const struct query_selection *s,
	       const struct query_result *r, const struct export_options *options);

int export_speedscope(FILE *out, struct profile *p, const struct query_selection *s,
		      const struct query_result *r, const struct export_options *options);
int export_pprof(FILE *out, struct profile *p, const struct query_selection *s,
		 const struct query_result *r, const struct export_options *options);
int export_d3(FILE *out, struct profile *p, const struct query_selection *s,
	      const struct query_result *r, const struct export_options *options);

int export_sqlite(const char *path, struct profile *p, const struct query_selection *s,
		  char **ret_message);

/* Every item's label as a format writes it, made once: trees have many nodes of few items. */
struct labels {
	const struct query_result *result;
	int (*escape)(struct buf *b, const char *text);
	struct label {
		char *text; /* NULL = not asked for yet */
		size_t size;
	} * items;
};

int labels_init(struct labels *l, const struct query_result *r,
		int (*escape)(struct buf *b, const char *text));
void labels_release(struct labels *l);
/* NULL when out of memory. */
const struct label *labels_get(struct labels *l, uint32_t item);

/*
 * What a frame is called where only one text fits: Python functions with file and line, as
 * many share a name ("__init__ (json/decoder.py:284)"). Not escaped. 0 or -ENOMEM.
 */
int frame_label(struct buf *b, const struct query_item *item);

#endif
