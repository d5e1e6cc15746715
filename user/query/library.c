/* SPDX-License-Identifier: Apache-2.0 */
/* Which functions a program did not bring along. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/hmap.h"
#include "query/fold.h"

static bool starts_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

/* Where distributions and their tools install what programs share; also below another root, as a container's. */
static bool in_system_folder(const char *path)
{
	static const char *const folders[] = { "/lib/", "/lib32/", "/lib64/" };
	static const char *const anywhere[] = { "/usr/lib/",	   "/usr/lib32/",
						"/usr/lib64/",	   "/usr/libexec/",
						"/usr/local/lib/", "/usr/local/lib64/" };

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		if (starts_with(path, folders[i]))
			return true;
	for (size_t i = 0; i < ARRAY_SIZE(anywhere); i++)
		if (strstr(path, anywhere[i]))
			return true;
	return false;
}

/* "python3.11", "libpython3.8.so.1.0": an interpreter is no part of the program that it runs. */
static bool is_interpreter(const char *path)
{
	const char *name = query_base_name(path);

	if (starts_with(name, "libpython"))
		return true;
	if (!starts_with(name, "python"))
		return false;
	return strspn(name + strlen("python"), "0123456789.") == strlen(name + strlen("python"));
}

static bool is_python_library(const char *file)
{
	return starts_with(file, "<frozen ") || query_short_path(file) != file;
}

bool fold_is_library(const struct query_item *item, const struct hmap *exes)
{
	switch (item->kind) {
	case FRAME_PYTHON:
		return is_python_library(item->file);
	case FRAME_NATIVE:
		if (strcmp(item->binary, "[vdso]") == 0 || is_interpreter(item->binary))
			return true;
		/* Every executable's, by the C library's linker script: not its author's. */
		if (strcmp(item->name, "_start") == 0)
			return true;
		if (hmap_get(exes, &item->binary))
			return false;
		/* An extension module lies among Python's own files. */
		return in_system_folder(item->binary) ||
		       query_short_path(item->binary) != item->binary;
	default:
		return false;
	}
}

int fold_libraries(const struct query_result *r, bool **ret)
{
	_cleanup_(hmap_release) struct hmap exes;
	_cleanup_free_ bool *library = calloc(r->items_n + 1, sizeof(*library));

	hmap_init(&exes, sizeof(char *), sizeof(uint8_t), 0);
	if (!library)
		return -ENOMEM;
	for (size_t i = 0; i < r->processes_n; i++)
		if (*r->processes[i].exe && !hmap_put(&exes, &r->processes[i].exe, NULL))
			return -ENOMEM;
	for (size_t i = 1; i < r->items_n; i++)
		library[i] = fold_is_library(&r->items[i], &exes);
	*ret = TAKE_PTR(library);
	return 0;
}
