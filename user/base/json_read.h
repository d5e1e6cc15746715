/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks things up in a small JSON text, which may be anyone's: what is not JSON, or nested deeper than
 * a few levels, has nothing in it. No tree is built.
 */
#ifndef KYMO_BASE_JSON_READ_H
#define KYMO_BASE_JSON_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* The value of an object's key, and of an array's element: points into the text. NULL = there is none. */
const char *json_member(const char *object, const char *key);
const char *json_element(const char *array, size_t index);

/* Of a value that was found; NULL is allowed and fails. */
bool json_get_number(const char *value, double *ret);
/* Appends a string, unescaped, as UTF-8. 0, -EINVAL (not a string), -ENOMEM. */
int json_get_text(const char *value, struct buf *out);

#endif
