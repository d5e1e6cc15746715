/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "store/reader.h"

/* Tables of our schema, and SQLite's own. */
#define TABLES_MAX 64
#define NAME_SIZE  64

struct sizes {
	struct {
		char name[NAME_SIZE];
		uint64_t bytes;
	} tables[TABLES_MAX];
	size_t n;
	uint64_t pages, pages_max;
};

static int take_page(void *data, struct sql_row *row)
{
	struct sizes *s = data;
	const char *name = sql_text(row, NAME_SIZE - 1);
	uint64_t bytes = sql_u64(row);
	size_t i = 0;

	/* A page that is met twice is a tree that bites its tail: dbstat would follow it for ages. */
	if (row->bad || ++s->pages > s->pages_max)
		return -EBADMSG;
	while (i < s->n && strcmp(s->tables[i].name, name) != 0)
		i++;
	if (i == TABLES_MAX)
		return -EBADMSG;
	if (i == s->n)
		strcpy(s->tables[s->n++].name, name);
	s->tables[i].bytes += bytes;
	return 0;
}

static int take_count(void *data, struct sql_row *row)
{
	*(uint64_t *)data = sql_u64(row);
	return 0;
}

int store_read_sizes(struct store_reader *r, int (*each)(void *data, const struct store_size *s),
		     void *data)
{
	struct sizes s = { 0 };
	sqlite3_stmt *probe = NULL;
	int e = reader_each(r, "page_count", "PRAGMA page_count", take_count, &s.pages_max);

	if (e < 0)
		return e;
	if (sqlite3_prepare_v2(r->db, "SELECT 1 FROM dbstat", -1, &probe, NULL) != SQLITE_OK)
		return -ENOTSUP;
	sqlite3_finalize(probe);
	e = reader_each(r, "dbstat",
			"SELECT coalesce(m.tbl_name, d.name), d.pgsize FROM dbstat AS d "
			"LEFT JOIN sqlite_schema AS m ON m.name = d.name",
			take_page, &s);
	for (size_t i = 0; e == 0 && i < s.n; i++)
		e = each(data, &(struct store_size){ s.tables[i].name, s.tables[i].bytes });
	return e;
}
