/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the reader share. */
#ifndef KYMO_STORE_READER_H
#define KYMO_STORE_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "store/block.h"
#include "store/hold.h"
#include "store/schema.h"
#include "store/sql.h"
#include "store/store.h"
#include "store/vfs.h"

struct meta {
	char *key, *value;
};

struct store_reader {
	int dir_fd, fd, wal_fd;
	struct hold hold;
	char name[NAME_MAX + 1]; /* in that folder */
	char *path;		 /* as given, for messages */
	struct vfs *vfs;
	sqlite3 *db;
	sqlite3_stmt *block_stmt;
	struct block_codec *codec;
	struct meta *meta;
	size_t meta_n, meta_cap;
	uint32_t format;	 /* STORE_FORMAT_OLDEST to STORE_FORMAT_VERSION */
	bool health[HEALTH_MAX]; /* the columns that the file has */
	char *message;
};

/* The file of that name, its WAL, and SQLite on them: reader_open.c. */
int reader_connect(struct store_reader *r, char **ret_message);

/* Sets the message: what SQLite says, or that `table` is damaged. Returns error. */
int reader_fail(struct store_reader *r, int error, const char *table);

/*
 * Every row of a query goes to each(), which reads its values and returns 0, or an error that
 * ends it. A value of the wrong type makes it -EBADMSG. `table` is for the message.
 */
typedef int (*reader_row_fn)(void *data, struct sql_row *row);
int reader_each(struct store_reader *r, const char *table, const char *sql, reader_row_fn each,
		void *data);

#endif
