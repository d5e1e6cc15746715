/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/pressure: the totals, not the averages. Documentation/accounting/psi.rst; and
 * /proc/loadavg. */
#include "base/clock.h"
#include "health/source.h"

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=1234", in us */
static void pressure_line(struct reading *r, int column, struct span line)
{
	struct span word;
	uint64_t us;

	while (span_word(&line, &word)) {
		if (!span_starts(&word, "total="))
			continue;
		word.p += 6;
		if (span_u64(&word, &us))
			reading_add(r, (enum health_column)column, us, NS_PER_USEC);
		else
			r->errors++;
		return;
	}
}

int64_t pressure_of_tick(int64_t stalled_ns, uint64_t tick_ns, uint64_t between_ns)
{
	bool is_late = stalled_ns > 0 && (uint64_t)stalled_ns > tick_ns &&
		       (uint64_t)stalled_ns <= between_ns;

	return is_late ? (int64_t)tick_ns : stalled_ns;
}

void source_pressure(struct instruments *in, const struct source *source, struct span text)
{
	struct span line, word;

	while (span_line(&text, &line)) {
		int column = -1;

		if (!span_word(&line, &word))
			continue;
		if (span_is(&word, "some"))
			column = source->columns[0];
		else if (span_is(&word, "full"))
			column = source->columns[1];
		if (column >= 0)
			pressure_line(&in->reading, column, line);
	}
}

/* "0.12 0.34 0.56 1/234 5678": two digits behind the point, always. */
void source_loadavg(struct instruments *in, const struct source *source, struct span text)
{
	struct span line, word, part;
	uint64_t whole, hundredths;
	const char *point;

	(void)source;
	if (!span_line(&text, &line) || !span_word(&line, &word))
		return;
	point = memchr(word.p, '.', span_size(&word));
	if (!point || word.end - point != 3) {
		in->reading.errors++;
		return;
	}
	part = (struct span){ word.p, point };
	word.p = point + 1;
	if (!span_u64(&part, &whole) || !span_u64(&word, &hundredths)) {
		in->reading.errors++;
		return;
	}
	reading_add(&in->reading, HEALTH_load_1m_milli, whole, 1000);
	reading_add(&in->reading, HEALTH_load_1m_milli, hundredths, 10);
}
