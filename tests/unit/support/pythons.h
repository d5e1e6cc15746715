/* SPDX-License-Identifier: Apache-2.0 */
/* The CPython interpreters of this machine that kymo knows: the system's and a version manager's. */
#ifndef KYMO_TEST_PYTHONS_H
#define KYMO_TEST_PYTHONS_H

#include <stddef.h>

struct pythons {
	char **paths;
	size_t n;
};

/* /usr/bin/python3.N, and $PYENV_ROOT or ~/.pyenv: 3.6 to 3.14 each. */
void pythons_find(struct pythons *ret);
void pythons_release(struct pythons *p);

#endif
