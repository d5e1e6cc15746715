/* SPDX-License-Identifier: Apache-2.0 */
#include "query/metric.h"

#include "base/array.h"
#include "base/clock.h"
#include "query/segment.h"

static const enum health_column cpu_user[] = { HEALTH_cpu_user_ns, HEALTH_cpu_nice_ns };
static const enum health_column cpu_system[] = { HEALTH_cpu_system_ns, HEALTH_cpu_irq_ns,
						 HEALTH_cpu_softirq_ns };
static const enum health_column cpu_busy[] = { HEALTH_cpu_user_ns, HEALTH_cpu_nice_ns,
					       HEALTH_cpu_system_ns, HEALTH_cpu_irq_ns,
					       HEALTH_cpu_softirq_ns };
/* Guests' time is part of user time already. */
static const enum health_column cpu_all[] = { HEALTH_cpu_user_ns,    HEALTH_cpu_nice_ns,
					      HEALTH_cpu_system_ns,  HEALTH_cpu_irq_ns,
					      HEALTH_cpu_softirq_ns, HEALTH_cpu_idle_ns,
					      HEALTH_cpu_iowait_ns,  HEALTH_cpu_steal_ns };

enum metric_form {
	FORM_VALUE,	/* as it is */
	FORM_RATE,	/* per second of the tick */
	FORM_SHARE,	/* percent of the tick's length (ns) */
	FORM_CPU_SHARE, /* percent of all CPUs' time: exact whatever the number of CPUs */
};

#define ONE(column) &(const enum health_column){ HEALTH_##column }, 1

static const struct {
	enum metric_form form;
	const enum health_column *columns;
	size_t columns_n;
} metrics[METRIC_MAX] = {
	[METRIC_CPU_BUSY] = { FORM_CPU_SHARE, cpu_busy, ARRAY_SIZE(cpu_busy) },
	[METRIC_CPU_USER] = { FORM_CPU_SHARE, cpu_user, ARRAY_SIZE(cpu_user) },
	[METRIC_CPU_SYSTEM] = { FORM_CPU_SHARE, cpu_system, ARRAY_SIZE(cpu_system) },
	[METRIC_CPU_IDLE] = { FORM_CPU_SHARE, ONE(cpu_idle_ns) },
	[METRIC_CPU_IOWAIT] = { FORM_CPU_SHARE, ONE(cpu_iowait_ns) },
	[METRIC_CPU_STEAL] = { FORM_CPU_SHARE, ONE(cpu_steal_ns) },
	[METRIC_RUNNING] = { FORM_VALUE, ONE(procs_running) },
	[METRIC_BLOCKED] = { FORM_VALUE, ONE(procs_blocked) },
	[METRIC_SWITCHES] = { FORM_RATE, ONE(context_switches) },
	[METRIC_INTERRUPTS] = { FORM_RATE, ONE(interrupts) },
	[METRIC_CREATED] = { FORM_RATE, ONE(processes_created) },
	[METRIC_PSI_CPU_SOME] = { FORM_SHARE, ONE(psi_cpu_some_ns) },
	[METRIC_PSI_MEM_SOME] = { FORM_SHARE, ONE(psi_mem_some_ns) },
	[METRIC_PSI_MEM_FULL] = { FORM_SHARE, ONE(psi_mem_full_ns) },
	[METRIC_PSI_IO_SOME] = { FORM_SHARE, ONE(psi_io_some_ns) },
	[METRIC_PSI_IO_FULL] = { FORM_SHARE, ONE(psi_io_full_ns) },
	[METRIC_MEM_TOTAL] = { FORM_VALUE, ONE(mem_total_bytes) },
	[METRIC_MEM_AVAILABLE] = { FORM_VALUE, ONE(mem_available_bytes) },
	[METRIC_MEM_FREE] = { FORM_VALUE, ONE(mem_free_bytes) },
	[METRIC_SWAP_TOTAL] = { FORM_VALUE, ONE(swap_total_bytes) },
	[METRIC_SWAP_IN] = { FORM_RATE, ONE(swap_in_pages) },
	[METRIC_SWAP_OUT] = { FORM_RATE, ONE(swap_out_pages) },
	[METRIC_FAULTS] = { FORM_RATE, ONE(faults) },
	[METRIC_MAJOR_FAULTS] = { FORM_RATE, ONE(major_faults) },
	[METRIC_OOM_KILLS] = { FORM_VALUE, ONE(oom_kills) },
	[METRIC_DISK_READ] = { FORM_RATE, ONE(disk_read_bytes) },
	[METRIC_DISK_WRITE] = { FORM_RATE, ONE(disk_write_bytes) },
	[METRIC_DISK_READS] = { FORM_RATE, ONE(disk_reads) },
	[METRIC_DISK_WRITES] = { FORM_RATE, ONE(disk_writes) },
	[METRIC_DISK_BUSY] = { FORM_SHARE, ONE(disk_io_time_ns) },
};

const char *const metric_names[METRIC_MAX] = {
	[METRIC_CPU_BUSY] = "cpu_busy_percent",
	[METRIC_CPU_USER] = "cpu_user_percent",
	[METRIC_CPU_SYSTEM] = "cpu_system_percent",
	[METRIC_CPU_IDLE] = "cpu_idle_percent",
	[METRIC_CPU_IOWAIT] = "cpu_iowait_percent",
	[METRIC_CPU_STEAL] = "cpu_steal_percent",
	[METRIC_RUNNING] = "running",
	[METRIC_BLOCKED] = "blocked",
	[METRIC_SWITCHES] = "switches_per_s",
	[METRIC_INTERRUPTS] = "interrupts_per_s",
	[METRIC_CREATED] = "processes_created_per_s",
	[METRIC_PSI_CPU_SOME] = "psi_cpu_some_percent",
	[METRIC_PSI_MEM_SOME] = "psi_mem_some_percent",
	[METRIC_PSI_MEM_FULL] = "psi_mem_full_percent",
	[METRIC_PSI_IO_SOME] = "psi_io_some_percent",
	[METRIC_PSI_IO_FULL] = "psi_io_full_percent",
	[METRIC_MEM_TOTAL] = "mem_total_bytes",
	[METRIC_MEM_AVAILABLE] = "mem_available_bytes",
	[METRIC_MEM_FREE] = "mem_free_bytes",
	[METRIC_SWAP_USED] = "swap_used_bytes",
	[METRIC_SWAP_TOTAL] = "swap_total_bytes",
	[METRIC_SWAP_IN] = "swap_in_pages_per_s",
	[METRIC_SWAP_OUT] = "swap_out_pages_per_s",
	[METRIC_FAULTS] = "faults_per_s",
	[METRIC_MAJOR_FAULTS] = "major_faults_per_s",
	[METRIC_OOM_KILLS] = "oom_kills",
	[METRIC_DISK_READ] = "disk_read_bytes_per_s",
	[METRIC_DISK_WRITE] = "disk_write_bytes_per_s",
	[METRIC_DISK_READS] = "disk_reads_per_s",
	[METRIC_DISK_WRITES] = "disk_writes_per_s",
	[METRIC_DISK_BUSY] = "disk_busy_percent",
};

/* False when none of the columns is there. */
static bool sum_columns(const struct health *h, const enum health_column *columns, size_t n,
			double *ret)
{
	bool any = false;
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		if (h->present[columns[i]]) {
			sum += (double)h->value[columns[i]];
			any = true;
		}
	*ret = sum;
	return any;
}

static double tick_ns(const struct profile_tick *t)
{
	return t->end_ns > t->start_ns ? (double)(t->end_ns - t->start_ns) : 0;
}

static bool swap_used(const struct health *h, double *ret)
{
	if (!h->present[HEALTH_swap_total_bytes] || !h->present[HEALTH_swap_free_bytes])
		return false;
	*ret = (double)h->value[HEALTH_swap_total_bytes] - (double)h->value[HEALTH_swap_free_bytes];
	return true;
}

bool metric_value(enum metric m, const struct profile_tick *t, double *ret)
{
	double value, whole;

	if (m == METRIC_SWAP_USED)
		return swap_used(&t->health, ret);
	if (!sum_columns(&t->health, metrics[m].columns, metrics[m].columns_n, &value))
		return false;
	switch (metrics[m].form) {
	case FORM_VALUE:
		break;
	case FORM_RATE:
		whole = tick_ns(t);
		if (whole <= 0)
			return false;
		value *= (double)NS_PER_SEC / whole;
		break;
	case FORM_SHARE:
		whole = tick_ns(t);
		if (whole <= 0)
			return false;
		value *= 100 / whole;
		break;
	case FORM_CPU_SHARE:
		if (!sum_columns(&t->health, cpu_all, ARRAY_SIZE(cpu_all), &whole) || whole <= 0)
			return false;
		value *= 100 / whole;
		break;
	}
	*ret = value;
	return true;
}

void metric_summarise(enum metric m, struct profile *p, const struct query_selection *s,
		      struct metric_summary *ret)
{
	double weighted = 0, length = 0, value;

	*ret = (struct metric_summary){ 0 };
	for (size_t i = 0; i < p->ticks_n; i++) {
		const struct profile_tick *t = &p->ticks[i];

		if (!query_selects_tick(p, s, t) || !metric_value(m, t, &value))
			continue;
		if (ret->ticks == 0 || value < ret->min) {
			ret->min = value;
			ret->min_tick = i;
		}
		if (ret->ticks == 0 || value > ret->max) {
			ret->max = value;
			ret->max_tick = i;
		}
		ret->ticks++;
		ret->sum += value;
		weighted += value * tick_ns(t);
		length += tick_ns(t);
	}
	if (ret->ticks)
		ret->mean = length > 0 ? weighted / length : ret->sum / (double)ret->ticks;
}
