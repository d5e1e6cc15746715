/* SPDX-License-Identifier: Apache-2.0 */
#include "health/reading.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/text.h"

void reading_release(struct reading *r)
{
	for (size_t i = 0; i < r->metrics_n; i++) {
		free(r->metrics[i].name);
		free(r->metrics[i].labels);
		free(r->metrics[i].unit);
	}
	free(r->metrics);
	free(r->labels);
	*r = (struct reading){ 0 };
}

void reading_begin(struct reading *r)
{
	r->number++;
	memcpy(r->last, r->now, sizeof(r->last));
	memcpy(r->had, r->has, sizeof(r->had));
	memset(r->now, 0, sizeof(r->now));
	memset(r->has, 0, sizeof(r->has));
	memset(r->change, 0, sizeof(r->change));
	memset(r->changed, 0, sizeof(r->changed));
	memset(r->spoiled, 0, sizeof(r->spoiled));
	r->labels_n = 0;
	r->errors = 0;
	r->failed = 0;
}

void reading_add(struct reading *r, enum health_column column, uint64_t value, uint64_t scale)
{
	uint64_t sum;

	if (__builtin_mul_overflow(value, scale, &value) ||
	    __builtin_add_overflow(r->now[column], value, &sum) || sum > INT64_MAX) {
		r->errors++;
		r->spoiled[column] = true;
		return;
	}
	r->now[column] = sum;
	r->has[column] = true;
}

/* The change since the reading before, or the gauge. */
static bool column_value(const struct reading *r, size_t i, int64_t *ret)
{
	if (r->spoiled[i])
		return false;
	if (r->changed[i]) {
		*ret = r->change[i];
		return true;
	}
	if (!r->has[i])
		return false;
	if (health_columns[i].kind == HEALTH_GAUGE) {
		*ret = (int64_t)r->now[i];
		return true;
	}
	if (!r->had[i] || r->now[i] < r->last[i])
		return false;
	*ret = (int64_t)(r->now[i] - r->last[i]);
	return true;
}

int reading_end(struct reading *r, struct health *ret)
{
	struct health h = { .read_errors = r->errors };

	for (size_t i = 0; i < HEALTH_MAX; i++) {
		h.present[i] = column_value(r, i, &h.value[i]);
		/* A sum that was too large is no base for the next change. */
		r->has[i] = r->has[i] && !r->spoiled[i];
	}
	if (r->failed)
		return r->failed;
	if (r->labels_n > 0) {
		h.labels = malloc(r->labels_n * sizeof(*h.labels));
		if (!h.labels)
			return -ENOMEM;
		memcpy(h.labels, r->labels, r->labels_n * sizeof(*h.labels));
		h.labels_n = r->labels_n;
	}
	h.metrics = TAKE_PTR(r->metrics);
	h.metrics_n = r->metrics_n;
	r->metrics_n = r->metrics_cap = 0;
	*ret = h;
	return 0;
}

static bool member_is(const struct member *m, const struct span *name)
{
	size_t n = span_size(name);

	return strncmp(m->name, name->p, n) == 0 && m->name[n] == '\0';
}

static struct member *member_find(struct member_set *set, const struct span *name)
{
	for (size_t i = 0; i < set->n; i++) {
		size_t at = set->next + i;

		if (at >= set->n)
			at -= set->n;
		if (member_is(&set->members[at], name)) {
			set->next = at + 1 < set->n ? at + 1 : 0;
			return &set->members[at];
		}
	}
	return NULL;
}

/* Removed ones make room: their names mostly do not come back (veth, cgroups). */
static struct member *member_unused(const struct reading *r, struct member_set *set)
{
	for (size_t i = 0; i < set->n; i++) {
		if (set->members[i].seen + 1 < r->number)
			return &set->members[i];
	}
	return NULL;
}

static struct member *member_new(struct reading *r, struct member_set *set, const struct span *name)
{
	_cleanup_free_ char *copy = strndup(name->p, span_size(name));
	struct member *m = NULL;

	if (!copy || array_reserve(&set->members, &set->cap, set->n + 1) < 0) {
		r->failed = -ENOMEM;
		return NULL;
	}
	if (set->n < SET_MEMBERS_MAX) {
		m = &set->members[set->n++];
	} else {
		m = member_unused(r, set);
		if (!m) {
			r->errors++;
			return NULL;
		}
		free(m->name);
	}
	*m = (struct member){ .name = TAKE_PTR(copy), .shown = true };
	return m;
}

struct member *set_member(struct reading *r, struct member_set *set, const struct span *name,
			  bool *ret_new)
{
	bool new = false;
	struct member *m;

	if (span_size(name) == 0 || span_size(name) >= MEMBER_NAME_MAX ||
	    memchr(name->p, '\0', span_size(name))) {
		r->errors++;
		return NULL;
	}
	m = member_find(set, name);
	if (!m) {
		m = member_new(r, set, name);
		new = true;
	}
	if (!m)
		return NULL;
	if (m->seen == r->number) {
		r->errors++;
		return NULL;
	}
	/* What was away has no reading before this one, and may be another thing under the old
	 * name. */
	new = new || m->seen + 1 != r->number;
	m->had = new ? 0 : m->has;
	m->has = 0;
	m->seen = r->number;
	if (ret_new)
		*ret_new = new;
	return m;
}

/* "cpu=0,cpu.mode=user". Names are the kernel's, or a user's (interfaces, cgroups): kept apart
 * from the syntax. */
static char *make_labels(const struct member_set *set, const struct member *m,
			 const struct series *s)
{
	_cleanup_(buf_release) struct buf text = { 0 }, name = { 0 };

	if (text_append_utf8(&name, m->name, strlen(m->name)) < 0)
		return NULL;
	for (size_t i = 0; i < name.size; i++) {
		if (name.data[i] == ',' || name.data[i] == '=' || name.data[i] < ' ')
			name.data[i] = '_';
	}
	if (buf_printf(&text, "%s=", set->key) < 0 || buf_append(&text, name.data, name.size) < 0)
		return NULL;
	if (s->label[0] && buf_printf(&text, ",%s", s->label) < 0)
		return NULL;
	return buf_str(&text) ? (char *)TAKE_PTR(text.data) : NULL;
}

static uint32_t tell_metric(struct reading *r, const struct member_set *set, const struct member *m,
			    const struct series *s)
{
	_cleanup_free_ char *name = strdup(s->metric);
	_cleanup_free_ char *unit = strdup(s->unit);
	_cleanup_free_ char *labels = make_labels(set, m, s);

	if (!name || !unit || !labels ||
	    array_reserve(&r->metrics, &r->metrics_cap, r->metrics_n + 1) < 0) {
		r->failed = -ENOMEM;
		return 0;
	}
	r->metrics[r->metrics_n++] = (struct health_metric){ .id = ++r->metric_last,
							     .name = TAKE_PTR(name),
							     .labels = TAKE_PTR(labels),
							     .unit = TAKE_PTR(unit),
							     .kind = s->kind };
	return r->metric_last;
}

static void show(struct reading *r, struct member_set *set, struct member *m, size_t series,
		 int64_t value)
{
	/* Of the first reading nobody sees more than what it is the base for. */
	if (value == 0 || !m->shown || r->number == 1)
		return;
	if (m->renewed != r->renewed) {
		memset(m->metric, 0, sizeof(m->metric));
		m->renewed = r->renewed;
	}
	if (!m->metric[series])
		m->metric[series] = tell_metric(r, set, m, &set->series[series]);
	if (!m->metric[series] || array_reserve(&r->labels, &r->labels_cap, r->labels_n + 1) < 0) {
		r->failed = -ENOMEM;
		return;
	}
	r->labels[r->labels_n++] = (struct health_label){ m->metric[series], value };
}

/* A column that is the sum over the members that count for the host. */
static void sum_up(struct reading *r, const struct series *s, const struct member *m, int64_t value)
{
	if (s->column < 0 || !m->counts)
		return;
	if (__builtin_add_overflow(r->change[s->column], value, &r->change[s->column]))
		r->spoiled[s->column] = true;
	r->changed[s->column] = true;
}

void set_value(struct reading *r, struct member_set *set, struct member *m, size_t series,
	       uint64_t value, uint64_t scale)
{
	const struct series *s = &set->series[series];
	uint32_t bit = 1U << series;
	int64_t result;

	if (__builtin_mul_overflow(value, scale, &value) || value > INT64_MAX) {
		r->errors++;
		return;
	}
	if (m->has & bit)
		return; /* told twice: the first counts */
	m->has |= bit;
	if (s->kind == HEALTH_GAUGE) {
		result = (int64_t)value;
	} else if (!(m->had & bit)) {
		m->last[series] = value;
		return;
	} else if (value < m->last[series]) {
		/* Backwards: started anew. The sum over all would be too small. */
		m->last[series] = value;
		if (s->column >= 0 && m->counts)
			r->spoiled[s->column] = true;
		return;
	} else {
		result = (int64_t)(value - m->last[series]);
	}
	m->last[series] = value;
	show(r, set, m, series, result);
	sum_up(r, s, m, result);
}

void set_release(struct member_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		free(set->members[i].name);
	free(set->members);
	set->members = NULL;
	set->n = set->cap = 0;
}
