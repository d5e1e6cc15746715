/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/probes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hmap.h"

#define FILES_MAX 1024
/* A loop that runs one interpreter after the other is not to attach and detach each time. */
#define LET_GO_NS	 (3 * NS_PER_SEC)
#define MOUNTS_BYTES_MAX (4U << 20)

struct known {
	struct probes_file file;
	struct elf_probe probes[KYMO_PROBES_MAX];
	uint32_t probes_n;
	bool attached;
	bool refused;
	uint64_t mapped_ns; /* when somebody was last known to map it */
};

struct probes {
	struct kern *kern;
	struct hmap by_key; /* struct kymo_file_key -> uint32_t index */
	struct known *files;
	size_t files_n, files_cap;
	size_t attached_n;
	uint64_t failed;
};

int probes_new(struct kern *kern, struct probes **ret)
{
	struct probes *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->kern = kern;
	hmap_init(&p->by_key, sizeof(struct kymo_file_key), sizeof(uint32_t), FILES_MAX);
	*ret = p;
	return 0;
}

void probes_free(struct probes *p)
{
	if (!p)
		return;
	hmap_release(&p->by_key);
	free(p->files);
	free(p);
}

/* The file system of a line of mountinfo (proc(5)) if it is the device's. */
static const char *type_of_line(char *line, uint32_t dev)
{
	unsigned major, minor;
	char *type;

	if (sscanf(line, "%*u %*u %u:%u ", &major, &minor) != 2 || (major << 20 | minor) != dev)
		return NULL;
	type = strstr(line, " - ");
	if (!type)
		return NULL;
	type += 3;
	type[strcspn(type, " ")] = '\0';
	return type;
}

/*
 * Attaching reads the file on our own thread: never from a file system whose answer is up to a program or another
 * host. Told by the mounts, which asks the file system nothing.
 */
static bool answers(const char *type)
{
	static const char *const others[] = { "fuse", "nfs", "cifs", "smb",
					      "ceph", "afs", "gfs",  "ocfs" };

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (strncmp(type, others[i], strlen(others[i])) == 0)
			return false;
	return true;
}

static bool may_read(uint32_t pid, uint32_t dev)
{
	_cleanup_(buf_release) struct buf text = { 0 };
	char path[32], *line, *save = NULL;

	if (pid)
		snprintf(path, sizeof(path), "/proc/%" PRIu32 "/mountinfo", pid);
	else
		snprintf(path, sizeof(path), "/proc/self/mountinfo");
	if (file_read(-1, path, MOUNTS_BYTES_MAX, &text) < 0 || !buf_str(&text))
		return false;
	for (line = strtok_r((char *)text.data, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		const char *type = type_of_line(line, dev);

		if (type)
			return answers(type);
	}
	return false;
}

static void attach(struct probes *p, struct known *k)
{
	const struct probes_file *f = &k->file;
	char mapped[96];
	int r;

	k->mapped_ns = clock_mono_ns();
	if (k->attached || k->refused || !k->probes_n)
		return;
	snprintf(mapped, sizeof(mapped), "/proc/%" PRIu32 "/map_files/%" PRIx64 "-%" PRIx64, f->pid,
		 f->start, f->end);
	/* Its own mounts, or ours where the process sees only a part. */
	if (may_read(f->pid, f->key.dev) || may_read(0, f->key.dev))
		r = kern_attach_probes(p->kern, &f->key, f->pid ? mapped : f->path, k->probes,
				       k->probes_n);
	else
		r = -EPERM;
	if (r == 0) {
		k->attached = true;
		p->attached_n++;
		return;
	}
	/* The process is gone, or maps another file by now: whoever maps it next is told of. */
	if (r == -ENOENT || r == -ESRCH || r == -ESTALE)
		return;
	k->refused = true;
	p->failed++;
}

static void let_go(struct probes *p, struct known *k)
{
	if (!k->attached)
		return;
	kern_detach_probes(p->kern, &k->file.key);
	k->attached = false;
	p->attached_n--;
}

static struct known *find(struct probes *p, uint32_t dev, uint64_t inode)
{
	struct kymo_file_key key = { .inode = inode, .dev = dev };
	const uint32_t *index = hmap_get(&p->by_key, &key);

	return index ? &p->files[*index] : NULL;
}

static struct known *find_or_add(struct probes *p, const struct kymo_file_key *key)
{
	struct known *k = find(p, key->dev, key->inode);
	uint32_t *index;

	if (k)
		return k;
	if (array_reserve(&p->files, &p->files_cap, p->files_n + 1) < 0)
		return NULL;
	index = hmap_put(&p->by_key, key, NULL);
	if (!index)
		return NULL;
	*index = (uint32_t)p->files_n;
	p->files[p->files_n] = (struct known){ 0 };
	return &p->files[p->files_n++];
}

void probes_found(struct probes *p, const struct probes_file *file, const struct elf_facts *facts)
{
	struct known *k;

	if (!p || !facts->probes_n)
		return;
	k = find_or_add(p, &file->key);
	if (!k) {
		p->failed++;
		return;
	}
	let_go(p, k);
	*k = (struct known){ .file = *file, .probes_n = facts->probes_n };
	memcpy(k->probes, facts->probes, facts->probes_n * sizeof(*k->probes));
	attach(p, k);
	k->file.path = NULL;
}

void probes_event(struct probes *p, const struct process_event *e)
{
	struct known *k;

	if (!p || e->kind != PROCESS_MMAP || !p->files_n)
		return;
	k = find(p, e->dev, e->inode);
	if (!k)
		return;
	if (!k->file.generation)
		k->file.generation = e->inode_generation;
	if (e->inode_generation && e->inode_generation != k->file.generation) {
		/* Another file has the inode by now: it has to be read first. */
		let_go(p, k);
		k->probes_n = 0;
		return;
	}
	k->file.pid = e->pid;
	k->file.start = e->start;
	k->file.end = e->end;
	attach(p, k);
}

void probes_tick(struct probes *p, const struct proc_table *procs, uint64_t now_ns)
{
	if (!p || !p->attached_n)
		return;
	for (size_t i = 0; i < p->files_n; i++) {
		struct known *k = &p->files[i];
		const struct kymo_file_key *key = &k->file.key;

		if (!k->attached)
			continue;
		if (proc_maps_file(procs, k->file.pid, key->dev, key->inode, &k->file.pid))
			k->mapped_ns = now_ns;
		else if (now_ns > k->mapped_ns + LET_GO_NS)
			let_go(p, k);
	}
}

uint64_t probes_failed(const struct probes *p)
{
	return p ? p->failed : 0;
}
