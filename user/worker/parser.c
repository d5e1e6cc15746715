/* SPDX-License-Identifier: Apache-2.0 */
/* The parser: reads foreign files through descriptors that it is given, behind sandbox_parser(). */
#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "elf/demangle.h"
#include "elf/inspect.h"
#include "elf/symbols.h"
#include "unwind/serial.h"
#include "worker/cache.h"
#include "worker/channel.h"
#include "worker/protocol.h"
#include "worker/sandbox.h"

#define CACHE_BYTES (128U << 20)
/* It leaves of its own before the limit of CPU time ends it amid a job that is not to blame. */
#define LEAVE_AFTER_NS (SANDBOX_CPU_SECONDS / 2 * NS_PER_SEC)

struct parser {
	struct cache cache;
	bool leaving;
	uint8_t packet[sizeof(struct parse_request) + WORKER_OFFSETS_MAX * sizeof(uint64_t)];
	uint8_t body[WORKER_PACKET_MAX - sizeof(struct parse_reply)];
};

static int send_reply(struct parser *p, struct parse_reply *reply, const void *body, size_t size)
{
	p->leaving = reply->last && clock_process_cpu_ns() > LEAVE_AFTER_NS;
	reply->magic = WORKER_MAGIC;
	reply->leaving = p->leaving;
	return channel_send(WORKER_HELPER_FD, reply, sizeof(*reply), body, size, -1);
}

static int send_error(struct parser *p, const struct parse_request *q, int error)
{
	struct parse_reply reply = { .sequence = q->sequence, .error = error, .last = 1 };

	return send_reply(p, &reply, NULL, 0);
}

static int serve_inspect(struct parser *p, const struct parse_request *q, int fd)
{
	struct parse_reply reply = { .sequence = q->sequence, .last = 1 };
	struct elf_facts facts;
	int r = elf_inspect(fd, &facts);

	return r < 0 ? send_error(p, q, r) : send_reply(p, &reply, &facts, sizeof(facts));
}

/* One record at `at`; the bytes it takes. */
static size_t put_name(uint8_t *at, const struct elf_symbols *symbols, uint64_t offset)
{
	struct name_record record = { 0 };
	struct elf_symbol s;
	size_t size;

	if (elf_symbols_find(symbols, offset, &s) == 0) {
		char *text = (char *)at + sizeof(record);

		if (elf_demangle(s.name, s.name_size, text, WORKER_NAME_SIZE_MAX, &size) < 0) {
			size = s.name_size < WORKER_NAME_SIZE_MAX ? s.name_size
								  : WORKER_NAME_SIZE_MAX;
			memcpy(text, s.name, size);
		}
		record.name_size = (uint16_t)size;
	}
	memcpy(at, &record, sizeof(record));
	return sizeof(record) + record.name_size;
}

static int serve_names(struct parser *p, const struct parse_request *q, int fd)
{
	const uint8_t *offsets = p->packet + sizeof(*q);
	const struct elf_symbols *symbols;
	uint32_t i = 0;
	int r = cache_symbols(&p->cache, &q->identity, fd, &symbols);

	if (r < 0)
		return send_error(p, q, r);
	do {
		struct parse_reply reply = { .sequence = q->sequence };
		size_t size = 0;

		while (i < q->offsets_n &&
		       size + sizeof(struct name_record) + WORKER_NAME_SIZE_MAX <=
			       sizeof(p->body)) {
			uint64_t offset;

			memcpy(&offset, offsets + i++ * sizeof(offset), sizeof(offset));
			size += put_name(p->body + size, symbols, offset);
			reply.names_n++;
		}
		reply.last = i == q->offsets_n;
		r = send_reply(p, &reply, p->body, size);
	} while (r == 0 && i < q->offsets_n);
	return r;
}

DEFINE_CLEANUP(struct unwind_table *, unwind_table_free);

static int make_table(int fd, struct buf *ret)
{
	_cleanup_(unwind_table_freep) struct unwind_table *t = NULL;
	int r = unwind_table_build(fd, &t);

	return r < 0 ? r : unwind_serial_write(t, ret);
}

static int serve_unwind(struct parser *p, const struct parse_request *q, int fd)
{
	_cleanup_(buf_release) struct buf b = { 0 };
	size_t at = 0, n;
	int r = make_table(fd, &b);

	if (r < 0)
		return send_error(p, q, r);
	do {
		struct parse_reply reply = { .sequence = q->sequence };

		n = b.size - at < sizeof(p->body) ? b.size - at : sizeof(p->body);
		reply.names_n = (uint32_t)n;
		reply.last = at + n == b.size;
		r = send_reply(p, &reply, b.data + at, n);
		at += n;
	} while (r == 0 && at < b.size);
	return r;
}

static int serve(struct parser *p)
{
	_cleanup_close_ int fd = -1;
	struct parse_request q;
	size_t size;
	int r = channel_recv(WORKER_HELPER_FD, p->packet, sizeof(p->packet), &size, &fd);

	if (r < 0)
		return r;
	if (size < sizeof(q) || fd < 0)
		return -EBADMSG;
	memcpy(&q, p->packet, sizeof(q));
	if (q.magic != WORKER_MAGIC || size - sizeof(q) != q.offsets_n * sizeof(uint64_t))
		return -EBADMSG;
	if (q.kind == WORKER_INSPECT)
		r = serve_inspect(p, &q, fd);
	else if (q.kind == WORKER_NAME)
		r = serve_names(p, &q, fd);
	else if (q.kind == WORKER_UNWIND)
		r = serve_unwind(p, &q, fd);
	else
		r = -EBADMSG;
	return r == 0 && p->leaving ? -EPIPE : r;
}

int worker_parser_main(void)
{
	static struct parser p;
	struct hello hello = { .magic = WORKER_MAGIC };
	int r;

	(void)prctl(PR_SET_NAME, "kymo-parser", 0, 0, 0);
	/* Tables of names come and go in megabytes: back to the system with them at once. */
	mallopt(M_MMAP_THRESHOLD, 256 << 10);
	mallopt(M_TRIM_THRESHOLD, 1 << 20);
	cache_init(&p.cache, CACHE_BYTES);
	hello.error = sandbox_parser();
	r = channel_send(WORKER_HELPER_FD, &hello, sizeof(hello), NULL, 0, -1);
	while (r == 0 && hello.error == 0)
		r = serve(&p);
	cache_release(&p.cache);
	return r == -EPIPE ? 0 : 1;
}
