/* SPDX-License-Identifier: Apache-2.0 */
/* The sample block: what goes in comes out, and no bytes do harm. */
#include "unit/test.h"

#include <errno.h>
#include <zstd.h>

#include "store/block.h"
#include "unit/store/world.h"

#ifdef KYMO_SANITIZED
#define MUTATIONS 20000
#else
#define MUTATIONS 100000
#endif

static struct block_codec *codec_new(void)
{
	struct block_codec *c = NULL;

	assert_int_equal(block_codec_new(&c), 0);
	return c;
}

static void check_roundtrip(struct block_codec *c, const struct tick_row *rows, size_t n,
			    const uint32_t *offsets, size_t offsets_n)
{
	struct store_block b = { 0 };
	struct buf out = { 0 };

	assert_int_equal(block_encode(c, rows, n, offsets, offsets_n, &out), 0);
	assert_int_equal(block_decode(c, out.data, out.size, &b), 0);
	assert_int_equal(b.rows_n, n);
	assert_int_equal(b.offsets_n, offsets_n);
	for (size_t i = 0; i < n; i++) {
		struct tick_row want = rows[i], got = b.rows[i];

		want.seen.cpu_ns = got.seen.cpu_ns = 0;
		assert_memory_equal(&want, &got, sizeof(want));
	}
	if (offsets_n)
		assert_memory_equal(offsets, b.offsets_us, offsets_n * sizeof(*offsets));
	store_block_release(&b);
	buf_release(&out);
}

static void test_extremes(void **state)
{
	const struct seen most = { INT64_MAX, INT64_MIN, INT64_MAX, INT64_MIN, INT64_MAX, INT64_MIN,
				   INT64_MAX, INT64_MIN, INT64_MAX, INT64_MIN, INT64_MAX };
	const uint32_t offsets[] = { 0, UINT32_MAX, UINT32_MAX, 0, 0, 0, UINT32_MAX };
	struct tick_row rows[] = {
		{ 0, 0, 0, 0, 0, 2, 0, { 0 }, 0 },
		{ 0, 0, 1, 0, 0, 1, UINT64_MAX, most, 2 },
		{ 0, UINT32_MAX, UINT16_MAX, UINT16_MAX, UINT32_MAX, 1, 10000, most, 3 },
		{ UINT32_MAX, 0, KYMO_SOURCE_CPU, 0, 0, 2, 20000, most, 4 },
		{ UINT32_MAX, UINT32_MAX, KYMO_SOURCE_CPU, 0, 0, 1, UINT32_MAX, most, 6 },
	};
	struct block_codec *c = codec_new();

	(void)state;
	check_roundtrip(c, rows, 5, offsets, 7);
	check_roundtrip(c, NULL, 0, NULL, 0);
	for (int cpu = -1; cpu < 2; cpu++) {
		rows[1].seen.cpu_ns = cpu ? cpu * INT64_MAX : INT64_MIN;
		check_roundtrip(c, rows, 5, offsets, 7);
	}
	block_codec_free(c);
	block_codec_free(NULL);
}

static void test_cpu_time_adds_up(void **state)
{
	struct tick_row rows[1000] = { 0 };
	uint32_t offsets[1000] = { 0 };
	struct world w = { .seed = 1 };
	struct block_codec *c = codec_new();
	struct store_block b = { 0 };
	struct buf out = { 0 };
	int64_t want = 0, got = 0;

	(void)state;
	for (uint32_t i = 0; i < 1000; i++) {
		rows[i] =
			(struct tick_row){ .thread = 5, .stack = i, .count = 1, .first_offset = i };
		rows[i].seen.cpu_ns = world_below(&w, 1999);
		want += rows[i].seen.cpu_ns;
	}
	assert_int_equal(block_encode(c, rows, 1000, offsets, 1000, &out), 0);
	assert_int_equal(block_decode(c, out.data, out.size, &b), 0);
	for (uint32_t i = 0; i < 1000; i++)
		got += b.rows[i].seen.cpu_ns;
	assert_true(want - got >= 0 && want - got < 1000);
	store_block_release(&b);
	buf_release(&out);
	block_codec_free(c);
}

/* A busy CPU's samples: what the format is made for. */
static void test_small(void **state)
{
	const uint32_t cpus = 16, hz = 99, n = cpus * hz;
	struct tick_row *rows = world_array(n, sizeof(*rows));
	uint32_t *offsets = world_array(n, sizeof(*offsets));
	struct world w = { .seed = 1 };
	struct block_codec *c = codec_new();
	struct buf out = { 0 };

	(void)state;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t thread = i / hz, k = i % hz;

		rows[i] = (struct tick_row){ .thread = thread,
					     .stack = (i ? rows[i - 1].stack : 0) + 1 +
						      world_below(&w, 1000),
					     .source = KYMO_SOURCE_CPU,
					     .count = 1,
					     .weight = 10101010,
					     .first_offset = i };
		rows[i].seen.cpu_ns = 10101010 - world_below(&w, 50000);
		offsets[i] =
			thread * 600 + (k * 37 % hz) * 10101010ULL / 1000 + world_below(&w, 20);
	}
	assert_int_equal(block_encode(c, rows, n, offsets, n, &out), 0);
	assert_true(out.size < 6 * n);
	check_roundtrip(c, rows, n, offsets, n);
	free(rows);
	free(offsets);
	buf_release(&out);
	block_codec_free(c);
}

static void test_refuses_bad_rows(void **state)
{
	const struct tick_row good[2] = {
		{ .thread = 1, .stack = 1, .count = 2 },
		{ .thread = 1, .stack = 2, .count = 1, .first_offset = 2 }
	};
	const uint32_t offsets[3] = { 5, 6, 1 }, descending[3] = { 6, 5, 1 };
	struct block_codec *c = codec_new();
	struct tick_row rows[2];
	struct buf out = { 0 };

	(void)state;
	check_roundtrip(c, good, 2, offsets, 3);
	memcpy(rows, good, sizeof(rows));
	rows[1].stack = 1; /* an equal key */
	assert_int_equal(block_encode(c, rows, 2, offsets, 3, &out), -EINVAL);
	rows[1].thread = 0; /* a lower one */
	assert_int_equal(block_encode(c, rows, 2, offsets, 3, &out), -EINVAL);
	memcpy(rows, good, sizeof(rows));
	rows[1].count = 0;
	assert_int_equal(block_encode(c, rows, 2, offsets, 3, &out), -EINVAL);
	rows[1].count = 2; /* behind the end */
	assert_int_equal(block_encode(c, rows, 2, offsets, 3, &out), -EINVAL);
	rows[1].count = UINT32_MAX;
	assert_int_equal(block_encode(c, rows, 2, offsets, 3, &out), -EINVAL);
	rows[1].count = 1;
	rows[1].first_offset = UINT32_MAX;
	assert_int_equal(block_encode(c, rows, 2, offsets, 3, &out), -EINVAL);
	assert_int_equal(block_encode(c, good, 2, descending, 3, &out), -EINVAL);
	assert_int_equal(block_encode(c, good, BLOCK_ROWS_MAX + 1, offsets, 3, &out), -E2BIG);
	assert_int_equal(block_encode(c, good, 2, offsets, BLOCK_SAMPLES_MAX + 1, &out), -E2BIG);
	buf_release(&out);
	block_codec_free(c);
}

/* A block with a right frame around any payload. */
static void frame_as(const void *payload, size_t size, int checksum, struct buf *out)
{
	static ZSTD_CCtx *z;
	size_t n;

	if (!z)
		z = ZSTD_createCCtx();
	ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, checksum);
	buf_clear(out);
	assert_int_equal(buf_reserve(out, 1 + ZSTD_compressBound(size)), 0);
	out->data[0] = BLOCK_VERSION;
	n = ZSTD_compress2(z, out->data + 1, ZSTD_compressBound(size), payload, size);
	assert_false(ZSTD_isError(n));
	out->size = 1 + n;
}

static void frame(const void *payload, size_t size, struct buf *out)
{
	frame_as(payload, size, 1, out);
}

static void expect_bad(struct block_codec *c, const void *data, size_t size)
{
	struct store_block b = { 0 };

	assert_int_equal(block_decode(c, data, size, &b), -EBADMSG);
	assert_int_equal(b.rows_n, 0);
	assert_int_equal(b.offsets_n, 0);
	store_block_release(&b);
}

static void some_block(struct block_codec *c, struct buf *out)
{
	struct world w = { .seed = 4 };
	struct tick t = { 0 };

	world_rows(&w, &t, 60);
	assert_int_equal(block_encode(c, t.rows, t.rows_n, t.offsets_us, t.offsets_n, out), 0);
	free(t.rows);
	free(t.offsets_us);
}

static void test_damage_is_noticed(void **state)
{
	struct store_block good = { 0 }, b = { 0 };
	struct block_codec *c = codec_new();
	struct buf block = { 0 };
	size_t noticed = 0;

	(void)state;
	some_block(c, &block);
	for (size_t size = 0; size < block.size; size++)
		expect_bad(c, block.data, size);
	/* Some bits of a frame say nothing; what they leave is the same to the last bit. */
	assert_int_equal(block_decode(c, block.data, block.size, &good), 0);
	for (size_t bit = 0; bit < block.size * 8; bit++) {
		block.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (block_decode(c, block.data, block.size, &b) < 0) {
			noticed++;
		} else {
			assert_int_equal(b.rows_n, good.rows_n);
			assert_memory_equal(b.rows, good.rows, b.rows_n * sizeof(*b.rows));
			assert_memory_equal(b.offsets_us, good.offsets_us, b.offsets_n * 4);
		}
		block.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_true(noticed * 100 > block.size * 8 * 98);
	assert_int_equal(buf_append(&block, "", 1), 0);
	expect_bad(c, block.data, block.size);
	block.size--;
	/* Two frames are not one. */
	assert_int_equal(buf_reserve(&block, block.size), 0);
	memcpy(block.data + block.size, block.data + 1, block.size - 1);
	expect_bad(c, block.data, 2 * block.size - 1);
	store_block_release(&good);
	store_block_release(&b);
	buf_release(&block);
	block_codec_free(c);
}

/* Payloads that a checksum protects from chance, but not from an enemy. */
static void test_hostile_payloads(void **state)
{
	struct block_codec *c = codec_new();
	struct buf block = { 0 }, bad = { 0 };
	struct world w = { .seed = 8 };
	struct store_block b = { 0 };
	uint8_t payload[16384];
	size_t size, good = 0;

	(void)state;
	some_block(c, &block);
	size = ZSTD_decompress(payload, sizeof(payload), block.data + 1, block.size - 1);
	assert_false(ZSTD_isError(size));
	for (int i = 0; i < MUTATIONS; i++) {
		uint8_t changed[sizeof(payload)];
		size_t cut = size - (world_below(&w, 8) ? 0 : world_below(&w, (uint32_t)size));

		memcpy(changed, payload, size);
		for (uint32_t k = 0, n = 1 + world_below(&w, 4); k < n; k++)
			changed[world_below(&w, (uint32_t)size)] =
				world_below(&w, 3) ? (uint8_t)world_random(&w) : 0xff;
		frame(changed, cut, &bad);
		if (block_decode(c, bad.data, bad.size, &b) < 0)
			continue;
		good++;
		for (size_t k = 0; k < b.rows_n; k++)
			assert_true(b.rows[k].first_offset + b.rows[k].count <= b.offsets_n);
		check_roundtrip(c, b.rows, b.rows_n, b.offsets_us, b.offsets_n);
	}
	assert_true(good > 0);
	store_block_release(&b);
	buf_release(&block);
	buf_release(&bad);
	block_codec_free(c);
}

/* Little that claims to be much: refused before memory is asked for. */
static void test_bombs(void **state)
{
	static const uint8_t many_rows[] = { 0xff, 0xff, 0x3f, 0xff, 0xff, 0x3f, 0 };
	static const uint8_t many_kinds[] = {
		1, 1, 0xff, 0xff, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
	};
	static const uint8_t empty[] = { 0, 0, 0 };
	struct block_codec *c = codec_new();
	struct store_block b = { 0 };
	struct buf out = { 0 };
	uint8_t *zeroes = world_array(BLOCK_RAW_MAX + 1, 1);

	(void)state;
	frame(many_rows, sizeof(many_rows), &out);
	expect_bad(c, out.data, out.size);
	frame(many_kinds, sizeof(many_kinds), &out);
	expect_bad(c, out.data, out.size);
	frame(zeroes, BLOCK_RAW_MAX + 1, &out);
	assert_true(out.size < 10000);
	expect_bad(c, out.data, out.size);
	frame(zeroes, BLOCK_RAW_MAX, &out);
	expect_bad(c, out.data, out.size);
	frame(empty, sizeof(empty), &out);
	assert_int_equal(block_decode(c, out.data, out.size, &b), 0);
	/* Without a checksum, damage would go unnoticed. */
	frame_as(empty, sizeof(empty), 0, &out);
	expect_bad(c, out.data, out.size);
	free(zeroes);
	store_block_release(&b);
	buf_release(&out);
	block_codec_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_cpu_time_adds_up),
		cmocka_unit_test(test_small),
		cmocka_unit_test(test_refuses_bad_rows),
		cmocka_unit_test(test_damage_is_noticed),
		cmocka_unit_test(test_hostile_payloads),
		cmocka_unit_test(test_bombs),
	};

	return cmocka_run_group_tests_name("store: sample blocks", tests, NULL, NULL);
}
