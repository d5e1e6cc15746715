/* SPDX-License-Identifier: Apache-2.0 */
/* The plain tables as SQLite's virtual tables: ids and ticks that a statement asks for are gone to, not searched. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "query/plain_table.h"

/* Of the first column, in the order of their arguments. */
enum { BOUND_LOWER = 1, BOUND_UPPER = 2, BOUND_EQUAL = 4 };

/* A row that comes out of a block, in rows that are gone to by their id. */
#define BLOCK_ROW_COST 16

struct vtab {
	sqlite3_vtab base;
	struct plain *plain;
	const struct plain_table *table;
};

/* What a module is registered with. */
struct registration {
	struct plain *plain;
	const struct plain_table *table;
};

static int vtab_connect(sqlite3 *db, void *data, int argc, const char *const *argv,
			sqlite3_vtab **ret, char **ret_error)
{
	const struct registration *registration = data;
	struct buf sql = { 0 };
	struct vtab *v;
	int rc = SQLITE_NOMEM;

	(void)argc, (void)argv, (void)ret_error;
	if (buf_append_str(&sql, "CREATE TABLE x(") == 0 &&
	    registration->table->columns(&sql) == 0 && buf_append_str(&sql, ")") == 0 &&
	    buf_str(&sql))
		rc = sqlite3_declare_vtab(db, buf_str(&sql));
	buf_release(&sql);
	if (rc != SQLITE_OK)
		return rc;
	sqlite3_vtab_config(db, SQLITE_VTAB_INNOCUOUS);
	v = calloc(1, sizeof(*v));
	if (!v)
		return SQLITE_NOMEM;
	v->plain = registration->plain;
	v->table = registration->table;
	*ret = &v->base;
	return SQLITE_OK;
}

static int vtab_disconnect(sqlite3_vtab *v)
{
	free(v);
	return SQLITE_OK;
}

static int bound_of(unsigned char op)
{
	switch (op) {
	case SQLITE_INDEX_CONSTRAINT_EQ:
		return BOUND_EQUAL;
	case SQLITE_INDEX_CONSTRAINT_GT:
	case SQLITE_INDEX_CONSTRAINT_GE:
		return BOUND_LOWER;
	case SQLITE_INDEX_CONSTRAINT_LT:
	case SQLITE_INDEX_CONSTRAINT_LE:
		return BOUND_UPPER;
	default:
		return 0;
	}
}

/* How many rows there are, roughly: for the planner alone. */
static double guess_rows(const struct vtab *v)
{
	const struct profile *p = v->plain->profile;
	double n = 0;

	if (v->table->shape == PLAIN_NESTED)
		return 8.0 * (double)v->table->count(v->plain);
	if (v->table->shape == PLAIN_BY_TICK) {
		for (size_t i = 0; i < p->ticks_n; i++)
			n += p->ticks[i].rows + 1;
		return n;
	}
	return strcmp(v->table->name, "event") == 0 || strcmp(v->table->name, "metric") == 0
		       ? 1000
		       : (double)v->table->count(v->plain);
}

static int vtab_best_index(sqlite3_vtab *base, sqlite3_index_info *info)
{
	const struct vtab *v = (struct vtab *)base;
	double rows = guess_rows(v), keys = v->table->shape == PLAIN_BY_ID ? rows : 1;
	int used = 0, n = 0;

	if (v->table->shape == PLAIN_BY_TICK)
		keys = (double)v->plain->profile->ticks_n + 1;
	if (v->table->shape == PLAIN_NESTED)
		keys = rows / 8;
	/* In the order of the bits, as arguments come in the order of their numbers. */
	for (int bit = BOUND_LOWER; bit <= BOUND_EQUAL; bit <<= 1)
		for (int i = 0; i < info->nConstraint; i++) {
			if (!info->aConstraint[i].usable || info->aConstraint[i].iColumn != 0 ||
			    bound_of(info->aConstraint[i].op) != bit || used & bit)
				continue;
			/* SQLite checks again: values that are no integers only narrow. */
			info->aConstraintUsage[i].argvIndex = ++n;
			used |= bit;
		}
	if (used & BOUND_EQUAL)
		rows /= keys > 1 ? keys : 1;
	else
		rows /= (used & BOUND_LOWER ? 2 : 1) * (used & BOUND_UPPER ? 2 : 1);
	info->idxNum = used;
	info->estimatedRows = (sqlite3_int64)rows + 1;
	/* Blocks are decoded anew by every scan: to be begun with, not to be come back to. */
	info->estimatedCost = rows * (v->table->shape == PLAIN_BY_TICK ? BLOCK_ROW_COST : 1) + 1;
	if (used & BOUND_EQUAL && v->table->shape == PLAIN_BY_ID)
		info->idxFlags = SQLITE_INDEX_SCAN_UNIQUE;
	info->orderByConsumed = info->nOrderBy == 1 && info->aOrderBy[0].iColumn == 0 &&
				!info->aOrderBy[0].desc;
	return SQLITE_OK;
}

static int vtab_open(sqlite3_vtab *base, sqlite3_vtab_cursor **ret)
{
	const struct vtab *v = (struct vtab *)base;
	struct plain_cursor *c = calloc(1, sizeof(*c));

	if (!c)
		return SQLITE_NOMEM;
	c->plain = v->plain;
	c->table = v->table;
	*ret = &c->base;
	return SQLITE_OK;
}

static int vtab_close(sqlite3_vtab_cursor *base)
{
	struct plain_cursor *c = (struct plain_cursor *)base;

	store_list_close(c->list);
	store_block_release(&c->block);
	free(c);
	return SQLITE_OK;
}

/* ---- the rows ---- */

static int fail(struct plain_cursor *c, int error)
{
	const struct profile *p = c->plain->profile;
	const char *why = store_reader_message(
		p->segments[c->segment < p->segments_n ? c->segment : 0].reader);

	if (error == -ENOMEM)
		return SQLITE_NOMEM;
	sqlite3_free(c->base.pVtab->zErrMsg);
	c->base.pVtab->zErrMsg = sqlite3_mprintf("%s", *why ? why : strerror(-error));
	return SQLITE_CORRUPT_VTAB;
}

/* On to the next place that has a row, the one at hand included. */
static int settle(struct plain_cursor *c)
{
	for (; c->at < c->end; c->at++) {
		int r;

		c->n = 0;
		if (c->table->shape == PLAIN_BY_ID) {
			if (!c->table->select || c->table->select(c))
				return SQLITE_OK;
			continue;
		}
		if (c->table->shape == PLAIN_BY_TICK && !c->plain->ticks[c->at])
			continue;
		r = c->table->start(c);
		if (r == 0 && c->table->shape == PLAIN_NESTED)
			return SQLITE_OK;
		if (r == 0)
			r = c->table->next(c);
		if (r < 0)
			return fail(c, r);
		if (r > 0)
			return SQLITE_OK;
	}
	return SQLITE_OK;
}

static int vtab_next(sqlite3_vtab_cursor *base)
{
	struct plain_cursor *c = (struct plain_cursor *)base;
	int r = 0;

	c->rowid++;
	if (c->table->next) {
		c->n++;
		r = c->table->next(c);
		if (r < 0)
			return fail(c, r);
	}
	if (r > 0)
		return SQLITE_OK;
	c->at++;
	return settle(c);
}

static int vtab_eof(sqlite3_vtab_cursor *base)
{
	const struct plain_cursor *c = (struct plain_cursor *)base;

	return c->at >= c->end;
}

/* Narrows [*from, *to] by one bound. Text says nothing here: SQLite compares it itself. */
static void narrow(sqlite3_value *value, int bound, int64_t *from, int64_t *to)
{
	int64_t low, high;
	double real;

	switch (sqlite3_value_type(value)) {
	case SQLITE_NULL: /* no comparison with it is true */
		*to = *from - 1;
		return;
	case SQLITE_INTEGER:
		low = high = sqlite3_value_int64(value);
		break;
	case SQLITE_FLOAT:
		real = sqlite3_value_double(value);
		if (real < -9e18 || real > 9e18)
			return;
		low = (int64_t)real - 1;
		high = (int64_t)real + 1;
		break;
	default:
		return;
	}
	if (bound & (BOUND_LOWER | BOUND_EQUAL) && low > *from)
		*from = low;
	if (bound & (BOUND_UPPER | BOUND_EQUAL) && high < *to)
		*to = high;
}

static int vtab_filter(sqlite3_vtab_cursor *base, int used, const char *name, int argc,
		       sqlite3_value **argv)
{
	struct plain_cursor *c = (struct plain_cursor *)base;
	bool by_tick = c->table->shape == PLAIN_BY_TICK;
	int64_t rows = by_tick ? (int64_t)c->plain->profile->ticks_n : c->table->count(c->plain);
	int64_t from = by_tick, to = rows - !by_tick;
	int n = 0;

	(void)name;
	if (rows < 0)
		return fail(c, (int)rows);
	for (int bit = BOUND_LOWER; bit <= BOUND_EQUAL; bit <<= 1)
		if (used & bit && n < argc)
			narrow(argv[n++], bit, &from, &to);
	/* Ticks are counted from 1, their indices from 0. */
	c->at = by_tick ? from - 1 : from;
	c->end = by_tick ? to : to + 1;
	c->rowid = 0;
	return settle(c);
}

static int vtab_column(sqlite3_vtab_cursor *base, sqlite3_context *to, int column)
{
	struct plain_cursor *c = (struct plain_cursor *)base;

	c->table->value(c, to, column);
	return SQLITE_OK;
}

static int vtab_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *ret)
{
	const struct plain_cursor *c = (struct plain_cursor *)base;

	*ret = c->table->shape == PLAIN_BY_ID ? c->at : c->rowid;
	return SQLITE_OK;
}

/* No xCreate: the tables are there by their names, and nobody can make others. */
static const sqlite3_module module = {
	.xConnect = vtab_connect,
	.xBestIndex = vtab_best_index,
	.xDisconnect = vtab_disconnect,
	.xOpen = vtab_open,
	.xClose = vtab_close,
	.xFilter = vtab_filter,
	.xNext = vtab_next,
	.xEof = vtab_eof,
	.xColumn = vtab_column,
	.xRowid = vtab_rowid,
};

int plain_register(struct plain *q, sqlite3 *db, bool prefixed)
{
	for (const struct plain_table *t = plain_tables; t->name; t++) {
		struct registration *registration = malloc(sizeof(*registration));
		char name[64];

		if (!registration)
			return -ENOMEM;
		*registration = (struct registration){ .plain = q, .table = t };
		snprintf(name, sizeof(name), "%s%s", prefixed ? "kymo_" : "", t->name);
		/* frees the registration, also when it fails */
		if (sqlite3_create_module_v2(db, name, &module, registration, free) != SQLITE_OK)
			return -ENOMEM;
	}
	return 0;
}

/* ---- stack_text(stack) ---- */

static int append_name(struct plain *q, uint32_t item, struct buf *b)
{
	const char *name = q->items.items[item].name;
	int r = item && (!b->size || buf_append(b, ";", 1) == 0) ? 0 : -ENOMEM;

	for (; *name && r == 0; name++)
		r = buf_append(b, *name == ';' ? "," : name, 1);
	return r;
}

static int append_names(struct plain *q, uint32_t segment, uint32_t stack, struct buf *b)
{
	const struct segment *s = &q->profile->segments[segment];
	_cleanup_free_ uint32_t *path = NULL;
	size_t n = 0, at = 0;
	int r = 0;

	for (uint32_t k = stack; k; k = idmap_find(&s->stacks, s->tables.stacks[k - 1].parent))
		n++;
	path = calloc(n + 1, sizeof(*path));
	if (!path)
		return -ENOMEM;
	for (uint32_t k = stack; k; k = idmap_find(&s->stacks, s->tables.stacks[k - 1].parent))
		path[at++] = idmap_find(&s->frames, s->tables.stacks[k - 1].frame);
	if (n == 0) /* "[no stack]" */
		n = 1;
	while (n-- && r == 0)
		for (uint32_t d = 0; d <= plain_inlines(q, segment, path[n]) && r == 0; d++)
			r = append_name(q, plain_frame_item(q, segment, path[n], d), b);
	return r;
}

static void stack_text(sqlite3_context *to, int argc, sqlite3_value **argv)
{
	struct plain *q = sqlite3_user_data(to);
	struct buf b = { 0 };
	uint32_t segment, index;

	(void)argc;
	if (sqlite3_value_type(argv[0]) != SQLITE_INTEGER ||
	    !plain_find(q, PLAIN_STACK, sqlite3_value_int64(argv[0]), &segment, &index))
		return; /* NULL */
	if (append_names(q, segment, index, &b) < 0 || !buf_str(&b))
		sqlite3_result_error_nomem(to);
	else
		sqlite3_result_text64(to, (char *)b.data, b.size, SQLITE_TRANSIENT, SQLITE_UTF8);
	buf_release(&b);
}

int plain_register_functions(struct plain *q, sqlite3 *db)
{
	int rc = sqlite3_create_function(db, "stack_text", 1,
					 SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, q,
					 stack_text, NULL, NULL);

	return rc == SQLITE_OK ? 0 : -ENOMEM;
}
