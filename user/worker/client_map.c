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

static struct client_map *find_map(struct client *c, const struct worker_file *file)
{
	for (size_t i = 0; i < CLIENT_MAPS_MAX; i++)
		if (c->maps[i].start_ns && c->maps[i].pid == file->pid &&
		    c->maps[i].start_ns == file->process_start_ns)
			return &c->maps[i];
	return NULL;
}

static void close_map(struct client_map *m)
{
	if (m->start_ns)
		close(m->fd);
	*m = (struct client_map){ .fd = -1 };
}

void client_close_maps(struct client *c)
{
	for (size_t i = 0; i < CLIENT_MAPS_MAX; i++)
		close_map(&c->maps[i]);
}

/* In place of the process's own, else of the one that was not read for the longest time. */
static struct client_map *place_for(struct client *c, const struct worker_file *file)
{
	struct client_map *m = find_map(c, file);

	for (size_t i = 0; i < CLIENT_MAPS_MAX && !(m && m->start_ns == file->process_start_ns);
	     i++)
		if (!m || c->maps[i].used < m->used)
			m = &c->maps[i];
	close_map(m);
	return m;
}

/* What the process sees there now. */
static int open_map(struct client *c, const struct job *job)
{
	struct client_path path = { .what = OPEN_PERF_MAP };
	struct file_identity identity;
	struct client_map *m;
	char text[64];
	uint32_t pid;
	int fd, r = identify(&job->file, &pid, &path.uid);

	if (r < 0)
		return r;
	snprintf(text, sizeof(text), "/tmp/perf-%u.map", pid);
	path.path = text;
	r = client_open(c, job, &path, &identity, &fd);
	if (r < 0)
		return r;
	m = place_for(c, &job->file);
	*m = (struct client_map){ .start_ns = job->file.process_start_ns,
				  .pid = job->file.pid,
				  .fd = fd,
				  .identity = identity };
	return 0;
}

int client_run_map(struct client *c, const struct job *job, struct reply *reply)
{
	int r = open_map(c, job);
	struct client_map *m = r == 0 || r == -ESRCH || r == -ENOENT ? find_map(c, &job->file)
								     : NULL;

	if (!m)
		return r == 0 ? -ENOENT : r;
	m->used = ++c->maps_clock;
	return client_parse(c, job, &m->identity, m->fd, reply);
}
