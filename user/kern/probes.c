/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Probes of interpreters, attached once per file for every process that maps it, now or later.
 *
 * Not by libbpf's attach_usdt: it would parse the ELF file here, as root, and its owner may be an enemy;
 * where the probes are comes from our own parser in its sandbox. For every process (pid -1), as children of those
 * that are followed come unannounced; the program asks whether its process is wanted.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "kern/state.h"
#include "kymo.skel.h"

struct probed_file {
	struct kymo_file_key key;
	struct bpf_link *links[KYMO_PROBES_MAX];
	uint32_t links_n; /* 0 = the slot is free */
};

struct probes {
	pthread_t closer; /* takes off the probes of a file that was let go */
	bool closing;	  /* it was started and not joined */
	struct probed_file files[KYMO_PROBE_FILES_MAX];
};

int probes_open(struct kern *k)
{
	k->probes = calloc(1, sizeof(*k->probes));
	return k->probes ? 0 : -ENOMEM;
}

static void detach(struct probed_file *f)
{
	for (uint32_t i = 0; i < f->links_n; i++)
		bpf_link__destroy(f->links[i]);
	*f = (struct probed_file){ 0 };
}

static void *detach_copy(void *file)
{
	detach(file);
	free(file);
	return NULL;
}

static void await_closer(struct probes *p)
{
	if (p->closing)
		pthread_join(p->closer, NULL);
	p->closing = false;
}

/*
 * The kernel waits for grace periods with each link, one after the other: 0.1 s each on a busy host. Beside
 * the thread that drains the rings, then; it waits only for the file before this one.
 */
static void detach_aside(struct probes *p, struct probed_file *f)
{
	struct probed_file *copy = malloc(sizeof(*copy));

	await_closer(p);
	if (copy)
		*copy = *f;
	if (copy && pthread_create(&p->closer, NULL, detach_copy, copy) == 0) {
		p->closing = true;
		*f = (struct probed_file){ 0 };
		return;
	}
	free(copy);
	detach(f);
}

void probes_close(struct kern *k)
{
	if (!k->probes)
		return;
	await_closer(k->probes);
	for (size_t i = 0; i < KYMO_PROBE_FILES_MAX; i++)
		detach(&k->probes->files[i]);
	free(k->probes);
	k->probes = NULL;
}

void probes_switch(struct kern *k, bool on)
{
	k->skeleton->bss->probes_on = on;
}

static struct probed_file *find(struct probes *p, const struct kymo_file_key *key)
{
	for (size_t i = 0; i < KYMO_PROBE_FILES_MAX; i++)
		if (p->files[i].links_n && memcmp(&p->files[i].key, key, sizeof(*key)) == 0)
			return &p->files[i];
	return NULL;
}

static struct probed_file *find_free(struct probes *p)
{
	for (size_t i = 0; i < KYMO_PROBE_FILES_MAX; i++)
		if (!p->files[i].links_n)
			return &p->files[i];
	return NULL;
}

/*
 * The file itself, without opening it, which its file system would be told of. What stat says of the device differs
 * from what the kernel maps by on file systems of many devices (major 0): there the inode decides.
 */
static int reach(const char *path, const struct kymo_file_key *key)
{
	_cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);
	struct statx st;

	if (fd < 0)
		return -errno;
	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, &st) < 0)
		return -errno;
	if (!S_ISREG(st.stx_mode) || st.stx_ino != key->inode ||
	    (st.stx_dev_major && (st.stx_dev_major << 20 | st.stx_dev_minor) != key->dev))
		return -ESTALE;
	return TAKE_FD(fd);
}

static int attach_one(struct kern *k, struct probed_file *f, int fd, const struct elf_probe *p)
{
	uint32_t cookie = (uint32_t)(f - k->probes->files) * KYMO_PROBES_MAX + f->links_n;
	LIBBPF_OPTS(bpf_uprobe_opts, options, .ref_ctr_offset = p->semaphore_offset,
		    .bpf_cookie = cookie);
	struct bpf_link *link;
	char path[32];
	int r = bpf_map__update_elem(k->skeleton->maps.probe_sites, &cookie, sizeof(cookie),
				     &p->site, sizeof(p->site), BPF_ANY);

	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	link = bpf_program__attach_uprobe_opts(k->skeleton->progs.on_python_probe, -1, path,
					       p->offset, &options);
	if (!link)
		return -errno;
	f->links[f->links_n++] = link;
	return 0;
}

static bool is_start(const struct elf_probe *p)
{
	return p->site.kind == KYMO_PROBE_GC_START || p->site.kind == KYMO_PROBE_IMPORT_START;
}

static bool is_asked_for(const struct kern *k, const struct elf_probe *p)
{
	bool gc = p->site.kind == KYMO_PROBE_GC_START || p->site.kind == KYMO_PROBE_GC_DONE;

	return k->sources & KERN_SOURCE(gc ? KYMO_SOURCE_GC : KYMO_SOURCE_IMPORT);
}

/* Ends before starts: a start that is seen then has its end. */
static int attach_all(struct kern *k, struct probed_file *f, int fd, const struct elf_probe *p,
		      size_t n)
{
	int r = 0;

	for (int starts = 0; starts <= 1; starts++)
		for (size_t i = 0; i < n && r == 0; i++)
			if (is_asked_for(k, &p[i]) && is_start(&p[i]) == starts)
				r = attach_one(k, f, fd, &p[i]);
	if (r < 0)
		detach(f);
	return r;
}

int kern_attach_probes(struct kern *k, const struct kymo_file_key *file, const char *path,
		       const struct elf_probe *probes, size_t n)
{
	_cleanup_close_ int fd = -1;
	struct probed_file *f;
	libbpf_print_fn_t before;
	int r;

	if (find(k->probes, file))
		return 0;
	f = find_free(k->probes);
	if (!f)
		return -ENOSPC;
	fd = reach(path, file);
	if (fd < 0)
		return fd;
	f->key = *file;
	before = libbpf_set_print(NULL);
	r = attach_all(k, f, fd, probes, n < KYMO_PROBES_MAX ? n : KYMO_PROBES_MAX);
	libbpf_set_print(before);
	return r;
}

void kern_detach_probes(struct kern *k, const struct kymo_file_key *file)
{
	struct probed_file *f = find(k->probes, file);

	if (f)
		detach_aside(k->probes, f);
}
