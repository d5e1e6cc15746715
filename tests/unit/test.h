/* SPDX-License-Identifier: Apache-2.0 */
/* cmocka with the headers that it needs in front of it. */
#ifndef KYMO_TEST_H
#define KYMO_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#endif
