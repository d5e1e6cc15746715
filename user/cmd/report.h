/* SPDX-License-Identifier: Apache-2.0 */
/* The views of kymo report that are not of functions. */
#ifndef KYMO_CMD_REPORT_H
#define KYMO_CMD_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "cmd/screen.h"
#include "query/query.h"

/* At most `limit` processes, 0 = all. 0, or -errno with the reason told. */
int report_processes(struct screen *s, struct profile *p, const struct query_selection *sel,
		     uint64_t limit, bool json);

/* What went wrong, why stacks ended, what recording cost. 0, or -errno with the reason told. */
int report_quality(struct screen *s, struct profile *p, const struct query_selection *sel,
		   bool json);

#endif
