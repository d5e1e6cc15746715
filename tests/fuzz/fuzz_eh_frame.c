/* SPDX-License-Identifier: Apache-2.0 */
/*
 * .eh_frame to rows, with any bytes. The first byte chooses what the rest is: an ELF file; the frame
 * descriptions of an x86-64 or arm64 image; a table as bytes, whose checksum is made right.
 */
#include <stdlib.h>
#include <string.h>

#include "base/hmap.h"
#include "unit/unwind/image.h"
#include "unwind/serial.h"

#define TEXT_BYTES  0x30000
#define SERIAL_SUM  8  /* offset of the checksum */
#define SERIAL_FROM 16 /* what it is over */
#define SERIAL_SEED 0x77756b79

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
	if (!truth)
		abort();
}

/* What was accepted can be searched, and a reader that believes nothing takes it. */
static void check(struct unwind_table *t)
{
	struct unwind_table *back;
	struct buf b = { 0 };

	for (uint64_t page = 0; page <= t->pages_n; page++) {
		uint64_t offset = (t->first_page + page) << KYMO_UNWIND_PAGE_SHIFT;

		require(unwind_table_find(t, offset)->cfa_kind < KYMO_UNWIND_CFA_MAX);
		require(unwind_table_find(t, offset - 1)->cfa_kind < KYMO_UNWIND_CFA_MAX);
	}
	require(unwind_serial_write(t, &b) == 0);
	require(unwind_serial_read(b.data, b.size, &back) == 0);
	require(unwind_table_bytes(t) == unwind_table_bytes(back));
	unwind_table_free(back);
	unwind_table_free(t);
	buf_release(&b);
}

static void with_frames(uint16_t machine, const uint8_t *data, size_t size)
{
	struct unwind_table *t;
	struct image im;

	image_init(&im, machine, TEXT_BYTES);
	image_put(&im, data, size);
	if (image_build(&im, &t) == 0)
		check(t);
	image_release(&im);
}

static void with_table(const uint8_t *data, size_t size)
{
	struct unwind_table *t;
	uint8_t *copy = malloc(size + 1);
	uint64_t sum;

	require(copy);
	memcpy(copy, data, size);
	if (size > SERIAL_FROM) {
		sum = hash_bytes(copy + SERIAL_FROM, size - SERIAL_FROM, SERIAL_SEED);
		memcpy(copy + SERIAL_SUM, &sum, sizeof(sum));
	}
	if (unwind_serial_read(copy, size, &t) == 0)
		check(t);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct unwind_table *t;

	if (!size)
		return 0;
	switch (data[0] % 4) {
	case 0:
		if (unwind_table_build_memory(data + 1, size - 1, &t) == 0)
			check(t);
		break;
	case 1:
		with_frames(EM_X86_64, data + 1, size - 1);
		break;
	case 2:
		with_frames(EM_AARCH64, data + 1, size - 1);
		break;
	default:
		with_table(data + 1, size - 1);
	}
	return 0;
}
