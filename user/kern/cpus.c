/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "kern/state.h"

#define CPUS_MAX   8192 /* CONFIG_NR_CPUS is at most that on x86-64 */
#define ONLINE	   "/sys/devices/system/cpu/online"
#define LIST_BYTES 65536

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
	int r = file_read(-1, ONLINE, LIST_BYTES, &text);

	return r < 0 ? r : cpus_parse((const char *)text.data, ret, ret_n);
}

bool cpus_have(const uint32_t *cpus, size_t n, uint32_t cpu)
{
	for (size_t i = 0; i < n; i++)
		if (cpus[i] == cpu)
			return true;
	return false;
}

int cpus_watch_open(struct cpus_watch *w)
{
	w->fd = open(ONLINE, O_RDONLY | O_CLOEXEC);
	return w->fd < 0 ? -errno : file_reread(w->fd, LIST_BYTES, &w->seen);
}

void cpus_watch_close(struct cpus_watch *w)
{
	closep(&w->fd);
	buf_release(&w->seen);
	buf_release(&w->now);
}

int cpus_watch_changed(struct cpus_watch *w, uint32_t **ret, size_t *ret_n)
{
	int r = file_reread(w->fd, LIST_BYTES, &w->now);

	if (r < 0)
		return r;
	if (w->now.size == w->seen.size && memcmp(w->now.data, w->seen.data, w->now.size) == 0)
		return 0;
	r = cpus_parse((const char *)w->now.data, ret, ret_n);
	return r < 0 ? r : 1;
}

void cpus_watch_followed(struct cpus_watch *w)
{
	struct buf before = w->seen;

	w->seen = w->now;
	w->now = before;
}
