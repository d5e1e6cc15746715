/* SPDX-License-Identifier: Apache-2.0 */
/* speedscope's own format: shared frames, and one profile of distinct stacks with their weights. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "export/formats.h"

#define SCHEMA "https://www.speedscope.app/file-format-schema.json"

struct frames {
	uint32_t *index; /* item -> index in shared.frames + 1 */
	uint32_t *path;	 /* of the node at hand */
};

static void frames_release(struct frames *f)
{
	free(f->index);
	free(f->path);
}

static void write_frame(struct json *j, const struct query_item *item)
{
	json_object(j);
	json_key(j, "name");
	json_str(j, item->name);
	if (*item->file || *item->binary) {
		json_key(j, "file");
		json_str(j, *item->file ? item->file : item->binary);
	}
	if (item->line) {
		json_key(j, "line");
		json_u64(j, item->line);
	}
	json_object_end(j);
}

static void write_frames(struct json *j, const struct query_result *r, struct frames *f)
{
	uint32_t n = 0;

	json_key(j, "shared");
	json_object(j);
	json_key(j, "frames");
	json_array(j);
	for (size_t i = 1; i < r->nodes_n; i++) {
		uint32_t item = r->nodes[i].item;

		if (f->index[item])
			continue;
		f->index[item] = ++n;
		write_frame(j, &r->items[item]);
	}
	json_array_end(j);
	json_object_end(j);
}

/* One stack: from the root to the node. */
static void write_stack(struct json *j, const struct query_result *r, struct frames *f,
			uint32_t node)
{
	size_t n = 0;

	for (uint32_t at = node; at; at = r->nodes[at].parent)
		f->path[n++] = at;
	json_array(j);
	while (n)
		json_u64(j, f->index[r->nodes[f->path[--n]].item] - 1);
	json_array_end(j);
}

static void write_profile(struct json *j, struct profile *p, const struct query_result *r,
			  struct frames *f)
{
	const char *unit = values[r->value].unit;
	const char *host = profile_meta(p, "host");

	json_object(j);
	json_key(j, "type");
	json_str(j, "sampled");
	json_key(j, "name");
	json_str(j, host ? host : "kymo");
	json_key(j, "unit");
	json_str(j, strcmp(unit, "ns") == 0	 ? "nanoseconds"
		    : strcmp(unit, "count") == 0 ? "none"
						 : unit);
	json_key(j, "startValue");
	json_u64(j, 0);
	json_key(j, "endValue");
	json_u64(j, r->total.weight);
	json_key(j, "samples");
	json_array(j);
	for (uint32_t i = 1; i < r->nodes_n; i++)
		if (r->nodes[i].self.count)
			write_stack(j, r, f, i);
	json_array_end(j);
	json_key(j, "weights");
	json_array(j);
	for (uint32_t i = 1; i < r->nodes_n; i++)
		if (r->nodes[i].self.count)
			json_u64(j, r->nodes[i].self.weight);
	json_array_end(j);
	json_object_end(j);
}

int export_speedscope(FILE *out, struct profile *p, const struct query_selection *s,
		      const struct query_result *r, const struct export_options *options)
{
	_cleanup_(frames_release) struct frames f = { 0 };
	struct json j;

	(void)s;
	f.index = calloc(r->items_n, sizeof(*f.index));
	f.path = calloc(r->nodes_n, sizeof(*f.path));
	if (!f.index || !f.path)
		return -ENOMEM;
	json_begin(&j, out);
	json_object(&j);
	json_key(&j, "$schema");
	json_str(&j, SCHEMA);
	json_key(&j, "exporter");
	json_str(&j, "kymo");
	json_key(&j, "name");
	json_str(&j, options->title ? options->title : profile_path(p));
	write_frames(&j, r, &f);
	json_key(&j, "profiles");
	json_array(&j);
	write_profile(&j, p, r, &f);
	json_array_end(&j);
	json_object_end(&j);
	json_end(&j); /* a failed write is left in the stream */
	return 0;
}
