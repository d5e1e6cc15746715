/* SPDX-License-Identifier: Apache-2.0 */
/* The files of one process in /proc: proc(5). They may vanish, or be another process's, between
 * any two reads. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "proc/state.h"

#define PF_KTHREAD 0x00200000 /* include/linux/sched.h; field 9 of stat (proc_pid_stat(5)) */
#define MAPS_CHUNK 65536

static int open_file(int proc_fd, uint32_t pid, const char *name)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%u/%s", pid, name);
	fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

/* At most size - 1 bytes, NUL-terminated. How many, or -errno. */
static ssize_t read_some(int proc_fd, uint32_t pid, const char *name, char *out, size_t size)
{
	_cleanup_close_ int fd = open_file(proc_fd, pid, name);
	size_t n = 0;

	if (fd < 0)
		return fd;
	while (n < size - 1) {
		ssize_t r = read(fd, out + n, size - 1 - n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		n += (size_t)r;
	}
	out[n] = '\0';
	return (ssize_t)n;
}

/* The name is in parentheses and may hold anything, parentheses and newlines too: the last one
 * ends it. */
static int parse_stat(char *line, struct proc_stat *ret)
{
	char *name = strchr(line, '('), *end = strrchr(line, ')');
	struct proc_stat s = { 0 };
	unsigned long long start;
	unsigned int flags;
	size_t n;

	if (!name || !end || end < name)
		return -EBADMSG;
	n = (size_t)(end - name - 1);
	memcpy(s.comm, name + 1, n < sizeof(s.comm) - 1 ? n : sizeof(s.comm) - 1);
	/* state ppid pgrp session tty tpgid flags minflt cminflt majflt cmajflt utime stime
	 * cutime cstime priority nice num_threads itrealvalue starttime */
	if (sscanf(end + 1,
		   " %c %u %*d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %u %*d "
		   "%llu ",
		   &s.state, &s.parent_pid, &flags, &s.threads, &start) != 5)
		return -EBADMSG;
	s.kernel = flags & PF_KTHREAD;
	s.start_ticks = start;
	*ret = s;
	return 0;
}

int read_stat(int proc_fd, uint32_t pid, struct proc_stat *ret)
{
	char line[1024];
	ssize_t n = read_some(proc_fd, pid, "stat", line, sizeof(line));

	return n < 0 ? (int)n : parse_stat(line, ret);
}

static void read_uid(struct proc_table *t, struct life *l)
{
	char text[1024];
	const char *at;

	if (read_some(t->proc_fd, l->p.info.pid, "status", text, sizeof(text)) < 0)
		return;
	/* "Name:" comes before it and cannot forge it: the kernel escapes newlines there. */
	at = strstr(text, "\nUid:\t");
	if (at)
		l->p.info.uid = (uint32_t)strtoul(at + 6, NULL, 10);
}

static void read_exe(struct proc_table *t, struct life *l)
{
	char path[64], target[PROC_PATH_MAX + 1];
	const char deleted[] = " (deleted)";
	size_t tail = sizeof(deleted) - 1;
	ssize_t n;

	snprintf(path, sizeof(path), "%u/exe", l->p.info.pid);
	n = readlinkat(t->proc_fd, path, target, sizeof(target) - 1);
	if (n <= 0)
		return;
	if ((size_t)n > tail && memcmp(target + n - tail, deleted, tail) == 0)
		n -= (ssize_t)tail;
	life_set_text(&l->p.info.exe, target, (size_t)n);
}

int life_set_cmdline(struct life *l, const char *args, size_t size)
{
	char line[PROC_CMDLINE_MAX];
	size_t n = size < sizeof(line) ? size : sizeof(line);

	while (n > 0 && args[n - 1] == '\0')
		n--;
	for (size_t i = 0; i < n; i++)
		line[i] = args[i] ? args[i] : ' ';
	return life_set_text(&l->p.info.cmdline, line, n);
}

static void read_cmdline(struct proc_table *t, struct life *l)
{
	char line[PROC_CMDLINE_MAX + 1];
	ssize_t n = read_some(t->proc_fd, l->p.info.pid, "cmdline", line, sizeof(line));

	if (n > 0)
		(void)life_set_cmdline(l, line, (size_t)n);
}

void read_identity(struct proc_table *t, struct life *l)
{
	read_uid(t, l);
	read_exe(t, l);
	read_cmdline(t, l);
}

/* In maps a newline of a path stands as \012. */
static void unescape(char *path)
{
	char *out = path;

	while (*path) {
		if (strncmp(path, "\\012", 4) == 0) {
			*out++ = '\n';
			path += 4;
		} else {
			*out++ = *path++;
		}
	}
	*out = '\0';
}

/* "55d0c0a00000-55d0c0a25000 r-xp 00002000 fd:01 1234    /usr/bin/cat" */
static int map_line(struct proc_table *t, struct life *l, char *line)
{
	unsigned long long start, end, pgoff, inode;
	unsigned int major, minor;
	struct proc_mapping m;
	char perms[5];
	int path = 0, r;

	if (sscanf(line, "%llx-%llx %4s %llx %x:%x %llu %n", &start, &end, perms, &pgoff, &major,
		   &minor, &inode, &path) != 7 ||
	    path == 0 || strlen(perms) != 4)
		return 0;
	if (perms[2] != 'x')
		return 0;
	unescape(line + path);
	m = (struct proc_mapping){ .start = start,
				   .end = end,
				   .pgoff_bytes = pgoff,
				   .inode = inode,
				   .dev = major << 20 | (minor & 0xfffff) };
	m.path = paths_intern(t, line + path, &m.is_file);
	r = mappings_insert(t, l, &m);
	if (r == 0)
		files_tell(t, l, &m);
	return r;
}

/* Takes the whole lines from the buffer; what is left is moved to its start. */
static int map_lines(struct proc_table *t, struct life *l, char *text, size_t *size)
{
	char *at = text, *end = text + *size, *newline;
	int r = 0;

	while (r == 0 && (newline = memchr(at, '\n', (size_t)(end - at)))) {
		*newline = '\0';
		r = map_line(t, l, at);
		at = newline + 1;
	}
	*size = (size_t)(end - at);
	memmove(text, at, *size);
	return r;
}

int read_mappings(struct proc_table *t, struct life *l)
{
	_cleanup_close_ int fd = open_file(t->proc_fd, l->p.info.pid, "maps");
	_cleanup_free_ char *text = malloc(MAPS_CHUNK);
	size_t size = 0;
	bool any = false;
	int r = 0;

	if (fd < 0)
		return fd;
	if (!text)
		return -ENOMEM;
	while (r == 0) {
		ssize_t n = read(fd, text + size, MAPS_CHUNK - size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : any;
		if (!any)
			mappings_clear(t, l);
		any = true;
		size += (size_t)n;
		r = map_lines(t, l, text, &size);
		/* No line is as long as the buffer: no maps file then. */
		if (size == MAPS_CHUNK)
			return -EBADMSG;
	}
	return r;
}
