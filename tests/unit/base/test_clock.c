/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include "base/clock.h"

static void cpu_time_is_work_not_waiting(void **state)
{
	uint64_t start = clock_mono_ns(), cpu = clock_thread_cpu_ns();
	uint64_t process = clock_process_cpu_ns(), spent;

	(void)state;
	while (clock_thread_cpu_ns() - cpu < 5 * NS_PER_MSEC)
		;
	spent = clock_thread_cpu_ns() - cpu;
	assert_true(clock_mono_ns() - start >= 5 * NS_PER_MSEC);
	/* the kernel accounts both from the same readings, a little apart */
	assert_true(clock_process_cpu_ns() - process + NS_PER_MSEC >= spent);
}

static void clocks_have_their_origins(void **state)
{
	uint64_t mono = clock_mono_ns(), boot = clock_boot_ns();

	(void)state;
	assert_true(boot >= mono); /* suspended time counts in one only */
	assert_true(clock_mono_ns() >= mono);
	assert_true(clock_wall_ns() > 1600000000 * NS_PER_SEC);
}

/* Also where something else takes the CPU between two readings, which happens in so long a time. */
static void ahead_does_not_waver(void **state)
{
	uint64_t first = clock_boot_ahead_ns(), end = clock_mono_ns() + 200 * NS_PER_MSEC;

	(void)state;
	while (clock_mono_ns() < end) {
		uint64_t ahead = clock_boot_ahead_ns();

		assert_true(ahead + 100 * NS_PER_USEC > first && first + 100 * NS_PER_USEC > ahead);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cpu_time_is_work_not_waiting),
		cmocka_unit_test(clocks_have_their_origins),
		cmocka_unit_test(ahead_does_not_waver),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
