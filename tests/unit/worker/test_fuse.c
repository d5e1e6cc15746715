/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A FUSE server that never answers an open, or a read. A process that waits for it cannot even be killed once the
 * server has read the request: the worker must leave such a helper behind and go on with another.
 */
#include "unit/test.h"

#include <linux/fuse.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>

#include "unit/worker/helpers.h"

#define PATIENCE  (30 * NS_PER_SEC)
#define END_NS	  (5 * NS_PER_SEC) /* a tenth of a second on a quiet machine */
#define FILES	  32
#define FILE_SIZE 100000
#define VALID	  3600

static char folder[] = "/tmp/kymo-fuse-XXXXXX";

struct server {
	int fd;
	volatile uint32_t *hang; /* the operation that is never answered; shared with the server */
	uint64_t valid;		 /* seconds that the kernel may remember names and attributes */
	pid_t pid;
};

static void answer(int fd, const struct fuse_in_header *in, int error, const void *body,
		   size_t size)
{
	struct fuse_out_header out = { .len = (uint32_t)(sizeof(out) + size),
				       .error = error,
				       .unique = in->unique };
	char packet[512];

	memcpy(packet, &out, sizeof(out));
	if (size)
		memcpy(packet + sizeof(out), body, size);
	(void)!write(fd, packet, sizeof(out) + size);
}

/* Node 1 is the folder; nodes from 2 on are its files. */
static struct fuse_attr attr_of(uint64_t node)
{
	struct fuse_attr a = { .ino = node, .nlink = 1, .blksize = 4096 };

	a.mode = node == 1 ? S_IFDIR | 0755 : S_IFREG | 0644;
	a.size = node == 1 ? 0 : FILE_SIZE;
	return a;
}

static void serve_one(const struct server *s, const struct fuse_in_header *in, const char *body)
{
	if (in->opcode == *s->hang)
		return;
	if (in->opcode == FUSE_INIT) {
		struct fuse_init_out out = { .major = FUSE_KERNEL_VERSION,
					     .minor = 31,
					     .max_write = 4096 };

		answer(s->fd, in, 0, &out, sizeof(out));
	} else if (in->opcode == FUSE_LOOKUP) {
		struct fuse_entry_out out = { .entry_valid = s->valid, .attr_valid = s->valid };

		out.nodeid = 2 + (uint64_t)atoi(body) % FILES;
		out.attr = attr_of(out.nodeid);
		answer(s->fd, in, 0, &out, sizeof(out));
	} else if (in->opcode == FUSE_GETATTR) {
		struct fuse_attr_out out = { .attr_valid = s->valid, .attr = attr_of(in->nodeid) };

		answer(s->fd, in, 0, &out, sizeof(out));
	} else if (in->opcode == FUSE_OPEN || in->opcode == FUSE_OPENDIR) {
		struct fuse_open_out out = { .fh = 1, .open_flags = FOPEN_DIRECT_IO };

		answer(s->fd, in, 0, &out, sizeof(out));
	} else if (in->opcode != FUSE_FORGET && in->opcode != FUSE_BATCH_FORGET &&
		   in->opcode != FUSE_INTERRUPT) {
		answer(s->fd, in, -ENOSYS, NULL, 0);
	}
}

static void serve(const struct server *s)
{
	static char packet[1 << 17];

	for (;;) {
		ssize_t n = read(s->fd, packet, sizeof(packet) - 1);
		struct fuse_in_header in;

		if (n < (ssize_t)sizeof(in)) {
			if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT))
				continue;
			_exit(0);
		}
		packet[n] = 0;
		memcpy(&in, packet, sizeof(in));
		serve_one(s, &in, packet + sizeof(in));
	}
}

/* False with the reason said where FUSE cannot be used. */
static bool start(struct server *s, uint32_t hang, uint64_t valid)
{
	char opts[128];

	*s = (struct server){ .fd = open("/dev/fuse", O_RDWR | O_CLOEXEC), .valid = valid };
	if (s->fd < 0) {
		print_message("[  SKIPPED ] /dev/fuse: %s\n", strerror(errno));
		return false;
	}
	s->hang = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	*s->hang = hang;
	snprintf(opts, sizeof(opts), "fd=%d,rootmode=40000,user_id=0,group_id=0", s->fd);
	if (mount("kymo-test", folder, "fuse", MS_NOSUID | MS_NODEV, opts) < 0) {
		print_message("[  SKIPPED ] mount of FUSE: %s\n", strerror(errno));
		close(s->fd);
		return false;
	}
	s->pid = fork();
	assert_true(s->pid >= 0);
	if (s->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve(s);
	}
	close(s->fd);
	return true;
}

/* The server's end aborts what waits for it. */
static void stop(struct server *s)
{
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	umount2(folder, MNT_DETACH);
}

static void hangs(uint32_t operation)
{
	struct worker_options o = worker_defaults;
	struct worker_file f, good = { 0 };
	char path[128], own[128];
	struct worker_stats stats;
	uint64_t begin;
	struct server s;
	struct worker *w;

	o.opener_timeout_ns = o.parser_timeout_ns = 400 * NS_PER_MSEC;
	snprintf(own, sizeof(own), "/proc/%d/exe", getpid());
	good = file_of(own);
	good.path = own;
	if (!start(&s, operation, VALID))
		skip();
	assert_int_equal(worker_new_with(&o, &w), 0);
	for (int i = 0; i < FILES; i++) {
		snprintf(path, sizeof(path), "%s/%d", folder, i);
		f = file_of(path);
		assert_int_equal(inspect(w, &f, PATIENCE), -ETIMEDOUT);
		/* After three files the whole file system rests: its other files are not waited for. */
		worker_stats(w, &stats);
		assert_int_equal(stats.timeouts, i < 3 ? i + 1 : 3);
		assert_int_equal(inspect(w, &good, PATIENCE), 0);
	}
	begin = clock_mono_ns();
	worker_free(w);
	assert_true(clock_mono_ns() - begin < END_NS);
	stop(&s);
}

static void an_open_that_hangs(void **state)
{
	(void)state;
	hangs(FUSE_OPEN);
}

static void a_read_that_hangs(void **state)
{
	(void)state;
	hangs(FUSE_READ);
}

static void a_worker_that_ends_amid_a_hang(void **state)
{
	struct worker_file f;
	struct worker *w;
	char path[128];
	uint64_t begin;
	struct server s;

	(void)state;
	if (!start(&s, FUSE_OPEN, VALID))
		skip();
	snprintf(path, sizeof(path), "%s/1", folder);
	f = file_of(path);
	assert_int_equal(worker_new(NULL, &w), 0);
	assert_int_equal(worker_submit(w, WORKER_INSPECT, &f, NULL, 0, 1), 0);
	usleep(50000);
	begin = clock_mono_ns();
	worker_free(w);
	assert_true(clock_mono_ns() - begin < END_NS);
	stop(&s);
}

/* How this program's own file is reached without a path. */
static void own_mapping(struct worker_file *f)
{
	uint64_t at = (uint64_t)own_mapping;
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "r");

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		uint64_t start, end;

		if (sscanf(line, "%lx-%lx", &start, &end) != 2 || at < start || at >= end)
			continue;
		f->start = start;
		f->end = end;
		f->pid = (uint32_t)getpid();
	}
	fclose(maps);
}

/* Its attributes are asked for again each time, and never told. */
static void attributes_that_hang(void **state)
{
	struct worker_options o = worker_defaults;
	struct worker_file f, good;
	char path[128], own[128];
	struct worker_stats before, after;
	struct worker *w;
	struct server s;

	(void)state;
	o.opener_timeout_ns = o.parser_timeout_ns = 400 * NS_PER_MSEC;
	snprintf(own, sizeof(own), "/proc/%d/exe", getpid());
	good = file_of(own);
	if (!start(&s, 0, 0))
		skip();
	snprintf(path, sizeof(path), "%s/1", folder);
	f = file_of(path);
	*s.hang = FUSE_GETATTR;
	assert_int_equal(worker_new_with(&o, &w), 0);
	worker_stats(w, &before);
	assert_int_equal(inspect(w, &f, PATIENCE), -ETIMEDOUT);
	assert_int_equal(inspect(w, &good, PATIENCE), 0);
	worker_stats(w, &after);
	assert_int_equal(after.opener, before.opener); /* the opener does not ask for them */
	worker_free(w);
	stop(&s);
}

/*
 * A path that claims to lead to a good file and hangs on the way there. The good file is not to blame, and
 * is named on; the paths rest.
 */
static void a_path_that_hangs_on_the_way(void **state)
{
	struct worker_options o = worker_defaults;
	struct worker_file liar, good;
	char path[128], own[128];
	struct worker *w;
	struct server s;
	struct worker_stats stats;

	(void)state;
	o.opener_timeout_ns = o.parser_timeout_ns = 400 * NS_PER_MSEC;
	snprintf(own, sizeof(own), "/proc/%d/exe", getpid());
	good = liar = file_of(own);
	snprintf(path, sizeof(path), "%s/1", folder);
	liar.path = path;
	if (!start(&s, FUSE_LOOKUP, 0))
		skip();
	assert_int_equal(worker_new_with(&o, &w), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(inspect(w, &good, PATIENCE), 0);
		assert_int_equal(inspect(w, &liar, PATIENCE), -ETIMEDOUT);
	}
	assert_true(inspect(w, &liar, PATIENCE) < 0);
	worker_stats(w, &stats);
	assert_int_equal(stats.timeouts, 3); /* it was not waited for again */
	own_mapping(&good);
	assert_int_equal(inspect(w, &good, PATIENCE), 0);
	worker_free(w);
	stop(&s);
}

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	/* So that nobody else ever sees the mounts. Without root each test says why it is skipped. */
	if (unshare(CLONE_NEWNS) == 0)
		(void)mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return rmdir(folder);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_open_that_hangs),
		cmocka_unit_test(a_read_that_hangs),
		cmocka_unit_test(attributes_that_hang),
		cmocka_unit_test(a_path_that_hangs_on_the_way),
		cmocka_unit_test(a_worker_that_ends_amid_a_hang),
	};
	int r = run_as_helper(argc, argv);

	if (r >= 0)
		return r;
	return cmocka_run_group_tests_name("worker/fuse", tests, set_up, tear_down);
}
