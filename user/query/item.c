/* SPDX-License-Identifier: Apache-2.0 */
#include "query/item.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/text.h"

const char *const query_item_kind_names[QUERY_ITEM_KIND_MAX] = {
	[FRAME_KERNEL] = "kernel",	  [FRAME_NATIVE] = "native",
	[FRAME_PYTHON] = "python",	  [FRAME_SYNTHETIC] = "synthetic",
	[QUERY_ITEM_PROCESS] = "process",
};

struct item_key {
	uint32_t kind, name, file, binary, line;
};

int item_table_init(struct item_table *t)
{
	int r;

	*t = (struct item_table){ 0 };
	hmap_init(&t->keys, sizeof(struct item_key), sizeof(uint32_t), 0);
	r = strings_new(0, &t->strings);
	if (r < 0)
		return r;
	r = array_reserve(&t->items, &t->items_cap, 64);
	if (r < 0)
		return r;
	t->items[t->items_n++] = (struct query_item){ .name = "", .file = "", .binary = "" };
	return 0;
}

void item_table_release(struct item_table *t)
{
	hmap_release(&t->keys);
	free(t->items);
	if (t->strings)
		strings_free(t->strings);
	*t = (struct item_table){ 0 };
}

static uint32_t item_intern(struct item_table *t, unsigned kind, const char *name, const char *file,
			    const char *binary, uint32_t line)
{
	struct item_key key = { .kind = kind, .line = line };
	uint32_t *index;
	bool is_new;

	if (strings_intern(t->strings, name, &key.name) < 0 ||
	    strings_intern(t->strings, file, &key.file) < 0 ||
	    strings_intern(t->strings, binary, &key.binary) < 0 ||
	    array_reserve(&t->items, &t->items_cap, t->items_n + 1) < 0)
		return 0;
	index = hmap_put(&t->keys, &key, &is_new);
	if (!index)
		return 0;
	if (is_new) {
		*index = (uint32_t)t->items_n;
		t->items[t->items_n++] = (struct query_item){
			.kind = kind,
			.name = strings_get(t->strings, key.name),
			.file = strings_get(t->strings, key.file),
			.binary = strings_get(t->strings, key.binary),
			.line = line,
		};
	}
	return *index;
}

const char *query_code_name(const struct binary *b, char out[QUERY_CODE_NAME_SIZE])
{
	switch (b ? b->kind : BINARY_UNKNOWN) {
	case BINARY_FILE:
		snprintf(out, QUERY_CODE_NAME_SIZE, "[%.256s]",
			 query_base_name(b->path ? b->path : ""));
		return out;
	case BINARY_KERNEL:
		return "[kernel]";
	case BINARY_VDSO:
		return "[vdso]";
	case BINARY_ANON:
		return "[anonymous code]";
	default:
		return "[unknown]";
	}
}

const char *query_native_name(const struct function *fn, const struct binary *b,
			      char out[QUERY_CODE_NAME_SIZE])
{
	if (fn->name[0] != '+')
		return fn->name;
	snprintf(out, QUERY_CODE_NAME_SIZE, "[%.240s%.24s]",
		 query_base_name(b && b->path ? b->path : ""), fn->name);
	return out;
}

static enum query_unnamed why_unnamed(const struct binary *b)
{
	switch (b ? b->kind : BINARY_UNKNOWN) {
	case BINARY_FILE:
		return b->build_id.size ? QUERY_NO_SYMBOL : QUERY_NOT_READ;
	case BINARY_KERNEL:
	case BINARY_VDSO:
		return QUERY_NO_SYMBOL;
	case BINARY_ANON:
		return QUERY_MEMORY;
	default:
		return QUERY_NOT_MAPPED;
	}
}

static uint32_t item_of_code_without_name(struct item_table *t, unsigned kind,
					  const struct binary *b)
{
	bool has_path =
		b && (b->kind == BINARY_FILE || b->kind == BINARY_KERNEL || b->kind == BINARY_VDSO);
	char name[QUERY_CODE_NAME_SIZE];
	uint32_t item = item_intern(t, kind, query_code_name(b, name), "",
				    has_path && b->path ? b->path : "", 0);

	if (item)
		t->items[item].unnamed = why_unnamed(b);
	return item;
}

uint32_t item_of_frame(struct item_table *t, const struct segment *s, const struct frame *f)
{
	const struct function *fn;
	const struct binary *b;
	char name[QUERY_CODE_NAME_SIZE];
	uint32_t item;
	unsigned kind;

	if (!f)
		return item_intern(t, FRAME_SYNTHETIC, "[missing frame]", "", "", 0);
	kind = f->kind > 0 && f->kind < FRAME_KIND_MAX ? f->kind : FRAME_SYNTHETIC;
	fn = segment_function(s, f->function);
	b = segment_binary(s, fn && fn->binary ? fn->binary : f->binary);
	if (!fn || !fn->name || !*fn->name)
		return item_of_code_without_name(t, kind, b);
	item = item_intern(t, kind,
			   kind == FRAME_NATIVE ? query_native_name(fn, b, name) : fn->name,
			   fn->file, b ? b->path : "", fn->first_line);
	if (item && kind == FRAME_NATIVE && fn->name[0] == '+')
		t->items[item].unnamed = QUERY_BY_ADDRESS;
	return item;
}

uint32_t item_of_inline(struct item_table *t, const struct segment *s, uint32_t function)
{
	const struct function *fn = segment_function(s, function);
	const struct binary *b = fn ? segment_binary(s, fn->binary) : NULL;
	_cleanup_free_ char *name = NULL;

	if (asprintf(&name, "%s (inlined)", fn && fn->name && *fn->name ? fn->name : "[unknown]") <
	    0) {
		name = NULL;
		return 0;
	}
	return item_intern(t, FRAME_NATIVE, name, fn ? fn->file : "", b ? b->path : "",
			   fn ? fn->first_line : 0);
}

uint32_t item_of_comm(struct item_table *t, const char *comm)
{
	return item_intern(t, QUERY_ITEM_PROCESS, *comm ? comm : "[no name]", "", "", 0);
}

uint32_t item_of_no_stack(struct item_table *t)
{
	return item_intern(t, FRAME_SYNTHETIC, "[no stack]", "", "", 0);
}

const char *query_base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

/* Behind "/lib/pythonX.Y/", or NULL. */
static const char *behind_python_lib(const char *path)
{
	const char *at = strstr(path, "/lib/python");

	if (!at)
		return NULL;
	at = strchr(at + strlen("/lib/python"), '/');
	return at && at[1] ? at + 1 : NULL;
}

const char *query_short_path(const char *path)
{
	static const char *const marks[] = { "/site-packages/", "/dist-packages/" };
	const char *found = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
		for (const char *at = strstr(path, marks[i]); at; at = strstr(at + 1, marks[i]))
			if (at[strlen(marks[i])] && at + strlen(marks[i]) > found)
				found = at + strlen(marks[i]);
	if (!found)
		found = behind_python_lib(path);
	return found ? found : path;
}
