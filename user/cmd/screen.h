/* SPDX-License-Identifier: Apache-2.0 */
/* Where a command prints: how wide, in colour or not, and lines of columns that fit. */
#ifndef KYMO_CMD_SCREEN_H
#define KYMO_CMD_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"

/* Wider than any line: nothing is cut. */
#define SCREEN_UNLIMITED 1000

enum screen_style {
	STYLE_PLAIN,
	STYLE_BOLD,
	STYLE_DIM,
	STYLE_WARNING,
	STYLE_KERNEL,
	STYLE_NATIVE,
	STYLE_PYTHON,
	STYLE_SYNTHETIC,
	STYLE_MAX,
};

struct screen {
	FILE *out;
	size_t columns; /* COLUMNS, else the terminal's, else what suits a pipe */
	size_t lines;	/* of a terminal; 0 = none */
	bool color;	/* a terminal that can, and NO_COLOR is not set */
};

/* piped_columns: 80 for a page to be read, SCREEN_UNLIMITED for data. */
void screen_init(struct screen *s, FILE *out, size_t piped_columns);
/* Escape sequences, or "" without colour. */
const char *screen_style(const struct screen *s, enum screen_style style);
const char *screen_plain(const struct screen *s);
/* The colour of a frame's kind. */
enum screen_style style_of_kind(unsigned kind);

/* Tells why output could not be written; path NULL or "-" = standard output. The error, or 0: a reader that has gone, as `head`, is none. */
int output_failed(const char *path, int error);
/* Flushes: 0, or 1 with the reason told. */
int screen_finish(struct screen *s);

/* A line of text from outside, safe and cut where the screen ends; of a format, in a style. */
void print_line(struct screen *s, const char *text);
void print_cut(struct screen *s, enum screen_style style, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Appends text made safe for a terminal, cut to `columns` with an ellipsis; pads when asked. */
int append_text(struct buf *b, const char *text, size_t columns, bool pad);
/*
 * A function's name; where it does not fit, what tells least goes first: Python's ".<locals>", parameters, inner
 * template arguments, outer ones; then the middle.
 */
int append_name(struct buf *b, const char *name, size_t columns, bool pad);
/*
 * "json/decoder.py:284" within `columns`: leading folders are dropped first. Without a file the `tail` of its
 * binary's path, which path_tails gave; more of it for "[libc.so.6]", which is named after it. Not padded.
 */
struct query_item;
int append_where(struct buf *b, const struct query_item *item, const char *tail, size_t columns);
/* Columns that it wants. */
size_t where_width(const struct query_item *item, const char *tail);
/* It is told where it is by its binary: its tail must differ from those of others. */
bool item_shows_binary(const struct query_item *item);
/*
 * Replaces each path by a pointer into it: the base name where no other path has the same, else with as many of
 * its folders as tell it from the others; all of it where another path ends in it. 0 or -ENOMEM.
 */
int path_tails(const char **paths, size_t n);
size_t safe_width(const char *text);

#define FORMAT_SIZE 32
/* At most 5 columns: "999", "12.3K", "1.5M"; powers of 1000. Each returns out. */
const char *format_short(double value, char out[FORMAT_SIZE]);
/* At most 5 columns: "820K", "1.5G"; powers of 1024. */
const char *format_short_bytes(double bytes, char out[FORMAT_SIZE]);
/* "40.1%"; "-" for a share of nothing. */
const char *format_percent(double part, double whole, char out[FORMAT_SIZE]);
/* A weight in the unit of its value (enum value_id): "1.25 s", "1.5 GiB", "1,234". */
const char *format_weight(uint64_t weight, unsigned value, char out[FORMAT_SIZE]);
/* What stands over a column of such: "time", "bytes", "count". */
const char *weight_title(unsigned value);
/* "2026-11-21 11:19:05 UTC", local time of this machine. */
const char *format_wall(uint64_t wall_ns, char out[64]);

#endif
