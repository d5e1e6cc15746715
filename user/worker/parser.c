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
#include "elf/debug_refs.h"
#include "elf/inspect.h"
#include "unwind/serial.h"
#include "worker/channel.h"
#include "worker/parser.h"
#include "worker/sandbox.h"

#define CACHE_BYTES (128U << 20)
/* It leaves of its own before the limit of CPU time ends it amid a job that is not to blame. */
#define LEAVE_AFTER_NS (SANDBOX_CPU_SECONDS / 2 * NS_PER_SEC)

int parser_send(struct parser *p, struct parse_reply *reply, const void *body, size_t size)
{
	uint64_t cpu_ns = reply->last ? clock_process_cpu_ns() : 0;

	p->leaving = cpu_ns > LEAVE_AFTER_NS;
	reply->cpu_ns = reply->last ? cpu_ns - p->begun_cpu_ns : 0;
	reply->magic = WORKER_MAGIC;
	reply->leaving = p->leaving;
	return channel_send(WORKER_HELPER_FD, reply, sizeof(*reply), body, size, -1);
}

int parser_send_error(struct parser *p, const struct parse_request *q, int error)
{
	struct parse_reply reply = { .sequence = q->sequence, .error = error, .last = 1 };

	return parser_send(p, &reply, NULL, 0);
}

static int serve_inspect(struct parser *p, const struct parse_request *q, int fd)
{
	struct parse_reply reply = { .sequence = q->sequence, .last = 1 };
	struct elf_facts facts;
	int r = elf_inspect(fd, &facts);

	return r < 0 ? parser_send_error(p, q, r) : parser_send(p, &reply, &facts, sizeof(facts));
}

static int serve_refs(struct parser *p, const struct parse_request *q, int fd)
{
	_cleanup_(elf_file_release) struct elf_file f = { .fd = -1 };
	struct parse_reply reply = { .sequence = q->sequence, .last = 1 };
	struct elf_debug_refs refs;
	uint32_t crc;
	int r = elf_file_init(&f, fd);

	if (r == 0)
		r = q->kind == PARSE_CRC ? elf_debug_crc(&f, &crc) : elf_debug_refs(&f, &refs);
	if (r < 0)
		return parser_send_error(p, q, r);
	return q->kind == PARSE_CRC ? parser_send(p, &reply, &crc, sizeof(crc))
				    : parser_send(p, &reply, &refs, sizeof(refs));
}

static int attach(struct parser *p, const struct parse_request *q, int *fd)
{
	int *place = &p->attached[q->kind == PARSE_ATTACH_ALT ? ATTACHED_ALT : ATTACHED_DEBUG];

	closep(place);
	*place = TAKE_FD(*fd);
	return 0;
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
		return parser_send_error(p, q, r);
	do {
		struct parse_reply reply = { .sequence = q->sequence };

		n = b.size - at < sizeof(p->body) ? b.size - at : sizeof(p->body);
		reply.names_n = (uint32_t)n;
		reply.last = at + n == b.size;
		r = parser_send(p, &reply, b.data + at, n);
		at += n;
	} while (r == 0 && at < b.size);
	return r;
}

static int dispatch(struct parser *p, const struct parse_request *q, int *fd)
{
	switch (q->kind) {
	case WORKER_INSPECT:
		return serve_inspect(p, q, *fd);
	case WORKER_NAME:
		return parser_serve_names(p, q, *fd);
	case WORKER_UNWIND:
		return serve_unwind(p, q, *fd);
	case WORKER_LINES:
		return parser_serve_lines(p, q, *fd);
	case WORKER_MAP:
		return parser_serve_map(p, q, *fd);
	case PARSE_REFS:
	case PARSE_CRC:
		return serve_refs(p, q, *fd);
	case PARSE_ATTACH_DEBUG:
	case PARSE_ATTACH_ALT:
		return attach(p, q, fd);
	default:
		return -EBADMSG;
	}
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
	p->begun_cpu_ns = clock_process_cpu_ns();
	r = dispatch(p, &q, &fd);
	return r == 0 && p->leaving ? -EPIPE : r;
}

int worker_parser_main(void)
{
	static struct parser p = { .attached = { -1, -1 } };
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
