/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/reply.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "unwind/serial.h"

/* Of one job; 512 offsets with long C++ names take 100 KB. */
#define TEXT_MAX (64U << 20)

DEFINE_CLEANUP(struct reply *, reply_free);

int reply_new(enum worker_job_kind kind, uint64_t cookie, const uint64_t *offsets, size_t offsets_n,
	      struct reply **ret)
{
	_cleanup_(reply_freep) struct reply *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->public.kind = kind;
	r->public.cookie = cookie;
	if (worker_job_has_offsets(kind) && offsets_n) {
		r->public.names = calloc(offsets_n, sizeof(*r->public.names));
		r->at = calloc(offsets_n, sizeof(*r->at));
		if (!r->public.names || !r->at || buf_append(&r->text, "", 1) < 0)
			return -ENOMEM;
		for (size_t i = 0; i < offsets_n; i++)
			r->public.names[i].offset = offsets[i];
		r->wanted = offsets_n;
	}
	*ret = TAKE_PTR(r);
	return 0;
}

void reply_free(struct reply *r)
{
	if (!r)
		return;
	free(r->public.names);
	free(r->at);
	free(r->public.inlines);
	free(r->inlines_at);
	buf_release(&r->text);
	unwind_table_free(r->public.table);
	free(r);
}

static int take_text(struct reply *r, const uint8_t *text, size_t size, size_t *ret_at)
{
	size_t at = r->text.size;
	int q;

	if (!size)
		return 0;
	if (at + 3 * size + 1 > TEXT_MAX)
		return -EFBIG;
	q = text_append_utf8(&r->text, text, size);
	if (q == 0)
		q = buf_append(&r->text, "", 1);
	if (q < 0)
		return q;
	*ret_at = at;
	return 0;
}

static int take_inline(struct reply *r, const struct name_record *record, const struct name_at *at)
{
	struct worker_reply *p = &r->public;

	if (record->inlines_n)
		return -EPROTO;
	if (array_reserve(&p->inlines, &r->inlines_cap, p->inlines_n + 1) < 0 ||
	    array_reserve(&r->inlines_at, &r->inlines_at_cap, p->inlines_n + 1) < 0)
		return -ENOMEM;
	p->inlines[p->inlines_n] =
		(struct worker_inline){ .line = record->line, .first_line = record->first_line };
	r->inlines_at[p->inlines_n++] = *at;
	r->inlines_left--;
	return 0;
}

static int take_outermost(struct reply *r, const struct name_record *record,
			  const struct name_at *at)
{
	struct worker_name *n = &r->public.names[r->have];

	if (record->inlines_n > WORKER_INLINES_MAX ||
	    (record->inlines_n && r->public.kind != WORKER_LINES))
		return -EPROTO;
	n->line = record->line;
	n->first_line = record->first_line;
	n->inlines_first = r->public.inlines_n;
	n->inlines_n = r->inlines_left = record->inlines_n;
	r->at[r->have++] = *at;
	return 0;
}

static int take_name(struct reply *r, struct reader *in, size_t asked_until)
{
	const uint8_t *head = reader_bytes(in, sizeof(struct name_record)), *name, *file;
	struct name_at at = { 0 };
	struct name_record record;
	int q;

	if (!head)
		return -EPROTO;
	memcpy(&record, head, sizeof(record));
	if (record.name_size > WORKER_NAME_SIZE_MAX || record.file_size > WORKER_PATH_MAX)
		return -EPROTO;
	name = reader_bytes(in, record.name_size);
	file = reader_bytes(in, record.file_size);
	if (!name || !file)
		return -EPROTO;
	if (!r->inlines_left && r->have >= asked_until)
		return -EPROTO;
	q = take_text(r, name, record.name_size, &at.name);
	if (q == 0)
		q = take_text(r, file, record.file_size, &at.file);
	if (q < 0)
		return q;
	return r->inlines_left ? take_inline(r, &record, &at) : take_outermost(r, &record, &at);
}

/* A bool that is neither 0 nor 1 is undefined behaviour to read, so bytes are looked at first. */
static bool bools_are_sound(const uint8_t *facts)
{
	static const size_t at[] = {
		offsetof(struct elf_facts, is_elf),
		offsetof(struct elf_facts, has_python),
		offsetof(struct elf_facts, eval_frame_pointers),
		offsetof(struct elf_facts, python_free_threaded),
	};

	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++)
		if (facts[at[i]] > 1)
			return false;
	return true;
}

/* They become breakpoints: what the kernel side takes for granted must hold. */
static bool probes_are_sound(const struct elf_facts *facts)
{
	if (facts->probes_n > KYMO_PROBES_MAX)
		return false;
	for (uint32_t i = 0; i < facts->probes_n; i++) {
		const struct kymo_probe_site *site = &facts->probes[i].site;

		if (!site->kind || site->kind >= KYMO_PROBE_KIND_MAX)
			return false;
		for (size_t k = 0; k < KYMO_PROBE_ARGUMENTS; k++)
			if (site->arguments[k].kind >= KYMO_ARGUMENT_KIND_MAX ||
			    site->arguments[k].reg >= KYMO_REGISTERS || site->arguments[k].size > 8)
				return false;
	}
	return true;
}

static int take_facts(struct reply *r, struct reader *in)
{
	const uint8_t *bytes = reader_bytes(in, sizeof(struct elf_facts));
	struct elf_facts facts;

	if (!bytes || in->p != in->end || !bools_are_sound(bytes))
		return -EPROTO;
	memcpy(&facts, bytes, sizeof(facts));
	if (facts.build_id.size > BUILD_ID_MAX || facts.libc >= ELF_LIBC_MAX ||
	    !probes_are_sound(&facts))
		return -EPROTO;
	for (size_t i = 0; i < KYMO_PYTHON_EVAL_RANGES; i++)
		if (facts.eval[i].start > facts.eval[i].end)
			return -EPROTO;
	r->public.facts = facts;
	return 0;
}

/* Its bytes are kept until all are there: only a whole table can be checked. */
static int take_table(struct reply *r, struct reader *in, const struct parse_reply *head)
{
	size_t size = (size_t)(in->end - in->p);
	int q;

	if (head->names_n != size || !size || r->text.size + size > UNWIND_SERIAL_BYTES_MAX)
		return -EPROTO;
	q = buf_append(&r->text, in->p, size);
	if (q < 0 || !head->last)
		return q;
	q = unwind_serial_read(r->text.data, r->text.size, &r->public.table);
	buf_release(&r->text);
	return q == -EBADMSG ? -EPROTO : q;
}

int reply_take(struct reply *r, const void *packet, size_t size, uint32_t sequence,
	       size_t asked_until, bool *ret_last, bool *ret_leaving)
{
	struct reader in = { .p = packet, .end = (const uint8_t *)packet + size };
	const uint8_t *bytes = reader_bytes(&in, sizeof(struct parse_reply));
	struct parse_reply head;
	int q = 0;

	if (!bytes)
		return -EPROTO;
	memcpy(&head, bytes, sizeof(head));
	if (head.magic != WORKER_MAGIC || head.sequence != sequence || head.error > 0)
		return -EPROTO;
	*ret_last = head.last;
	*ret_leaving = head.leaving;
	if (head.last &&
	    __builtin_add_overflow(r->public.parser_cpu_ns, head.cpu_ns, &r->public.parser_cpu_ns))
		r->public.parser_cpu_ns = UINT64_MAX;
	if (head.error < 0)
		return head.last ? head.error : -EPROTO;
	if (r->public.kind == WORKER_INSPECT)
		return head.last ? take_facts(r, &in) : -EPROTO;
	if (r->public.kind == WORKER_UNWIND)
		return take_table(r, &in, &head);
	/* An empty packet that is not the last could go on for ever. */
	if (!head.names_n && !head.last)
		return -EPROTO;
	for (uint32_t i = 0; i < head.names_n && q == 0; i++)
		q = take_name(r, &in, asked_until);
	if (q == 0 &&
	    (in.p != in.end || (head.last && (r->have != asked_until || r->inlines_left))))
		q = -EPROTO;
	return q;
}

int reply_write_kept(const struct reply *r, struct buf *b)
{
	if (r->public.kind == WORKER_UNWIND)
		return unwind_serial_write(r->public.table, b);
	return buf_append(b, &r->public.facts, sizeof(r->public.facts));
}

int reply_take_kept(struct reply *r, const void *data, size_t size)
{
	struct reader in = { .p = data, .end = (const uint8_t *)data + size };
	int q;

	if (r->public.kind != WORKER_UNWIND)
		return take_facts(r, &in);
	q = unwind_serial_read(data, size, &r->public.table);
	return q == -EBADMSG ? -EPROTO : q;
}

size_t reply_bytes(const struct reply *r)
{
	size_t table = r->public.table ? unwind_table_bytes(r->public.table) : 0;

	return sizeof(*r) + table + r->wanted * (sizeof(*r->public.names) + sizeof(*r->at)) +
	       r->inlines_cap * sizeof(*r->public.inlines) +
	       r->inlines_at_cap * sizeof(*r->inlines_at) + r->text.cap;
}

void reply_finish(struct reply *r, int error)
{
	r->public.error = error;
	if (error < 0) {
		free(TAKE_PTR(r->public.names));
		free(TAKE_PTR(r->public.inlines));
		r->public.names_n = r->public.inlines_n = 0;
		buf_release(&r->text);
		return;
	}
	for (size_t i = 0; i < r->have; i++) {
		r->public.names[i].name = (const char *)r->text.data + r->at[i].name;
		r->public.names[i].file = (const char *)r->text.data + r->at[i].file;
	}
	r->public.names_n = r->have;
	for (size_t i = 0; i < r->public.inlines_n; i++) {
		r->public.inlines[i].name = (const char *)r->text.data + r->inlines_at[i].name;
		r->public.inlines[i].file = (const char *)r->text.data + r->inlines_at[i].file;
	}
}
