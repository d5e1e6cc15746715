/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a record of the rings. The first byte says whose, and whether its size is made right, without
 * which hardly any gets further. Views are read to their ends; the allocation ends with the record.
 */
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The source itself: the archive of kern needs the programs of the kernel side, and libbpf. */
#include "../../user/kern/decode.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint64_t sink;

static uint64_t sum(const uint8_t *bytes, size_t n)
{
	uint64_t s = 0;

	while (n)
		s += bytes[--n];
	return s;
}

static void ring_record(const void *record, size_t size)
{
	struct raw_sample sample;
	struct process_event event;
	struct kern_code code;
	struct kymo_task task;
	const struct kymo_oom *oom;
	const struct kymo_waited *waited;
	struct kern_thread thread;

	if (decode_sample(record, size, &sample) == 0) {
		for (size_t i = 0; i < sample.head->kernel_frames; i++)
			sink += sample.kernel[i];
		for (size_t i = 0; i < sample.head->user_frames; i++)
			sink += sample.user[i].address + sample.user[i].kind;
	}
	if (decode_code(record, size, &code) == 0)
		sink += code.head->pid + sum(code.file, code.head->file_size) +
			sum(code.name, code.head->name_size) +
			sum(code.table, code.head->table_size);
	if (decode_exec(record, size, &event) == 0)
		sink += event.pid + event.tid;
	if (decode_task_record(record, size, &task) == 0)
		sink += task.who.pid;
	if (decode_oom(record, size, &oom) == 0)
		sink += sizeof(*oom);
	if (decode_thread(record, size, &thread) == 0)
		sink += thread.head->who.pid + sum(thread.name, thread.head->name_size);
	if (decode_waited(record, size, &waited) == 0)
		sink += waited->duration_ns;
}

static void sideband_record(const void *record, size_t size)
{
	struct process_event event;

	if (decode_sideband(record, size, &event) == 1)
		sink += event.pid + event.tid + event.time_ns;
}

static void make_size_right(void *record, size_t size, int whose)
{
	if (whose & 2 && size >= sizeof(struct perf_event_header))
		((struct perf_event_header *)record)->size = (uint16_t)size;
	else if (!(whose & 2) && size >= sizeof(struct kymo_record_head))
		((struct kymo_record_head *)record)->size = (uint32_t)size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	void *record;

	if (!size)
		return 0;
	record = aligned_alloc(8, size - 1 ? (size - 1 + 7) & ~(size_t)7 : 8);
	if (!record)
		abort();
	memcpy(record, data + 1, size - 1);
	if (data[0] & 1)
		make_size_right(record, size - 1, data[0]);
	if (data[0] & 2)
		sideband_record(record, size - 1);
	else
		ring_record(record, size - 1);
	free(record);
	return 0;
}
