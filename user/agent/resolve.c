/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/resolve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hmap.h"

/* Kernel addresses recur: each is looked up once. A bound, for a kernel that JITs BPF without end. */
#define KERNEL_CACHE_MAX 65536

struct resolve {
	struct resolve_parts parts;
	struct hmap kernel; /* uint64_t address -> struct sample_frame */
	struct resolve_stats stats;
	struct sample_frame frames[RESOLVE_FRAMES_MAX];
};

int resolve_new(const struct resolve_parts *parts, struct resolve **ret)
{
	struct resolve *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->parts = *parts;
	hmap_init(&r->kernel, sizeof(uint64_t), sizeof(struct sample_frame), KERNEL_CACHE_MAX);
	*ret = r;
	return 0;
}

void resolve_free(struct resolve *r)
{
	if (!r)
		return;
	hmap_release(&r->kernel);
	free(r);
}

void resolve_renew(struct resolve *r)
{
	hmap_clear(&r->kernel);
}

static struct sample_frame kernel_symbol(struct resolve *r, uint64_t address)
{
	const struct kallsyms *k = r->parts.kallsyms;
	struct sample_frame frame = { .kind = FRAME_KERNEL, .offset = address };
	struct binary binary = { .kind = BINARY_KERNEL, .path = (char *)"[kernel]" };
	struct function fn = { .kind = FRAME_KERNEL };
	const char *module = "";
	char path[80];
	uint64_t start;

	if (k) {
		fn.name = (char *)kallsyms_find(k, address, &module, &start);
		frame.offset = address - kallsyms_text(k);
	}
	if (module[0]) {
		snprintf(path, sizeof(path), "[%s]", module);
		binary.path = path;
	}
	frame.binary = merge_binary(r->parts.merge, &binary);
	fn.binary = frame.binary;
	if (fn.name && fn.name[0])
		frame.function = merge_function(r->parts.merge, &fn);
	return frame;
}

/* Behind the leaf stand return addresses: the call is just before them. */
static void kernel_frame(struct resolve *r, uint64_t address, bool leaf, struct sample_frame *ret)
{
	uint64_t at = leaf ? address : address - 1;
	struct sample_frame *cached;
	bool new;

	cached = hmap_put(&r->kernel, &at, &new);
	if (!cached) {
		hmap_clear(&r->kernel);
		*ret = kernel_symbol(r, at);
		return;
	}
	if (new)
		*cached = kernel_symbol(r, at);
	*ret = *cached;
}

/* Memory without a file: offsets are addresses, so each process has a binary of its own. */
static uint32_t process_binary(struct resolve *r, enum binary_kind kind, const char *path,
			       uint32_t process)
{
	struct binary b = { .kind = kind, .path = (char *)path, .inode = process };

	return merge_binary(r->parts.merge, &b);
}

static void native_frame(struct resolve *r, const struct kymo_frame *f, const struct kymo_who *who,
			 const struct proc_process *p, uint32_t process, struct sample_frame *ret)
{
	uint64_t at = f->address - !!(f->flags & KYMO_FRAME_RETURN_ADDRESS);
	const struct proc_mapping *m = p ? proc_find_mapping(p, at) : NULL;

	*ret = (struct sample_frame){ .kind = FRAME_NATIVE,
				      .by_fp = f->flags & KYMO_FRAME_BY_FP,
				      .offset = at };
	if (!m) {
		r->stats.no_mapping++;
		ret->binary = process_binary(r, BINARY_UNKNOWN, "[unknown]", process);
	} else if (m->is_file) {
		ret->binary = files_binary(r->parts.files, p->info.pid, m);
		ret->offset = at - m->start + m->pgoff_bytes;
	} else if (strcmp(m->path, "[vdso]") == 0) {
		struct binary vdso = { .kind = BINARY_VDSO, .path = (char *)"[vdso]" };

		struct function fn = { .kind = FRAME_NATIVE,
				       .name = (char *)vdso_find(m->start, at) };

		ret->binary = fn.binary = merge_binary(r->parts.merge, &vdso);
		ret->offset = at - m->start;
		if (fn.binary && fn.name[0])
			ret->function = merge_function(r->parts.merge, &fn);
	} else {
		ret->binary =
			process_binary(r, BINARY_ANON, m->path[0] ? m->path : "//anon", process);
		files_memory(r->parts.files, ret->binary, who);
	}
}

static uint32_t synthetic(struct resolve *r, const char *name)
{
	struct function fn = { .kind = FRAME_SYNTHETIC, .name = (char *)name };

	return merge_function(r->parts.merge, &fn);
}

static void python_frame(struct resolve *r, const struct kymo_frame *f, const struct kymo_who *who,
			 struct sample_frame *ret)
{
	struct python_code *code = python_codes_find(
		r->parts.codes, who->pid, who->process_start_ns, f->address, f->generation);

	if (!code) {
		r->stats.no_code++;
		*ret = (struct sample_frame){ .kind = FRAME_SYNTHETIC,
					      .function = synthetic(r, "[python code not seen]") };
		return;
	}
	if (!code->function) {
		struct function fn = { .kind = FRAME_PYTHON,
				       .name = (char *)code->name,
				       .file = (char *)code->file,
				       .first_line = code->first_line };

		code->function = merge_function(r->parts.merge, &fn);
	}
	*ret = (struct sample_frame){ .kind = FRAME_PYTHON,
				      .function = code->function,
				      .line = python_codes_line(code, f->instruction) };
}

size_t resolve_sample(struct resolve *r, const struct raw_sample *sample,
		      const struct proc_process *p, uint32_t process,
		      const struct sample_frame **ret)
{
	const struct kymo_sample *head = sample->head;
	size_t n = 0;

	for (size_t i = 0; i < head->kernel_frames && n < RESOLVE_FRAMES_MAX; i++)
		kernel_frame(r, sample->kernel[i], i == 0, &r->frames[n++]);
	for (size_t i = 0; i < head->user_frames && n < RESOLVE_FRAMES_MAX; i++) {
		if (sample->user[i].kind == KYMO_FRAME_PYTHON)
			python_frame(r, &sample->user[i], &head->who, &r->frames[n++]);
		else
			native_frame(r, &sample->user[i], &head->who, p, process, &r->frames[n++]);
	}
	*ret = r->frames;
	return n;
}

void resolve_stats(const struct resolve *r, struct resolve_stats *ret)
{
	*ret = r->stats;
}
