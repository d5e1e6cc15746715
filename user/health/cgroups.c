/* SPDX-License-Identifier: Apache-2.0 */
#include "health/cgroups.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "health/cgroup_files.h"

/* A host of 64 cores has a few hundred. Those nearest to the root come first; the others are told
 * as read errors of each walk. */
#define CGROUPS_MAX 512
#define FILE_MAX    65536
#define MOUNTS_MAX  (4U << 20)

struct cgroup {
	char *path;	       /* from the hierarchy's root: "/system.slice/x.service" */
	int fds[CGROUP_FILES]; /* -1 = not there */
	uint64_t walk;	       /* number of the last walk that found it */
};

struct cgroups {
	int roots[CGROUP_HIERARCHY_MAX]; /* -1 = not mounted */
	struct cgroup *items;
	size_t n, cap;
	size_t open, open_max; /* descriptors */
	uint64_t walk, walked_ns, walk_ns;
	struct member_set set;
	struct buf text;
};

/* In /proc/mounts a blank of a path stands as \040. */
static void unescape(char *s)
{
	char *out = s;

	while (*s) {
		unsigned int code;

		if (s[0] == '\\' && sscanf(s + 1, "%3o", &code) == 1 && code > 0 && code < 256) {
			*out++ = (char)code;
			s += 4;
		} else {
			*out++ = *s++;
		}
	}
	*out = '\0';
}

static bool has_option(struct span options, const char *word)
{
	while (options.p < options.end) {
		const char *comma = memchr(options.p, ',', span_size(&options));
		struct span option = { options.p, comma ? comma : options.end };

		if (span_is(&option, word))
			return true;
		options.p = comma ? comma + 1 : options.end;
	}
	return false;
}

/* "cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu 0 0" */
static void mount_line(struct cgroups *c, struct span line)
{
	struct span device, path, type, options;
	_cleanup_free_ char *copy = NULL;
	bool v1, v2;

	if (!span_word(&line, &device) || !span_word(&line, &path) || !span_word(&line, &type) ||
	    !span_word(&line, &options))
		return;
	v1 = span_is(&type, "cgroup");
	v2 = span_is(&type, "cgroup2");
	if (!v1 && !v2)
		return;
	copy = strndup(path.p, span_size(&path));
	if (!copy)
		return;
	unescape(copy);
	for (size_t i = 0; i < CGROUP_HIERARCHY_MAX; i++) {
		bool this = cgroup_controllers[i] ? v1 && has_option(options, cgroup_controllers[i])
						  : v2;

		if (this && c->roots[i] < 0)
			c->roots[i] = open(copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
}

static void find_mounts(struct cgroups *c, int proc_fd)
{
	struct span text, line;

	if (file_read(proc_fd, "mounts", MOUNTS_MAX, &c->text) < 0)
		return;
	text = (struct span){ (char *)c->text.data, (char *)c->text.data + c->text.size };
	while (span_line(&text, &line))
		mount_line(c, line);
}

int cgroups_new(int proc_fd, uint64_t walk_ns, struct cgroups **ret)
{
	struct cgroups *c = calloc(1, sizeof(*c));
	struct rlimit limit;

	if (!c)
		return -ENOMEM;
	c->walk_ns = walk_ns;
	for (size_t i = 0; i < CGROUP_HIERARCHY_MAX; i++)
		c->roots[i] = -1;
	c->set = (struct member_set){ .key = "cgroup",
				      .series = cgroup_series,
				      .series_n = CGROUP_SERIES_MAX };
	/* Half of what the process may have: the other parts need theirs. */
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		c->open_max = limit.rlim_cur / 2;
	find_mounts(c, proc_fd);
	*ret = c;
	return 0;
}

static void close_file(struct cgroups *c, struct cgroup *g, size_t file)
{
	if (g->fds[file] < 0)
		return;
	close(g->fds[file]);
	g->fds[file] = -1;
	c->open--;
}

static void cgroup_release(struct cgroups *c, struct cgroup *g)
{
	for (size_t i = 0; i < CGROUP_FILES; i++)
		close_file(c, g, i);
	free(g->path);
}

void cgroups_free(struct cgroups *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n; i++)
		cgroup_release(c, &c->items[i]);
	for (size_t i = 0; i < CGROUP_HIERARCHY_MAX; i++)
		closep(&c->roots[i]);
	free(c->items);
	set_release(&c->set);
	buf_release(&c->text);
	free(c);
}

/* The group of this path, made when it is new; takes the path. NULL at a bound. */
static struct cgroup *cgroup_get(struct cgroups *c, char *path)
{
	_cleanup_free_ char *own = path;
	struct cgroup *g;

	for (size_t i = 0; i < c->n; i++) {
		if (strcmp(c->items[i].path, path) == 0)
			return &c->items[i];
	}
	if (c->n >= CGROUPS_MAX || array_reserve(&c->items, &c->cap, c->n + 1) < 0)
		return NULL;
	g = &c->items[c->n++];
	*g = (struct cgroup){ .path = TAKE_PTR(own) };
	for (size_t i = 0; i < CGROUP_FILES; i++)
		g->fds[i] = -1;
	return g;
}

static void open_files(struct cgroups *c, struct cgroup *g, enum cgroup_hierarchy h, int dir_fd)
{
	for (size_t i = 0; i < CGROUP_FILES && c->open < c->open_max; i++) {
		if (cgroup_files[i].hierarchy != h || g->fds[i] >= 0)
			continue;
		g->fds[i] = openat(dir_fd, cgroup_files[i].name, O_RDONLY | O_CLOEXEC);
		if (g->fds[i] >= 0)
			c->open++;
	}
}

/* Indices of the groups whose children are still to be found: breadth first. */
struct walk {
	enum cgroup_hierarchy hierarchy;
	size_t queue[CGROUPS_MAX];
	size_t from, to;
	size_t refused;
};

static void walk_child(struct cgroups *c, struct walk *w, int parent_fd, const char *parent,
		       const char *name)
{
	_cleanup_close_ int fd =
		openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct cgroup *g;
	char *path;

	if (fd < 0)
		return;
	if (strlen(parent) + strlen(name) + 2 > MEMBER_NAME_MAX ||
	    asprintf(&path, "%s/%s", parent, name) < 0) {
		w->refused++;
		return;
	}
	g = cgroup_get(c, path);
	if (!g || w->to >= CGROUPS_MAX) {
		w->refused++;
		return;
	}
	g->walk = c->walk;
	open_files(c, g, w->hierarchy, fd);
	w->queue[w->to++] = (size_t)(g - c->items);
}

static void walk_dir(struct cgroups *c, struct walk *w, const char *path)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	const struct dirent *entry;

	/* "." for the root itself, else without the leading slash */
	if (file_open_folder(c->roots[w->hierarchy], path[0] ? path + 1 : ".", &dir) < 0)
		return;
	while ((entry = readdir(dir))) {
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
			walk_child(c, w, dirfd(dir), path, entry->d_name);
	}
}

static size_t walk_hierarchy(struct cgroups *c, enum cgroup_hierarchy h)
{
	struct walk w = { .hierarchy = h };

	walk_dir(c, &w, "");
	while (w.from < w.to) {
		_cleanup_free_ char *path = strdup(c->items[w.queue[w.from++]].path);

		if (path)
			walk_dir(c, &w, path);
	}
	return w.refused;
}

static void walk_all(struct cgroups *c, struct reading *r)
{
	size_t kept = 0;

	c->walk++;
	c->walked_ns = clock_mono_ns();
	for (size_t h = 0; h < CGROUP_HIERARCHY_MAX; h++) {
		if (c->roots[h] >= 0)
			r->errors += (uint32_t)walk_hierarchy(c, (enum cgroup_hierarchy)h);
	}
	for (size_t i = 0; i < c->n; i++) {
		if (c->items[i].walk == c->walk)
			c->items[kept++] = c->items[i];
		else
			cgroup_release(c, &c->items[i]);
	}
	c->n = kept;
}

static void read_file(struct cgroups *c, struct cgroup *g, size_t file,
		      const struct cgroup_reading *to)
{
	int e;

	if (g->fds[file] < 0)
		return;
	e = file_reread(g->fds[file], FILE_MAX, &c->text);
	if (e == 0) {
		const char *text = (const char *)c->text.data;

		cgroup_files[file].read(to, &cgroup_files[file],
					(struct span){ text, text + c->text.size });
		return;
	}
	/* Removed since the last walk, or pressure switched off: no error. */
	if (e == -ENODEV || e == -EOPNOTSUPP)
		close_file(c, g, file);
	else
		to->reading->errors++;
}

void cgroups_read(struct cgroups *c, struct reading *r)
{
	if (c->walk == 0 || clock_mono_ns() - c->walked_ns >= c->walk_ns)
		walk_all(c, r);
	for (size_t i = 0; i < c->n; i++) {
		struct cgroup *g = &c->items[i];
		const struct span name = { g->path, g->path + strlen(g->path) };
		struct cgroup_reading to = { .reading = r, .set = &c->set };

		to.member = set_member(r, &c->set, &name, NULL);
		for (size_t f = 0; to.member && f < CGROUP_FILES; f++)
			read_file(c, g, f, &to);
	}
}
