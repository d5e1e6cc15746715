/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/support/tree.h"

#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "unit/test.h"

void tree_put(const char *root, const char *path, const char *text)
{
	char full[512];
	FILE *out;

	assert_in_range(snprintf(full, sizeof(full), "%s/%s", root, path), 1, sizeof(full) - 1);
	for (char *slash = full + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(full, 0755);
		*slash = '/';
	}
	out = fopen(full, "w");
	assert_non_null(out);
	assert_int_equal(fwrite(text, 1, strlen(text), out), strlen(text));
	assert_int_equal(fclose(out), 0);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

void tree_remove(const char *root, const char *path)
{
	char full[512];

	assert_in_range(snprintf(full, sizeof(full), "%s/%s", root, path), 1, sizeof(full) - 1);
	assert_int_equal(nftw(full, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}
