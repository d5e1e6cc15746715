/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of a profile, in the words that SQLite keeps of them. */
#ifndef KYMO_STORE_SCHEMA_H
#define KYMO_STORE_SCHEMA_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "model/health.h"

#define SCHEMA_APPLICATION_ID 0x6b796d6f /* "kymo" */
#define SCHEMA_PAGE_BYTES     4096
#define SCHEMA_HEADER_BYTES   100   /* SQLite's file header */
#define SCHEMA_TEXT_MAX	      65536 /* bytes of any text: the writer cuts, the reader refuses */

/* The whole file of a profile without rows, in WAL mode: written at once, it needs no journal. */
int schema_image(struct buf *ret);

/* The health columns that this build writes, as ", NAME, NAME ..." and ", ?, ? ...". */
int schema_health_columns(struct buf *names, struct buf *marks);

/*
 * Holds every row of sqlite_schema against our own. The health columns of `tick` may be others,
 * older or newer: ret_health says which of ours are there. 0, -EBADMSG (*ret_what then says what
 * is wrong, static or owned by buf), or the error of reading.
 */
int schema_check(sqlite3 *db, uint32_t format, bool ret_health[HEALTH_MAX], const char **ret_what);

/* SQLite's file header, from a file that may be anything. */
struct schema_header {
	bool is_sqlite;
	bool is_wal; /* written in WAL mode and not ended */
	uint32_t page_bytes;
	uint32_t pages;
	uint32_t application_id;
	uint32_t user_version;
};

void schema_parse_header(const uint8_t bytes[SCHEMA_HEADER_BYTES], struct schema_header *ret);
/* An ordinary file with the header of a profile, of whatever format. */
bool schema_is_profile(int fd);

#endif
