/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/stat: CPU time by mode, all CPUs and each; switches, interrupts, forks, the run queue.
 * proc(5). */
#include <ctype.h>

#include "base/array.h"
#include "health/source.h"

#define MODE(name)                                                            \
	{                                                                     \
		"system.cpu.time", "cpu.mode=" name, "ns", HEALTH_COUNTER, -1 \
	}

/* In the order of the file. guest is part of user, and guest_nice of nice, as the kernel counts
 * them. */
const struct series cpu_series[] = {
	MODE("user"),	   MODE("nice"),    MODE("system"), MODE("idle"),  MODE("iowait"),
	MODE("interrupt"), MODE("softirq"), MODE("steal"),  MODE("guest"),
};
const size_t cpu_series_n = ARRAY_SIZE(cpu_series);

static const enum health_column total_columns[] = {
	HEALTH_cpu_user_ns,    HEALTH_cpu_nice_ns,   HEALTH_cpu_system_ns,
	HEALTH_cpu_idle_ns,    HEALTH_cpu_iowait_ns, HEALTH_cpu_irq_ns,
	HEALTH_cpu_softirq_ns, HEALTH_cpu_steal_ns,  HEALTH_cpu_guest_ns,
};

static const struct source_key keys[] = {
	{ "intr", HEALTH_interrupts, 1 },
	{ "ctxt", HEALTH_context_switches, 1 },
	{ "processes", HEALTH_processes_created, 1 },
	{ "procs_running", HEALTH_procs_running, 1 },
	{ "procs_blocked", HEALTH_procs_blocked, 1 },
};

static void total_line(struct instruments *in, struct span line)
{
	uint64_t jiffies;

	for (size_t i = 0; i < ARRAY_SIZE(total_columns) && span_u64(&line, &jiffies); i++)
		reading_add(&in->reading, total_columns[i], jiffies, in->jiffy_ns);
}

static void cpu_line(struct instruments *in, struct span name, struct span line)
{
	struct member *cpu = set_member(&in->reading, &in->cpus, &name, NULL);
	uint64_t jiffies;

	if (!cpu)
		return;
	for (size_t i = 0; i < cpu_series_n && span_u64(&line, &jiffies); i++)
		set_value(&in->reading, &in->cpus, cpu, i, jiffies, in->jiffy_ns);
}

void source_stat(struct instruments *in, const struct source *source, struct span text)
{
	struct span line, word;
	size_t hint = 0;

	(void)source;
	while (span_line(&text, &line)) {
		struct span rest = line;

		if (!span_word(&rest, &word))
			continue;
		if (!span_starts(&word, "cpu")) {
			source_key_line(&in->reading, keys, ARRAY_SIZE(keys), &hint, line);
			continue;
		}
		word.p += 3;
		if (span_size(&word) == 0)
			total_line(in, rest);
		else if (isdigit((unsigned char)*word.p))
			cpu_line(in, word, rest);
	}
}
