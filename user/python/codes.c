/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Code objects by identity. An entry hangs in two lists: of all, by last use (the kernel side keeps its
 * own such order and does not tell again what it thinks we know), and of its process, to end with it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/hmap.h"
#include "python/python.h"

/* Names and tables together may take so many bytes for each entry of the bound. */
#define BYTES_PER_CODE_MAX 512
/* Lines remembered of a code object: those of its last few call sites. */
#define LINES_REMEMBERED 8

struct code_key {
	uint64_t process_start_ns;
	uint64_t address;
	uint32_t pid;
	uint32_t generation;
};

struct process_key {
	uint64_t start_ns;
	uint64_t pid;
};

struct remembered_line {
	int32_t instruction;
	uint32_t line; /* 0 = nothing remembered */
};

struct link {
	struct link *before, *behind;
};

struct code {
	struct python_code shown; /* first: what callers hold leads back to the entry */
	struct link age, siblings;
	struct code_key key;
	uint8_t *table; /* then file and name, in one allocation with the entry */
	size_t table_size, bytes;
	uint16_t version;
	struct remembered_line lines[LINES_REMEMBERED];
};

struct python_codes {
	struct hmap codes;     /* code_key -> struct code * */
	struct hmap processes; /* process_key -> struct link *: head of the siblings */
	struct link ages;      /* behind it: the latest used */
	size_t max, bytes;
};

#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

static void link_init(struct link *l)
{
	l->before = l->behind = l;
}

static void link_out(struct link *l)
{
	l->before->behind = l->behind;
	l->behind->before = l->before;
}

static void link_behind(struct link *at, struct link *l)
{
	l->before = at;
	l->behind = at->behind;
	at->behind->before = l;
	at->behind = l;
}

int python_codes_new(size_t max, struct python_codes **ret)
{
	struct python_codes *c;

	if (!max)
		return -EINVAL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	hmap_init(&c->codes, sizeof(struct code_key), sizeof(struct code *), 0);
	hmap_init(&c->processes, sizeof(struct process_key), sizeof(struct link *), 0);
	link_init(&c->ages);
	c->max = max;
	*ret = c;
	return 0;
}

static struct process_key process_of(const struct code_key *key)
{
	return (struct process_key){ .start_ns = key->process_start_ns, .pid = key->pid };
}

static void remove_code(struct python_codes *c, struct code *code)
{
	struct link *siblings = code->siblings.before;

	link_out(&code->age);
	link_out(&code->siblings);
	hmap_remove(&c->codes, &code->key);
	c->bytes -= code->bytes;
	if (siblings->behind == siblings) {
		struct process_key process = process_of(&code->key);

		hmap_remove(&c->processes, &process);
		free(siblings);
	}
	free(code);
}

void python_codes_free(struct python_codes *c)
{
	if (!c)
		return;
	while (c->ages.behind != &c->ages)
		remove_code(c, container_of(c->ages.behind, struct code, age));
	hmap_release(&c->codes);
	hmap_release(&c->processes);
	free(c);
}

static struct link *siblings_get(struct python_codes *c, const struct code_key *key)
{
	struct process_key process = process_of(key);
	struct link **head = hmap_put(&c->processes, &process, NULL);

	if (!head)
		return NULL;
	if (!*head) {
		*head = malloc(sizeof(**head));
		if (*head)
			link_init(*head);
		else
			hmap_remove(&c->processes, &process);
	}
	return head ? *head : NULL;
}

static struct code *code_build(const struct kymo_code *head, const struct buf *text,
			       size_t file_size, const uint8_t *table)
{
	size_t bytes = sizeof(struct code) + head->table_size + text->size;
	struct code *code = malloc(bytes);
	char *file;

	if (!code)
		return NULL;
	*code = (struct code){
		.key = { .process_start_ns = head->process_start_ns,
			 .address = head->address,
			 .pid = head->pid,
			 .generation = head->generation },
		.table = (uint8_t *)(code + 1),
		.table_size = head->table_size,
		.bytes = bytes,
		.version = head->version,
	};
	if (head->table_size)
		memcpy(code->table, table, head->table_size);
	file = (char *)code->table + head->table_size;
	memcpy(file, text->data, text->size);
	code->shown.file = file;
	code->shown.name = file + file_size;
	code->shown.first_line = head->first_line;
	return code;
}

/* File and name as UTF-8, each with its NUL. */
static int texts(const struct kymo_code *head, const uint8_t *file, const uint8_t *name,
		 struct buf *text, size_t *ret_file_size)
{
	int r = python_text(text, file, head->file_size, head->file_kind);

	if (!r)
		r = buf_append(text, "", 1);
	*ret_file_size = text->size;
	if (!r)
		r = python_text(text, name, head->name_size, head->name_kind);
	return r ? r : buf_append(text, "", 1);
}

static int insert(struct python_codes *c, struct code *code)
{
	struct link *siblings = siblings_get(c, &code->key);
	struct code **slot = siblings ? hmap_put(&c->codes, &code->key, NULL) : NULL;

	if (!slot)
		return -ENOMEM;
	*slot = code;
	link_behind(siblings, &code->siblings);
	link_behind(&c->ages, &code->age);
	c->bytes += code->bytes;
	return 0;
}

/* A second copy is of the same object: the fuller one stays, in the place of the first. */
static void replace(struct python_codes *c, struct code *old, struct code *code)
{
	struct code **slot = hmap_get(&c->codes, &code->key);

	code->shown.function = strcmp(old->shown.name, code->shown.name) == 0 &&
					       strcmp(old->shown.file, code->shown.file) == 0
				       ? old->shown.function
				       : 0;
	*slot = code;
	link_behind(&old->siblings, &code->siblings);
	link_behind(&old->age, &code->age);
	link_out(&old->siblings);
	link_out(&old->age);
	c->bytes += code->bytes - old->bytes;
	free(old);
}

int python_codes_add(struct python_codes *c, const struct kymo_code *head, const uint8_t *file,
		     const uint8_t *name, const uint8_t *table)
{
	_cleanup_(buf_release) struct buf text = { 0 };
	size_t file_size;
	struct code *code, **known;
	int r = texts(head, file, name, &text, &file_size);

	if (r < 0)
		return r;
	code = code_build(head, &text, file_size, table);
	if (!code)
		return -ENOMEM;
	known = hmap_get(&c->codes, &code->key);
	if (known && (*known)->bytes > code->bytes) {
		free(code);
		return 0;
	}
	if (known) {
		replace(c, *known, code);
	} else if (insert(c, code) < 0) {
		free(code);
		return -ENOMEM;
	}
	while (c->codes.count > c->max ||
	       (c->bytes > c->max * BYTES_PER_CODE_MAX && c->codes.count > 1))
		remove_code(c, container_of(c->ages.before, struct code, age));
	return 0;
}

struct python_code *python_codes_find(struct python_codes *c, uint32_t pid,
				      uint64_t process_start_ns, uint64_t address,
				      uint32_t generation)
{
	struct code_key key = { .process_start_ns = process_start_ns,
				.address = address,
				.pid = pid,
				.generation = generation };
	struct code **found = hmap_get(&c->codes, &key);

	if (!found)
		return NULL;
	link_out(&(*found)->age);
	link_behind(&c->ages, &(*found)->age);
	return &(*found)->shown;
}

uint32_t python_codes_line(struct python_code *shown, int32_t instruction)
{
	struct code *code = container_of(shown, struct code, shown);
	struct remembered_line *l =
		&code->lines[(uint32_t)instruction / 2 % ARRAY_SIZE(code->lines)];

	if (l->line && l->instruction == instruction)
		return l->line;
	l->instruction = instruction;
	l->line = python_line(code->version, code->table, code->table_size, shown->first_line,
			      instruction);
	return l->line;
}

void python_codes_renew(struct python_codes *c)
{
	size_t pos = 0;
	void *value;

	while (hmap_next(&c->codes, &pos, NULL, &value))
		(*(struct code **)value)->shown.function = 0;
}

void python_codes_process_ended(struct python_codes *c, uint32_t pid, uint64_t process_start_ns)
{
	struct process_key key = { .start_ns = process_start_ns, .pid = pid };
	struct link **head;

	/* The last one takes the list along. */
	while ((head = hmap_get(&c->processes, &key)))
		remove_code(c, container_of((*head)->behind, struct code, siblings));
}
