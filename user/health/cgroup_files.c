/* SPDX-License-Identifier: Apache-2.0 */
#include "health/cgroup_files.h"

#include "base/clock.h"

const char *const cgroup_controllers[CGROUP_HIERARCHY_MAX] = {
	[CGROUP_V1_CPU] = "cpu",
	[CGROUP_V1_CPUACCT] = "cpuacct",
	[CGROUP_V1_MEMORY] = "memory",
	[CGROUP_V1_BLKIO] = "blkio",
};

#define COUNTER(metric, label, unit)                                    \
	{                                                               \
		"linux.cgroup." metric, label, unit, HEALTH_COUNTER, -1 \
	}
#define PRESSURE(resource, stall) \
	COUNTER("pressure.total", "resource=" resource ",stall=" stall, "ns")

const struct series cgroup_series[CGROUP_SERIES_MAX] = {
	[CGROUP_CPU_USAGE] = COUNTER("cpu.usage", "", "ns"),
	[CGROUP_CPU_NR_THROTTLED] = COUNTER("cpu.nr_throttled", "", "{period}"),
	[CGROUP_CPU_THROTTLED] = COUNTER("cpu.throttled_time", "", "ns"),
	[CGROUP_MEMORY_CURRENT] = { "linux.cgroup.memory.current", "", "By", HEALTH_GAUGE, -1 },
	[CGROUP_MEMORY_HIGH] = COUNTER("memory.events", "event=high", "{event}"),
	[CGROUP_MEMORY_MAX] = COUNTER("memory.events", "event=max", "{event}"),
	[CGROUP_MEMORY_OOM] = COUNTER("memory.events", "event=oom", "{event}"),
	[CGROUP_MEMORY_OOM_KILL] = COUNTER("memory.events", "event=oom_kill", "{event}"),
	[CGROUP_PRESSURE_CPU_SOME] = PRESSURE("cpu", "some"),
	[CGROUP_PRESSURE_CPU_FULL] = PRESSURE("cpu", "full"),
	[CGROUP_PRESSURE_MEMORY_SOME] = PRESSURE("memory", "some"),
	[CGROUP_PRESSURE_MEMORY_FULL] = PRESSURE("memory", "full"),
	[CGROUP_PRESSURE_IO_SOME] = PRESSURE("io", "some"),
	[CGROUP_PRESSURE_IO_FULL] = PRESSURE("io", "full"),
	[CGROUP_IO_READ] = COUNTER("io", "direction=read", "By"),
	[CGROUP_IO_WRITE] = COUNTER("io", "direction=write", "By"),
};

static void tell(const struct cgroup_reading *to, enum cgroup_series series, uint64_t value,
		 uint64_t scale)
{
	set_value(to->reading, to->set, to->member, series, value, scale);
}

static const struct cgroup_key *find_key(const struct cgroup_file *file, const struct span *word)
{
	for (const struct cgroup_key *k = file->keys; k->key; k++) {
		if (span_is(word, k->key))
			return k;
	}
	return NULL;
}

/* "key value" lines, or one number. */
static void read_keys(const struct cgroup_reading *to, const struct cgroup_file *file,
		      struct span text)
{
	struct span line, word = { "", "" };
	uint64_t value;

	while (span_line(&text, &line)) {
		const struct cgroup_key *key;

		if (file->keys[0].key[0] && !span_word(&line, &word))
			continue;
		key = find_key(file, &word);
		if (!key)
			continue;
		if (span_u64(&line, &value))
			tell(to, key->series, value, key->scale);
		else
			to->reading->errors++;
	}
}

/* "some avg10=0.00 ... total=1234", in us */
static void read_pressure(const struct cgroup_reading *to, const struct cgroup_file *file,
			  struct span text)
{
	struct span line, word;
	uint64_t us;

	while (span_line(&text, &line)) {
		const struct cgroup_key *key = span_word(&line, &word) ? find_key(file, &word)
								       : NULL;

		while (key && span_word(&line, &word)) {
			if (!span_starts(&word, "total="))
				continue;
			word.p += strlen("total=");
			if (span_u64(&word, &us))
				tell(to, key->series, us, key->scale);
		}
	}
}

/* Adds up a direction's bytes over all devices. */
struct io_sums {
	uint64_t bytes[2];
};

/* Before a group's first I/O there is no line: that is zero, and the first is counted from it. */
static void tell_io(const struct cgroup_reading *to, const struct io_sums *sums)
{
	tell(to, CGROUP_IO_READ, sums->bytes[0], 1);
	tell(to, CGROUP_IO_WRITE, sums->bytes[1], 1);
}

static void add_io(struct io_sums *sums, int direction, uint64_t bytes)
{
	if (__builtin_add_overflow(sums->bytes[direction], bytes, &sums->bytes[direction]))
		sums->bytes[direction] = UINT64_MAX; /* refused as too large */
}

/* "8:0 rbytes=1 wbytes=2 rios=3 ..." */
static void read_io_stat(const struct cgroup_reading *to, const struct cgroup_file *file,
			 struct span text)
{
	static const char *const names[2] = { "rbytes=", "wbytes=" };
	struct io_sums sums = { 0 };
	struct span line, word;
	uint64_t bytes;

	(void)file;
	while (span_line(&text, &line)) {
		while (span_word(&line, &word)) {
			for (int i = 0; i < 2; i++) {
				struct span number = { word.p + strlen(names[i]), word.end };

				if (span_starts(&word, names[i]) && span_u64(&number, &bytes))
					add_io(&sums, i, bytes);
			}
		}
	}
	tell_io(to, &sums);
}

/* "8:0 Read 1", "8:0 Write 2", ... "Total 3" */
static void read_blkio(const struct cgroup_reading *to, const struct cgroup_file *file,
		       struct span text)
{
	struct io_sums sums = { 0 };
	struct span line, device, word;
	uint64_t bytes;

	(void)file;
	while (span_line(&text, &line)) {
		if (!span_word(&line, &device) || !span_word(&line, &word) ||
		    !span_u64(&line, &bytes))
			continue;
		if (span_is(&word, "Read"))
			add_io(&sums, 0, bytes);
		else if (span_is(&word, "Write"))
			add_io(&sums, 1, bytes);
	}
	tell_io(to, &sums);
}

#define US NS_PER_USEC

/* Version 1 first: on a host with both, the same group may show a value in each. */
const struct cgroup_file cgroup_files[CGROUP_FILES] = {
	{ CGROUP_V1_CPU,
	  "cpu.stat",
	  read_keys,
	  { { "nr_throttled", CGROUP_CPU_NR_THROTTLED, 1 },
	    { "throttled_time", CGROUP_CPU_THROTTLED, 1 } } },
	{ CGROUP_V1_CPUACCT, "cpuacct.usage", read_keys, { { "", CGROUP_CPU_USAGE, 1 } } },
	{ CGROUP_V1_MEMORY,
	  "memory.usage_in_bytes",
	  read_keys,
	  { { "", CGROUP_MEMORY_CURRENT, 1 } } },
	{ CGROUP_V1_MEMORY, "memory.failcnt", read_keys, { { "", CGROUP_MEMORY_MAX, 1 } } },
	{ CGROUP_V1_MEMORY,
	  "memory.oom_control",
	  read_keys,
	  { { "oom_kill", CGROUP_MEMORY_OOM_KILL, 1 } } },
	{ CGROUP_V1_BLKIO, "blkio.throttle.io_service_bytes", read_blkio, { { 0 } } },
	{ CGROUP_V2,
	  "cpu.stat",
	  read_keys,
	  { { "usage_usec", CGROUP_CPU_USAGE, US },
	    { "nr_throttled", CGROUP_CPU_NR_THROTTLED, 1 },
	    { "throttled_usec", CGROUP_CPU_THROTTLED, US } } },
	{ CGROUP_V2, "memory.current", read_keys, { { "", CGROUP_MEMORY_CURRENT, 1 } } },
	{ CGROUP_V2,
	  "memory.events",
	  read_keys,
	  { { "high", CGROUP_MEMORY_HIGH, 1 },
	    { "max", CGROUP_MEMORY_MAX, 1 },
	    { "oom", CGROUP_MEMORY_OOM, 1 },
	    { "oom_kill", CGROUP_MEMORY_OOM_KILL, 1 } } },
	{ CGROUP_V2,
	  "cpu.pressure",
	  read_pressure,
	  { { "some", CGROUP_PRESSURE_CPU_SOME, US }, { "full", CGROUP_PRESSURE_CPU_FULL, US } } },
	{ CGROUP_V2,
	  "memory.pressure",
	  read_pressure,
	  { { "some", CGROUP_PRESSURE_MEMORY_SOME, US },
	    { "full", CGROUP_PRESSURE_MEMORY_FULL, US } } },
	{ CGROUP_V2,
	  "io.pressure",
	  read_pressure,
	  { { "some", CGROUP_PRESSURE_IO_SOME, US }, { "full", CGROUP_PRESSURE_IO_FULL, US } } },
	{ CGROUP_V2, "io.stat", read_io_stat, { { 0 } } },
};
