/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text from outside (comm, symbols, paths, Python names) may hold anything.
 * It is stored as valid UTF-8 and escaped again where it is shown.
 */
#ifndef KYMO_BASE_TEXT_H
#define KYMO_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* Appends as valid UTF-8 without NUL: each invalid byte and NUL becomes U+FFFD. 0 or -ENOMEM. */
int text_append_utf8(struct buf *b, const void *text, size_t size);
/* Appends for a terminal or a log line: control characters (C0, DEL, C1), bidirectional
 * overrides and invalid bytes as \xNN or \u{NNNN}; no newline survives. 0 or -ENOMEM. */
int text_append_terminal(struct buf *b, const char *text);
/* Appends for a frame of a folded line: as for a terminal, and ';' becomes ','. */
int text_append_folded(struct buf *b, const char *text);
/* Appends for XML or HTML, in attributes too: & < > " ' escaped; characters that XML forbids, controls (but tab and newline)
 * and bidirectional overrides as U+FFFD. */
int text_append_xml(struct buf *b, const char *text);
/* Appends as a JSON string with its quotes, controls and bidirectional overrides as \uNNNN: it may end on a terminal. */
int text_append_json(struct buf *b, const char *text);
/* Columns that the (terminal-safe) UTF-8 text takes; wide characters count two. */
size_t text_width(const char *text);
/* Appends at most `columns` columns of text; when cut, the middle becomes an ellipsis; pads to
 * `columns` with spaces when pad is set. */
int text_append_fit(struct buf *b, const char *text, size_t columns, bool pad);
/* A whole decimal number, nothing before or behind it. 0, -EINVAL, -ERANGE (outside min..max). */
int text_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret);
/* "1.5 GiB", "820 KiB", "12 B": at most 9 columns. Returns out. */
const char *text_bytes(uint64_t bytes, char out[16]);
/* "1.25 s", "12.3 ms", "45.0 us", "7 ns". Returns out. */
const char *text_duration(uint64_t ns, char out[16]);
/* "1,234,567". Returns out. */
const char *text_count(uint64_t n, char out[32]);

#endif
