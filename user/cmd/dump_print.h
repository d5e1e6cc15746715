/* SPDX-License-Identifier: Apache-2.0 */
/* A dump as text, in the manner of Python's faulthandler, and as JSON (docs/formats/json.md). */
#ifndef KYMO_CMD_DUMP_PRINT_H
#define KYMO_CMD_DUMP_PRINT_H

#include "agent/dump.h"
#include "cmd/screen.h"

void dump_print_text(struct screen *s, const struct dump *d);
/* 0 or -errno. */
int dump_print_json(const struct dump *d);

#endif
