/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/decode.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static size_t padded(size_t size)
{
	return (size + 7) & ~(size_t)7;
}

int decode_type(const void *data, size_t size)
{
	const struct kymo_record_head *head = data;

	if (size < sizeof(*head) || head->size != size || head->type == 0)
		return -EBADMSG;
	return head->type;
}

static bool frames_valid(const struct kymo_frame *frames, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (frames[i].kind != KYMO_FRAME_NATIVE && frames[i].kind != KYMO_FRAME_PYTHON)
			return false;
	return true;
}

static bool terminated(const char *text, size_t size)
{
	return memchr(text, 0, size) != NULL;
}

static bool has_probe(const struct kymo_sample *head)
{
	return head->source == KYMO_SOURCE_GC || head->source == KYMO_SOURCE_IMPORT;
}

static bool probe_valid(const struct kymo_probe *p)
{
	return p->value_known <= 1 && terminated(p->name, sizeof(p->name));
}

int decode_sample(const void *data, size_t size, struct raw_sample *ret)
{
	const struct kymo_sample *head = data;
	const uint64_t *kernel;
	const struct kymo_frame *user;
	const struct kymo_probe *probe;

	if (decode_type(data, size) != KYMO_RECORD_SAMPLE || size < sizeof(*head))
		return -EBADMSG;
	if (head->kernel_frames > KYMO_KERNEL_FRAMES_MAX ||
	    head->user_frames > KYMO_USER_FRAMES_MAX)
		return -EBADMSG;
	if (size != sizeof(*head) + head->kernel_frames * sizeof(*kernel) +
			    head->user_frames * sizeof(*user) + head->probe_bytes)
		return -EBADMSG;
	if (head->source == 0 || head->source >= KYMO_SOURCE_MAX || head->end >= KYMO_END_MAX)
		return -EBADMSG;
	kernel = (const uint64_t *)(head + 1);
	if (head->probe_bytes != (has_probe(head) ? sizeof(*probe) : 0))
		return -EBADMSG;
	user = (const struct kymo_frame *)(kernel + head->kernel_frames);
	probe = has_probe(head) ? (const struct kymo_probe *)(user + head->user_frames) : NULL;
	if (!frames_valid(user, head->user_frames) ||
	    !terminated(head->who.comm, sizeof(head->who.comm)) || (probe && !probe_valid(probe)))
		return -EBADMSG;
	*ret = (struct raw_sample){ .head = head, .kernel = kernel, .user = user, .probe = probe };
	return 0;
}

static bool char_kind_valid(uint8_t kind)
{
	return kind == 1 || kind == 2 || kind == 4;
}

int decode_code(const void *data, size_t size, struct kern_code *ret)
{
	const struct kymo_code *head = data;
	const uint8_t *body;

	if (decode_type(data, size) != KYMO_RECORD_CODE || size < sizeof(*head))
		return -EBADMSG;
	if (head->file_size > KYMO_CODE_FILE_MAX || head->name_size > KYMO_CODE_NAME_MAX ||
	    head->table_size > KYMO_LINE_TABLE_MAX)
		return -EBADMSG;
	if (!char_kind_valid(head->file_kind) || !char_kind_valid(head->name_kind))
		return -EBADMSG;
	if (size != sizeof(*head) + padded(head->file_size) + padded(head->name_size) +
			    padded(head->table_size))
		return -EBADMSG;
	body = (const uint8_t *)(head + 1);
	ret->head = head;
	ret->file = body;
	ret->name = body + padded(head->file_size);
	ret->table = ret->name + padded(head->name_size);
	return 0;
}

int decode_thread(const void *data, size_t size, struct kern_thread *ret)
{
	const struct kymo_thread_name *head = data;

	if (decode_type(data, size) != KYMO_RECORD_THREAD || size < sizeof(*head) ||
	    head->name_size > KYMO_THREAD_NAME_MAX || !char_kind_valid(head->name_kind) ||
	    size != sizeof(*head) + padded(head->name_size) ||
	    !terminated(head->who.comm, sizeof(head->who.comm)))
		return -EBADMSG;
	*ret = (struct kern_thread){ .head = head, .name = (const uint8_t *)(head + 1) };
	return 0;
}

int decode_task_record(const void *data, size_t size, struct kymo_task *ret)
{
	int type = decode_type(data, size);

	if ((type != KYMO_RECORD_TASK && type != KYMO_RECORD_END && type != KYMO_RECORD_REPLACED) ||
	    size != sizeof(*ret))
		return -EBADMSG;
	memcpy(ret, data, sizeof(*ret));
	return terminated(ret->who.comm, sizeof(ret->who.comm)) ? 0 : -EBADMSG;
}

int decode_standing(const void *data, size_t size, const struct kymo_standing **ret)
{
	const struct kymo_standing *thread = data;

	if (decode_type(data, size) != KYMO_RECORD_STANDING || size < sizeof(*thread) ||
	    thread->kernel_frames > KYMO_KERNEL_FRAMES_MAX ||
	    size != sizeof(*thread) + thread->kernel_frames * sizeof(uint64_t) ||
	    !terminated(thread->who.comm, sizeof(thread->who.comm)))
		return -EBADMSG;
	*ret = thread;
	return 0;
}

int decode_waited(const void *data, size_t size, const struct kymo_waited **ret)
{
	const struct kymo_waited *waited = data;

	if (decode_type(data, size) != KYMO_RECORD_WAITED || size != sizeof(*waited))
		return -EBADMSG;
	*ret = waited;
	return 0;
}

int decode_oom(const void *data, size_t size, const struct kymo_oom **ret)
{
	const struct kymo_oom *oom = data;

	if (decode_type(data, size) != KYMO_RECORD_OOM || size != sizeof(*oom))
		return -EBADMSG;
	if (!terminated(oom->victim.comm, sizeof(oom->victim.comm)) ||
	    !terminated(oom->allocator_comm, sizeof(oom->allocator_comm)))
		return -EBADMSG;
	for (size_t i = 0; i < KYMO_CGROUP_LEVELS; i++)
		if (!terminated(oom->cgroup[i], sizeof(oom->cgroup[i])))
			return -EBADMSG;
	*ret = oom;
	return 0;
}

int decode_exec(const void *data, size_t size, struct process_event *ret)
{
	const struct kymo_exec *head = data;

	if (decode_type(data, size) != KYMO_RECORD_EXEC || size < sizeof(*head) ||
	    head->args_size > KYMO_ARGS_MAX || size != sizeof(*head) + padded(head->args_size))
		return -EBADMSG;
	*ret = (struct process_event){ .kind = PROCESS_ARGS,
				       .time_ns = head->head.time_ns,
				       .pid = head->pid,
				       .tid = head->pid,
				       .path = "",
				       .uid = head->uid,
				       .args = (const char *)(head + 1),
				       .args_size = head->args_size };
	return 0;
}

/*
 * The bodies of perf's records (include/uapi/linux/perf_event.h, enum perf_event_type), behind the
 * header.
 */
struct perf_mmap2 {
	uint32_t pid, tid;
	uint64_t start, size, pgoff;
	uint32_t major, minor;
	uint64_t inode, inode_generation;
	uint32_t prot, flags;
	char path[];
};

struct perf_comm {
	uint32_t pid, tid;
	char comm[];
};

struct perf_task {
	uint32_t pid, parent_pid, tid, parent_tid;
	uint64_t time;
};

struct perf_lost {
	uint64_t id, lost;
};

static int decode_mmap2(const struct perf_mmap2 *m, size_t size, struct process_event *ret)
{
	if (size < sizeof(*m) || !terminated(m->path, size - sizeof(*m)))
		return -EBADMSG;
	if (!(m->prot & PROT_EXEC))
		return 0;
	if (m->start + m->size < m->start)
		return -EBADMSG;
	ret->kind = PROCESS_MMAP;
	ret->pid = m->pid;
	ret->tid = m->tid;
	ret->start = m->start;
	ret->end = m->start + m->size;
	ret->pgoff_bytes = m->pgoff;
	ret->inode = m->inode;
	ret->inode_generation = m->inode_generation;
	ret->dev = m->major << 20 | (m->minor & 0xfffff);
	ret->path = m->path;
	return 1;
}

static int decode_comm(const struct perf_comm *c, size_t size, bool exec, struct process_event *ret)
{
	if (size < sizeof(*c) || !terminated(c->comm, size - sizeof(*c)))
		return -EBADMSG;
	ret->kind = exec ? PROCESS_EXEC : PROCESS_COMM;
	ret->pid = c->pid;
	ret->tid = c->tid;
	snprintf(ret->comm, sizeof(ret->comm), "%s", c->comm);
	return 1;
}

static int decode_task(const struct perf_task *t, size_t size, enum process_event_kind kind,
		       struct process_event *ret)
{
	if (size < sizeof(*t))
		return -EBADMSG;
	ret->kind = kind;
	ret->pid = t->pid;
	ret->tid = t->tid;
	ret->parent_pid = t->parent_pid;
	return 1;
}

static int decode_lost(const struct perf_lost *l, size_t size, struct process_event *ret)
{
	if (size < sizeof(*l))
		return -EBADMSG;
	ret->kind = PROCESS_LOST;
	ret->lost = l->lost;
	return 1;
}

int decode_sideband(const void *data, size_t size, struct process_event *ret)
{
	const struct perf_event_header *header = data;
	const void *body = header + 1;

	if (size < sizeof(*header) + SIDEBAND_TRAILER_BYTES || header->size != size || size % 8)
		return -EBADMSG;
	*ret = (struct process_event){ .path = "" };
	memcpy(&ret->time_ns, (const char *)data + size - SIDEBAND_TRAILER_BYTES, sizeof(uint64_t));
	size -= sizeof(*header) + SIDEBAND_TRAILER_BYTES;
	switch (header->type) {
	case PERF_RECORD_MMAP2:
		return decode_mmap2(body, size, ret);
	case PERF_RECORD_COMM:
		return decode_comm(body, size, header->misc & PERF_RECORD_MISC_COMM_EXEC, ret);
	case PERF_RECORD_FORK:
		return decode_task(body, size, PROCESS_FORK, ret);
	case PERF_RECORD_EXIT:
		return decode_task(body, size, PROCESS_EXIT, ret);
	case PERF_RECORD_LOST:
		return decode_lost(body, size, ret);
	default:
		return 0;
	}
}
