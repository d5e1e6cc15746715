/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "base/array.h"
#include "base/buf.h"
#include "elf/file.h"
#include "unit/elf/image.h"
#include "unit/worker/helpers.h"

#define PATIENCE (20 * NS_PER_SEC)

static char folder[] = "/tmp/kymo-worker-XXXXXX";

static bool is_root(void)
{
	if (geteuid() == 0)
		return true;
	print_message("[  SKIPPED ] needs root\n");
	return false;
}

static const char *in_folder(const char *name)
{
	static char path[2][128];
	static int turn;

	turn ^= 1;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", folder, name);
	return path[turn];
}

static struct worker_options options(const char *parser, uint64_t timeout_ns)
{
	struct worker_options o = worker_defaults;

	o.parser = parser;
	o.parser_timeout_ns = o.opener_timeout_ns = timeout_ns;
	return o;
}

static void write_file(const char *path, const void *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), size);
	close(fd);
}

static void make_poison(const char *path)
{
	static const char bytes[POISON_BYTES];

	write_file(path, bytes, sizeof(bytes));
}

/* ---- the work itself ---- */

int a_function_to_be_named(int x);
__attribute__((noinline)) int a_function_to_be_named(int x)
{
	return x * 3 + getpid();
}

/* File offset of an address in this program. */
static uint64_t own_offset(const void *address)
{
	unsigned long start, end, offset;
	uint64_t found = 0;
	char line[512];
	FILE *f = fopen("/proc/self/maps", "r");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %*s %lx", &start, &end, &offset) == 3 &&
		    (uint64_t)address >= start && (uint64_t)address < end)
			found = (uint64_t)address - start + offset;
	fclose(f);
	return found;
}

static const char *own_path(void)
{
	static char path[512];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	assert_true(n > 0);
	path[n] = 0;
	return path;
}

static void names_and_facts_come_back(void **state)
{
	uint64_t offsets[] = { own_offset((void *)a_function_to_be_named) + 1, 0, UINT64_MAX,
			       own_offset((void *)own_path) };
	struct worker_file f = file_of(own_path());
	struct worker_reply *r;
	struct worker *w;

	(void)state;
	assert_int_equal(worker_new(NULL, &w), 0);
	assert_null(worker_fetch(w));
	assert_int_equal(worker_submit(w, WORKER_INSPECT, &f, NULL, 0, 11), 0);
	assert_int_equal(worker_submit(w, WORKER_NAME, &f, offsets, ARRAY_SIZE(offsets), 12), 0);
	assert_int_equal(worker_pending(w), 2);
	r = wait_reply(w, PATIENCE);
	assert_int_equal(r->kind, WORKER_INSPECT);
	assert_int_equal(r->cookie, 11);
	assert_int_equal(r->error, 0);
	assert_true(r->facts.is_elf);
	assert_false(r->facts.has_python);
	worker_reply_free(r);
	r = wait_reply(w, PATIENCE);
	assert_int_equal(r->kind, WORKER_NAME);
	assert_int_equal(r->cookie, 12);
	assert_int_equal(r->error, 0);
	assert_int_equal(r->names_n, ARRAY_SIZE(offsets));
	assert_string_equal(r->names[0].name, "a_function_to_be_named");
	assert_string_equal(r->names[1].name, "");
	assert_string_equal(r->names[2].name, "");
	assert_string_equal(r->names[3].name, "own_path");
	assert_string_equal(r->names[3].file, "");
	for (size_t i = 0; i < r->names_n; i++)
		assert_int_equal(r->names[i].offset, offsets[i]);
	worker_reply_free(r);
	assert_int_equal(worker_pending(w), 0);
	assert_null(worker_fetch(w));
	worker_free(w);
}

/* Names come as people write them; those made to hurt come as they are, and hurt nobody. */
static void names_are_demangled(void **state)
{
	static char deep[4000] = "_Z1f", wide[400] = "_Z1fSt4pairIiiES_IS0_S0_E";
	struct image_symbol symbols[] = {
		{ "_ZN3app6Server6handleERKSs", 0x1000, 16, FUNC_GLOBAL },
		{ "_RNvC7mycrate3foo", 0x1010, 16, FUNC_GLOBAL },
		{ deep, 0x1020, 16, FUNC_GLOBAL },
		{ wide, 0x1030, 16, FUNC_GLOBAL },
		{ "_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", 0x1040, 16, FUNC_GLOBAL },
	};
	const char *const expected[] = { "app::Server::handle(std::string const&)", "mycrate::foo",
					 deep, wide, "core::fmt::Formatter::pad" };
	uint64_t offsets[ARRAY_SIZE(symbols)];
	struct worker_stats stats;
	struct worker_file f;
	struct worker_reply *r;
	struct worker *w;
	struct image im;

	(void)state;
	memset(deep + 4, 'P', sizeof(deep) - 5);
	for (char c = '1'; c <= '9'; c++)
		snprintf(wide + strlen(wide), sizeof(wide) - strlen(wide), "S_IS%c_S%c_E", c, c);
	image_make(&im, symbols, ARRAY_SIZE(symbols));
	write_file(in_folder("mangled"), im.b.data, im.b.size);
	f = file_of(in_folder("mangled"));
	for (size_t i = 0; i < ARRAY_SIZE(symbols); i++)
		offsets[i] = IMAGE_TEXT + 16 * i;
	assert_int_equal(worker_new(NULL, &w), 0);
	assert_int_equal(worker_submit(w, WORKER_NAME, &f, offsets, ARRAY_SIZE(offsets), 1), 0);
	r = wait_reply(w, PATIENCE);
	assert_int_equal(r->error, 0);
	assert_int_equal(r->names_n, ARRAY_SIZE(symbols));
	for (size_t i = 0; i < r->names_n; i++)
		assert_string_equal(r->names[i].name, expected[i]);
	worker_reply_free(r);
	worker_stats(w, &stats);
	assert_int_equal(stats.deaths + stats.timeouts, 0);
	worker_free(w);
	image_release(&im);
}

/* More than one request, more than one packet: the order stays. */
static void a_large_job_comes_back_whole(void **state)
{
	const size_t n = 5000;
	static char names[100][2000];
	struct image_symbol symbols[100];
	struct worker_file f;
	struct worker_reply *r;
	uint64_t *offsets = calloc(n, sizeof(*offsets));
	struct worker *w;
	struct image im;

	(void)state;
	for (size_t i = 0; i < 100; i++) {
		memset(names[i], 'a' + (int)i % 26, sizeof(names[i]) - 1);
		names[i][0] = (char)('0' + i / 10);
		symbols[i] = (struct image_symbol){ names[i], 0x1000 + i * 16, 16, FUNC_GLOBAL };
	}
	image_make(&im, symbols, 100);
	write_file(in_folder("long-names"), im.b.data, im.b.size);
	f = file_of(in_folder("long-names"));
	for (size_t i = 0; i < n; i++)
		offsets[i] = 0x1000 + i * 7 % 1600;
	assert_int_equal(worker_new(NULL, &w), 0);
	assert_int_equal(worker_submit(w, WORKER_NAME, &f, offsets, n, 1), 0);
	r = wait_reply(w, PATIENCE);
	assert_int_equal(r->error, 0);
	assert_int_equal(r->names_n, n);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(r->names[i].offset, offsets[i]);
		assert_string_equal(r->names[i].name, names[(offsets[i] - 0x1000) / 16]);
	}
	worker_reply_free(r);
	worker_free(w);
	image_release(&im);
	free(offsets);
}

static void hostile_names_come_back_as_text(void **state)
{
	static const struct image_symbol symbols[] = {
		{ "\x1b[31mred\xff\xfe;\n<script>", 0x1000, 16, FUNC_GLOBAL },
		{ "\xed\xa0\x80", 0x1010, 16, FUNC_GLOBAL }, /* a surrogate */
	};
	uint64_t offsets[] = { 0x1004, 0x1014 };
	struct worker_file f;
	struct worker_reply *r;
	struct worker *w;
	struct image im;

	(void)state;
	image_make(&im, symbols, ARRAY_SIZE(symbols));
	write_file(in_folder("hostile"), im.b.data, im.b.size);
	f = file_of(in_folder("hostile"));
	assert_int_equal(worker_new(NULL, &w), 0);
	assert_int_equal(worker_submit(w, WORKER_NAME, &f, offsets, 2, 1), 0);
	r = wait_reply(w, PATIENCE);
	assert_int_equal(r->error, 0);
	assert_string_equal(r->names[0].name, "\x1b[31mred\xef\xbf\xbd\xef\xbf\xbd;\n<script>");
	assert_null(strchr(r->names[1].name, '\xed'));
	worker_reply_free(r);
	worker_free(w);
	image_release(&im);
}

/* A file that was changed in place is another file: the table of the old one must not answer. */
static void a_changed_file_is_read_again(void **state)
{
	struct image_symbol symbols[] = { { "before", 0x1000, 16, FUNC_GLOBAL } };
	uint64_t offset = 0x1004;
	struct worker_reply *r;
	struct worker_file f;
	struct worker *w;
	struct image im;

	(void)state;
	assert_int_equal(worker_new(NULL, &w), 0);
	for (int i = 0; i < 2; i++) {
		image_make(&im, symbols, 1);
		write_file(in_folder("changing"), im.b.data, im.b.size);
		f = file_of(in_folder("changing"));
		assert_int_equal(worker_submit(w, WORKER_NAME, &f, &offset, 1, 1), 0);
		r = wait_reply(w, PATIENCE);
		assert_string_equal(r->names[0].name, symbols[0].name);
		worker_reply_free(r);
		image_release(&im);
		symbols[0].name = "behind";
	}
	worker_free(w);
}

static void a_full_queue_says_so(void **state)
{
	struct worker_options o = options("fake-hang", 400 * NS_PER_MSEC);
	struct worker_file poison, f = file_of(own_path());
	uint64_t offset = 0;
	struct worker *w;

	(void)state;
	make_poison(in_folder("poison"));
	poison = file_of(in_folder("poison"));
	o.jobs_max = 3;
	o.offsets_max = 10;
	assert_int_equal(worker_new_with(&o, &w), 0);
	assert_int_equal(worker_submit(w, WORKER_NAME, &f, &offset, 11, 0), -ENOSPC);
	assert_int_equal(worker_submit(w, WORKER_INSPECT, &poison, NULL, 0, 0), 0);
	assert_int_equal(worker_submit(w, WORKER_INSPECT, &f, NULL, 0, 0), 0);
	assert_int_equal(worker_submit(w, WORKER_INSPECT, &f, NULL, 0, 0), 0);
	assert_int_equal(worker_submit(w, WORKER_INSPECT, &f, NULL, 0, 0), -ENOSPC);
	for (int i = 0; i < 3; i++)
		worker_reply_free(wait_reply(w, PATIENCE));
	assert_int_equal(worker_submit(w, WORKER_INSPECT, &f, NULL, 0, 0), 0);
	worker_free(w); /* with a job in it */
}

/* A busy host's stacks are cut until the rules are there: these do not wait for names, nor for a tenth of a share. */
static void rules_come_before_names(void **state)
{
	struct worker_options o = options("fake-hang", NS_PER_SEC);
	struct worker_file poison, f = file_of(own_path());
	const uint64_t offset = 0, order[] = { 4, 2, 3 };
	struct worker *w;
	size_t n = 0;

	(void)state;
	make_poison(in_folder("poison"));
	poison = file_of(in_folder("poison"));
	assert_int_equal(worker_new_with(&o, &w), 0);
	assert_int_equal(worker_submit(w, WORKER_NAME, &poison, &offset, 1, 1), 0);
	assert_int_equal(worker_submit(w, WORKER_NAME, &f, &offset, 1, 2), 0);
	assert_int_equal(worker_submit(w, WORKER_LINES, &f, &offset, 1, 3), 0);
	assert_int_equal(worker_submit(w, WORKER_UNWIND, &f, NULL, 0, 4), 0);
	for (size_t i = 0; i < 4; i++) {
		struct worker_reply *r = wait_reply(w, PATIENCE);

		/* The first may have begun before the others came, or not. */
		if (r->cookie != 1)
			assert_int_equal(r->cookie, order[n++]);
		worker_reply_free(r);
	}
	worker_free(w);
}

static void rules_have_the_share_of_who_asks(void **state)
{
	const int ours = getpriority(PRIO_PROCESS, 0);
	const struct {
		enum worker_job_kind kind;
		int nice, policy;
	} steps[] = { { WORKER_NAME, 10, SCHED_BATCH },
		      { WORKER_UNWIND, ours, SCHED_OTHER },
		      { WORKER_LINES, 10, SCHED_BATCH },
		      { WORKER_INSPECT, ours, SCHED_OTHER } };
	struct worker_file f = file_of(own_path());
	struct worker_stats stats;
	uint64_t offset = 0;
	struct worker *w;

	(void)state;
	if (!is_root())
		skip();
	assert_int_equal(worker_new(NULL, &w), 0);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		assert_int_equal(worker_submit(w, steps[i].kind, &f, &offset, 1, 0), 0);
		worker_reply_free(wait_reply(w, PATIENCE));
		worker_stats(w, &stats);
		assert_int_equal(getpriority(PRIO_PROCESS, (id_t)stats.parser), steps[i].nice);
		assert_int_equal(sched_getscheduler(stats.parser), steps[i].policy);
	}
	worker_free(w);
}

/* ---- which file ---- */

static void only_the_file_that_was_asked_for(void **state)
{
	struct worker_file f = file_of(own_path()), other = f, gone = f;
	struct worker *w;

	(void)state;
	assert_int_equal(worker_new(NULL, &w), 0);
	other.inode++;
	assert_int_equal(inspect(w, &other, PATIENCE), -ESTALE);
	other = f;
	other.dev++;
	assert_int_equal(inspect(w, &other, PATIENCE), -ESTALE);
	gone.path = "/nonexistent/file";
	assert_int_equal(inspect(w, &gone, PATIENCE), -ENOENT);
	gone.path = "relative";
	assert_int_equal(inspect(w, &gone, PATIENCE), -ENOENT);
	gone.path = NULL;
	assert_int_equal(inspect(w, &gone, PATIENCE), -ENOENT);
	gone.pid = 0x7ffffff0;
	gone.start = 0x1000, gone.end = 0x2000;
	assert_true(inspect(w, &gone, PATIENCE) < 0);
	assert_int_equal(inspect(w, &f, PATIENCE), 0);
	worker_free(w);
}

static void *block_on_fifo(void *path)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC); /* until somebody reads it */

	close(fd);
	return NULL;
}

/* Nothing but a file is opened: a writer that waits at a FIFO must go on waiting. */
static void no_pipe_device_or_folder_is_opened(void **state)
{
	struct worker_file fifo, null = file_of("/dev/null"), dir = file_of(folder);
	char path[128];
	pthread_t writer;
	struct worker *w;
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/fifo", folder);
	assert_int_equal(mkfifo(path, 0666), 0);
	fifo = file_of(path);
	assert_int_equal(pthread_create(&writer, NULL, block_on_fifo, path), 0);
	assert_int_equal(worker_new(NULL, &w), 0);
	assert_int_equal(inspect(w, &fifo, PATIENCE), -EINVAL);
	assert_int_equal(inspect(w, &null, PATIENCE), -EINVAL);
	assert_int_equal(inspect(w, &dir, PATIENCE), -EINVAL);
	assert_int_equal(pthread_tryjoin_np(writer, NULL), EBUSY);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	pthread_join(writer, NULL);
	close(fd);
	worker_free(w);
}

struct elsewhere {
	uint64_t start, end, inode;
	uint32_t dev;
	int ok;
};

/* In a mount namespace of its own, with a file system that nobody else sees: maps a file and says where. */
static void map_elsewhere(struct elsewhere *e, int ready, bool remove)
{
	struct buf b = { 0 };
	char line[512];
	FILE *maps;
	int fd;

	/* Our own path first: in a changed root (chroot) it reads otherwise from the new namespace. */
	if (!image_load(own_path(), &b) || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", folder, "tmpfs", 0, NULL) < 0)
		goto out;
	write_file(in_folder("mapped"), b.data, b.size);
	fd = open(in_folder("mapped"), O_RDONLY | O_CLOEXEC);
	if (mmap(NULL, 8192, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED)
		goto out;
	close(fd);
	if (remove)
		unlink(in_folder("mapped"));
	maps = fopen("/proc/self/maps", "r");
	while (maps && fgets(line, sizeof(line), maps)) {
		unsigned int major_nr, minor_nr;

		if (strstr(line, "/mapped") &&
		    sscanf(line, "%lx-%lx %*s %*s %x:%x %lu", &e->start, &e->end, &major_nr,
			   &minor_nr, &e->inode) == 5) {
			e->dev = major_nr << 20 | minor_nr;
			e->ok = 1;
		}
	}
out:
	(void)!write(ready, "", 1);
	pause();
}

/* By a worker that never opened it before. */
static int inspect_afresh(const struct worker_file *f)
{
	struct worker *w;
	int r;

	assert_int_equal(worker_new(NULL, &w), 0);
	r = inspect(w, f, PATIENCE);
	worker_free(w);
	return r;
}

static void files_of_other_namespaces_and_deleted_ones(void **state)
{
	struct elsewhere *e =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct worker *w;

	(void)state;
	if (!is_root())
		skip();
	assert_int_equal(worker_new(NULL, &w), 0);
	for (int removed = 0; removed < 2; removed++) {
		struct worker_file f;
		int ready[2];
		pid_t pid;
		char c;

		memset(e, 0, sizeof(*e));
		assert_int_equal(pipe(ready), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			map_elsewhere(e, ready[1], removed);
			_exit(0);
		}
		assert_int_equal(read(ready[0], &c, 1), 1);
		assert_true(e->ok);
		f = (struct worker_file){ .inode = e->inode,
					  .dev = e->dev,
					  .pid = (uint32_t)pid,
					  .start = e->start,
					  .end = e->end,
					  .path = in_folder("mapped") };
		assert_int_equal(inspect(w, &f, PATIENCE), 0); /* by map_files */
		f.start = f.end = 0;
		/* by /proc/PID/root, where it was not removed */
		assert_int_equal(inspect_afresh(&f), removed ? -ENOENT : 0);
		f.pid = 0;
		assert_true(inspect_afresh(&f) < 0); /* in our namespace there is no such file */
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		/* For some seconds by the descriptor that was opened while it lived. */
		f.pid = (uint32_t)pid;
		assert_int_equal(inspect(w, &f, PATIENCE), 0);
		assert_true(inspect_afresh(&f) < 0);
		close(ready[0]);
		close(ready[1]);
	}
	worker_free(w);
	munmap(e, 4096);
}

/* ---- helpers that die, hang and lie ---- */

static void a_file_that_spins_is_given_up_and_remembered(void **state)
{
	struct worker_options o = options("fake-spin", 300 * NS_PER_MSEC);
	struct worker_file poison, f = file_of(own_path());
	struct worker_stats before, after;
	struct worker *w;

	(void)state;
	make_poison(in_folder("poison"));
	poison = file_of(in_folder("poison"));
	assert_int_equal(worker_new_with(&o, &w), 0);
	assert_int_equal(inspect(w, &poison, PATIENCE), -ETIMEDOUT);
	assert_int_equal(inspect(w, &f, PATIENCE), -EBADMSG); /* the next parser answers */
	worker_stats(w, &before);
	assert_int_equal(before.timeouts, 1);
	assert_int_equal(inspect(w, &poison, PATIENCE), -ETIMEDOUT);
	worker_stats(w, &after);
	assert_int_equal(after.timeouts, 1); /* known: not waited for again */
	assert_int_equal(after.starts, before.starts);
	worker_free(w);
}

static int ask(struct worker *w, enum worker_job_kind kind, const struct worker_file *f)
{
	const uint64_t offset = 4096;
	struct worker_reply *r;
	int error;

	assert_int_equal(worker_submit(w, kind, f, &offset, 1, 1), 0);
	r = wait_reply(w, PATIENCE);
	error = r->error;
	worker_reply_free(r);
	return error;
}

static void a_file_whose_dwarf_kills_keeps_its_symbols(void **state)
{
	struct worker_options o = options("fake-lines", 60 * NS_PER_SEC);
	struct worker_file f = file_of(own_path());
	struct worker_stats before, after;
	struct worker *w;

	(void)state;
	assert_int_equal(worker_new_with(&o, &w), 0);
	assert_int_equal(ask(w, WORKER_LINES, &f), -EPIPE);
	assert_int_equal(ask(w, WORKER_NAME, &f), -EBADMSG); /* the fake's answer: it was asked */
	worker_stats(w, &before);
	assert_int_equal(before.deaths, 1);
	assert_int_equal(ask(w, WORKER_LINES, &f), -EPIPE);
	assert_int_equal(ask(w, WORKER_NAME, &f), -EBADMSG);
	worker_stats(w, &after);
	assert_int_equal(after.deaths, 1);
	assert_int_equal(after.starts, before.starts);
	worker_free(w);
}

static inline __attribute__((always_inline)) uint64_t inlined_for_the_test(uint64_t x)
{
	for (volatile int i = 0; i < 3; i++)
		x = x * 31 + 7;
	return x;
}

__attribute__((noinline)) static uint64_t has_something_inlined(uint64_t x)
{
	return inlined_for_the_test(x);
}

static void lines_and_inlined_functions_come_back(void **state)
{
	struct worker_file f = file_of(own_path());
	uint64_t offsets[600], start = own_offset((void *)has_something_inlined);
	struct worker_reply *r;
	struct worker *w;
	bool seen = false;

	(void)state;
	assert_true(has_something_inlined(1) != 0);
	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++)
		offsets[i] = start + i;
	assert_int_equal(worker_new(NULL, &w), 0);
	assert_int_equal(worker_submit(w, WORKER_LINES, &f, offsets, ARRAY_SIZE(offsets), 5), 0);
	r = wait_reply(w, PATIENCE);
	assert_int_equal(r->error, 0);
	assert_int_equal(r->names_n, ARRAY_SIZE(offsets));
	assert_string_equal(r->names[0].name, "has_something_inlined");
	assert_non_null(strstr(r->names[0].file, "test_worker.c"));
	assert_true(r->names[0].line >= r->names[0].first_line && r->names[0].first_line > 0);
	for (size_t i = 0; i < r->names_n; i++)
		if (r->names[i].inlines_n == 1)
			seen |= strcmp(r->inlines[r->names[i].inlines_first].name,
				       "inlined_for_the_test") == 0;
	assert_true(seen);
	worker_reply_free(r);
	worker_free(w);
}

static void a_parser_killed_amid_a_job(void **state)
{
	struct worker_options o = options("fake-hang", 60 * NS_PER_SEC);
	struct worker_file poison, f = file_of(own_path());
	struct worker_stats stats;
	struct worker_reply *r;
	struct worker *w;

	(void)state;
	make_poison(in_folder("poison"));
	poison = file_of(in_folder("poison"));
	assert_int_equal(worker_new_with(&o, &w), 0);
	worker_stats(w, &stats);
	assert_true(stats.parser > 0 && stats.opener > 0);
	assert_int_equal(worker_submit(w, WORKER_INSPECT, &poison, NULL, 0, 1), 0);
	usleep(100000); /* most likely in the job by now; before it, it would only be started again */
	assert_int_equal(kill(stats.parser, SIGKILL), 0);
	r = wait_reply(w, PATIENCE);
	assert_int_equal(r->error, -EPIPE);
	worker_reply_free(r);
	assert_int_equal(inspect(w, &f, PATIENCE), -EBADMSG);
	assert_int_equal(inspect(w, &poison, PATIENCE), -EPIPE);
	worker_stats(w, &stats);
	assert_int_equal(stats.deaths, 1);
	worker_free(w);
}

static void helpers_killed_while_idle_are_nobodys_fault(void **state)
{
	struct worker_file f = file_of(own_path());
	struct worker_stats stats;
	struct worker *w;

	(void)state;
	assert_int_equal(worker_new(NULL, &w), 0);
	for (int i = 0; i < 3; i++) {
		worker_stats(w, &stats);
		assert_int_equal(kill(stats.parser, SIGKILL), 0);
		assert_int_equal(kill(stats.opener, SIGKILL), 0);
		while (kill(stats.parser, 0) == 0 || kill(stats.opener, 0) == 0) {
			siginfo_t s = { 0 };

			/* Zombies until the worker's thread sees them: dead is enough. */
			if (waitid(P_PID, (id_t)stats.parser, &s, WEXITED | WNOHANG | WNOWAIT) ==
				    0 &&
			    s.si_pid &&
			    waitid(P_PID, (id_t)stats.opener, &s, WEXITED | WNOHANG | WNOWAIT) ==
				    0 &&
			    s.si_pid)
				break;
			usleep(1000);
		}
		assert_int_equal(inspect(w, &f, PATIENCE), 0);
	}
	worker_stats(w, &stats);
	assert_int_equal(stats.deaths, 0);
	worker_free(w);
}

/* Eight at once, then one a second. */
static void restarts_are_bounded(void **state)
{
	struct worker_options o = options("fake-die", 10 * NS_PER_SEC);
	uint64_t begin = clock_mono_ns(), took;
	struct worker_stats stats;
	struct worker *w;
	char name[32];

	(void)state;
	assert_int_equal(worker_new_with(&o, &w), 0);
	for (int i = 0; i < 10; i++) {
		struct worker_file f;

		snprintf(name, sizeof(name), "poison-%d", i);
		make_poison(in_folder(name));
		f = file_of(in_folder(name));
		assert_int_equal(inspect(w, &f, PATIENCE), -EPIPE);
	}
	took = clock_mono_ns() - begin;
	worker_stats(w, &stats);
	assert_int_equal(stats.deaths, 10);
	assert_true(took > 1500 * NS_PER_MSEC);
	begin = clock_mono_ns();
	worker_free(w); /* nor does a wait for the next start hold up the end */
	assert_true(clock_mono_ns() - begin < NS_PER_SEC);
}

static void lies_are_seen_and_remembered(void **state)
{
	static const char *const modes[] = { "fake-magic", "fake-sequence", "fake-short",
					     "fake-count", "fake-length",   "fake-empty",
					     "fake-error", "fake-more",	    "fake-long",
					     "fake-bytes" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		struct worker_options o = options(modes[i], 5 * NS_PER_SEC);
		struct worker_file poison, f = file_of(own_path());
		struct worker_reply *r;
		uint64_t offset = 0x1000;
		struct worker *w;

		make_poison(in_folder("poison"));
		poison = file_of(in_folder("poison"));
		assert_int_equal(worker_new_with(&o, &w), 0);
		assert_int_equal(worker_submit(w, WORKER_NAME, &poison, &offset, 1, 1), 0);
		r = wait_reply(w, PATIENCE);
		if (r->error != -EPIPE)
			fail_msg("%s: %d", modes[i], r->error);
		assert_int_equal(r->names_n, 0);
		worker_reply_free(r);
		assert_int_equal(inspect(w, &f, PATIENCE), -EBADMSG);
		worker_free(w);
	}
}

static void a_sandbox_that_cannot_stand_is_told_at_once(void **state)
{
	struct worker_options o = options("fake-refusal", NS_PER_SEC);
	struct worker *w = NULL;

	(void)state;
	assert_int_equal(worker_new_with(&o, &w), -EPERM);
	assert_null(w);
	o.executable = "/nonexistent";
	assert_int_equal(worker_new_with(&o, &w), -ENOENT);
	o.executable = "/bin/true"; /* ends before it says anything */
	assert_int_equal(worker_new_with(&o, &w), -EPIPE);
}

/* ---- what the processes are ---- */

static bool status_has(pid_t pid, const char *line)
{
	char path[64], text[256];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "r");
	while (f && fgets(text, sizeof(text), f)) {
		text[strcspn(text, "\n")] = 0;
		found |= strcmp(text, line) == 0;
	}
	if (f)
		fclose(f);
	return found;
}

/* Both soft and hard, by /proc: prlimit would need CAP_SYS_RESOURCE. */
static bool limit_is(pid_t pid, const char *what, const char *value)
{
	char path[64], text[256], soft[32], hard[32];
	bool is = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/limits", pid);
	f = fopen(path, "r");
	while (f && fgets(text, sizeof(text), f))
		if (strncmp(text, what, strlen(what)) == 0 &&
		    sscanf(text + strlen(what), "%31s %31s", soft, hard) == 2)
			is = strcmp(soft, value) == 0 && strcmp(hard, value) == 0;
	if (f)
		fclose(f);
	return is;
}

static size_t descriptors(pid_t pid)
{
	char path[64], target[64];
	size_t n = 0;

	for (int fd = 0; fd < 1024; fd++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
		n += readlink(path, target, sizeof(target)) > 0;
	}
	return n;
}

static void the_helpers_have_given_everything_up(void **state)
{
	struct worker_stats stats;
	struct worker *w;
	int left_open;

	(void)state;
	if (!is_root())
		skip();
	left_open = fcntl(1, F_DUPFD, 50); /* one that an exec would hand on */
	assert_true(left_open >= 50);
	assert_int_equal(worker_new(NULL, &w), 0);
	worker_stats(w, &stats);
	assert_true(status_has(stats.parser, "Uid:\t65534\t65534\t65534\t65534"));
	assert_true(status_has(stats.parser, "Gid:\t65534\t65534\t65534\t65534"));
	assert_true(status_has(stats.parser, "Groups:\t ") ||
		    status_has(stats.parser, "Groups:\t"));
	assert_true(status_has(stats.parser, "CapEff:\t0000000000000000"));
	assert_true(status_has(stats.parser, "CapPrm:\t0000000000000000"));
	assert_true(status_has(stats.parser, "CapBnd:\t0000000000000000"));
	assert_true(status_has(stats.parser, "NoNewPrivs:\t1"));
	assert_true(status_has(stats.parser, "Seccomp:\t2"));
	assert_true(status_has(stats.opener, "NoNewPrivs:\t1"));
	assert_true(status_has(stats.opener, "Seccomp:\t2"));
	assert_int_equal(descriptors(stats.parser), 4);
	assert_int_equal(descriptors(stats.opener), 4);
	assert_true(limit_is(stats.parser, "Max processes", "0"));
	assert_true(limit_is(stats.parser, "Max file size", "0"));
	assert_true(limit_is(stats.parser, "Max core file size", "0"));
#ifndef KYMO_SANITIZED
	assert_true(limit_is(stats.parser, "Max address space", "1073741824"));
#endif
	assert_true(getpgid(stats.parser) != getpgrp()); /* Ctrl-C does not reach it */
	worker_free(w);
	close(left_open);
	assert_int_equal(kill(stats.parser, 0), -1);
	assert_int_equal(kill(stats.opener, 0), -1);
}

/* An agent whose parser computes for ever, until it is killed. */
static void be_an_agent(struct worker_stats *stats, int ready)
{
	struct worker_options o = options("fake-spin", 60 * NS_PER_SEC);
	struct worker_file poison;
	struct worker *w;

	make_poison(in_folder("poison"));
	poison = file_of(in_folder("poison"));
	if (worker_new_with(&o, &w) == 0) {
		worker_stats(w, stats);
		(void)worker_submit(w, WORKER_INSPECT, &poison, NULL, 0, 1);
		usleep(100000);
	}
	(void)!write(ready, "", 1);
	pause();
}

/* kill -9 of the agent leaves nobody behind: neither who waits for it, nor who is at work. */
static void the_helpers_die_with_the_agent(void **state)
{
	struct worker_stats *stats =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int ready[2], pidfds[2];
	pid_t agent;
	char c;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	agent = fork();
	assert_true(agent >= 0);
	if (agent == 0)
		be_an_agent(stats, ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_true(stats->parser > 0);
	pidfds[0] = (int)syscall(SYS_pidfd_open, stats->parser, 0);
	pidfds[1] = (int)syscall(SYS_pidfd_open, stats->opener, 0);
	kill(agent, SIGKILL);
	waitpid(agent, NULL, 0);
	for (int i = 0; i < 2; i++) {
		struct pollfd p = { .fd = pidfds[i], .events = POLLIN };

		assert_true(pidfds[i] >= 0);
		assert_int_equal(poll(&p, 1, 5000), 1);
		close(pidfds[i]);
	}
	close(ready[0]);
	close(ready[1]);
	munmap(stats, 4096);
}

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_facts_come_back),
		cmocka_unit_test(names_are_demangled),
		cmocka_unit_test(a_large_job_comes_back_whole),
		cmocka_unit_test(hostile_names_come_back_as_text),
		cmocka_unit_test(a_changed_file_is_read_again),
		cmocka_unit_test(a_full_queue_says_so),
		cmocka_unit_test(rules_come_before_names),
		cmocka_unit_test(rules_have_the_share_of_who_asks),
		cmocka_unit_test(only_the_file_that_was_asked_for),
		cmocka_unit_test(no_pipe_device_or_folder_is_opened),
		cmocka_unit_test(files_of_other_namespaces_and_deleted_ones),
		cmocka_unit_test(a_file_that_spins_is_given_up_and_remembered),
		cmocka_unit_test(a_file_whose_dwarf_kills_keeps_its_symbols),
		cmocka_unit_test(lines_and_inlined_functions_come_back),
		cmocka_unit_test(a_parser_killed_amid_a_job),
		cmocka_unit_test(helpers_killed_while_idle_are_nobodys_fault),
		cmocka_unit_test(restarts_are_bounded),
		cmocka_unit_test(lies_are_seen_and_remembered),
		cmocka_unit_test(a_sandbox_that_cannot_stand_is_told_at_once),
		cmocka_unit_test(the_helpers_have_given_everything_up),
		cmocka_unit_test(the_helpers_die_with_the_agent),
	};
	int r = run_as_helper(argc, argv);

	if (r >= 0)
		return r;
	return cmocka_run_group_tests_name("worker", tests, make_folder, remove_folder);
}
