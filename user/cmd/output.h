/* SPDX-License-Identifier: Apache-2.0 */
/* Where an export goes: standard output, or a file that appears under its name when it is whole. */
#ifndef KYMO_CMD_OUTPUT_H
#define KYMO_CMD_OUTPUT_H

#include "export/export.h"

/* path NULL or "-": standard output (formats that are no stream need a file). 0, or -errno with the reason told. */
int output_export(const char *path, const struct exporter *format, struct profile *p,
		  const struct query_selection *sel, const struct query_result *result,
		  const struct export_options *options);

#endif
