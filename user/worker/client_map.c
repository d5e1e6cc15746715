/* SPDX-License-Identifier: Apache-2.0 */
/* Perf maps: /tmp/perf-PID.map as the process sees /tmp, and with the pid that it has there. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "worker/client.h"

#define STATUS_MAX 16384

/* The last number of a line of /proc/PID/status, or its second; false where there is none. */
static bool status_field(const char *status, const char *name, bool last, uint32_t *ret)
{
	const char *line = strstr(status, name), *end;
	char *after;
	bool found = false;

	if (!line)
		return false;
	line += strlen(name);
	end = line + strcspn(line, "\n");
	for (int i = 0; line < end; i++) {
		unsigned long v = strtoul(line, &after, 10);

		if (after == line || after > end)
			break;
		if (last || i == 1) {
			*ret = (uint32_t)v;
			found = true;
		}
		line = after;
	}
	return found;
}

/* CLOCK_BOOTTIME of the start, in the kernel's hundredths: field 22, behind the name in brackets. */
static bool is_same_process(const char *stat, uint64_t start_ns)
{
	const char *p = strrchr(stat, ')');
	const uint64_t tick_ns = NS_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK);

	for (int field = 2; p && field < 22; field++) {
		p = strchr(p + 1, ' ');
		if (!p)
			return false;
	}
	return p && strtoull(p + 1, NULL, 10) == start_ns / tick_ns;
}

static int read_proc(uint32_t pid, const char *what, struct buf *text)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/%s", pid, what);
	return file_read(-1, path, STATUS_MAX, text);
}

/* Its own number, and its effective user. The process is still the one that was asked for, or -ESRCH. */
static int identify(const struct worker_file *file, uint32_t *ret_pid, uint32_t *ret_uid)
{
	_cleanup_(buf_release) struct buf text = { 0 };

	if (read_proc(file->pid, "status", &text) < 0 ||
	    !status_field((char *)text.data, "\nUid:", false, ret_uid))
		return -ESRCH;
	if (!status_field((char *)text.data, "\nNSpid:", true, ret_pid))
		*ret_pid = file->pid;
	if (read_proc(file->pid, "stat", &text) < 0 ||
	    !is_same_process((char *)text.data, file->process_start_ns))
		return -ESRCH;
	return 0;
}

int client_run_map(struct client *c, const struct job *job, struct reply *reply)
{
	struct client_path path = { .what = OPEN_PERF_MAP };
	_cleanup_close_ int fd = -1;
	struct file_identity identity;
	char text[64];
	uint32_t pid;
	int r = identify(&job->file, &pid, &path.uid);

	if (r < 0)
		return r;
	snprintf(text, sizeof(text), "/tmp/perf-%u.map", pid);
	path.path = text;
	r = client_open(c, job, &path, &identity, &fd);
	return r < 0 ? r : client_parse(c, job, &identity, fd, reply);
}
