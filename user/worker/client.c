/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/client.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "worker/channel.h"

void client_init(struct client *c, const struct worker_options *o, int stop_fd)
{
	memset(c, 0, sizeof(*c));
	helper_init(&c->opener, o->executable, o->opener, o->opener_timeout_ns, stop_fd);
	helper_init(&c->parser, o->executable, o->parser, o->parser_timeout_ns, stop_fd);
	suspects_init(&c->suspects);
}

void client_release(struct client *c)
{
	helper_release(&c->opener);
	helper_release(&c->parser);
	suspects_release(&c->suspects);
}

int client_start(struct client *c)
{
	int r = helper_start(&c->opener);

	return r < 0 ? r : helper_start(&c->parser);
}

/*
 * A request to a helper that runs. One that died while it was idle is started again: the
 * file at hand is not to blame.
 */
static int request(struct helper *h, const void *head, size_t head_size, const void *body,
		   size_t body_size, int fd, uint64_t *ret_deadline)
{
	int r;

	for (int i = 0; i < 2; i++) {
		r = helper_start(h);
		if (r < 0)
			return r;
		helper_begin(h, ret_deadline);
		r = channel_send(h->sock, head, head_size, body, body_size, fd);
		if (r == 0)
			return 0;
		helper_end(h);
	}
	return r == -EPIPE ? -EAGAIN : r;
}

/* The next packet; what goes wrong here is the file's doing, and the helper's end. */
static int receive(struct client *c, struct helper *h, const struct job *job, uint64_t *deadline,
		   size_t *ret_size, int *ret_fd)
{
	bool hung = false;
	int r = helper_wait(h, deadline, &hung);

	if (r == 0)
		r = channel_recv(h->sock, c->packet, sizeof(c->packet), ret_size, ret_fd);
	if (r == 0)
		return 0;
	helper_end(h);
	if (r == -ECANCELED)
		return r;
	if (r != -ETIMEDOUT)
		r = -EPIPE;
	c->timeouts += r == -ETIMEDOUT;
	c->deaths += r == -EPIPE;
	suspects_add(&c->suspects, job->file.dev, job->file.inode, r, hung);
	return r;
}

static int open_file(struct client *c, const struct job *job, struct file_identity *ret_identity,
		     int *ret_fd)
{
	struct open_request q = { .magic = WORKER_MAGIC,
				  .sequence = ++c->opener.sequence,
				  .inode = job->file.inode,
				  .dev = job->file.dev,
				  .pid = job->file.pid,
				  .start = job->file.start,
				  .end = job->file.end,
				  .path_size = (uint32_t)strlen(job->path) };
	_cleanup_close_ int fd = -1;
	struct open_reply reply;
	uint64_t deadline;
	size_t size;
	int r = request(&c->opener, &q, sizeof(q), job->path, q.path_size, -1, &deadline);

	if (r == 0)
		r = receive(c, &c->opener, job, &deadline, &size, &fd);
	if (r < 0)
		return r;
	memcpy(&reply, c->packet, sizeof(reply));
	if (size != sizeof(reply) || reply.magic != WORKER_MAGIC || reply.sequence != q.sequence ||
	    reply.error > 0 || (reply.error == 0) != (fd >= 0)) {
		helper_end(&c->opener);
		return -EPROTO;
	}
	if (reply.error < 0)
		return reply.error;
	*ret_identity = reply.identity;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* One request of at most WORKER_OFFSETS_MAX names, and its packets. */
static int parse_part(struct client *c, const struct job *job, const struct file_identity *identity,
		      int fd, size_t first, struct reply *reply)
{
	size_t n = job->offsets_n - first < WORKER_OFFSETS_MAX ? job->offsets_n - first
							       : WORKER_OFFSETS_MAX;
	struct parse_request q = { .magic = WORKER_MAGIC,
				   .sequence = ++c->parser.sequence,
				   .kind = job->kind,
				   .offsets_n = (uint32_t)n,
				   .identity = *identity };
	bool last = false, leaving = false;
	uint64_t deadline;
	size_t size;
	int r = request(&c->parser, &q, sizeof(q), job->offsets + first, n * sizeof(*job->offsets),
			fd, &deadline);

	while (r == 0 && !last) {
		r = receive(c, &c->parser, job, &deadline, &size, NULL);
		if (r == 0)
			r = reply_take(reply, c->packet, size, q.sequence, first + n, &last,
				       &leaving);
	}
	/* One that breaks the rules may be somebody else's by now. */
	if (r == -EPROTO) {
		suspects_add(&c->suspects, job->file.dev, job->file.inode, -EPIPE, false);
		helper_end(&c->parser);
		return -EPIPE;
	}
	if (leaving)
		helper_end(&c->parser);
	return r;
}

int client_run(struct client *c, const struct job *job, struct reply *reply)
{
	_cleanup_close_ int fd = -1;
	struct file_identity identity;
	size_t first = 0;
	int r = suspects_check(&c->suspects, job->file.dev, job->file.inode);

	if (r == 0)
		r = open_file(c, job, &identity, &fd);
	if (r < 0)
		return r;
	do {
		r = parse_part(c, job, &identity, fd, first, reply);
		first += WORKER_OFFSETS_MAX;
	} while (r == 0 && first < job->offsets_n);
	return r;
}
