/* SPDX-License-Identifier: Apache-2.0 */
/* Files made by an enemy: an answer within bounds of time and memory, and a table that can be searched. */
#include "unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "unit/unwind/image.h"
#include "unwind/serial.h"

#define SUBJECT	    "/lib64/ld-linux-x86-64.so.2"
#define ROUNDS	    400
#define SECONDS_MAX 10 /* of a build, sanitized or not; the usual is a few milliseconds */

static uint64_t next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return *seed >> 24;
}

/* Whatever was accepted is whole: a reader that believes nothing takes it, and every offset has a rule. */
static void check(const void *image, size_t size)
{
	uint64_t start = clock_thread_cpu_ns();
	struct unwind_table *t = NULL, *back;
	struct buf b = { 0 };
	int r = unwind_table_build_memory(image, size, &t);

	assert_true(clock_thread_cpu_ns() - start < SECONDS_MAX * NS_PER_SEC);
	if (r < 0) {
		assert_null(t);
		return;
	}
	assert_int_equal(unwind_serial_write(t, &b), 0);
	assert_int_equal(unwind_serial_read(b.data, b.size, &back), 0);
	for (uint64_t offset = 0; offset < size + KYMO_UNWIND_PAGE_BYTES; offset += 101)
		assert_true(unwind_table_find(t, offset)->cfa_kind < KYMO_UNWIND_CFA_MAX);
	unwind_table_free(t);
	unwind_table_free(back);
	buf_release(&b);
}

static void read_subject(struct buf *b)
{
	if (file_read(-1, SUBJECT, 64 << 20, b) == 0)
		return;
	print_message("skip: no %s\n", SUBJECT);
	skip();
}

/* Where .eh_frame is in the subject: what the flips aim at. */
static void find_section(const struct buf *b, uint64_t *start, uint64_t *size)
{
	const Elf64_Ehdr *eh = (const void *)b->data;
	const Elf64_Shdr *sh = (const void *)(b->data + eh->e_shoff);
	const char *names = (const char *)b->data + sh[eh->e_shstrndx].sh_offset;

	for (int i = 0; i < eh->e_shnum; i++) {
		if (strcmp(names + sh[i].sh_name, ".eh_frame") != 0)
			continue;
		*start = sh[i].sh_offset;
		*size = sh[i].sh_size;
		return;
	}
	fail();
}

static void test_flipped_descriptions(void **state)
{
	struct buf b = { 0 }, copy = { 0 };
	uint64_t start = 0, size = 1, seed = 1;

	(void)state;
	read_subject(&b);
	find_section(&b, &start, &size);
	for (int round = 0; round < ROUNDS; round++) {
		buf_clear(&copy);
		assert_int_equal(buf_append(&copy, b.data, b.size), 0);
		for (uint64_t n = 1 + next_random(&seed) % 64; n; n--)
			copy.data[start + next_random(&seed) % size] = (uint8_t)next_random(&seed);
		check(copy.data, copy.size);
	}
	buf_release(&b);
	buf_release(&copy);
}

static void test_flipped_headers(void **state)
{
	struct buf b = { 0 }, copy = { 0 };
	uint64_t seed = 2, sections;

	(void)state;
	read_subject(&b);
	sections = ((const Elf64_Ehdr *)b.data)->e_shoff;
	for (int round = 0; round < ROUNDS; round++) {
		buf_clear(&copy);
		assert_int_equal(buf_append(&copy, b.data, b.size), 0);
		for (uint64_t n = 1 + next_random(&seed) % 8; n; n--)
			copy.data[next_random(&seed) % 1024] = (uint8_t)next_random(&seed);
		for (uint64_t n = next_random(&seed) % 8; n; n--)
			copy.data[sections + next_random(&seed) % (b.size - sections)] =
				(uint8_t)next_random(&seed);
		check(copy.data, copy.size);
	}
	buf_release(&b);
	buf_release(&copy);
}

static void test_truncated(void **state)
{
	struct buf b = { 0 };
	uint64_t seed = 3;

	(void)state;
	read_subject(&b);
	for (int round = 0; round < ROUNDS; round++) {
		size_t size = next_random(&seed) % b.size;
		_cleanup_free_ uint8_t *copy = malloc(size + 1);

		memcpy(copy, b.data, size);
		check(copy, size);
	}
	buf_release(&b);
}

static void test_lengths(void **state)
{
	const uint32_t lengths[] = { 0,		 1,	     3,		 4,	    0x7fffffff,
				     0x80000000, 0xfffffff0, 0xfffffffe, 0xffffffff };

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct image im;
		size_t cie, at;

		for (int where = 0; where < 4; where++) {
			image_init(&im, EM_X86_64, 64);
			cie = image_cie(&im);
			at = im.b.size;
			image_fde(&im, cie, 0, 64,
				  CODE(DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 16));
			image_finish(&im, 0);
			/* of the CIE; of the FDE; its pointer to the CIE; the size of its augmentation */
			image_set_u32(&im,
				      where == 0   ? cie
				      : where == 1 ? at
				      : where == 2 ? at + 4
						   : at + 16,
				      lengths[i]);
			check(im.b.data, im.b.size);
			image_release(&im);
		}
	}
}

/* A CIE that is an FDE, that points to itself, that overlaps its FDE. */
static void test_pointers_in_circles(void **state)
{
	(void)state;
	for (uint32_t pointer = 0; pointer < 100; pointer++) {
		struct image im;
		size_t at;

		image_init(&im, EM_X86_64, 64);
		image_cie(&im);
		at = im.b.size;
		image_fde(&im, at, 0, 64, CODE(DW_CFA_nop, 1, 0, 1, 0x78, 16, 0, 0));
		image_fde(&im, at, 0, 64, CODE(DW_CFA_nop, 1, 0, 1, 0x78, 16, 0, 0));
		image_finish(&im, 0);
		image_set_u32(&im, at + 4, pointer);
		check(im.b.data, im.b.size);
		image_release(&im);
	}
}

/* Numbers of a megabyte, named by descriptions that take turns between two such CIEs. */
static void test_endless_numbers(void **state)
{
	const size_t number = 1 << 20, fdes = 20000;
	_cleanup_free_ uint8_t *bytes = malloc(number);
	struct image im;
	size_t cies[2];

	(void)state;
	memset(bytes, 0x80, number);
	image_init(&im, EM_X86_64, 64);
	for (int i = 0; i < 2; i++) {
		cies[i] = im.b.size;
		image_put_u32(&im, (uint32_t)(4 + 5 + number));
		image_put_u32(&im, 0);
		image_put(&im, "\1zR\0\1", 5);
		image_put(&im, bytes, number);
	}
	for (size_t i = 0; i < fdes; i++)
		image_fde(&im, cies[i % 2], 0, 64, NO_CODE);
	image_finish(&im, 0);
	check(im.b.data, im.b.size);
	image_release(&im);
}

/* Overlapping CIEs, hidden in another one, each with instructions to the section's end and a description of its own. */
static void test_many_long_cies(void **state)
{
	const size_t cies = 60000, zone = cies * 16;
	struct image im;
	size_t first;

	(void)state;
	image_init(&im, EM_X86_64, 64);
	image_put_u32(&im, (uint32_t)(zone + 4));
	image_put_u32(&im, 0);
	first = im.b.size;
	for (size_t i = 0; i < cies; i++) {
		image_put_u32(&im, (uint32_t)((cies - i) * 16 - 4 + cies * 20));
		image_put_u32(&im, 0);
		/* its last instruction takes the next one's head for an operand */
		image_put(&im, CODE(1, 0, 1, 0x78, 16, DW_CFA_val_expression, 0, 13));
	}
	for (size_t i = 0; i < cies; i++) {
		const uint64_t range[] = { IMAGE_BASE + IMAGE_TEXT, 64 };

		image_put_u32(&im, 20);
		image_put_u32(&im, (uint32_t)(im.b.size - first - i * 16));
		image_put(&im, range, sizeof(range));
	}
	image_finish(&im, 0);
	check(im.b.data, im.b.size);
	image_release(&im);
}

/* A million descriptions of a byte each, all over each other. */
static void test_many_descriptions(void **state)
{
	struct image im;
	size_t cie;

	(void)state;
	image_init(&im, EM_X86_64, 65536);
	cie = image_cie(&im);
	for (uint64_t i = 0; i < 1000000; i++)
		image_fde(&im, cie, (i * 7919) % 65536, 65536,
			  CODE(DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 16));
	image_finish(&im, 0);
	check(im.b.data, im.b.size);
	image_release(&im);
}

struct changing {
	int fd;
	const struct buf *content;
	volatile bool stop;
};

static void *change(void *data)
{
	struct changing *c = data;
	uint64_t seed = 4;

	while (!c->stop) {
		if (ftruncate(c->fd, (off_t)(next_random(&seed) % c->content->size)) < 0 ||
		    pwrite(c->fd, c->content->data, c->content->size, 0) < 0)
			break;
	}
	return NULL;
}

/* The owner truncates and rewrites the file while it is read. */
static void test_file_that_changes(void **state)
{
	char path[] = "/tmp/kymo-unwind-XXXXXX";
	struct buf b = { 0 };
	struct changing c = { .fd = mkstemp(path), .content = &b };
	pthread_t thread;
	int good = 0;

	(void)state;
	unlink(path);
	read_subject(&b);
	assert_int_equal(file_write_all(c.fd, b.data, b.size), 0);
	assert_int_equal(pthread_create(&thread, NULL, change, &c), 0);
	for (int i = 0; i < 300; i++) {
		struct unwind_table *t = NULL;
		int r = unwind_table_build(c.fd, &t);

		assert_true(r == 0 || r == -EBADMSG || r == -ENOENT || r == -ENOTSUP);
		good += r == 0;
		unwind_table_free(t);
	}
	c.stop = true;
	pthread_join(thread, NULL);
	close(c.fd);
	buf_release(&b);
	print_message("%d of 300 builds found a table\n", good);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flipped_descriptions),
		cmocka_unit_test(test_flipped_headers),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_pointers_in_circles),
		cmocka_unit_test(test_endless_numbers),
		cmocka_unit_test(test_many_long_cies),
		cmocka_unit_test(test_many_descriptions),
		cmocka_unit_test(test_file_that_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
