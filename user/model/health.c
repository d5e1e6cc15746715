/* SPDX-License-Identifier: Apache-2.0 */
#include "model/health.h"

#include <stdlib.h>

const struct health_column_info health_columns[HEALTH_MAX] = {
#define HEALTH(name, otel, unit_, kind_)                                               \
	[HEALTH_##name] = {                                                            \
		.column = #name, .metric = otel, .unit = unit_, .kind = HEALTH_##kind_ \
	},
#include "model/health.def"
#undef HEALTH
};

void health_release(struct health *h)
{
	for (size_t i = 0; i < h->metrics_n; i++) {
		free(h->metrics[i].name);
		free(h->metrics[i].labels);
		free(h->metrics[i].unit);
	}
	free(h->metrics);
	free(h->labels);
	*h = (struct health){ 0 };
}
