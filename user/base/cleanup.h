/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cleanup by attribute: what a scope owns is released when the scope ends.
 * TAKE_PTR and TAKE_FD hand ownership on and leave an empty owner behind.
 */
#ifndef KYMO_BASE_CLEANUP_H
#define KYMO_BASE_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

#define TAKE_PTR(p)                 \
	({                          \
		typeof(p) _t = (p); \
		(p) = NULL;         \
		_t;                 \
	})

#define TAKE_FD(fd)            \
	({                     \
		int _t = (fd); \
		(fd) = -1;     \
		_t;            \
	})

/* Defines NAMEp, usable with _cleanup_, for a destructor that takes NULL. */
#define DEFINE_CLEANUP(type, destroy)          \
	static inline void destroy##p(type *p) \
	{                                      \
		if (*p)                        \
			destroy(*p);           \
	}                                      \
	struct cleanup_swallow_semicolon_##destroy

static inline void freep(void *p)
{
	free(*(void **)p);
}

static inline void closep(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define _cleanup_free_	 _cleanup_(freep)
#define _cleanup_close_	 _cleanup_(closep)
#define _cleanup_fclose_ _cleanup_(fclosep)

#endif
