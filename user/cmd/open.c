/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/open.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "model/sample.h"

DEFINE_CLEANUP(struct profile *, profile_close);

#define DAY_NS (24 * 3600 * NS_PER_SEC)

enum { KEY_SINCE = 0x100, KEY_UNTIL, KEY_PID, KEY_COMM, KEY_VALUE, KEY_JSON };

/* "cpu, fault, io, ..." */
static const char *value_names(char *out, size_t size)
{
	*out = '\0';
	for (enum value_id id = VALUE_CPU; id < VALUE_MAX; id++) {
		strncat(out, id == VALUE_CPU ? "" : ", ", size - strlen(out) - 1);
		strncat(out, values[id].name, size - strlen(out) - 1);
	}
	return out;
}

static error_t input_parse(int key, char *arg, struct argp_state *state)
{
	struct input_options *o = state->input;
	char names[512];

	switch (key) {
	case KEY_SINCE:
	case KEY_UNTIL:
		if (time_option_parse(arg, key == KEY_SINCE ? &o->since : &o->until) < 0)
			return options_error(state,
					     "--%s takes 10, 10s, 5m, -1m (from the end), 14:30 or "
					     "'2026-01-31 14:30:00', not '%s'",
					     key == KEY_SINCE ? "since" : "until", arg);
		return 0;
	case KEY_PID:
		return options_number(state, "--pid", arg, 1, UINT32_MAX, &o->pid);
	case KEY_COMM:
		o->comm = arg;
		return 0;
	case KEY_VALUE:
		o->value = value_by_name(arg);
		if (!o->value)
			return options_error(state, "--value takes %s, not '%s'",
					     value_names(names, sizeof(names)), arg);
		return 0;
	case ARGP_KEY_ARG:
		if (o->path)
			return options_error(state, "one FILE at a time, not also '%s'", arg);
		o->path = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option selection_options[] = {
	{ "value", KEY_VALUE, "VALUE", 0,
	  "What is charged: cpu (time, the default; without it the first that was recorded), fault "
	  "(memory brought in), io (disk), gc, "
	  "import (time "
	  "that Python collected, imported); or "
	  "what was seen "
	  "at the samples of the clock, which is no cause: seen:rss, seen:cpu, seen:faults, "
	  "seen:read, "
	  "seen:written, seen:switches, ...",
	  9 },
	{ "pid", KEY_PID, "PID", 0, "Only the process PID", 10 },
	{ "comm", KEY_COMM, "NAME", 0, "Only processes of this name", 10 },
	{ "since", KEY_SINCE, "TIME", 0,
	  "Only ticks from TIME on: 10s or 5m from the start, -1m from the end, or 14:30 on the "
	  "clock",
	  11 },
	{ "until", KEY_UNTIL, "TIME", 0, "Only ticks before TIME", 11 },
	{ 0 },
};

/* The same table, entered where the time begins. */
#define WHO_OPTIONS  (selection_options + 1)
#define TIME_OPTIONS (selection_options + 3)
#define NO_OPTIONS   (selection_options + 5)

const struct argp input_argp = { .options = NO_OPTIONS, .parser = input_parse };
const struct argp input_time_argp = { .options = TIME_OPTIONS, .parser = input_parse };
const struct argp input_selection_argp = { .options = WHO_OPTIONS, .parser = input_parse };
const struct argp input_value_argp = { .options = selection_options, .parser = input_parse };

static error_t json_parse(int key, char *arg, struct argp_state *state)
{
	(void)arg;
	if (key != KEY_JSON)
		return ARGP_ERR_UNKNOWN;
	((struct input_options *)state->input)->json = true;
	return 0;
}

static const struct argp_option json_options[] = {
	{ "json", KEY_JSON, NULL, 0, "For programs: one JSON object", 12 },
	{ 0 },
};

const struct argp json_argp = { .options = json_options, .parser = json_parse };

error_t input_parse_command(int key, char *arg, struct argp_state *state)
{
	(void)arg;
	if (key != ARGP_KEY_INIT)
		return ARGP_ERR_UNKNOWN;
	state->child_inputs[0] = state->input;
	state->child_inputs[1] = state->input;
	return 0;
}

/* ---- times ---- */

static int parse_span(const char *text, uint64_t *ret)
{
	static const struct {
		const char *unit;
		double ns;
	} units[] = { { "", 1e9 },   { "s", 1e9 },    { "ms", 1e6 },
		      { "m", 60e9 }, { "min", 60e9 }, { "h", 3600e9 } };
	const char *end = text + strspn(text, "0123456789.");
	double value = strtod(text, NULL);

	if (*text < '0' || *text > '9')
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(end, units[i].unit) == 0 && value * units[i].ns < 1e18) {
			*ret = (uint64_t)(value * units[i].ns);
			return 0;
		}
	return -EINVAL;
}

static bool parse_clock(const char *text, const char *format, struct tm *tm)
{
	const char *end;

	*tm = (struct tm){ .tm_isdst = -1 };
	end = strptime(text, format, tm);
	return end && !*end;
}

int time_option_parse(const char *text, struct time_option *ret)
{
	static const char *const of_day[] = { "%H:%M:%S", "%H:%M" };
	static const char *const dated[] = { "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M",
					     "%Y-%m-%dT%H:%M:%S" };
	struct tm tm;
	uint64_t ns;

	if (parse_span(text + (*text == '-' || *text == '+'), &ns) == 0) {
		*ret = (struct time_option){ *text == '-' ? TIME_FROM_END : TIME_FROM_START, ns };
		return 0;
	}
	for (size_t i = 0; i < sizeof(of_day) / sizeof(of_day[0]); i++)
		if (parse_clock(text, of_day[i], &tm)) {
			ns = (uint64_t)(tm.tm_hour * 3600 + tm.tm_min * 60 + tm.tm_sec) *
			     NS_PER_SEC;
			*ret = (struct time_option){ TIME_OF_DAY, ns };
			return 0;
		}
	for (size_t i = 0; i < sizeof(dated) / sizeof(dated[0]); i++)
		if (parse_clock(text, dated[i], &tm) && mktime(&tm) > 0) {
			*ret = (struct time_option){ TIME_WALL,
						     (uint64_t)mktime(&tm) * NS_PER_SEC };
			return 0;
		}
	return -EINVAL;
}

/* The first such time of day that is not before the day on which the recording began... */
static uint64_t wall_of_day(uint64_t of_day_ns, uint64_t start_ns, uint64_t end_ns)
{
	time_t start = (time_t)(start_ns / NS_PER_SEC);
	uint64_t wall_ns;
	struct tm tm;

	if (!localtime_r(&start, &tm))
		return start_ns;
	tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	tm.tm_isdst = -1;
	wall_ns = (uint64_t)mktime(&tm) * NS_PER_SEC + of_day_ns;
	/* ... and the next day's, where that one lies in the recording. */
	if (wall_ns < start_ns && wall_ns + DAY_NS < end_ns)
		wall_ns += DAY_NS;
	return wall_ns;
}

static uint64_t resolve_time(const struct time_option *t, const struct profile *p)
{
	uint64_t length = profile_duration_ns(p), start = profile_start_wall_ns(p), wall = t->ns;

	switch (t->form) {
	case TIME_FROM_START:
		return t->ns;
	case TIME_FROM_END:
		return t->ns < length ? length - t->ns : 0;
	case TIME_OF_DAY:
		wall = wall_of_day(t->ns, start, start + length);
		break;
	default:
		break;
	}
	return wall > start ? wall - start : 0;
}

/* ---- profiles ---- */

static void tell_notes(const struct profile *p)
{
	size_t n;
	const char *const *notes = profile_notes(p, &n);

	for (size_t i = 0; i < n; i++)
		log_warning("%s", notes[i]);
}

int input_open(const struct input_options *o, struct profile **ret)
{
	_cleanup_free_ char *message = NULL;
	const char *path = o->path ? o->path : DEFAULT_PROFILE;
	int r = profile_open(path, ret, &message);

	if (r == 0) {
		tell_notes(*ret);
		return 0;
	}
	if (r == -ENOENT && !o->path)
		log_error("no " DEFAULT_PROFILE
			  " in this folder: name a profile, or make one with 'kymo record'");
	else
		log_error("%s", message ? message : strerror(-r));
	return r;
}

/* Recordings before there were others have cpu samples alone. */
bool input_has_source(const struct profile *p, enum kymo_source source)
{
	const char *name = source_names[source], *list = profile_meta(p, "sources");

	for (list = list ? list : "cpu"; *list; list += strspn(list, ",")) {
		size_t size = strcspn(list, ",");

		if (size == strlen(name) && strncmp(list, name, size) == 0)
			return true;
		list += size;
	}
	return false;
}

/* cpu, or where that was not recorded the first source that was. */
static enum value_id default_value(const struct profile *p)
{
	if (input_has_source(p, KYMO_SOURCE_CPU))
		return VALUE_NONE;
	for (enum kymo_source source = 1; source < KYMO_SOURCE_MAX; source++)
		if (input_has_source(p, source))
			return value_of_source(source);
	return VALUE_NONE;
}

int input_select(const struct input_options *o, const struct profile *p,
		 struct query_selection *ret)
{
	struct query_selection s = { .value = o->value, .pid = (uint32_t)o->pid, .comm = o->comm };

	if (!s.value)
		s.value = default_value(p);
	if (o->since.form)
		s.since_ns = resolve_time(&o->since, p);
	if (o->until.form) {
		s.until_ns = resolve_time(&o->until, p);
		if (s.until_ns <= s.since_ns) {
			log_error("nothing lies between --since and --until: the recording lasts "
				  "%.1f s",
				  (double)profile_duration_ns(p) / 1e9);
			return -EINVAL;
		}
	}
	*ret = s;
	return 0;
}

int input_begin(const struct argp *argp, const char *name, int argc, char **argv,
		struct input_options *o, struct profile **ret,
		struct query_selection *ret_selection)
{
	_cleanup_(profile_closep) struct profile *p = NULL;
	int r = options_parse(argp, 0, name, argc, argv, o);

	if (r == 0)
		r = input_open(o, &p);
	if (r == 0 && ret_selection)
		r = input_select(o, p, ret_selection);
	if (r == 0)
		*ret = TAKE_PTR(p);
	return r;
}

/* Nothing to show, and it is not that nothing ran. */
static int check_result(const struct profile *p, const struct query_selection *s,
			const struct query_result *r)
{
	size_t ticks;

	profile_ticks(p, &ticks);
	if (r->damaged_ticks && !r->sampled_ticks) {
		log_error("%s: damaged: none of its samples can be read (%u ticks)",
			  profile_path(p), r->damaged_ticks);
		return -EBADMSG;
	}
	if (r->total.count == 0 && (s->pid || s->comm) && !input_has_source(p, r->source)) {
		log_error("%s: source %s was not recorded", profile_path(p),
			  source_names[r->source]);
		return -ENODATA;
	}
	if ((ticks && r->ticks_n == 0) || (r->total.count == 0 && (s->pid || s->comm))) {
		log_error("%s: no %s in this selection", profile_path(p),
			  r->ticks_n ? "samples" : "tick");
		return -ENODATA;
	}
	return 0;
}

int input_check_events(const struct profile *p, const struct query_selection *s,
		       enum kymo_source source, bool any)
{
	if (any)
		return 0;
	if (!input_has_source(p, source)) {
		log_error("%s: source %s was not recorded: record it with --sources cpu,%s",
			  profile_path(p), source_names[source], source_names[source]);
		return -ENODATA;
	}
	if (s->pid || s->comm || s->since_ns || s->until_ns) {
		log_error("%s: none in this selection", profile_path(p));
		return -ENODATA;
	}
	return 0;
}

int input_query(struct profile *p, const struct query_selection *s, struct query_result **ret)
{
	int r = query_run(p, s, ret);

	if (r < 0) {
		log_error("%s", profile_message(p));
		return r;
	}
	r = check_result(p, s, *ret);
	if (r < 0) {
		query_free(*ret);
		*ret = NULL;
		return r;
	}
	if (!input_has_source(p, (*ret)->source))
		log_warning("%s: source %s was not recorded", profile_path(p),
			    source_names[(*ret)->source]);
	if ((*ret)->damaged_ticks) {
		log_warning("%s: the samples of %u ticks are damaged and left out", profile_path(p),
			    (*ret)->damaged_ticks);
	}
	return r;
}
