/* SPDX-License-Identifier: Apache-2.0 */
#include "model/sample.h"

#include "base/clock.h"

/*
 * Most of what wakes by a timer does so on a grid of milliseconds (kymo itself every 100 ms and every second); with
 * 99 samples to the second each phase came again every second, and who ran there was seen three times
 * as long as it ran, or never. So a second (ten or a hundred, where few samples are asked for; a tenth, where very many
 * are: a whole number of nanoseconds says 3 for 3.8) has a golden fraction of a sample less than asked for: no fraction is
 * farther from every ratio of small numbers, and the phases of the samples spread evenly over whatever recurs. The period
 * stays one number, as every sample's weight.
 */
uint64_t sample_period_ns(uint64_t hz)
{
	const uint64_t golden = 381966011; /* 1e9 * (3 - sqrt(5)) / 2 */
	uint64_t less = hz >= 3900 ? golden * 10
			: hz >= 39 ? golden
			: hz >= 4  ? golden / 10
				   : golden / 100;

	return NS_PER_SEC * NS_PER_SEC / (hz * NS_PER_SEC - less);
}

const char *const source_names[KYMO_SOURCE_MAX] = {
	[0] = "",
	[KYMO_SOURCE_CPU] = "cpu",
	[KYMO_SOURCE_FAULT] = "fault",
	[KYMO_SOURCE_IO] = "io",
	[KYMO_SOURCE_GC] = "gc",
	[KYMO_SOURCE_IMPORT] = "import",
	[KYMO_SOURCE_GIL] = "gil",
	[KYMO_SOURCE_HELD] = "held",
};

const char *const source_units[KYMO_SOURCE_MAX] = {
	[0] = "",
	[KYMO_SOURCE_CPU] = "ns",
	[KYMO_SOURCE_FAULT] = "bytes",
	[KYMO_SOURCE_IO] = "bytes",
	[KYMO_SOURCE_GC] = "ns",
	[KYMO_SOURCE_IMPORT] = "ns",
	[KYMO_SOURCE_GIL] = "ns",
	[KYMO_SOURCE_HELD] = "ns",
};

const char *const source_charges[KYMO_SOURCE_MAX] = {
	[0] = "",
	[KYMO_SOURCE_CPU] = "CPU time",
	[KYMO_SOURCE_FAULT] = "memory faulted in",
	[KYMO_SOURCE_IO] = "disk traffic",
	[KYMO_SOURCE_GC] = "time in collections",
	[KYMO_SOURCE_IMPORT] = "time in imports",
	[KYMO_SOURCE_GIL] = "time waiting for the GIL",
	[KYMO_SOURCE_HELD] = "time off the CPU with the GIL",
};

const char *const end_names[KYMO_END_MAX] = {
	[KYMO_END_NONE] = "no user stack",
	[KYMO_END_WHOLE] = "whole",
	[KYMO_END_FP_ZERO] = "frame pointer ended in 0",
	[KYMO_END_FP_BROKEN] = "frame pointer broken",
	[KYMO_END_UNREADABLE] = "stack memory unreadable",
	[KYMO_END_NO_RULE] = "no rule",
	[KYMO_END_NOT_EXECUTABLE] = "return address not executable",
	[KYMO_END_TOO_DEEP] = "too deep",
	[KYMO_END_EXECVE] = "inside execve",
	[KYMO_END_PYTHON_TORN] = "Python frames were changing",
	[KYMO_END_PYTHON_UNREADABLE] = "Python frames unreadable",
};
