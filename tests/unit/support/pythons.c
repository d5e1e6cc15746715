/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/support/pythons.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "unit/test.h"

static void add(struct pythons *p, size_t *cap, const char *pattern)
{
	glob_t found;

	if (glob(pattern, 0, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc; i++) {
			assert_int_equal(array_reserve(&p->paths, cap, p->n + 1), 0);
			p->paths[p->n] = strdup(found.gl_pathv[i]);
			assert_non_null(p->paths[p->n++]);
		}
	}
	globfree(&found);
}

void pythons_find(struct pythons *ret)
{
	const char *root = getenv("PYENV_ROOT"), *home = getenv("HOME");
	char pattern[512];
	size_t cap = 0;

	*ret = (struct pythons){ 0 };
	for (int minor = 6; minor <= 14; minor++) {
		snprintf(pattern, sizeof(pattern), "/usr/bin/python3.%d", minor);
		add(ret, &cap, pattern);
		snprintf(pattern, sizeof(pattern), "%s%s/versions/3.%d.*/bin/python3.%d",
			 root ? root : (home ? home : ""), root ? "" : "/.pyenv", minor, minor);
		add(ret, &cap, pattern);
	}
}

void pythons_release(struct pythons *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->paths[i]);
	free(p->paths);
	*p = (struct pythons){ 0 };
}
