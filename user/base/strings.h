/* SPDX-License-Identifier: Apache-2.0 */
/* Interned strings: each distinct string has one id, counted from 1 in order of arrival; id 0 is "". */
#ifndef KYMO_BASE_STRINGS_H
#define KYMO_BASE_STRINGS_H

#include <stddef.h>
#include <stdint.h>

struct strings;

/* `max` = strings at most; 0 = no bound. 0 or -ENOMEM. */
int strings_new(size_t max, struct strings **ret);
void strings_free(struct strings *s);
/* All texts together, with their NULs, take so many bytes at most; 0 = no bound. */
void strings_limit(struct strings *s, size_t bytes);
/* 0 or -ENOMEM, -ENOSPC at the bound. NULL is "". */
int strings_intern(struct strings *s, const char *text, uint32_t *ret_id);
int strings_intern_n(struct strings *s, const char *text, size_t size, uint32_t *ret_id);
/* Owned by s, valid as long as s; "" for an unknown id. */
const char *strings_get(const struct strings *s, uint32_t id);
size_t strings_count(const struct strings *s);

#endif
