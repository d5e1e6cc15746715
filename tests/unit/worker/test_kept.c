/* SPDX-License-Identifier: Apache-2.0 */
/* Answers that a worker finds on disk are those that its parser would give. */
#include "unit/test.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "unit/worker/helpers.h"
#include "worker/client.h"

#define PATIENCE (20 * NS_PER_SEC)

static char folder[] = "/tmp/kymo-kept-XXXXXX";

static const char *in_folder(const char *name)
{
	static char path[2][128];
	static int turn;

	turn ^= 1;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", folder, name);
	return path[turn];
}

static const char *own_path(void)
{
	static char path[512];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	assert_true(n > 0);
	path[n] = 0;
	return path;
}

static void write_file(const char *path, const void *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), size);
	close(fd);
}

/* Answers about the file of f, INSPECT and UNWIND; the table is the caller's. How many the disk had is returned. */
static uint64_t ask_both(const struct worker_options *o, const struct worker_file *f,
			 struct elf_facts *ret_facts, struct worker_reply **ret_unwind)
{
	struct worker_stats stats;
	struct worker_reply *r;
	struct worker *w;

	assert_int_equal(worker_new_with(o, &w), 0);
	assert_int_equal(worker_submit(w, WORKER_INSPECT, f, NULL, 0, 1), 0);
	r = wait_reply(w, PATIENCE);
	assert_int_equal(r->error, 0);
	*ret_facts = r->facts;
	worker_reply_free(r);
	assert_int_equal(worker_submit(w, WORKER_UNWIND, f, NULL, 0, 1), 0);
	*ret_unwind = wait_reply(w, PATIENCE);
	assert_int_equal((*ret_unwind)->error, 0);
	worker_stats(w, &stats);
	worker_free(w);
	return stats.kept;
}

/* The identity that the opener gives the file. */
static struct file_identity identity_of(const struct worker_file *f)
{
	struct client *c = malloc(sizeof(*c));
	const struct job job = { .kind = WORKER_INSPECT, .file = *f };
	const struct client_path path = { .what = OPEN_MAPPED, .path = f->path };
	struct file_identity identity = { 0 };
	int fd;

	client_init(c, &worker_defaults, -1);
	assert_int_equal(client_open(c, &job, &path, &identity, &fd), 0);
	close(fd);
	client_release(c);
	free(c);
	return identity;
}

static void answers_are_kept_on_disk(void **state)
{
	struct worker_options o = worker_defaults;
	struct elf_facts first_facts, facts;
	struct worker_reply *first, *again;
	struct worker_file f;
	_cleanup_(buf_release) struct buf own = { 0 };

	(void)state;
	o.cache = strdup(in_folder("cache"));
	assert_int_equal(file_read(-1, own_path(), 256 << 20, &own), 0);
	write_file(in_folder("kept"), own.data, own.size);
	f = file_of(in_folder("kept"));
	f.path = strdup(f.path);
	if (!identity_of(&f).fs) {
		print_message("[  SKIPPED ] a file system whose answers are not kept\n");
		skip();
	}
	assert_int_equal(ask_both(&o, &f, &first_facts, &first), 0);
	assert_true(first->table->rows_n > 100);
	assert_int_equal(ask_both(&o, &f, &facts, &again), 2);
	assert_memory_equal(&facts, &first_facts, sizeof(facts));
	assert_int_equal(again->table->rows_n, first->table->rows_n);
	assert_memory_equal(again->table->rows, first->table->rows,
			    first->table->rows_n * sizeof(*first->table->rows));
	worker_reply_free(again);
	/* Written anew, though all but its change time is as before: another file. */
	write_file(f.path, own.data, own.size);
	assert_int_equal(ask_both(&o, &f, &facts, &again), 0);
	worker_reply_free(again);
	worker_reply_free(first);
	free((char *)f.path);
	free((char *)o.cache);
}

/* Sound bytes that are no answer: the file is parsed, and its answer takes their place. */
static void kept_lies_are_not_believed(void **state)
{
	struct worker_options o = worker_defaults;
	struct disk_cache disk;
	struct file_identity identity;
	struct worker_reply *r;
	struct elf_facts facts;
	struct worker_file f = file_of(own_path());

	(void)state;
	o.cache = strdup(in_folder("lies"));
	identity = identity_of(&f);
	if (!identity.fs) {
		print_message("[  SKIPPED ] a file system whose answers are not kept\n");
		skip();
	}
	memset(&facts, 0xff, sizeof(facts));
	assert_int_equal(disk_cache_open(&disk, o.cache, 1 << 20), 0);
	assert_int_equal(disk_cache_store(&disk, &identity, WORKER_INSPECT, &facts, sizeof(facts)),
			 0);
	assert_int_equal(disk_cache_store(&disk, &identity, WORKER_UNWIND, &facts, sizeof(facts)),
			 0);
	disk_cache_close(&disk);
	assert_int_equal(ask_both(&o, &f, &facts, &r), 0);
	assert_true(facts.is_elf && r->table->rows_n > 100);
	worker_reply_free(r);
	assert_int_equal(ask_both(&o, &f, &facts, &r), 2);
	worker_reply_free(r);
	free((char *)o.cache);
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
	snprintf(command, sizeof(command), "rm -r %s", folder);
	return system(command);
}

int main(int argc, char **argv)
{
	int r = run_as_helper(argc, argv);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_kept_on_disk),
		cmocka_unit_test(kept_lies_are_not_believed),
	};

	if (r >= 0)
		return r;
	return cmocka_run_group_tests_name("kept", tests, make_folder, remove_folder);
}
