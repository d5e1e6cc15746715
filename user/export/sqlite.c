/* SPDX-License-Identifier: Apache-2.0 */
/* Plain rows for any program that reads SQLite: docs/formats/sqlite.md. What SQL it takes is query's business. */
#include "export/formats.h"
#include "query/plain.h"

int export_sqlite(const char *path, struct profile *p, const struct query_selection *s,
		  char **ret_message)
{
	return plain_write(p, s, path, ret_message);
}
