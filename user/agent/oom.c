/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/oom.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"

/* Victims that wait for the stack behind them: on each CPU one at most. */
#define WAITING_MAX 64

struct victim {
	struct kymo_oom record;
	char *exe;
};

struct oom {
	uint64_t page_bytes;
	struct victim waiting[WAITING_MAX];
	size_t waiting_n;
};

int oom_new(uint64_t page_bytes, struct oom **ret)
{
	struct oom *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	o->page_bytes = page_bytes;
	*ret = o;
	return 0;
}

void oom_free(struct oom *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < o->waiting_n; i++)
		free(o->waiting[i].exe);
	free(o);
}

/* "/" and the names from the root down; "" = unknown. Beyond the last level: cut off, which is said. */
static int cgroup_path(const struct kymo_oom *record, struct buf *path)
{
	size_t n = 0;
	int r = 0;

	while (n < KYMO_CGROUP_LEVELS && record->cgroup[n][0])
		n++;
	if (n == KYMO_CGROUP_LEVELS)
		r = buf_append_str(path, "...");
	if (n == 0)
		r = buf_append_str(path, "/");
	while (n > 0 && r == 0)
		r = buf_printf(path, "/%s", record->cgroup[--n]);
	return r < 0 || !buf_str(path) ? -ENOMEM : 0;
}

static void write_bytes(struct json *j, const struct oom *o, const char *key, int64_t pages)
{
	json_key(j, key);
	json_u64(j, pages < 0 ? 0 : (uint64_t)pages * o->page_bytes);
}

static void write_known(struct json *j, const struct oom *o, const struct kymo_oom *record,
			const char *cgroup)
{
	json_key(j, "cgroup");
	json_str(j, cgroup);
	json_key(j, "oom_score_adj");
	json_i64(j, record->oom_score_adj);
	write_bytes(j, o, "rss_anon_bytes", record->rss_anon_pages);
	write_bytes(j, o, "rss_file_bytes", record->rss_file_pages);
	write_bytes(j, o, "rss_shmem_bytes", record->rss_shmem_pages);
	write_bytes(j, o, "swap_bytes", record->swap_pages);
	write_bytes(j, o, "virtual_bytes", (int64_t)record->total_vm_pages);
}

static void write_victim(struct json *j, const struct oom *o, const struct victim *v,
			 const char *scope, const char *cgroup)
{
	const struct kymo_oom *record = &v->record;

	json_object(j);
	json_key(j, "pid");
	json_u64(j, record->victim.pid);
	json_key(j, "comm");
	json_str(j, record->victim.comm[0] ? record->victim.comm : NULL);
	json_key(j, "exe");
	json_str(j, v->exe);
	json_key(j, "scope");
	json_str(j, scope);
	if (record->victim_known)
		write_known(j, o, record, cgroup);
	json_key(j, "allocator");
	json_object(j);
	json_key(j, "pid");
	json_u64(j, record->allocator_pid);
	json_key(j, "tid");
	json_u64(j, record->allocator_tid);
	json_key(j, "comm");
	json_str(j, record->allocator_comm);
	json_object_end(j);
	json_object_end(j);
}

static int write_fields(const struct oom *o, const struct victim *v, const char *scope, char **ret)
{
	_cleanup_(buf_release) struct buf cgroup = { 0 };
	struct json_text text;
	struct json j;
	int r = cgroup_path(&v->record, &cgroup);

	if (r == 0)
		r = json_text_begin(&text, &j);
	if (r < 0)
		return r;
	write_victim(&j, o, v, scope, buf_str(&cgroup));
	return json_text_end(&text, &j, ret);
}

/* Takes it off the list, whatever becomes of it. */
static int tell(struct oom *o, size_t at, uint32_t thread, const char *scope,
		const struct sample_frame *frames, size_t frames_n, struct merge *merge)
{
	struct victim v = o->waiting[at];
	_cleanup_free_ char *exe = v.exe, *fields = NULL;
	int r;

	o->waiting_n--;
	memmove(&o->waiting[at], &o->waiting[at + 1], (o->waiting_n - at) * sizeof(v));
	r = write_fields(o, &v, scope, &fields);
	if (r < 0)
		return r;
	return merge_event(merge,
			   &(struct event){ .kind = EVENT_OOM_KILL,
					    .time_ns = v.record.head.time_ns,
					    .thread = thread,
					    .fields = fields },
			   frames, frames_n);
}

int oom_victim(struct oom *o, const struct kymo_oom *record, const struct proc_table *procs,
	       struct merge *merge)
{
	const struct proc_process *p = proc_newest(procs, record->victim.pid);
	struct victim v = { .record = *record };
	int r = 0;

	if (o->waiting_n == WAITING_MAX)
		r = tell(o, 0, 0, NULL, NULL, 0, merge);
	if (r < 0)
		return r;
	if (p && p->info.exe && p->info.exe[0]) {
		v.exe = strdup(p->info.exe);
		if (!v.exe)
			return -ENOMEM;
	}
	if (p && !record->victim_known)
		memcpy(v.record.victim.comm, p->info.comm, sizeof(v.record.victim.comm));
	o->waiting[o->waiting_n++] = v;
	return 0;
}

const char *oom_scope(const struct kallsyms *kallsyms, const struct raw_sample *stack)
{
	const char *scope = NULL;

	for (size_t i = 0; kallsyms && i < stack->head->kernel_frames; i++) {
		const char *module;
		uint64_t start;
		const char *name = kallsyms_find(kallsyms, stack->kernel[i], &module, &start);

		/* It calls out_of_memory, too, and comes behind it. */
		if (strncmp(name, "mem_cgroup_out_of_memory", 24) == 0 ||
		    strncmp(name, "try_charge_memcg", 16) == 0)
			return "cgroup";
		if (strcmp(name, "out_of_memory") == 0)
			scope = "host";
	}
	return scope;
}

int oom_stack(struct oom *o, const struct kymo_who *who, uint32_t thread, const char *scope,
	      const struct sample_frame *frames, size_t frames_n, struct merge *merge)
{
	for (size_t i = o->waiting_n; i > 0; i--)
		if (o->waiting[i - 1].record.allocator_tid == who->tid)
			return tell(o, i - 1, thread, scope, frames, frames_n, merge);
	return 0;
}

int oom_tick(struct oom *o, struct merge *merge)
{
	int r = 0;

	while (o->waiting_n > 0 && r == 0)
		r = tell(o, 0, 0, NULL, NULL, 0, merge);
	return r;
}
