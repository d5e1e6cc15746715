/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/softirqs: a line per type, a column per CPU. */
#include "base/array.h"
#include "health/source.h"

const struct series softirq_series[] = {
	{ "linux.softirqs", "", "{irq}", HEALTH_COUNTER, HEALTH_softirqs },
};
const size_t softirq_series_n = ARRAY_SIZE(softirq_series);

void source_softirqs(struct instruments *in, const struct source *source, struct span text)
{
	struct span line, name;

	(void)source;
	/* The first line has the CPUs' names. */
	if (!span_line(&text, &line))
		return;
	while (span_line(&text, &line)) {
		uint64_t sum = 0, value;
		struct member *type;

		if (!span_word(&line, &name) || name.end[-1] != ':')
			continue;
		name.end--;
		while (span_u64(&line, &value) && !__builtin_add_overflow(sum, value, &sum))
			;
		type = set_member(&in->reading, &in->softirqs, &name, NULL);
		if (!type)
			continue;
		type->counts = true;
		set_value(&in->reading, &in->softirqs, type, 0, sum, 1);
	}
}
