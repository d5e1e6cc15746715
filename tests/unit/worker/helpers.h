/* SPDX-License-Identifier: Apache-2.0 */
/* A test program of the worker is its own helpers too: real ones, and some that misbehave on one file. */
#ifndef KYMO_TEST_WORKER_HELPERS_H
#define KYMO_TEST_WORKER_HELPERS_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "worker/channel.h"
#include "worker/options.h"
#include "worker/protocol.h"
#include "worker/sandbox.h"

/* A file of this size is what the fake parsers stumble over. */
#define POISON_BYTES 4242

static int send_lie(const char *mode, const struct parse_request *q)
{
	struct {
		struct parse_reply head;
		union {
			struct elf_facts facts;
			struct name_record name;
			uint8_t bytes[8192];
		};
	} p;
	size_t size = 512;

	memset(&p, 0, sizeof(p));
	p.head = (struct parse_reply){
		.magic = WORKER_MAGIC, .sequence = q->sequence, .last = 1, .names_n = 1
	};
	if (strcmp(mode, "fake-magic") == 0)
		p.head.magic++;
	else if (strcmp(mode, "fake-sequence") == 0)
		p.head.sequence++;
	else if (strcmp(mode, "fake-short") == 0)
		return channel_send(WORKER_HELPER_FD, &p, 3, NULL, 0, -1);
	else if (strcmp(mode, "fake-count") == 0)
		p.head.names_n = UINT32_MAX;
	else if (strcmp(mode, "fake-length") == 0)
		p.name.name_size = UINT16_MAX;
	else if (strcmp(mode, "fake-long") == 0)
		p.name.name_size = WORKER_NAME_SIZE_MAX + 1,
		size = sizeof(p.name) + p.name.name_size;
	else if (strcmp(mode, "fake-empty") == 0)
		p.head.names_n = p.head.last = 0, size = 0;
	else if (strcmp(mode, "fake-error") == 0)
		p.head.error = 7;
	else if (strcmp(mode, "fake-more") == 0)
		size = sizeof(p.name) + 1;
	return channel_send(WORKER_HELPER_FD, &p.head, sizeof(p.head), p.bytes, size, -1);
}

static int fake_parser(const char *mode)
{
	struct hello hello = { .magic = WORKER_MAGIC };
	static uint8_t packet[WORKER_PACKET_MAX];

	if (strcmp(mode, "fake-spin") == 0)
		hello.error = sandbox_parser(); /* which ends it with the agent, too */
	else
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (strcmp(mode, "fake-refusal") == 0)
		hello.error = -EPERM;
	channel_send(WORKER_HELPER_FD, &hello, sizeof(hello), NULL, 0, -1);
	for (;;) {
		struct parse_reply reply = { .magic = WORKER_MAGIC, .error = -EBADMSG, .last = 1 };
		struct parse_request q;
		size_t size;
		int fd = -1;

		if (channel_recv(WORKER_HELPER_FD, packet, sizeof(packet), &size, &fd) < 0)
			return 0;
		close(fd);
		memcpy(&q, packet, sizeof(q));
		if (strcmp(mode, "fake-lines") == 0 && q.kind == PARSE_REFS)
			return 3;
		if (q.identity.size != POISON_BYTES) {
			reply.sequence = q.sequence;
			channel_send(WORKER_HELPER_FD, &reply, sizeof(reply), NULL, 0, -1);
			continue;
		}
		if (strcmp(mode, "fake-die") == 0)
			return 3;
		if (strcmp(mode, "fake-hang") == 0)
			pause();
		for (volatile int spin = strcmp(mode, "fake-spin") == 0; spin;)
			;
		send_lie(mode, &q);
	}
}

/* First in main: -1 = not started as a helper. */
static int run_as_helper(int argc, char **argv)
{
	if (argc != 2)
		return -1;
	if (strcmp(argv[1], "worker-parser") == 0)
		return worker_parser_main();
	if (strcmp(argv[1], "worker-opener") == 0)
		return worker_opener_main();
	if (strncmp(argv[1], "fake-", 5) == 0)
		return fake_parser(argv[1]);
	return -1;
}

static inline struct worker_file file_of(const char *path)
{
	struct worker_file f = { .path = path };
	struct stat s;

	assert_int_equal(stat(path, &s), 0);
	f.inode = s.st_ino;
	f.dev = major(s.st_dev) << 20 | minor(s.st_dev);
	return f;
}

static inline struct worker_reply *wait_reply(struct worker *w, uint64_t for_ns)
{
	struct pollfd p = { .fd = worker_fd(w), .events = POLLIN };

	assert_int_equal(poll(&p, 1, (int)(for_ns / NS_PER_MSEC)), 1);
	return worker_fetch(w);
}

/* One INSPECT job and its error. */
static inline int inspect(struct worker *w, const struct worker_file *f, uint64_t for_ns)
{
	struct worker_reply *r;
	int error;

	assert_int_equal(worker_submit(w, WORKER_INSPECT, f, NULL, 0, 1), 0);
	r = wait_reply(w, for_ns);
	assert_non_null(r);
	error = r->error;
	worker_reply_free(r);
	return error;
}

#endif
