/* SPDX-License-Identifier: Apache-2.0 */
#include "unwind/serial.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hmap.h"

#define SERIAL_MAGIC 0x77756b79U
#define SERIAL_VERSION \
	2 /* of the layout here and of kymo/unwind.h, and of what is made of an .eh_frame */

struct serial_head {
	uint32_t magic, version;
	uint64_t checksum; /* of all behind it */
	uint32_t machine;
	uint32_t rules_n, rows_n, pages_n, first_page;
	struct unwind_counts counts;
};

#define CHECKED_FROM offsetof(struct serial_head, machine)

static_assert(sizeof(struct serial_head) + UNWIND_RULES_MAX * sizeof(struct kymo_unwind_rule) +
			      UNWIND_ROWS_MAX * sizeof(struct kymo_unwind_row) +
			      UNWIND_PAGES_MAX * (sizeof(struct unwind_page) +
						  sizeof(struct kymo_unwind_row)) <=
		      UNWIND_SERIAL_BYTES_MAX,
	      "the largest table fits");

DEFINE_CLEANUP(struct unwind_table *, unwind_table_free);

static uint64_t checksum(const uint8_t *data, size_t size)
{
	return hash_bytes(data + CHECKED_FROM, size - CHECKED_FROM, SERIAL_MAGIC);
}

int unwind_serial_write(const struct unwind_table *t, struct buf *b)
{
	struct serial_head head = { .magic = SERIAL_MAGIC,
				    .version = SERIAL_VERSION,
				    .machine = t->machine,
				    .rules_n = t->rules_n,
				    .rows_n = t->rows_n,
				    .pages_n = t->pages_n,
				    .first_page = t->first_page,
				    .counts = t->counts };
	size_t start = b->size;

	if (buf_append(b, &head, sizeof(head)) < 0 ||
	    buf_append(b, t->rules, t->rules_n * sizeof(*t->rules)) < 0 ||
	    buf_append(b, t->pages, t->pages_n * sizeof(*t->pages)) < 0 ||
	    buf_append(b, t->rows, t->rows_n * sizeof(*t->rows)) < 0) {
		b->size = start;
		return -ENOMEM;
	}
	head.checksum = checksum(b->data + start, b->size - start);
	memcpy(b->data + start, &head, sizeof(head));
	return 0;
}

static bool rule_is_sound(const struct kymo_unwind_rule *r)
{
	return r->cfa_kind < KYMO_UNWIND_CFA_MAX && r->ra_kind < KYMO_UNWIND_VALUE_MAX &&
	       r->fp_kind < KYMO_UNWIND_VALUE_MAX && r->base_kind < KYMO_UNWIND_VALUE_MAX;
}

static bool rules_are_sound(const struct unwind_table *t)
{
	static const uint8_t kinds[KYMO_UNWIND_RULE_FIXED] = {
		[KYMO_UNWIND_RULE_GAP] = KYMO_UNWIND_CFA_GAP,
		[KYMO_UNWIND_RULE_END] = KYMO_UNWIND_CFA_END,
		[KYMO_UNWIND_RULE_UNSUPPORTED] = KYMO_UNWIND_CFA_UNSUPPORTED,
	};

	for (size_t i = 0; i < KYMO_UNWIND_RULE_FIXED; i++)
		if (t->rules[i].cfa_kind != kinds[i])
			return false;
	for (size_t i = 0; i < t->rules_n; i++)
		if (!rule_is_sound(&t->rules[i]))
			return false;
	return true;
}

static bool rows_are_sound(const struct unwind_table *t, const struct unwind_page *page)
{
	const struct kymo_unwind_row *rows = &t->rows[page->first];

	for (uint32_t i = 0; i < page->rows; i++)
		if (rows[i].rule >= t->rules_n ||
		    (i ? rows[i].low <= rows[i - 1].low : rows[i].low))
			return false;
	return true;
}

/* Each page has the rows behind those of the page before, or shares a single one; so work and memory for all pages are bounded. */
static bool pages_are_sound(const struct unwind_table *t)
{
	uint64_t next = 0;

	for (size_t i = 0; i < t->pages_n; i++) {
		const struct unwind_page *page = &t->pages[i];
		bool shares = page->rows == 1 && page->first < next;

		if (!page->rows || page->rows > KYMO_UNWIND_CHUNK_ROWS ||
		    (!shares && page->first != next) ||
		    (uint64_t)page->first + page->rows > t->rows_n || !rows_are_sound(t, page))
			return false;
		next += shares ? 0 : page->rows;
	}
	return next == t->rows_n;
}

/* Takes `size` bytes off *from into new memory. */
static int take_array(const uint8_t **from, size_t size, void *ret)
{
	void *copy = malloc(size ? size : 1);

	if (!copy)
		return -ENOMEM;
	memcpy(copy, *from, size);
	*from += size;
	*(void **)ret = copy;
	return 0;
}

static bool head_is_sound(const struct serial_head *h, size_t size)
{
	/* None of the products overflows 64 bits. */
	uint64_t need = sizeof(*h) + (uint64_t)h->rules_n * sizeof(struct kymo_unwind_rule) +
			(uint64_t)h->pages_n * sizeof(struct unwind_page) +
			(uint64_t)h->rows_n * sizeof(struct kymo_unwind_row);

	return h->magic == SERIAL_MAGIC && h->version == SERIAL_VERSION && need == size &&
	       size <= UNWIND_SERIAL_BYTES_MAX && h->machine <= UINT16_MAX &&
	       h->rules_n >= KYMO_UNWIND_RULE_FIXED && h->rules_n <= UNWIND_RULES_MAX &&
	       h->pages_n <= UNWIND_PAGES_MAX && h->first_page <= UNWIND_PAGES_MAX;
}

int unwind_serial_read(const void *data, size_t size, struct unwind_table **ret)
{
	_cleanup_(unwind_table_freep) struct unwind_table *t = NULL;
	const uint8_t *p = (const uint8_t *)data + sizeof(struct serial_head);
	struct serial_head head;

	if (size < sizeof(head))
		return -EBADMSG;
	memcpy(&head, data, sizeof(head));
	if (!head_is_sound(&head, size) || head.checksum != checksum(data, size))
		return -EBADMSG;
	t = calloc(1, sizeof(*t));
	if (!t || take_array(&p, head.rules_n * sizeof(*t->rules), &t->rules) < 0 ||
	    take_array(&p, head.pages_n * sizeof(*t->pages), &t->pages) < 0 ||
	    take_array(&p, head.rows_n * sizeof(*t->rows), &t->rows) < 0)
		return -ENOMEM;
	t->machine = (uint16_t)head.machine;
	t->rules_n = head.rules_n;
	t->pages_n = head.pages_n;
	t->rows_n = head.rows_n;
	t->first_page = head.first_page;
	t->counts = head.counts;
	if (!rules_are_sound(t) || !pages_are_sound(t))
		return -EBADMSG;
	*ret = TAKE_PTR(t);
	return 0;
}
