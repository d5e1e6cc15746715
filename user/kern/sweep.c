/* SPDX-License-Identifier: Apache-2.0 */
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kern/decode.h"
#include "kern/state.h"
#include "kymo.skel.h"

/* The iterator hands out whole records; a read may hold several. */
#define SWEEP_BYTES (256 * sizeof(struct kymo_task))

/* The bytes of an unfinished record stay in front. */
static size_t take(struct kern *k, char *bytes, size_t size,
		   void (*each)(void *data, const struct kymo_task *task), void *data)
{
	struct kymo_task task;
	size_t at = 0;

	for (; size - at >= sizeof(task); at += sizeof(task)) {
		if (decode_task_record(bytes + at, sizeof(task), &task) == 0)
			each(data, &task);
		else
			k->malformed++;
	}
	memmove(bytes, bytes + at, size - at);
	return size - at;
}

int kern_sweep(struct kern *k, void (*each)(void *data, const struct kymo_task *task), void *data)
{
	_cleanup_free_ char *bytes = malloc(SWEEP_BYTES);
	_cleanup_close_ int fd = bpf_iter_create(bpf_link__fd(k->skeleton->links.on_sweep));
	size_t size = 0;

	if (!bytes)
		return -ENOMEM;
	if (fd < 0)
		return -errno;
	for (;;) {
		ssize_t n = read(fd, bytes + size, SWEEP_BYTES - size);

		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		size = take(k, bytes, size + (size_t)n, each, data);
	}
}
