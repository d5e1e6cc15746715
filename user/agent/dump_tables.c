/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel side is told of files, kept for our own walk. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/dump_state.h"
#include "python/python.h"

void dump_tables_init(struct dump_tables *t)
{
	hmap_init(&t->rules, sizeof(struct kymo_file_key), sizeof(struct unwind_table *), 0);
	hmap_init(&t->pythons, sizeof(struct kymo_file_key), sizeof(struct kymo_python_binary), 0);
	if (unwind_table_build_vdso(&t->vdso) < 0)
		t->vdso = NULL;
}

void dump_tables_release(struct dump_tables *t)
{
	const void *key;
	size_t pos = 0;
	void *table;

	while (hmap_next(&t->rules, &pos, &key, &table))
		unwind_table_free(*(struct unwind_table **)table);
	unwind_table_free(t->vdso);
	hmap_release(&t->rules);
	hmap_release(&t->pythons);
}

/* At a lack of memory its stacks go by the frame pointer. */
void dump_tables_rules(void *data, const struct kymo_file_key *file, struct unwind_table *table)
{
	struct dump_tables *t = data;
	struct unwind_table **place = hmap_put(&t->rules, file, NULL);

	if (!place) {
		unwind_table_free(table);
		return;
	}
	unwind_table_free(*place);
	*place = table;
}

void dump_tables_python(void *data, const struct kymo_file_key *file,
			const struct kymo_python_binary *binary)
{
	struct dump_tables *t = data;
	struct kymo_python_binary *place = hmap_put(&t->pythons, file, NULL);

	if (place)
		*place = *binary;
}

static const struct unwind_table *rules_of(const struct dump_tables *t,
					   const struct proc_mapping *m)
{
	const struct kymo_file_key key = { .inode = m->inode, .dev = m->dev };
	struct unwind_table **found;

	if (!m->is_file)
		return strcmp(m->path, "[vdso]") == 0 ? t->vdso : NULL;
	found = hmap_get(&t->rules, &key);
	return found ? *found : NULL;
}

/* As the kernel side finds it: the program itself first, then from the top of the memory map down. */
static const struct proc_mapping *find_interpreter(const struct dump_tables *t,
						   const struct proc_process *p,
						   const struct kymo_python_binary **ret)
{
	const struct proc_mapping *found = NULL;

	for (size_t i = 0; i < p->mappings_n; i++) {
		const struct proc_mapping *m = &p->mappings[i];
		const struct kymo_file_key key = { .inode = m->inode, .dev = m->dev };
		const struct kymo_python_binary *binary = m->is_file ? hmap_get(&t->pythons, &key)
								     : NULL;

		if (!binary)
			continue;
		found = m;
		*ret = binary;
		if (strcmp(m->path, p->info.exe) == 0)
			break;
	}
	return found;
}

static void set_interpreter(const struct dump_tables *t, const struct proc_process *p,
			    struct walk_process *w)
{
	const struct kymo_python_layout *layouts;
	const struct proc_mapping *m = find_interpreter(t, p, &w->binary);

	if (!m)
		return;
	(void)python_layouts(&layouts);
	w->layout = &layouts[w->binary->layout];
	w->load_bias = m->start - (m->pgoff_bytes + w->binary->text_offset_bias);
	w->rules = rules_of(t, m);
}

int dump_tables_process(const struct dump_tables *t, const struct proc_process *p,
			struct walk_process *ret, struct walk_mapping **ret_mappings)
{
	struct walk_mapping *mappings = calloc(p->mappings_n + 1, sizeof(*mappings));

	if (!mappings)
		return -ENOMEM;
	for (size_t i = 0; i < p->mappings_n; i++) {
		const struct proc_mapping *m = &p->mappings[i];

		mappings[i] = (struct walk_mapping){ .start = m->start,
						     .end = m->end,
						     .pgoff_bytes = m->is_file ? m->pgoff_bytes : 0,
						     .rules = rules_of(t, m) };
	}
	*ret = (struct walk_process){ .mappings = mappings, .mappings_n = p->mappings_n };
	set_interpreter(t, p, ret);
	*ret_mappings = mappings;
	return 0;
}
