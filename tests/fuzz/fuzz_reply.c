/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as what the parser answers, which a hostile file may have taken over: packets, or (first byte) an answer that was
 * kept on disk. Heads are made right on request, without which hardly any gets further. What is taken is whole: every name
 * ends, every index is inside, every table can be searched.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "worker/reply.h"

#define SEQUENCE    7
#define OFFSETS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint64_t sink;

static void require(bool truth)
{
	if (!truth)
		abort();
}

static void check_names(const struct worker_reply *r)
{
	for (size_t i = 0; i < r->names_n; i++) {
		const struct worker_name *n = &r->names[i];

		sink += strlen(n->name) + strlen(n->file) + n->line;
		require(n->inlines_n <= r->inlines_n &&
			n->inlines_first <= r->inlines_n - n->inlines_n);
	}
	for (size_t i = 0; i < r->inlines_n; i++)
		sink += strlen(r->inlines[i].name) + strlen(r->inlines[i].file);
}

static void check_kept(const struct reply *r)
{
	struct buf kept = { 0 };
	struct reply *back;

	require(reply_write_kept(r, &kept) == 0);
	require(reply_new(r->public.kind, 1, NULL, 0, &back) == 0);
	require(reply_take_kept(back, kept.data, kept.size) == 0);
	reply_finish(back, 0);
	reply_free(back);
	buf_release(&kept);
}

static void check(struct reply *r, bool whole)
{
	const struct unwind_table *t = r->public.table;

	check_names(&r->public);
	for (uint64_t page = 0; t && page <= t->pages_n; page++)
		require(unwind_table_find(t, (t->first_page + page) << KYMO_UNWIND_PAGE_SHIFT)
				->cfa_kind < KYMO_UNWIND_CFA_MAX);
	if (whole && (r->public.kind == WORKER_UNWIND || r->public.kind == WORKER_INSPECT))
		check_kept(r);
}

/* Packets of lengths that two bytes each say. 0, or the error that ended it; *ret_last: the answer is whole. */
static int take_packets(struct reply *r, const uint8_t *data, size_t size, bool make_right,
			size_t offsets_n, bool *ret_last)
{
	bool leaving = false;
	int error = 0;

	while (error == 0 && !*ret_last && size > 2) {
		size_t n = (size_t)(data[0] | data[1] << 8);
		struct parse_reply head;
		uint8_t *packet;

		data += 2;
		size -= 2;
		n = n < size ? n : size;
		packet = malloc(n ? n : 1); /* ends where the packet does */
		require(packet);
		memcpy(packet, data, n);
		if (make_right && n >= sizeof(head)) {
			memcpy(&head, packet, sizeof(head));
			head.magic = WORKER_MAGIC;
			head.sequence = SEQUENCE;
			head.error = 0;
			memcpy(packet, &head, sizeof(head));
		}
		error = reply_take(r, packet, n, SEQUENCE, offsets_n, ret_last, &leaving);
		free(packet);
		data += n;
		size -= n;
	}
	return error;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint64_t offsets[OFFSETS_MAX];
	enum worker_job_kind kind;
	bool last = false;
	struct reply *r;
	size_t n;
	int error;

	if (size < 2)
		return 0;
	kind = (enum worker_job_kind)(WORKER_INSPECT + (data[0] & 0x0f) % WORKER_MAP);
	n = worker_job_has_offsets(kind) ? data[1] % OFFSETS_MAX : 0;
	require(reply_new(kind, 1, offsets, n, &r) == 0);
	if ((data[0] & 0x80) && !n) {
		error = reply_take_kept(r, data + 2, size - 2);
		last = error == 0;
	} else {
		error = take_packets(r, data + 2, size - 2, data[0] & 0x40, n, &last);
	}
	if (error == 0 && !last)
		error = -EPIPE; /* the parser died before the end of its answer */
	reply_finish(r, error);
	check(r, error == 0);
	reply_free(r);
	return 0;
}
