/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/client.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/hmap.h"
#include "worker/channel.h"

/* Tables of some thousand files. */
#define CACHE_BYTES_MAX (512ULL << 20)

void client_init(struct client *c, const struct worker_options *o, int stop_fd)
{
	memset(c, 0, sizeof(*c));
	helper_init(&c->opener, o->executable, o->opener, o->opener_timeout_ns, stop_fd);
	helper_init(&c->parser, o->executable, o->parser, o->parser_timeout_ns, stop_fd);
	suspects_init(&c->suspects);
	c->all_hurried = o->all_hurried;
	c->disk.dir = -1;
	if (o->cache)
		(void)disk_cache_open(&c->disk, o->cache, CACHE_BYTES_MAX);
}

void client_release(struct client *c)
{
	helper_release(&c->opener);
	helper_release(&c->parser);
	suspects_release(&c->suspects);
	client_close_maps(c);
	held_release(&c->held);
	disk_cache_close(&c->disk);
	buf_release(&c->kept);
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

/* The next packet; what goes wrong here is somebody's doing, and the helper's end. */
static int receive(struct client *c, struct helper *h, uint64_t *deadline, size_t *ret_size,
		   int *ret_fd, bool *ret_hung)
{
	int r = helper_wait(h, deadline, ret_hung);

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
	return r;
}

static enum suspect_use use_of(const struct job *job)
{
	return job->kind == WORKER_LINES ? SUSPECT_LINES
	       : job->kind == WORKER_MAP ? SUSPECT_MAP
					 : SUSPECT_PLAIN;
}

/* A map belongs to a process. */
static uint64_t subject_of(const struct job *job)
{
	return job->kind == WORKER_MAP ? job->file.process_start_ns ^ (uint64_t)job->file.pid << 40
				       : job->file.inode;
}

static void blame(struct client *c, const struct job *job, int error, bool hung)
{
	if (error == -ETIMEDOUT || error == -EPIPE)
		suspects_add(&c->suspects, job->file.dev, subject_of(job), use_of(job), error,
			     hung);
}

static int take_open_reply(struct client *c, size_t size, bool *found, struct open_reply *ret,
			   const int *fd)
{
	struct open_reply reply;

	if (size != sizeof(reply))
		return -EPROTO;
	memcpy(&reply, c->packet, sizeof(reply));
	if (reply.magic != WORKER_MAGIC || reply.sequence != c->opener.sequence || reply.error > 0)
		return -EPROTO;
	if (reply.last ? (reply.error == 0) != (*fd >= 0) : *found || *fd >= 0)
		return -EPROTO;
	*found = true;
	*ret = reply;
	return 0;
}

/* Found, then opened: only what hangs or kills behind the first is the file's fault. */
static int receive_opened(struct client *c, const struct job *job, uint64_t *deadline,
			  struct open_reply *reply, int *ret_fd)
{
	bool found = false, hung = false;
	size_t size;
	int r = 0;

	while (r == 0 && !reply->last) {
		r = receive(c, &c->opener, deadline, &size, ret_fd, &hung);
		if (r == 0)
			r = take_open_reply(c, size, &found, reply, ret_fd);
		else if (found)
			blame(c, job, r, hung);
		else if (r == -ETIMEDOUT)
			suspects_add_path(&c->suspects);
	}
	if (r == -EPROTO)
		helper_end(&c->opener);
	return r;
}

int client_open(struct client *c, const struct job *job, const struct client_path *path,
		struct file_identity *ret_identity, int *ret_fd)
{
	struct open_request q = { .magic = WORKER_MAGIC,
				  .sequence = ++c->opener.sequence,
				  .inode = job->file.inode,
				  .dev = job->file.dev,
				  .pid = job->file.pid,
				  .start = job->file.start,
				  .end = job->file.end,
				  .path_size = (uint32_t)strlen(path->path),
				  .careful = suspects_careful(&c->suspects),
				  .what = path->what,
				  .uid = path->uid };
	struct open_reply reply = { 0 };
	_cleanup_close_ int fd = -1;
	uint64_t deadline;
	int r = request(&c->opener, &q, sizeof(q), path->path, q.path_size, -1, &deadline);

	if (r == 0)
		r = receive_opened(c, job, &deadline, &reply, &fd);
	if (r == 0)
		r = reply.error;
	if (r < 0)
		return r;
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
	bool last = false, leaving = false, hung = false;
	uint64_t deadline;
	size_t size;
	int r = request(&c->parser, &q, sizeof(q), job->offsets + first, n * sizeof(*job->offsets),
			fd, &deadline);

	if (r == 0)
		helper_hurry(&c->parser, c->all_hurried || worker_job_is_hurried(job->kind));
	while (r == 0 && !last) {
		r = receive(c, &c->parser, &deadline, &size, NULL, &hung);
		if (r < 0)
			blame(c, job, r, hung);
		else
			r = reply_take(reply, c->packet, size, q.sequence, first + n, &last,
				       &leaving);
	}
	/* One that breaks the rules may be somebody else's by now. */
	if (r == -EPROTO) {
		blame(c, job, -EPIPE, false);
		helper_end(&c->parser);
		return -EPIPE;
	}
	if (leaving)
		helper_end(&c->parser);
	return r;
}

int client_parse(struct client *c, const struct job *job, const struct file_identity *identity,
		 int fd, struct reply *reply)
{
	size_t first = 0;
	int r;

	do {
		r = parse_part(c, job, identity, fd, first, reply);
		first += WORKER_OFFSETS_MAX;
	} while (r == 0 && first < job->offsets_n);
	return r;
}

int client_attach(struct client *c, uint32_t kind, int fd)
{
	struct parse_request q = { .magic = WORKER_MAGIC,
				   .sequence = ++c->parser.sequence,
				   .kind = kind };
	uint64_t deadline;

	return request(&c->parser, &q, sizeof(q), NULL, 0, fd, &deadline);
}

int client_ask(struct client *c, const struct job *job, uint32_t kind, int fd, void *ret,
	       size_t size)
{
	struct parse_request q = { .magic = WORKER_MAGIC,
				   .sequence = ++c->parser.sequence,
				   .kind = kind };
	struct parse_reply head;
	bool hung = false;
	uint64_t deadline;
	size_t got;
	int r = request(&c->parser, &q, sizeof(q), NULL, 0, fd, &deadline);

	if (r < 0)
		return r;
	r = receive(c, &c->parser, &deadline, &got, NULL, &hung);
	if (r < 0) {
		blame(c, job, r, hung);
		return r;
	}
	if (got >= sizeof(head))
		memcpy(&head, c->packet, sizeof(head));
	if (got < sizeof(head) || head.magic != WORKER_MAGIC || head.sequence != q.sequence ||
	    head.error > 0 || !head.last || (head.error == 0 && got != sizeof(head) + size)) {
		blame(c, job, -EPIPE, false);
		helper_end(&c->parser);
		return -EPIPE;
	}
	if (head.leaving)
		helper_end(&c->parser);
	if (head.error == 0)
		memcpy(ret, c->packet + sizeof(head), size);
	return head.error;
}

/* Where nothing leads to it any more: the one that was opened before. */
static int open_mapped(struct client *c, const struct job *job, const struct client_path *path,
		       struct file_identity *identity, int *ret_fd)
{
	int r = client_open(c, job, path, identity, ret_fd), fd;

	if (r == 0)
		held_put(&c->held, &job->file, identity, *ret_fd);
	if (r != -ENOENT && r != -ESTALE && r != -ESRCH)
		return r;
	fd = held_get(&c->held, &job->file, identity);
	if (fd < 0)
		return r;
	*ret_fd = fd;
	return 0;
}

/* The disk's answer. False: it has none, or none that is right. */
static bool take_kept(struct client *c, const struct job *job, const struct file_identity *identity,
		      struct reply *reply)
{
	if (disk_cache_load(&c->disk, identity, job->kind, &c->kept) < 0)
		return false;
	if (reply_take_kept(reply, c->kept.data, c->kept.size) < 0) {
		disk_cache_refuse(&c->disk, identity, job->kind);
		return false;
	}
	c->kept_used++;
	return true;
}

static void keep_later(struct client *c, const struct job *job,
		       const struct file_identity *identity, const struct reply *reply)
{
	buf_clear(&c->kept);
	if (!disk_cache_keeps(&c->disk, identity, job->kind) ||
	    reply_write_kept(reply, &c->kept) < 0)
		return;
	c->to_keep = true;
	c->to_keep_kind = job->kind;
	c->to_keep_file = *identity;
}

/* A full or broken disk is no reason to be without the answer. */
void client_keep(struct client *c)
{
	if (c->to_keep)
		(void)disk_cache_store(&c->disk, &c->to_keep_file, c->to_keep_kind, c->kept.data,
				       c->kept.size);
	c->to_keep = false;
}

/* A job whose answer is the file's alone: once for each file. */
static int run_once(struct client *c, const struct job *job, const struct file_identity *identity,
		    int fd, struct reply *reply)
{
	int r;

	reply->public.owner = (uint32_t)identity->owner;
	if (take_kept(c, job, identity, reply))
		return 0;
	r = client_parse(c, job, identity, fd, reply);
	if (r == 0)
		keep_later(c, job, identity, reply);
	return r;
}

/* Of the time that changes with the content alone: links and permissions leave it as it is. */
static uint64_t version_of(const struct file_identity *identity)
{
	const uint64_t facts[] = { identity->size, identity->mtime_ns };

	return hash_bytes(facts, sizeof(facts), WORKER_MAGIC) | 1;
}

int client_run(struct client *c, const struct job *job, struct reply *reply)
{
	const struct client_path path = { .what = OPEN_MAPPED, .path = job->path };
	_cleanup_close_ int fd = -1;
	struct file_identity identity;
	int r = suspects_check(&c->suspects, job->file.dev, subject_of(job), use_of(job));

	if (r < 0)
		return r;
	if (job->kind == WORKER_MAP)
		return client_run_map(c, job, reply);
	r = open_mapped(c, job, &path, &identity, &fd);
	if (r < 0)
		return r;
	reply->public.version = version_of(&identity);
	if (job->kind == WORKER_LINES)
		return client_run_lines(c, job, &identity, fd, reply);
	return job->kind == WORKER_NAME ? client_parse(c, job, &identity, fd, reply)
					: run_once(c, job, &identity, fd, reply);
}
