/* SPDX-License-Identifier: Apache-2.0 */
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kern/decode.h"
#include "kern/state.h"
#include "kymo.skel.h"

/* A read gives whole records, and may end within one that the next goes on with. */
#define THREADS_BYTES (64U << 10)

/* union bpf_iter_link_info's `task` (include/uapi/linux/bpf.h), younger than some headers that we build with. */
struct task_info {
	uint32_t tid, pid, pid_fd;
};

static void link_destroyp(struct bpf_link **link)
{
	bpf_link__destroy(*link);
}

struct taker {
	struct kern *kern;
	void (*each)(void *data, const struct kymo_standing *thread);
	void *data;
};

/* The bytes of an unfinished record stay in front. -EBADMSG where none can be made out. */
static ssize_t take(const struct taker *t, char *bytes, size_t size)
{
	const struct kymo_standing *thread;
	size_t at = 0;

	while (size - at >= sizeof(*thread)) {
		size_t record = ((const struct kymo_record_head *)(bytes + at))->size;

		if (record < sizeof(*thread) || record > THREADS_BYTES / 2)
			return -EBADMSG;
		if (size - at < record)
			break;
		if (decode_standing(bytes + at, record, &thread) == 0)
			t->each(t->data, thread);
		else
			t->kern->malformed++;
		at += record;
	}
	memmove(bytes, bytes + at, size - at);
	return (ssize_t)(size - at);
}

static int read_all(const struct taker *t, int fd)
{
	_cleanup_free_ char *bytes = malloc(THREADS_BYTES);
	ssize_t kept = 0;

	if (!bytes)
		return -ENOMEM;
	for (;;) {
		ssize_t n = read(fd, bytes + kept, THREADS_BYTES - (size_t)kept);

		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		kept = take(t, bytes, (size_t)(kept + n));
		if (kept < 0)
			return (int)kept;
	}
}

int kern_threads(struct kern *k, uint32_t pid,
		 void (*each)(void *data, const struct kymo_standing *thread), void *data)
{
	const struct taker taker = { .kern = k, .each = each, .data = data };
	struct task_info info = { .pid = pid };
	_cleanup_(link_destroyp) struct bpf_link *link = NULL;
	struct bpf_iter_attach_opts options;
	_cleanup_close_ int fd = -1;

	/* libbpf wants zeroes behind the last field, too, which an initialiser (LIBBPF_OPTS) need not put there. */
	memset(&options, 0, sizeof(options));
	options.sz = sizeof(options);
	options.link_info = (union bpf_iter_link_info *)&info;
	options.link_info_len = sizeof(info);
	link = bpf_program__attach_iter(k->skeleton->progs.on_thread, pid ? &options : NULL);
	if (!link)
		return errno == ESRCH ? 0 : -errno;
	fd = bpf_iter_create(bpf_link__fd(link));
	return fd < 0 ? -errno : read_all(&taker, fd);
}
