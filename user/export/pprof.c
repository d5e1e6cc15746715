/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pprof: gzip of profile.proto (github.com/google/pprof, proto/profile.proto). Two values per
 * source that was recorded, its samples and its weight, and one per counter of which something was seen; labels
 * tell process and thread, and the host's pressure in the tick as numbers, so that
 * -tagfocus=psi_mem_some=40:60 selects by health.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hmap.h"
#include "base/strings.h"
#include "base/text.h"
#include "base/version.h"
#include "export/formats.h"
#include "export/gzip.h"
#include "export/pprof_groups.h"
#include "export/proto.h"
#include "model/sample.h"
#include "query/metric.h"
#include "query/rows.h"

/* Numbers of the fields. */
enum {
	PROFILE_SAMPLE_TYPE = 1,
	PROFILE_SAMPLE = 2,
	PROFILE_MAPPING = 3,
	PROFILE_LOCATION = 4,
	PROFILE_FUNCTION = 5,
	PROFILE_STRING = 6,
	PROFILE_TIME = 9,
	PROFILE_DURATION = 10,
	PROFILE_PERIOD_TYPE = 11,
	PROFILE_PERIOD = 12,
	PROFILE_COMMENT = 13,
	PROFILE_DEFAULT_TYPE = 14
};
enum { VALUE_TYPE = 1, VALUE_UNIT = 2 };
enum { SAMPLE_LOCATION = 1, SAMPLE_VALUE = 2, SAMPLE_LABEL = 3 };
enum { LABEL_KEY = 1, LABEL_STR = 2, LABEL_NUM = 3, LABEL_UNIT = 4 };
enum {
	MAPPING_ID = 1,
	MAPPING_START = 2,
	MAPPING_LIMIT = 3,
	MAPPING_FILE = 5,
	MAPPING_BUILD_ID = 6,
	MAPPING_HAS_FUNCTIONS = 7
};
enum { LOCATION_ID = 1, LOCATION_MAPPING = 2, LOCATION_ADDRESS = 3, LOCATION_LINE = 4 };
enum { LINE_FUNCTION = 1, LINE_LINE = 2 };
enum { FUNCTION_ID = 1, FUNCTION_NAME = 2, FUNCTION_FILE = 4, FUNCTION_START = 5 };

#define STACK_MAX 4096
/* The one frame of samples without any: else pprof counts them in its total alone. */
#define NO_STACK UINT32_MAX
/* Binaries get address ranges of their own, as in one large process. */
#define MAPPING_BITS 40

static const enum metric pressures[] = { METRIC_PSI_CPU_SOME, METRIC_PSI_MEM_SOME,
					 METRIC_PSI_IO_SOME };
static const char *const pressure_names[] = { "psi_cpu_some", "psi_mem_some", "psi_io_some" };
static_assert(ARRAY_SIZE(pressures) == PPROF_PRESSURES, "each has its place in the key");

enum { DIRECTION_NONE, DIRECTION_READ, DIRECTION_WRITE };

/* Of the counters: those of causes are the sources' own. */
#define SEEN_N (VALUE_MAX - VALUE_SEEN_CPU)

struct pprof {
	struct profile *profile;
	struct gzip *gzip;
	struct strings *strings;
	struct pprof_groups groups;
	struct hmap locations; /* (segment, frame id) -> id */
	struct hmap functions; /* (name, file, line) as string ids -> id */
	struct hmap mappings;  /* binary's path and build-id as string ids -> id */
	/* Index of a source's first value, of a counter's; -1 = none was recorded. */
	int value_of[KYMO_SOURCE_MAX], seen_at[SEEN_N];
	unsigned values_n, first_seen; /* the counters are the last of the values */
	uint64_t page_bytes;
	size_t tick; /* whose pressures these are, + 1 */
	uint8_t pressure[PPROF_PRESSURES];
	struct buf tables; /* mappings, locations, functions: behind the samples */
	struct buf sample, part, inner, lines, build_id;
	struct query_frame frames[STACK_MAX];
};

static void pprof_free(struct pprof *w)
{
	gzip_free(w->gzip);
	if (w->strings)
		strings_free(w->strings);
	pprof_groups_release(&w->groups);
	hmap_release(&w->locations);
	hmap_release(&w->functions);
	hmap_release(&w->mappings);
	buf_release(&w->tables);
	buf_release(&w->sample);
	buf_release(&w->part);
	buf_release(&w->inner);
	buf_release(&w->lines);
	buf_release(&w->build_id);
	free(w);
}
DEFINE_CLEANUP(struct pprof *, pprof_free);

static int intern(struct pprof *w, const char *text, uint32_t *ret)
{
	return strings_intern(w->strings, text, ret);
}

/* Writes a message of the profile itself. */
static int put(struct pprof *w, unsigned field, const struct buf *message)
{
	struct buf *out = &w->inner;
	int r;

	buf_clear(out);
	r = proto_message(out, field, message);
	if (r == 0)
		gzip_write(w->gzip, out->data, out->size);
	return r;
}

/* ---- names ---- */

static int build_id_text(struct pprof *w, const struct build_id *id, uint32_t *ret)
{
	int r = 0;

	buf_clear(&w->build_id);
	for (size_t i = 0; r == 0 && i < id->size && i < BUILD_ID_MAX; i++)
		r = buf_printf(&w->build_id, "%02x", id->bytes[i]);
	if (r < 0 || !buf_str(&w->build_id))
		return -ENOMEM;
	return intern(w, buf_str(&w->build_id), ret);
}

static int mapping_of(struct pprof *w, const struct binary *b, uint32_t *ret)
{
	struct {
		uint32_t path, build_id;
	} key;
	uint32_t *id;
	bool is_new;
	int r;

	*ret = 0;
	if (!b)
		return 0;
	r = intern(w, b->path, &key.path);
	if (r == 0)
		r = build_id_text(w, &b->build_id, &key.build_id);
	if (r < 0)
		return r;
	id = hmap_put(&w->mappings, &key, &is_new);
	if (!id)
		return -ENOMEM;
	if (is_new) {
		struct buf *m = &w->part;

		*id = (uint32_t)w->mappings.count;
		buf_clear(m);
		if (proto_u64(m, MAPPING_ID, *id) < 0 ||
		    proto_u64(m, MAPPING_START, (uint64_t)*id << MAPPING_BITS) < 0 ||
		    proto_u64(m, MAPPING_LIMIT, ((uint64_t)*id + 1) << MAPPING_BITS) < 0 ||
		    proto_u64(m, MAPPING_FILE, key.path) < 0 ||
		    proto_u64(m, MAPPING_BUILD_ID, key.build_id) < 0 ||
		    proto_u64(m, MAPPING_HAS_FUNCTIONS, 1) < 0 ||
		    proto_message(&w->tables, PROFILE_MAPPING, m) < 0)
			return -ENOMEM;
	}
	*ret = *id;
	return 0;
}

static int function_id(struct pprof *w, const char *name, const char *file, uint32_t line,
		       uint32_t *ret)
{
	struct {
		uint32_t name, file, line;
	} key = { .line = line };
	struct buf *f = &w->part;
	uint32_t *id;
	bool is_new;

	if (intern(w, name, &key.name) < 0 || intern(w, file, &key.file) < 0)
		return -ENOMEM;
	id = hmap_put(&w->functions, &key, &is_new);
	if (!id)
		return -ENOMEM;
	if (is_new) {
		*id = (uint32_t)w->functions.count;
		buf_clear(f);
		if (proto_u64(f, FUNCTION_ID, *id) < 0 ||
		    proto_u64(f, FUNCTION_NAME, key.name) < 0 ||
		    proto_u64(f, FUNCTION_FILE, key.file) < 0 ||
		    proto_u64(f, FUNCTION_START, line) < 0 ||
		    proto_message(&w->tables, PROFILE_FUNCTION, f) < 0)
			return -ENOMEM;
	}
	*ret = *id;
	return 0;
}

static int function_of(struct pprof *w, const struct query_frame *f, const struct function *fn,
		       uint32_t *ret)
{
	char name[QUERY_CODE_NAME_SIZE];

	if (f->id == NO_STACK)
		return function_id(w, "[no stack]", "", 0, ret);
	if (fn && fn->name && *fn->name)
		return function_id(w,
				   fn->kind == FRAME_NATIVE ? query_native_name(fn, f->binary, name)
							    : fn->name,
				   fn->file, fn->first_line, ret);
	return function_id(w, query_code_name(f->binary, name), "", 0, ret);
}

static int add_line(struct pprof *w, const struct query_frame *f, const struct function *fn,
		    uint32_t line)
{
	uint32_t function;
	int r = function_of(w, f, fn, &function);

	if (r < 0)
		return r;
	buf_clear(&w->inner);
	if (proto_u64(&w->inner, LINE_FUNCTION, function) < 0 ||
	    proto_u64(&w->inner, LINE_LINE, line) < 0)
		return -ENOMEM;
	return proto_message(&w->lines, LOCATION_LINE, &w->inner);
}

/* As the format has it: the innermost first, the function that they are inlined into last. */
static int make_lines(struct pprof *w, uint32_t segment, const struct query_frame *f)
{
	int r = 0;

	buf_clear(&w->lines);
	for (uint32_t k = f->inlines_n; k-- > 0 && r == 0;) {
		uint32_t line;
		const struct function *fn =
			query_inline(w->profile, segment, f->inlines_first + k, &line);

		r = add_line(w, f, fn, line);
	}
	return r < 0 ? r : add_line(w, f, f->function, f->line);
}

static int write_location(struct pprof *w, uint32_t segment, uint32_t id,
			  const struct query_frame *f)
{
	uint32_t mapping;
	struct buf *location = &w->part;
	int r = mapping_of(w, f->binary, &mapping);

	if (r == 0)
		r = make_lines(w, segment, f);
	if (r < 0)
		return r;
	buf_clear(location);
	if (proto_u64(location, LOCATION_ID, id) < 0 ||
	    proto_u64(location, LOCATION_MAPPING, mapping) < 0)
		return -ENOMEM;
	if (mapping && proto_u64(location, LOCATION_ADDRESS,
				 ((uint64_t)mapping << MAPPING_BITS) +
					 (f->offset & ((1ULL << MAPPING_BITS) - 1))) < 0)
		return -ENOMEM;
	if (buf_append(location, w->lines.data, w->lines.size) < 0)
		return -ENOMEM;
	return proto_message(&w->tables, PROFILE_LOCATION, location);
}

static int location_of(struct pprof *w, uint32_t segment, const struct query_frame *f,
		       uint32_t *ret)
{
	struct {
		uint32_t segment, frame;
	} key = { segment, f->id };
	bool is_new;
	uint32_t *id = hmap_put(&w->locations, &key, &is_new);

	if (!id)
		return -ENOMEM;
	if (is_new)
		*id = (uint32_t)w->locations.count;
	*ret = *id;
	return is_new ? write_location(w, segment, *id, f) : 0;
}

/* ---- samples ---- */

/* A text, or (NULL) a number; one with a unit is a label even when it is 0. */
static int add_label(struct pprof *w, const char *key, const char *text, uint64_t number,
		     const char *unit)
{
	uint32_t key_id, text_id = 0, unit_id = 0;

	if (intern(w, key, &key_id) < 0 || (text && intern(w, text, &text_id) < 0) ||
	    intern(w, unit, &unit_id) < 0)
		return -ENOMEM;
	if (text && !text_id)
		return 0;
	buf_clear(&w->part);
	if (proto_u64(&w->part, LABEL_KEY, key_id) < 0 ||
	    proto_u64(&w->part, LABEL_STR, text_id) < 0 ||
	    proto_u64(&w->part, LABEL_NUM, number) < 0 ||
	    proto_u64(&w->part, LABEL_UNIT, unit_id) < 0)
		return -ENOMEM;
	return proto_message(&w->sample, SAMPLE_LABEL, &w->part);
}

static int add_labels(struct pprof *w, const struct pprof_key *key, const struct pprof_group *g)
{
	bool by_id = w->groups.detail < PPROF_NAMES;
	int r = add_label(w, "process", g->process->comm, 0, "");

	if (r == 0 && by_id)
		r = add_label(w, "pid", NULL, g->process->pid, "");
	if (r == 0)
		r = add_label(w, "thread", thread_shown(g->thread), 0, "");
	if (r == 0 && by_id)
		r = add_label(w, "tid", NULL, g->thread->tid, "");
	if (r == 0 && key->direction)
		r = add_label(w, "io", key->direction == DIRECTION_WRITE ? "write" : "read", 0, "");
	for (size_t i = 0; r == 0 && i < PPROF_PRESSURES; i++)
		if (key->pressure[i] != PPROF_PRESSURE_ABSENT)
			r = add_label(w, pressure_names[i], NULL, key->pressure[i], "percent");
	return r;
}

static int add_locations(struct pprof *w, const struct pprof_key *key)
{
	const struct query_row row = { .segment = key->segment, .stack = key->stack };
	size_t n = query_stack(w->profile, &row, w->frames, STACK_MAX);
	_cleanup_free_ uint32_t *ids = calloc(n + 1, sizeof(*ids));
	int r = ids ? 0 : -ENOMEM;

	if (n == 0)
		w->frames[n++] = (struct query_frame){ .id = NO_STACK };

	for (size_t i = 0; r == 0 && i < n; i++)
		r = location_of(w, key->segment, &w->frames[i], &ids[i]);
	buf_clear(&w->part);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = buf_put_varint(&w->part, ids[i]);
	return r < 0 ? r : proto_bytes(&w->sample, SAMPLE_LOCATION, w->part.data, w->part.size);
}

/* int64 in the format: what is more would be read as less than nothing. */
static uint64_t bounded(uint64_t v)
{
	return v > INT64_MAX ? INT64_MAX : v;
}

static int add_values(struct pprof *w, const struct pprof_key *key, const struct pprof_group *g)
{
	uint64_t all[2 * KYMO_SOURCE_MAX + SEEN_N] = { 0 };
	int r = 0;

	all[w->value_of[key->source]] = g->count;
	all[w->value_of[key->source] + 1] = g->weight;
	for (unsigned i = 0; i < SEEN_N; i++)
		if (w->seen_at[i] >= 0)
			all[w->seen_at[i]] = g->seen[(unsigned)w->seen_at[i] - w->first_seen];
	buf_clear(&w->part);
	for (unsigned i = 0; r == 0 && i < w->values_n; i++)
		r = buf_put_varint(&w->part, bounded(all[i]));
	return r < 0 ? r : proto_bytes(&w->sample, SAMPLE_VALUE, w->part.data, w->part.size);
}

static int write_sample(struct pprof *w, const struct pprof_key *key, const struct pprof_group *g)
{
	int r;

	buf_clear(&w->sample);
	r = add_locations(w, key);
	if (r == 0)
		r = add_values(w, key, g);
	if (r == 0)
		r = add_labels(w, key, g);
	return r < 0 ? r : put(w, PROFILE_SAMPLE, &w->sample);
}

static int write_groups(struct pprof *w)
{
	const void *key;
	void *group;
	size_t pos = 0;

	while (hmap_next(&w->groups.map, &pos, &key, &group)) {
		int r = write_sample(w, key, group);

		if (r < 0)
			return r;
	}
	hmap_clear(&w->groups.map);
	return 0;
}

static void read_pressures(struct pprof *w, size_t tick)
{
	const struct profile_tick *ticks;
	size_t n;

	if (w->tick == tick + 1)
		return;
	ticks = profile_ticks(w->profile, &n);
	for (size_t i = 0; i < PPROF_PRESSURES; i++) {
		double value;

		w->pressure[i] = PPROF_PRESSURE_ABSENT;
		if (metric_value(pressures[i], &ticks[tick], &value))
			w->pressure[i] = value <= 0	? 0
					 : value >= 100 ? 100
							: (uint8_t)(value + 0.5);
	}
	w->tick = tick + 1;
}

static int take_row(void *data, const struct query_row *row)
{
	struct pprof *w = data;
	struct pprof_key key = { .segment = row->segment,
				 .stack = row->stack,
				 .who = row->thread_index,
				 .source = row->row->source };
	struct pprof_group *g;
	int r;

	if (row->row->source >= KYMO_SOURCE_MAX || w->value_of[row->row->source] < 0)
		return 0;
	if (row->row->source == KYMO_SOURCE_IO)
		key.direction = row->row->state & KYMO_STATE_IO_WRITE ? DIRECTION_WRITE
								      : DIRECTION_READ;
	read_pressures(w, row->tick);
	memcpy(key.pressure, w->pressure, sizeof(key.pressure));
	r = pprof_groups_get(&w->groups, key, row, &g);
	if (r == -ENOSPC) {
		/* A pprof file may hold equal samples: they add up. */
		r = write_groups(w);
		if (r == 0)
			r = pprof_groups_get(&w->groups, key, row, &g);
	}
	if (r < 0)
		return r;
	pprof_add(&g->count, row->row->count);
	pprof_add(&g->weight, row->row->weight);
	for (unsigned i = 0; i < SEEN_N; i++)
		if (values[VALUE_SEEN_CPU + i].source == row->row->source && w->seen_at[i] >= 0)
			pprof_add(&g->seen[(unsigned)w->seen_at[i] - w->first_seen],
				  value_weight((enum value_id)(VALUE_SEEN_CPU + i), row->row,
					       w->page_bytes));
	return 0;
}

/* ---- head and tail ---- */

static int find_values(void *data, const struct query_row *row)
{
	struct pprof *w = data;

	if (!row->row->source || row->row->source >= KYMO_SOURCE_MAX)
		return 0;
	w->value_of[row->row->source] = 0;
	for (unsigned i = 0; i < SEEN_N; i++)
		if (values[VALUE_SEEN_CPU + i].source == row->row->source && w->seen_at[i] < 0 &&
		    value_weight((enum value_id)(VALUE_SEEN_CPU + i), row->row, w->page_bytes))
			w->seen_at[i] = 0;
	return 0;
}

static int write_value_type(struct pprof *w, unsigned field, const char *type, const char *unit)
{
	uint32_t type_id, unit_id;

	if (intern(w, type, &type_id) < 0 || intern(w, unit, &unit_id) < 0)
		return -ENOMEM;
	buf_clear(&w->part);
	if (proto_u64(&w->part, VALUE_TYPE, type_id) < 0 ||
	    proto_u64(&w->part, VALUE_UNIT, unit_id) < 0)
		return -ENOMEM;
	return put(w, field, &w->part);
}

static const char *unit_name(const char *unit)
{
	return unit && strcmp(unit, "ns") == 0 ? "nanoseconds" : unit && *unit ? unit : "count";
}

static int write_source_types(struct pprof *w, unsigned source)
{
	char samples[32] = "samples";

	if (w->value_of[source] < 0)
		return 0;
	w->value_of[source] = (int)w->values_n;
	w->values_n += 2;
	if (source != KYMO_SOURCE_CPU)
		snprintf(samples, sizeof(samples), "%s_samples", source_names[source]);
	if (write_value_type(w, PROFILE_SAMPLE_TYPE, samples, "count") < 0)
		return -ENOMEM;
	return write_value_type(w, PROFILE_SAMPLE_TYPE, source_names[source],
				unit_name(source_units[source]));
}

/* What the profile has, and what was asked for in any case; cpu when it has nothing. */
static int write_types(struct pprof *w, enum value_id asked)
{
	bool any = false;

	if (values[asked].is_seen)
		w->seen_at[asked - VALUE_SEEN_CPU] = 0;
	for (unsigned s = 1; s < KYMO_SOURCE_MAX; s++)
		any |= w->value_of[s] >= 0;
	if (!any)
		w->value_of[KYMO_SOURCE_CPU] = 0;
	for (unsigned s = 1; s < KYMO_SOURCE_MAX; s++)
		if (write_source_types(w, s) < 0)
			return -ENOMEM;
	w->first_seen = w->values_n;
	for (unsigned i = 0; i < SEEN_N; i++) {
		const struct value *v = &values[VALUE_SEEN_CPU + i];

		if (w->seen_at[i] < 0)
			continue;
		w->seen_at[i] = (int)w->values_n++;
		if (write_value_type(w, PROFILE_SAMPLE_TYPE, v->name, unit_name(v->unit)) < 0)
			return -ENOMEM;
	}
	return pprof_groups_init(&w->groups, w->values_n - w->first_seen);
}

/* Readers refuse a file for one text that is no UTF-8: names are foreign, and those cut short may end amid a letter. */
static int write_strings(struct pprof *w)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i <= strings_count(w->strings); i++) {
		const char *text = strings_get(w->strings, i);

		buf_clear(&w->part);
		r = text_append_utf8(&w->part, text, strlen(text));
		if (r == 0)
			r = put(w, PROFILE_STRING, &w->part);
	}
	return r;
}

/* What is known of the recording, a line each: pprof's -comments. */
static int write_comments(struct pprof *w)
{
	static const char *const details[PPROF_DETAIL_MAX] = {
		[PPROF_TENS] = "labels: pressure in steps of 10 percent",
		[PPROF_NAMES] = "labels: pressure in steps of 10 percent, no pid and tid",
		[PPROF_STACKS] = "labels: no pressure, no pid and tid",
	};
	static const char *const keys[] = { "host", "kernel", "cpus", "sources", "selection" };
	uint32_t id;
	char text[200];

	if (intern(w, "kymo " KYMO_VERSION, &id) < 0 ||
	    proto_u64(&w->tables, PROFILE_COMMENT, id) < 0)
		return -ENOMEM;
	if (details[w->groups.detail] && (intern(w, details[w->groups.detail], &id) < 0 ||
					  proto_u64(&w->tables, PROFILE_COMMENT, id) < 0))
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const char *value = profile_meta(w->profile, keys[i]);

		if (!value || !*value)
			continue;
		snprintf(text, sizeof(text), "%s: %.150s", keys[i], value);
		if (intern(w, text, &id) < 0 || proto_u64(&w->tables, PROFILE_COMMENT, id) < 0)
			return -ENOMEM;
	}
	if (!profile_ended(w->profile) && (intern(w, "the recording did not end", &id) < 0 ||
					   proto_u64(&w->tables, PROFILE_COMMENT, id) < 0))
		return -ENOMEM;
	return 0;
}

static int write_tail(struct pprof *w, const struct query_result *r)
{
	uint64_t period = profile_meta_u64(w->profile, "period_ns.cpu", 0);
	const char *name = r->value ? values[r->value].name : source_names[r->source];
	uint32_t default_type;

	if (write_comments(w) < 0 || intern(w, name, &default_type) < 0 ||
	    write_value_type(w, PROFILE_PERIOD_TYPE, "cpu", "nanoseconds") < 0)
		return -ENOMEM;
	if (proto_u64(&w->tables, PROFILE_TIME, profile_start_wall_ns(w->profile)) < 0 ||
	    proto_u64(&w->tables, PROFILE_DURATION, r->duration_ns) < 0 ||
	    proto_u64(&w->tables, PROFILE_PERIOD, period) < 0 ||
	    proto_u64(&w->tables, PROFILE_DEFAULT_TYPE, default_type) < 0)
		return -ENOMEM;
	gzip_write(w->gzip, w->tables.data, w->tables.size);
	return write_strings(w);
}

static int pprof_new(FILE *out, struct profile *p, struct pprof **ret)
{
	_cleanup_(pprof_freep) struct pprof *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->profile = p;
	hmap_init(&w->locations, 2 * sizeof(uint32_t), sizeof(uint32_t), 0);
	hmap_init(&w->functions, 3 * sizeof(uint32_t), sizeof(uint32_t), 0);
	hmap_init(&w->mappings, 2 * sizeof(uint32_t), sizeof(uint32_t), 0);
	for (size_t i = 0; i < KYMO_SOURCE_MAX; i++)
		w->value_of[i] = -1;
	for (size_t i = 0; i < SEEN_N; i++)
		w->seen_at[i] = -1;
	w->page_bytes = profile_meta_u64(p, "page_bytes", 4096);
	if (strings_new(0, &w->strings) < 0 || gzip_new(out, &w->gzip) < 0)
		return -ENOMEM;
	*ret = TAKE_PTR(w);
	return 0;
}

int export_pprof(FILE *out, struct profile *p, const struct query_selection *s,
		 const struct query_result *r, const struct export_options *options)
{
	_cleanup_(pprof_freep) struct pprof *w = NULL;
	struct query_selection all = *s;
	int error = pprof_new(out, p, &w);

	(void)options;
	all.source = 0;
	if (error == 0)
		error = query_each_row(p, &all, find_values, w, NULL);
	if (error == 0)
		error = write_types(w, r->value);
	if (error == 0)
		error = query_each_row(p, &all, take_row, w, NULL);
	if (error == 0)
		error = write_groups(w);
	if (error == 0)
		error = write_tail(w, r);
	if (error == 0)
		gzip_finish(w->gzip);
	return error;
}
