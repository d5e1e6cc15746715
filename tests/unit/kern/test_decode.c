/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records with wrong sizes, counts, kinds and unterminated texts are refused, and never read beyond
 * their end.
 */
#include "unit/test.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kern/decode.h"

/* A copy that ends where its allocation ends: a sanitizer sees any read behind it. */
static void *exact(const void *data, size_t size)
{
	void *copy = malloc(size ? size : 1);

	assert_non_null(copy);
	memcpy(copy, data, size);
	return copy;
}

struct sample_record {
	struct kymo_sample head;
	uint64_t kernel[2];
	struct kymo_frame user[3];
};

static struct sample_record good_sample(void)
{
	struct sample_record r = {
		.head = { .head = { .type = KYMO_RECORD_SAMPLE, .size = sizeof(r), .time_ns = 7 },
			  .who = { .pid = 1, .tid = 2, .comm = "busy" },
			  .source = KYMO_SOURCE_CPU,
			  .end = KYMO_END_WHOLE,
			  .kernel_frames = 2,
			  .user_frames = 3 },
		.kernel = { 0xffffffff81000000, 0xffffffff81000001 },
		.user = { { .address = 1, .kind = KYMO_FRAME_NATIVE },
			  { .address = 2, .kind = KYMO_FRAME_PYTHON },
			  { .address = 3, .kind = KYMO_FRAME_NATIVE } },
	};
	return r;
}

static int decode_sample_exact(const void *data, size_t size)
{
	struct raw_sample ret;
	void *copy = exact(data, size);
	int r = decode_sample(copy, size, &ret);

	free(copy);
	return r;
}

static void test_sample(void **state)
{
	struct sample_record r = good_sample();
	struct raw_sample ret;

	(void)state;
	assert_int_equal(decode_type(&r, sizeof(r)), KYMO_RECORD_SAMPLE);
	assert_int_equal(decode_sample(&r, sizeof(r), &ret), 0);
	assert_ptr_equal(ret.head, &r.head);
	assert_true(ret.kernel[1] == 0xffffffff81000001);
	assert_int_equal(ret.user[2].address, 3);
}

static void test_sample_every_cut_is_refused(void **state)
{
	struct sample_record r = good_sample();

	(void)state;
	for (size_t size = 0; size < sizeof(r); size++) {
		assert_int_equal(decode_sample_exact(&r, size), -EBADMSG);
		r.head.head.size = (uint32_t)size; /* also where the record agrees with the cut */
		assert_int_equal(decode_sample_exact(&r, size), -EBADMSG);
		r.head.head.size = sizeof(r);
	}
}

#define REFUSED(change)                                                         \
	do {                                                                    \
		struct sample_record r = good_sample();                         \
		change;                                                         \
		assert_int_equal(decode_sample_exact(&r, sizeof(r)), -EBADMSG); \
	} while (0)

static void test_sample_hostile(void **state)
{
	(void)state;
	REFUSED(r.head.head.type = KYMO_RECORD_CODE);
	REFUSED(r.head.head.type = 0);
	REFUSED(r.head.head.size = 0);
	REFUSED(r.head.head.size = UINT32_MAX);
	REFUSED(r.head.kernel_frames = 1);
	REFUSED(r.head.kernel_frames = UINT16_MAX);
	REFUSED(r.head.user_frames = KYMO_USER_FRAMES_MAX + 1);
	REFUSED(r.head.user_frames = UINT16_MAX);
	REFUSED(r.head.source = 0);
	REFUSED(r.head.source = KYMO_SOURCE_MAX);
	REFUSED(r.head.end = KYMO_END_MAX);
	REFUSED(r.user[1].kind = 0);
	REFUSED(r.user[1].kind = 3);
	REFUSED(memset(r.head.who.comm, 'x', sizeof(r.head.who.comm)));
}

/* name and table of sizes that need padding */
struct code_record {
	struct kymo_code head;
	uint8_t file[16], name[8], table[24];
};

static struct code_record good_code(void)
{
	struct code_record r = {
		.head = { .head = { .type = KYMO_RECORD_CODE, .size = sizeof(r) },
			  .file_kind = 1,
			  .name_kind = 1,
			  .file_size = 13,
			  .name_size = 4,
			  .table_size = 17 },
		.file = "/tmp/shares.py",
		.name = "main",
	};
	r.table[16] = 0x5a;
	return r;
}

static int decode_code_exact(const void *data, size_t size)
{
	struct kern_code ret;
	void *copy = exact(data, size);
	int r = decode_code(copy, size, &ret);

	free(copy);
	return r;
}

/* What a probe told stands behind the frames of its sources, and of no other. */
static void test_probe(void **state)
{
	struct {
		struct sample_record sample;
		struct kymo_probe probe;
	} r = { .sample = good_sample(), .probe = { .generation = 2, .name = "module" } };
	struct raw_sample ret;

	(void)state;
	r.sample.head.source = KYMO_SOURCE_IMPORT;
	assert_int_equal(decode_sample_exact(&r, sizeof(r.sample)), -EBADMSG);
	r.sample.head.head.size = sizeof(r);
	assert_int_equal(decode_sample_exact(&r, sizeof(r)), -EBADMSG);
	r.sample.head.probe_bytes = sizeof(r.probe);
	assert_int_equal(decode_sample(&r, sizeof(r), &ret), 0);
	assert_ptr_equal(ret.probe, &r.probe);
	r.sample.head.source = KYMO_SOURCE_CPU;
	assert_int_equal(decode_sample_exact(&r, sizeof(r)), -EBADMSG);
	r.sample.head.source = KYMO_SOURCE_GC;
	for (unsigned bytes = 0; bytes < 0x10000; bytes++) {
		r.sample.head.probe_bytes = (uint16_t)bytes;
		assert_int_equal(decode_sample(&r, sizeof(r), &ret),
				 bytes == sizeof(r.probe) ? 0 : -EBADMSG);
	}
	r.sample.head.probe_bytes = sizeof(r.probe);
	r.probe.value_known = 2;
	assert_int_equal(decode_sample_exact(&r, sizeof(r)), -EBADMSG);
	r.probe.value_known = 1;
	memset(r.probe.name, 'x', sizeof(r.probe.name));
	assert_int_equal(decode_sample_exact(&r, sizeof(r)), -EBADMSG);
}

static void test_code(void **state)
{
	struct code_record r = good_code();
	struct kern_code ret;

	(void)state;
	assert_int_equal(decode_code(&r, sizeof(r), &ret), 0);
	assert_memory_equal(ret.file, "/tmp/shares.py", 13);
	assert_memory_equal(ret.name, "main", 4);
	assert_int_equal(ret.table[16], 0x5a);
}

static void test_code_hostile(void **state)
{
	struct code_record r = good_code();

	(void)state;
	for (size_t size = 0; size < sizeof(r); size++) {
		r.head.head.size = (uint32_t)size;
		assert_int_equal(decode_code_exact(&r, size), -EBADMSG);
	}
#define REFUSED_CODE(change)                                                  \
	do {                                                                  \
		r = good_code();                                              \
		change;                                                       \
		assert_int_equal(decode_code_exact(&r, sizeof(r)), -EBADMSG); \
	} while (0)
	REFUSED_CODE(r.head.file_size = UINT16_MAX);
	REFUSED_CODE(r.head.name_size = KYMO_CODE_NAME_MAX + 1);
	REFUSED_CODE(r.head.table_size = UINT32_MAX);
	REFUSED_CODE(r.head.table_size = UINT32_MAX - 6); /* rounding it up overflows 32 bits */
	REFUSED_CODE(r.head.table_size = 25);
	REFUSED_CODE(r.head.file_kind = 0);
	REFUSED_CODE(r.head.name_kind = 3);
	REFUSED_CODE(r.head.head.type = KYMO_RECORD_SAMPLE);
}

/* ---- sideband ---- */

struct sideband_record {
	uint64_t words[32];
	size_t size;
};

static void put(struct sideband_record *r, const void *data, size_t size)
{
	memcpy((uint8_t *)r->words + r->size, data, size);
	r->size += size;
}

static void begin(struct sideband_record *r, uint32_t type, uint16_t misc)
{
	struct perf_event_header header = { .type = type, .misc = misc };

	*r = (struct sideband_record){ 0 };
	put(r, &header, sizeof(header));
}

static void end(struct sideband_record *r, uint64_t time_ns)
{
	struct perf_event_header *header = (void *)r->words;

	r->size = (r->size + 7) & ~(size_t)7;
	put(r, &time_ns, sizeof(time_ns));
	header->size = (uint16_t)r->size;
}

static struct sideband_record mmap2(uint32_t prot, const char *path)
{
	uint32_t ids[2] = { 10, 11 }, dev[2] = { 8, 3 }, flags[2] = { prot, 0 };
	uint64_t range[3] = { 0x400000, 0x2000, 0x1000 }, inode[2] = { 99, 0 };
	struct sideband_record r;

	begin(&r, PERF_RECORD_MMAP2, 0);
	put(&r, ids, sizeof(ids));
	put(&r, range, sizeof(range));
	put(&r, dev, sizeof(dev));
	put(&r, inode, sizeof(inode));
	put(&r, flags, sizeof(flags));
	put(&r, path, strlen(path) + 1);
	end(&r, 1234);
	return r;
}

static int decode_exact(const struct sideband_record *r, size_t size)
{
	struct process_event ret;
	void *copy = exact(r->words, size);
	int e = decode_sideband(copy, size, &ret);

	free(copy);
	return e;
}

static void test_mmap(void **state)
{
	struct sideband_record r = mmap2(PROT_READ | PROT_EXEC, "/usr/lib/x.so");
	struct process_event e;

	(void)state;
	assert_int_equal(decode_sideband(r.words, r.size, &e), 1);
	assert_int_equal(e.kind, PROCESS_MMAP);
	assert_int_equal(e.time_ns, 1234);
	assert_int_equal(e.pid, 10);
	assert_int_equal(e.tid, 11);
	assert_int_equal(e.start, 0x400000);
	assert_int_equal(e.end, 0x402000);
	assert_int_equal(e.pgoff_bytes, 0x1000);
	assert_int_equal(e.inode, 99);
	assert_int_equal(e.dev, 8 << 20 | 3);
	assert_string_equal(e.path, "/usr/lib/x.so");
	r = mmap2(PROT_READ, "/usr/lib/x.so");
	assert_int_equal(decode_sideband(r.words, r.size, &e), 0);
}

struct exec_record {
	struct kymo_exec head;
	char args[16];
};

static int decode_exec_exact(const struct exec_record *r, size_t size)
{
	struct process_event e;
	void *copy = exact(r, size);
	int ret = decode_exec(copy, size, &e);

	free(copy);
	return ret;
}

static void test_exec(void **state)
{
	struct exec_record r = { .head = { .head = { KYMO_RECORD_EXEC, 0, sizeof(r), 9 },
					   .pid = 5,
					   .uid = 1000,
					   .args_size = 10 },
				 .args = "perl\0x.pl" };
	struct process_event e;

	(void)state;
	assert_int_equal(decode_exec(&r, sizeof(r), &e), 0);
	assert_int_equal(e.kind, PROCESS_ARGS);
	assert_int_equal(e.pid, 5);
	assert_int_equal(e.tid, 5);
	assert_int_equal(e.uid, 1000);
	assert_int_equal(e.time_ns, 9);
	assert_int_equal(e.args_size, 10);
	assert_memory_equal(e.args, "perl\0x.pl", 10);
	for (size_t size = 0; size < sizeof(r); size++) {
		assert_int_equal(decode_exec_exact(&r, size), -EBADMSG);
		r.head.head.size = (uint32_t)size;
		assert_int_equal(decode_exec_exact(&r, size), -EBADMSG);
		r.head.head.size = sizeof(r);
	}
	for (uint32_t size = 17; size < 5000; size++) {
		r.head.args_size = size;
		assert_int_equal(decode_exec_exact(&r, sizeof(r)), -EBADMSG);
	}
	r.head.args_size = UINT32_MAX;
	assert_int_equal(decode_exec_exact(&r, sizeof(r)), -EBADMSG);
}

struct thread_record {
	struct kymo_thread_name head;
	char name[16];
};

static int decode_thread_exact(const struct thread_record *r, size_t size)
{
	struct kern_thread t;
	void *copy = exact(r, size);
	int ret = decode_thread(copy, size, &t);

	free(copy);
	return ret;
}

static void test_thread_names(void **state)
{
	struct thread_record r = { .head = { .head = { KYMO_RECORD_THREAD, 0, sizeof(r), 9 },
					     .who = { .pid = 5, .tid = 6 },
					     .name_size = 10,
					     .name_kind = 2 },
				   .name = "w\0o\0r\0k\0" };
	struct kern_thread t;

	(void)state;
	assert_int_equal(decode_thread(&r, sizeof(r), &t), 0);
	assert_int_equal(t.head->who.tid, 6);
	assert_memory_equal(t.name, "w\0o\0r\0k\0\0\0", 10);
	for (size_t size = 0; size < sizeof(r); size++) {
		assert_int_equal(decode_thread_exact(&r, size), -EBADMSG);
		r.head.head.size = (uint32_t)size;
		assert_int_equal(decode_thread_exact(&r, size), -EBADMSG);
		r.head.head.size = sizeof(r);
	}
	r.head.name_kind = 3;
	assert_int_equal(decode_thread_exact(&r, sizeof(r)), -EBADMSG);
	r.head.name_kind = 1;
	memset(r.head.who.comm, 'x', sizeof(r.head.who.comm));
	assert_int_equal(decode_thread_exact(&r, sizeof(r)), -EBADMSG);
	r.head.who.comm[0] = 0;
	for (uint32_t size = 17; size <= UINT16_MAX; size++) {
		r.head.name_size = (uint16_t)size;
		assert_int_equal(decode_thread_exact(&r, sizeof(r)), -EBADMSG);
	}
}

static void test_tasks(void **state)
{
	uint32_t ids[2] = { 5, 6 }, task[4] = { 5, 4, 6, 4 };
	uint64_t time = 77, lost[2] = { 1, 42 };
	struct sideband_record r;
	struct process_event e;

	(void)state;
	begin(&r, PERF_RECORD_COMM, PERF_RECORD_MISC_COMM_EXEC);
	put(&r, ids, sizeof(ids));
	put(&r, "bash", 5);
	end(&r, 1);
	assert_int_equal(decode_sideband(r.words, r.size, &e), 1);
	assert_int_equal(e.kind, PROCESS_EXEC);
	assert_string_equal(e.comm, "bash");
	begin(&r, PERF_RECORD_FORK, 0);
	put(&r, task, sizeof(task));
	put(&r, &time, sizeof(time));
	end(&r, 2);
	assert_int_equal(decode_sideband(r.words, r.size, &e), 1);
	assert_int_equal(e.kind, PROCESS_FORK);
	assert_int_equal(e.pid, 5);
	assert_int_equal(e.parent_pid, 4);
	assert_int_equal(e.tid, 6);
	begin(&r, PERF_RECORD_LOST, 0);
	put(&r, lost, sizeof(lost));
	end(&r, 3);
	assert_int_equal(decode_sideband(r.words, r.size, &e), 1);
	assert_int_equal(e.kind, PROCESS_LOST);
	assert_int_equal(e.lost, 42);
}

static void test_sideband_hostile(void **state)
{
	struct sideband_record r = mmap2(PROT_EXEC, "/usr/lib/x.so");
	struct perf_event_header *header = (void *)r.words;

	(void)state;
	for (size_t size = 0; size < r.size; size++) {
		assert_int_equal(decode_exact(&r, size), -EBADMSG);
		header->size = (uint16_t)size;
		/*
		 * 80: only the path's padding is cut off, which no one can tell from a shorter path
		 */
		if (size != r.size - 8)
			assert_true(decode_exact(&r, size) <= 0);
		header->size = (uint16_t)r.size;
	}
	for (uint32_t type = 0; type < 32; type++) {
		begin(&r, type, 0);
		end(&r, 1); /* a header and a time, nothing else */
		assert_true(decode_exact(&r, r.size) <= 0);
	}
	r = mmap2(PROT_EXEC, "/usr/lib/x.so");
	memset((uint8_t *)r.words + r.size - 24, 'x', 16); /* the path without its end */
	assert_int_equal(decode_exact(&r, r.size), -EBADMSG);
	r = mmap2(PROT_EXEC, "/usr/lib/x.so");
	r.words[2] = UINT64_MAX - 10; /* start + size wraps around */
	assert_int_equal(decode_exact(&r, r.size), -EBADMSG);
}

struct standing_record {
	struct kymo_standing head;
	uint64_t kernel[2];
};

static int decode_standing_exact(const struct standing_record *r, size_t size)
{
	void *copy = malloc(size);
	const struct kymo_standing *ret = NULL;
	int e;

	memcpy(copy, r, size);
	e = decode_standing(copy, size, &ret);
	assert_true(e < 0 || ret == copy);
	free(copy);
	return e;
}

static void standing_is_as_long_as_its_frames(void **state)
{
	struct standing_record r = {
		.head = { .head = { KYMO_RECORD_STANDING, 0, sizeof(r), 9 }, .kernel_frames = 2 },
		.kernel = { 1, 2 },
	};

	(void)state;
	assert_int_equal(decode_standing_exact(&r, sizeof(r)), 0);
	for (size_t size = 0; size < sizeof(r); size++) {
		r.head.head.size = (uint32_t)size;
		assert_int_equal(decode_standing_exact(&r, size), -EBADMSG);
	}
	r.head.head.size = sizeof(r);
	for (uint16_t n = 0; n < 200; n++) {
		r.head.kernel_frames = n;
		assert_int_equal(decode_standing_exact(&r, sizeof(r)), n == 2 ? 0 : -EBADMSG);
	}
	r.head.kernel_frames = 2;
	memset(r.head.who.comm, 'x', sizeof(r.head.who.comm));
	assert_int_equal(decode_standing_exact(&r, sizeof(r)), -EBADMSG);
}

static int decode_oom_exact(const struct kymo_oom *oom, size_t size)
{
	const struct kymo_oom *ret;
	void *copy = exact(oom, size);
	int r = decode_oom(copy, size, &ret);

	free(copy);
	return r;
}

static void test_oom(void **state)
{
	const struct kymo_oom good = {
		.head = { .type = KYMO_RECORD_OOM, .size = sizeof(good), .time_ns = 7 },
		.victim = { .comm = "db" },
		.cgroup = { "leaf" },
	};
	struct kymo_oom bad;

	(void)state;
	assert_int_equal(decode_oom_exact(&good, sizeof(good)), 0);
	for (size_t size = 0; size < sizeof(good); size++)
		assert_int_equal(decode_oom_exact(&good, size), -EBADMSG);
	bad = good;
	memset(bad.victim.comm, 'x', sizeof(bad.victim.comm));
	assert_int_equal(decode_oom_exact(&bad, sizeof(bad)), -EBADMSG);
	bad = good;
	memset(bad.allocator_comm, 'x', sizeof(bad.allocator_comm));
	assert_int_equal(decode_oom_exact(&bad, sizeof(bad)), -EBADMSG);
	bad = good;
	memset(bad.cgroup[KYMO_CGROUP_LEVELS - 1], 'x', sizeof(bad.cgroup[0]));
	assert_int_equal(decode_oom_exact(&bad, sizeof(bad)), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sample),
		cmocka_unit_test(test_sample_every_cut_is_refused),
		cmocka_unit_test(test_sample_hostile),
		cmocka_unit_test(test_probe),
		cmocka_unit_test(test_code),
		cmocka_unit_test(test_code_hostile),
		cmocka_unit_test(test_mmap),
		cmocka_unit_test(test_exec),
		cmocka_unit_test(test_thread_names),
		cmocka_unit_test(test_tasks),
		cmocka_unit_test(test_sideband_hostile),
		cmocka_unit_test(standing_is_as_long_as_its_frames),
		cmocka_unit_test(test_oom),
	};

	return cmocka_run_group_tests_name("kern/decode", tests, NULL, NULL);
}
