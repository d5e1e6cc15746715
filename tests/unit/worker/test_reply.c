/* SPDX-License-Identifier: Apache-2.0 */
/* The parser's packets with a table for unwinding: whole and sound, or refused. */
#include "../test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "unwind/serial.h"
#include "worker/reply.h"
#include "worker/worker.h"

#define SEQUENCE   7
#define PACKET_MAX (1U << 16)
#define BODY_MAX   (PACKET_MAX - sizeof(struct parse_reply))

/* Our own program's table, as bytes. */
static void table_bytes(struct buf *ret)
{
	struct unwind_table *t = NULL;
	FILE *f = fopen("/proc/self/exe", "r");

	assert_non_null(f);
	assert_int_equal(unwind_table_build(fileno(f), &t), 0);
	assert_int_equal(unwind_serial_write(t, ret), 0);
	unwind_table_free(t);
	fclose(f);
}

static int take(struct reply *r, const uint8_t *body, size_t size, size_t told, bool last)
{
	static uint8_t packet[PACKET_MAX];
	struct parse_reply head = {
		.magic = WORKER_MAGIC, .sequence = SEQUENCE, .names_n = (uint32_t)told, .last = last
	};
	bool is_last = false, leaving = false;

	assert_true(size <= BODY_MAX);
	memcpy(packet, &head, sizeof(head));
	memcpy(packet + sizeof(head), body, size);
	return reply_take(r, packet, sizeof(head) + size, SEQUENCE, 0, &is_last, &leaving);
}

/* All of it, in parts of `step` bytes: the last answer. */
static int take_all(const struct buf *b, size_t step, struct reply **ret)
{
	int r = 0;

	assert_int_equal(reply_new(WORKER_UNWIND, 1, NULL, 0, ret), 0);
	for (size_t at = 0; r == 0 && at < b->size; at += step) {
		size_t n = b->size - at < step ? b->size - at : step;

		r = take(*ret, b->data + at, n, n, at + n == b->size);
	}
	reply_finish(*ret, r);
	return r;
}

static void parts_make_a_table(void **state)
{
	static const size_t steps[] = { 1000, 4097, BODY_MAX };
	struct buf b = { 0 };
	struct reply *r;

	(void)state;
	table_bytes(&b);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct buf again = { 0 };

		assert_int_equal(take_all(&b, steps[i], &r), 0);
		assert_non_null(r->public.table);
		assert_int_equal(unwind_serial_write(r->public.table, &again), 0);
		assert_int_equal(again.size, b.size);
		assert_memory_equal(again.data, b.data, b.size);
		assert_true(reply_bytes(r) >= unwind_table_bytes(r->public.table));
		buf_release(&again);
		reply_free(r);
	}
	buf_release(&b);
}

static void damage_is_refused(void **state)
{
	struct buf b = { 0 };
	struct reply *r;

	(void)state;
	table_bytes(&b);
	for (size_t at = 0; at < b.size; at += b.size / 97) {
		b.data[at] ^= 0x10;
		assert_int_equal(take_all(&b, BODY_MAX, &r), -EPROTO);
		assert_null(r->public.table);
		reply_free(r);
		b.data[at] ^= 0x10;
	}
	b.size--; /* an end that is missing */
	assert_int_equal(take_all(&b, BODY_MAX, &r), -EPROTO);
	assert_null(r->public.table);
	reply_free(r);
	buf_release(&b);
}

static void sizes_that_lie_are_refused(void **state)
{
	const uint8_t body[64] = { 0 };
	struct reply *r;

	(void)state;
	assert_int_equal(reply_new(WORKER_UNWIND, 1, NULL, 0, &r), 0);
	assert_int_equal(take(r, body, sizeof(body), sizeof(body) + 1, false), -EPROTO);
	assert_int_equal(take(r, body, sizeof(body), 0, false), -EPROTO);
	/* An empty packet that is not the last could go on for ever. */
	assert_int_equal(take(r, body, 0, 0, false), -EPROTO);
	reply_free(r);
}

static void more_than_any_table_is_refused(void **state)
{
	uint8_t *body = calloc(1, BODY_MAX);
	struct reply *r;
	size_t taken = 0;
	int q = 0;

	(void)state;
	assert_non_null(body);
	assert_int_equal(reply_new(WORKER_UNWIND, 1, NULL, 0, &r), 0);
	while (q == 0 && taken <= UNWIND_SERIAL_BYTES_MAX + BODY_MAX) {
		q = take(r, body, BODY_MAX, BODY_MAX, false);
		taken += BODY_MAX;
	}
	assert_int_equal(q, -EPROTO);
	reply_free(r);
	free(body);
}

static int take_facts(const struct elf_facts *facts)
{
	struct reply *r;
	int q;

	assert_int_equal(reply_new(WORKER_INSPECT, 1, NULL, 0, &r), 0);
	q = take(r, (const uint8_t *)facts, sizeof(*facts), 0, true);
	reply_free(r);
	return q;
}

/* They become breakpoints of the kernel's, and indexes of its tables. */
static void probes_that_lie_are_refused(void **state)
{
	struct elf_facts good = { .is_elf = true, .probes_n = 1 }, facts;

	(void)state;
	good.probes[0].site.kind = KYMO_PROBE_GC_DONE;
	good.probes[0].site.arguments[0] = (struct kymo_probe_argument){
		.kind = KYMO_ARGUMENT_REGISTER, .reg = 15, .size = 8
	};
	assert_int_equal(take_facts(&good), 0);
	facts = good;
	facts.probes_n = KYMO_PROBES_MAX + 1;
	assert_int_equal(take_facts(&facts), -EPROTO);
	facts.probes_n = 2; /* the second is of no kind */
	assert_int_equal(take_facts(&facts), -EPROTO);
	facts = good;
	facts.probes[0].site.kind = KYMO_PROBE_KIND_MAX;
	assert_int_equal(take_facts(&facts), -EPROTO);
	facts = good;
	facts.probes[0].site.arguments[0].reg = KYMO_REGISTERS;
	assert_int_equal(take_facts(&facts), -EPROTO);
	facts = good;
	facts.probes[0].site.arguments[1].kind = KYMO_ARGUMENT_KIND_MAX;
	assert_int_equal(take_facts(&facts), -EPROTO);
	facts = good;
	facts.probes[0].site.arguments[0].size = 9;
	assert_int_equal(take_facts(&facts), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_make_a_table),
		cmocka_unit_test(damage_is_refused),
		cmocka_unit_test(sizes_that_lie_are_refused),
		cmocka_unit_test(more_than_any_table_is_refused),
		cmocka_unit_test(probes_that_lie_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
