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

/*
 * What a frame is called where only one text fits: Python functions with file and line, as
 * many share a name ("__init__ (json/decoder.py:284)"). Not escaped. 0 or -ENOMEM.
 */
int frame_label(struct buf *b, const struct query_item *item);

#endif
