/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the parser: names for offsets, from symbols, DWARF or a perf map. */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "elf/demangle.h"
#include "elf/lines.h"
#include "elf/perf_map.h"
#include "worker/parser.h"

/* Of one batch; what was not found by then stays with its symbol. The watchdog's time is longer. */
#define LINES_CPU_NS (4 * NS_PER_SEC)
/* Room for one more record, whatever is in it. */
#define RECORD_MAX (sizeof(struct name_record) + 2 * (size_t)WORKER_NAME_SIZE_MAX)

/* An answer on its way, in as many packets as it takes. */
struct answer {
	struct parser *parser;
	const struct parse_request *request;
	struct parse_reply reply;
	size_t size; /* of the body so far */
};

static int flush(struct answer *a, bool last)
{
	int r;

	a->reply.sequence = a->request->sequence;
	a->reply.last = last;
	r = parser_send(a->parser, &a->reply, a->parser->body, a->size);
	a->reply = (struct parse_reply){ 0 };
	a->size = 0;
	return r;
}

/* Texts may be cut, `name` is demangled where it can be; NULL is "". */
static int put(struct answer *a, struct name_record record, const char *name, size_t name_size,
	       const char *file)
{
	uint8_t *at;
	size_t size = 0;

	if (a->size + RECORD_MAX > sizeof(a->parser->body)) {
		int r = flush(a, false);

		if (r < 0)
			return r;
	}
	at = a->parser->body + a->size;
	if (name_size && elf_demangle(name, name_size, (char *)at + sizeof(record),
				      WORKER_NAME_SIZE_MAX, &size) < 0) {
		size = name_size < WORKER_NAME_SIZE_MAX ? name_size : WORKER_NAME_SIZE_MAX;
		memcpy(at + sizeof(record), name, size);
	}
	record.name_size = (uint16_t)size;
	size = file ? strnlen(file, WORKER_PATH_MAX) : 0;
	record.file_size = (uint16_t)size;
	memcpy(at + sizeof(record) + record.name_size, file ? file : "", size);
	memcpy(at, &record, sizeof(record));
	a->size += sizeof(record) + record.name_size + record.file_size;
	a->reply.names_n++;
	return 0;
}

static uint64_t offset_at(const struct parser *p, uint32_t i)
{
	uint64_t offset;

	memcpy(&offset, p->packet + sizeof(struct parse_request) + i * sizeof(offset),
	       sizeof(offset));
	return offset;
}

int parser_serve_names(struct parser *p, const struct parse_request *q, int fd)
{
	struct answer a = { .parser = p, .request = q };
	const struct elf_symbols *symbols;
	int r = cache_symbols(&p->cache, &q->identity, fd, &symbols);

	if (r < 0)
		return parser_send_error(p, q, r);
	for (uint32_t i = 0; i < q->offsets_n && r == 0; i++) {
		struct elf_symbol s = { 0 };

		if (elf_symbols_find(symbols, offset_at(p, i), &s) < 0)
			s.name_size = 0;
		r = put(&a, (struct name_record){ 0 }, s.name, s.name_size, NULL);
	}
	return r < 0 ? r : flush(&a, true);
}

/* ---- lines ---- */

DEFINE_CLEANUP(struct elf_lines *, elf_lines_free);

struct lines {
	const struct elf_symbols *symbols; /* NULL: the file has none */
	struct elf_lines *lines;
	uint64_t *offsets, *addresses;
	struct elf_file file; /* that is mapped: offsets are its */
};

static void lines_release(struct lines *l)
{
	elf_lines_free(l->lines);
	free(l->offsets);
	free(l->addresses);
	elf_file_release(&l->file);
}

/* The DWARF is the attached file's, where one is; addresses are the same in both. */
static int open_lines(struct parser *p, struct lines *l)
{
	_cleanup_(elf_file_release) struct elf_file debug = { .fd = -1 }, alt = { .fd = -1 };
	bool has_debug = p->attached[ATTACHED_DEBUG] >= 0, has_alt = p->attached[ATTACHED_ALT] >= 0;
	int r = 0;

	if (has_debug)
		r = elf_file_init(&debug, p->attached[ATTACHED_DEBUG]);
	if (r == 0 && has_alt && elf_file_init(&alt, p->attached[ATTACHED_ALT]) < 0)
		has_alt = false;
	return r < 0 ? r
		     : elf_lines_new(has_debug ? &debug : &l->file, has_alt ? &alt : NULL,
				     &l->lines);
}

static bool address_of(const struct elf_file *f, uint64_t offset, uint64_t *ret)
{
	for (size_t i = 0; i < f->segments_n; i++) {
		const struct elf_segment *s = &f->segments[i];

		if (s->type == PT_LOAD && (s->flags & PF_X) && offset >= s->offset &&
		    offset - s->offset < s->file_size) {
			*ret = offset - s->offset + s->vaddr;
			return true;
		}
	}
	return false;
}

static int find_lines(struct parser *p, const struct parse_request *q, struct lines *l)
{
	int r;

	l->addresses = calloc(q->offsets_n + 1, sizeof(*l->addresses));
	if (!l->addresses)
		return -ENOMEM;
	for (uint32_t i = 0; i < q->offsets_n; i++)
		if (!address_of(&l->file, offset_at(p, i), &l->addresses[i]))
			l->addresses[i] = 0;
	r = open_lines(p, l);
	if (r < 0)
		return r;
	return elf_lines_find(l->lines, l->addresses, q->offsets_n,
			      clock_process_cpu_ns() + LINES_CPU_NS);
}

static int put_line(struct answer *a, const struct elf_line *line, size_t inlines_n,
		    const struct elf_symbol *symbol)
{
	const struct name_record record = { .line = line->line,
					    .first_line = line->first_line,
					    .inlines_n = (uint16_t)inlines_n };
	const char *name = line->name ? line->name : "";

	return symbol ? put(a, record, symbol->name, symbol->name_size, line->file)
		      : put(a, record, name, strlen(name), line->file);
}

static int put_lines(struct answer *a, const struct lines *l, uint32_t i)
{
	struct elf_line found[ELF_LINES_DEPTH_MAX] = { 0 };
	size_t n = elf_lines_get(l->lines, i, found, ELF_LINES_DEPTH_MAX);
	struct elf_symbol symbol;
	bool has_symbol = l->symbols &&
			  elf_symbols_find(l->symbols, offset_at(a->parser, i), &symbol) == 0 &&
			  !(symbol.is_address && found[0].name);
	int r;

	/* The symbol's name, which the frame has already: ".cold" and ".isra" are not in the DWARF. */
	r = put_line(a, &found[0], n > 1 ? n - 1 : 0, has_symbol ? &symbol : NULL);
	for (size_t k = 1; k < n && r == 0; k++)
		r = put_line(a, &found[k], 0, NULL);
	return r;
}

static_assert(ELF_LINES_DEPTH_MAX <= WORKER_INLINES_MAX, "what is found can be said");

static void detach(struct parser *p)
{
	for (size_t i = 0; i < ATTACHED_MAX; i++) {
		closep(&p->attached[i]);
		p->attached[i] = -1;
	}
}

int parser_serve_lines(struct parser *p, const struct parse_request *q, int fd)
{
	_cleanup_(lines_release) struct lines l = { .file = { .fd = -1 } };
	struct answer a = { .parser = p, .request = q };
	int r = elf_file_init(&l.file, fd);

	if (r == 0)
		r = find_lines(p, q, &l);
	detach(p);
	if (r < 0)
		return parser_send_error(p, q, r);
	if (cache_symbols(&p->cache, &q->identity, fd, &l.symbols) < 0)
		l.symbols = NULL;
	for (uint32_t i = 0; i < q->offsets_n && r == 0; i++)
		r = put_lines(&a, &l, i);
	return r < 0 ? r : flush(&a, true);
}

/* ---- perf maps ---- */

static int put_map_name(struct answer *a, const struct elf_file *f, const struct perf_map_name *n)
{
	char text[PERF_MAP_NAME_MAX];
	int64_t size = n->size ? elf_file_read_some(f, n->offset, text, n->size) : 0;

	return put(a, (struct name_record){ 0 }, text, size > 0 ? (size_t)size : 0, NULL);
}

int parser_serve_map(struct parser *p, const struct parse_request *q, int fd)
{
	struct answer a = { .parser = p, .request = q };
	off_t size = lseek(fd, 0, SEEK_END);
	struct elf_file f = { .fd = fd, .size = size > 0 ? (uint64_t)size : 0 };
	_cleanup_free_ struct perf_map_name *names = calloc(q->offsets_n + 1, sizeof(*names));
	_cleanup_free_ uint64_t *addresses = calloc(q->offsets_n + 1, sizeof(*addresses));
	int r = names && addresses ? 0 : -ENOMEM;

	/* It may have grown since the opener looked. */
	if (f.size > WORKER_MAP_BYTES_MAX)
		r = -EFBIG;
	for (uint32_t i = 0; i < q->offsets_n && r == 0; i++)
		addresses[i] = offset_at(p, i);
	if (r == 0)
		r = perf_map_find(&f, addresses, q->offsets_n, names);
	if (r < 0)
		return parser_send_error(p, q, r);
	for (uint32_t i = 0; i < q->offsets_n && r == 0; i++)
		r = put_map_name(&a, &f, &names[i]);
	return r < 0 ? r : flush(&a, true);
}
