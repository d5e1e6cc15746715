/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "kern/state.h"

#define CPUS_MAX 8192 /* CONFIG_NR_CPUS is at most that on x86-64 */

/* "0-3,5": as /sys/devices/system/cpu/online has it. */
int cpus_parse(const char *list, uint32_t **ret, size_t *ret_n)
{
	_cleanup_free_ uint32_t *cpus = NULL;
	size_t n = 0, cap = 0;

	while (*list && *list != '\n') {
		unsigned first, last;
		int used = 0, r;

		if (sscanf(list, "%u%n", &first, &used) != 1)
			return -EBADMSG;
		list += used;
		last = first;
		if (*list == '-') {
			if (sscanf(list, "-%u%n", &last, &used) != 1)
				return -EBADMSG;
			list += used;
		}
		if (*list == ',')
			list++;
		if (last < first || last >= CPUS_MAX)
			return -EBADMSG;
		r = array_reserve(&cpus, &cap, n + (last - first + 1));
		if (r < 0)
			return r;
		while (first <= last)
			cpus[n++] = first++;
	}
	*ret = TAKE_PTR(cpus);
	*ret_n = n;
	return n > 0 ? 0 : -EBADMSG;
}

int cpus_online(uint32_t **ret, size_t *ret_n)
{
	_cleanup_(buf_release) struct buf text = { 0 };
	int r = file_read(-1, "/sys/devices/system/cpu/online", 65536, &text);

	return r < 0 ? r : cpus_parse((const char *)text.data, ret, ret_n);
}
