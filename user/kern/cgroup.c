/* SPDX-License-Identifier: Apache-2.0 */
/* From the folder of a cgroup, of version 1 or 2, to what the kernel side compares. */
#include <bpf/btf.h>
#include <errno.h>
#include <linux/magic.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "kern/kern.h"

/* As mount options name them; the kernel's enum says "io" for blkio. */
static const char *const controllers[] = { "memory",	 "cpu",	    "cpuacct",	"blkio",
					   "cpuset",	 "pids",    "devices",	"freezer",
					   "perf_event", "net_cls", "net_prio", "hugetlb",
					   "rdma",	 "misc" };

static void endmntentp(FILE **f)
{
	if (*f)
		endmntent(*f);
}

/* Of the hierarchy that is mounted there; NULL = it has none (name=...). */
static const char *controller_of(const struct mntent *m)
{
	for (size_t i = 0; i < ARRAY_SIZE(controllers); i++)
		if (hasmntopt(m, controllers[i]))
			return controllers[i];
	return NULL;
}

static bool is_v2(const struct mntent *m)
{
	return strcmp(m->mnt_type, "cgroup2") == 0;
}

/* Better is greater; 0 = no cgroups. */
static int rank(const struct mntent *m)
{
	const char *controller;

	if (is_v2(m))
		return 3;
	if (strcmp(m->mnt_type, "cgroup") != 0)
		return 0;
	controller = controller_of(m);
	return !controller ? 0 : strcmp(controller, "memory") == 0 ? 2 : 1;
}

/* Below the mounts: the folder in the best of them. */
static int find_below(const char *path, char **ret)
{
	_cleanup_(endmntentp) FILE *mounts = setmntent("/proc/self/mounts", "re");
	int best = 0, found;
	struct mntent *m;
	struct stat st;

	while (mounts && (m = getmntent(mounts))) {
		char *full;

		found = rank(m);
		if (found <= best || asprintf(&full, "%s/%s", m->mnt_dir, path) < 0)
			continue;
		if (stat(full, &st) < 0 || !S_ISDIR(st.st_mode)) {
			free(full);
			continue;
		}
		free(*ret);
		*ret = full;
		best = found;
	}
	return best ? 0 : -ENOENT;
}

/* The kernel's number of the controller, which depends on what is built in. */
static int subsys_of(const char *controller, int32_t *ret)
{
	const char *name = strcmp(controller, "blkio") == 0 ? "io" : controller;
	struct btf *btf = btf__load_vmlinux_btf();
	const struct btf_type *t;
	char wanted[64];
	int id, r = -ENOTSUP;

	if (!btf)
		return -errno;
	snprintf(wanted, sizeof(wanted), "%s_cgrp_id", name);
	id = btf__find_by_name_kind(btf, "cgroup_subsys_id", BTF_KIND_ENUM);
	t = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
	for (uint16_t i = 0; t && i < btf_vlen(t); i++) {
		const struct btf_enum *e = &btf_enum(t)[i];

		if (strcmp(btf__name_by_offset(btf, e->name_off), wanted) == 0) {
			*ret = e->val;
			r = 0;
		}
	}
	btf__free(btf);
	return r;
}

/* Which hierarchy of version 1 the folder is in, by the device of its mount. */
static int find_subsys(dev_t dev, int32_t *ret)
{
	_cleanup_(endmntentp) FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *m;
	struct stat st;

	while (mounts && (m = getmntent(mounts))) {
		const char *controller = strcmp(m->mnt_type, "cgroup") == 0 ? controller_of(m)
									    : NULL;

		if (controller && stat(m->mnt_dir, &st) == 0 && st.st_dev == dev)
			return subsys_of(controller, ret);
	}
	return -ENOTSUP;
}

static int find(const char *path, struct kern_cgroup *ret)
{
	_cleanup_free_ char *below = NULL;
	struct statfs fs;
	struct stat st;

	if (*path != '/' || statfs(path, &fs) < 0 ||
	    (fs.f_type != CGROUP2_SUPER_MAGIC && fs.f_type != CGROUP_SUPER_MAGIC)) {
		int r = find_below(path, &below);

		if (r < 0)
			return r;
		path = below;
		if (statfs(path, &fs) < 0)
			return -errno;
	}
	if (stat(path, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	/* A cgroup's id is the number of its folder. */
	ret->id = st.st_ino;
	ret->subsys = -1;
	return fs.f_type == CGROUP2_SUPER_MAGIC ? 0 : find_subsys(st.st_dev, &ret->subsys);
}

int kern_cgroup_find(const char *path, struct kern_cgroup *ret, char **ret_message)
{
	int r = find(path, ret), n = 0;

	*ret_message = NULL;
	if (r == -ENOENT)
		n = asprintf(ret_message, "--cgroup %s: no such cgroup below /sys/fs/cgroup", path);
	else if (r == -ENOTSUP)
		n = asprintf(ret_message, "--cgroup %s: its hierarchy has no controller", path);
	else if (r < 0)
		n = asprintf(ret_message, "--cgroup %s: %s", path, strerror(-r));
	if (n < 0)
		*ret_message = NULL;
	return r;
}
