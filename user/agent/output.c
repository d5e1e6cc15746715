/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/output.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/version.h"
#include "kern/kern.h"
#include "model/sample.h"
#include "store/segments.h"
#include "store/store.h"

struct output {
	const struct agent_options *options;
	int folder_fd; /* -1 = one profile */
	struct store *store;
	char *message;
	uint64_t ended_bytes; /* of those of this recording that have ended */
};

static int set_meta_number(struct store *s, const char *key, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	return store_set_meta(s, key, text);
}

static int describe_selection(const struct agent_options *o, struct buf *out)
{
	int r = 0;

	if (o->cgroup)
		return buf_printf(out, "cgroup %s", o->cgroup);
	if (o->all)
		return buf_append_str(out, "all");
	if (o->command) {
		r = buf_append_str(out, "command");
		for (char *const *arg = o->command; *arg && r == 0; arg++)
			if (!o->no_cmdline || arg == o->command)
				r = buf_printf(out, " %s", *arg);
		return r;
	}
	r = buf_append_str(out, "pids");
	for (size_t i = 0; i < o->pids_n && r == 0; i++)
		r = buf_printf(out, "%c%" PRIu32, i ? ',' : ' ', o->pids[i]);
	return r;
}

/* Which, and what one sample of them stands for; of `io` every sample says so itself. */
static int write_sources(struct store *s, const struct agent_options *o)
{
	struct buf names = { 0 };
	int r = 0;

	for (unsigned source = 1; source < KYMO_SOURCE_MAX && r == 0; source++)
		if (o->sources & 1U << source)
			r = buf_printf(&names, "%s%s", names.size ? "," : "", source_names[source]);
	if (r == 0)
		r = store_set_meta(s, "sources", buf_str(&names));
	buf_release(&names);
	if (r == 0 && o->sources & KERN_SOURCE(KYMO_SOURCE_CPU))
		r = set_meta_number(s, "period_ns.cpu", sample_period_ns(o->hz));
	if (r == 0 && o->sources & KERN_SOURCE(KYMO_SOURCE_FAULT))
		r = set_meta_number(s, "period_faults.fault", KERN_FAULT_PERIOD);
	return r;
}

/* Times of two profiles can be compared where both were made since the host was started. */
static int write_boot(struct store *s)
{
	_cleanup_(buf_release) struct buf id = { 0 };
	const char *text;

	if (file_read(-1, "/proc/sys/kernel/random/boot_id", 128, &id) < 0 ||
	    !(text = buf_str(&id)))
		return 0;
	id.data[strcspn(text, "\n")] = '\0';
	return store_set_meta(s, "boot", text);
}

static int write_meta(struct store *s, const struct agent_options *o)
{
	struct buf selection = { 0 };
	struct utsname host;
	int r;

	if (uname(&host) < 0)
		return -errno;
	r = store_set_meta(s, "kymo.version", KYMO_VERSION);
	if (r == 0)
		r = store_set_meta(s, "host", host.nodename);
	if (r == 0)
		r = store_set_meta(s, "kernel", host.release);
	if (r == 0)
		r = store_set_meta(s, "arch", host.machine);
	if (r == 0)
		r = set_meta_number(s, "cpus", (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
	if (r == 0)
		r = set_meta_number(s, "page_bytes", (uint64_t)sysconf(_SC_PAGESIZE));
	if (r == 0)
		r = set_meta_number(s, "tick_ns", o->tick_ns);
	if (r == 0)
		r = write_sources(s, o);
	if (r == 0)
		r = set_meta_number(s, "start.wall_ns", clock_wall_ns());
	if (r == 0)
		r = set_meta_number(s, "start.mono_ns", clock_mono_ns());
	if (r == 0)
		r = write_boot(s);
	if (r == 0)
		r = describe_selection(o, &selection);
	if (r == 0)
		r = store_set_meta(s, "selection", buf_str(&selection));
	buf_release(&selection);
	return r;
}

static int begin_file(struct output *o, char **ret_message)
{
	const struct agent_options *options = o->options;

	return store_create(options->output, options->uid, options->gid, &o->store, ret_message);
}

static int begin_segment(struct output *o, struct store **ret, char **ret_message)
{
	const struct agent_options *options = o->options;
	_cleanup_free_ char *path = NULL;
	char name[SEGMENT_NAME_SIZE];
	int r = segment_name_next(o->folder_fd, clock_wall_ns(), name);

	if (r < 0 || asprintf(&path, "%s/%s", options->output, name) < 0) {
		path = NULL;
		return r < 0 ? r : -ENOMEM;
	}
	return store_create_at(o->folder_fd, path, options->uid, options->gid, ret, ret_message);
}

static int prune(struct output *o)
{
	return o->options->keep ? segments_prune(o->folder_fd, o->options->keep) : 0;
}

static int begin_folder(struct output *o, char **ret_message)
{
	const struct agent_options *options = o->options;
	int r = segments_folder_open(options->output, options->uid, options->gid, &o->folder_fd,
				     ret_message);

	if (r == 0)
		r = begin_segment(o, &o->store, ret_message);
	if (r == 0)
		r = prune(o);
	return r;
}

int output_open(const struct agent_options *options, struct output **ret, char **ret_message)
{
	struct output *o = calloc(1, sizeof(*o));
	int r;

	*ret_message = NULL;
	if (!o)
		return -ENOMEM;
	o->options = options;
	o->folder_fd = -1;
	r = options->rotate_ns ? begin_folder(o, ret_message) : begin_file(o, ret_message);
	if (r == 0)
		r = write_meta(o->store, options);
	if (r < 0) {
		if (!*ret_message && asprintf(ret_message, "%s: cannot write the profile: %s",
					      options->output, strerror(-r)) < 0)
			*ret_message = NULL;
		output_free(o);
		return r;
	}
	*ret = o;
	return 0;
}

struct store *output_store(struct output *o)
{
	return o->store;
}

static int next(void *data, struct store **ret)
{
	struct output *o = data;
	_cleanup_free_ char *message = NULL;
	struct store *store;
	int r = begin_segment(o, &store, &message);

	if (r == 0) {
		r = write_meta(store, o->options);
		if (r < 0) {
			(void)store_finish(store);
			store_close(store);
		}
	}
	if (r < 0) {
		o->message = TAKE_PTR(message);
		return r;
	}
	*ret = o->store = store;
	return 0;
}

static int end(void *data, struct store *store)
{
	struct output *o = data;
	int r = store_finish(store);

	o->ended_bytes += store_bytes(store);
	store_close(store);
	/* Whole and ended, but a reader holds on to it, or somebody has taken it away: no reason to stop. */
	if (r == -EBUSY || r == -ESTALE)
		r = 0;
	return r == 0 ? prune(o) : r;
}

void output_next(struct output *o, struct writer_output *ret)
{
	*ret = (struct writer_output){ .next = next, .end = end, .data = o };
}

int output_finish(struct output *o)
{
	return store_finish(o->store);
}

uint64_t output_bytes(const struct output *o)
{
	return o->ended_bytes + (o->store ? store_bytes(o->store) : 0);
}

const char *output_message(const struct output *o)
{
	return o->message;
}

void output_free(struct output *o)
{
	if (!o)
		return;
	store_close(o->store);
	closep(&o->folder_fd);
	free(o->message);
	free(o);
}
