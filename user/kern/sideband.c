/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/sideband.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "kern/decode.h"
#include "kern/state.h"

/* About 2,000 mappings per CPU and poll; a power of two of pages. */
#define RING_BYTES (256 * 1024)
/* A record's size is a u16. */
#define RECORD_MAX 65536

struct ring {
	int fd;
	uint32_t cpu;
	struct perf_event_mmap_page *meta; /* one page, then RING_BYTES of records */
	size_t mapped;
};

struct sideband {
	struct ring *rings;
	size_t rings_n, rings_cap;
	struct sideband_stats stats;
	uint64_t record[RECORD_MAX / 8]; /* one that wraps around, in one piece */
};

static int open_event(uint32_t cpu)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_DUMMY,
		.sample_type = PERF_SAMPLE_TIME, /* all that sample_id_all appends: see decode.h */
		.sample_id_all = 1,
		.mmap = 1, /* executable mappings */
		.mmap2 = 1,
		.comm = 1,
		.comm_exec = 1,
		.task = 1,
		.use_clockid = 1,
		.clockid = CLOCK_MONOTONIC,
		.watermark = 1,
		.wakeup_watermark = RING_BYTES, /* never: the rings are polled on a timer */
	};
	long fd = syscall(SYS_perf_event_open, &attr, -1, (int)cpu, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : (int)fd;
}

static int ring_open(struct sideband *s, uint32_t cpu)
{
	_cleanup_close_ int fd = open_event(cpu);
	struct ring *ring;
	void *mapped;

	if (fd < 0)
		return fd == -ENODEV ? 0 : fd; /* went offline meanwhile */
	if (array_reserve(&s->rings, &s->rings_cap, s->rings_n + 1) < 0)
		return -ENOMEM;
	ring = &s->rings[s->rings_n];
	ring->cpu = cpu;
	ring->mapped = (size_t)sysconf(_SC_PAGESIZE) + RING_BYTES;
	mapped = mmap(NULL, ring->mapped, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mapped == MAP_FAILED)
		return -errno;
	ring->meta = mapped;
	ring->fd = TAKE_FD(fd);
	s->rings_n++;
	return 1;
}

static void ring_close(struct ring *ring)
{
	munmap(ring->meta, ring->mapped);
	close(ring->fd);
}

static bool has_ring(const struct sideband *s, uint32_t cpu)
{
	for (size_t i = 0; i < s->rings_n; i++)
		if (s->rings[i].cpu == cpu)
			return true;
	return false;
}

int sideband_follow(struct sideband *s, const uint32_t *cpus, size_t n)
{
	int came = 0, r = 0;

	for (size_t i = s->rings_n; i-- > 0;) {
		if (cpus_have(cpus, n, s->rings[i].cpu))
			continue;
		ring_close(&s->rings[i]);
		s->rings[i] = s->rings[--s->rings_n];
	}
	for (size_t i = 0; i < n && r >= 0; i++) {
		r = has_ring(s, cpus[i]) ? 0 : ring_open(s, cpus[i]);
		came |= r > 0;
	}
	return r < 0 ? r : came;
}

int sideband_open(struct sideband **ret)
{
	_cleanup_free_ uint32_t *cpus = NULL;
	struct sideband *s;
	size_t n = 0;
	int r = cpus_online(&cpus, &n);

	if (r < 0)
		return r;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	r = sideband_follow(s, cpus, n);
	if (r < 0) {
		sideband_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

void sideband_close(struct sideband *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->rings_n; i++)
		ring_close(&s->rings[i]);
	free(s->rings);
	free(s);
}

/* The record at `tail` in one piece, or NULL where its size makes no sense. */
static const void *record_at(struct sideband *s, const struct ring *ring, uint64_t tail,
			     uint64_t head, size_t *ret_size)
{
	const uint8_t *data = (const uint8_t *)ring->meta + (ring->mapped - RING_BYTES);
	size_t at = tail % RING_BYTES, first;
	const struct perf_event_header *header = (const void *)(data + at);
	size_t size = header->size; /* aligned to 8: a header never wraps */

	if (size < sizeof(*header) || size > head - tail || size % 8)
		return NULL;
	*ret_size = size;
	first = RING_BYTES - at;
	if (size <= first)
		return header;
	memcpy(s->record, data + at, first);
	memcpy((uint8_t *)s->record + first, data, size - first);
	return s->record;
}

static void take(struct sideband *s, const void *record, size_t size, sideband_fn deliver,
		 void *context)
{
	struct process_event event;
	int r = decode_sideband(record, size, &event);

	if (r < 0)
		s->stats.malformed++;
	if (r <= 0)
		return;
	if (event.kind == PROCESS_LOST)
		s->stats.lost += event.lost;
	deliver(context, &event);
}

static void ring_drain(struct sideband *s, struct ring *ring, sideband_fn deliver, void *context)
{
	uint64_t head = __atomic_load_n(&ring->meta->data_head, __ATOMIC_ACQUIRE);
	uint64_t tail = ring->meta->data_tail;
	const void *record;
	size_t size;

	while (tail < head) {
		record = record_at(s, ring, tail, head, &size);
		if (!record) {
			s->stats.malformed++;
			tail = head;
			break;
		}
		take(s, record, size, deliver, context);
		tail += size;
	}
	__atomic_store_n(&ring->meta->data_tail, tail, __ATOMIC_RELEASE);
}

void sideband_drain(struct sideband *s, sideband_fn deliver, void *context)
{
	for (size_t i = 0; i < s->rings_n; i++)
		ring_drain(s, &s->rings[i], deliver, context);
}

void sideband_stats(const struct sideband *s, struct sideband_stats *ret)
{
	*ret = s->stats;
}
