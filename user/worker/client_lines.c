/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines: the DWARF is in the mapped file, or in one that a debug package put beside it. It is looked for
 * where the process would find it, then on the host, and taken when its build-id (or CRC) is the mapped file's.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "elf/debug_refs.h"
#include "worker/client.h"

#define DEBUG_ROOT "/usr/lib/debug"

struct lines_job {
	struct client *client;
	const struct job *job;
	struct elf_debug_refs refs; /* of the mapped file */
	bool found;
};

/* The parser is believed nothing: texts end, sizes hold, a bool is one. */
static int ask_refs(struct lines_job *l, int fd, struct elf_debug_refs *ret)
{
	_Static_assert(sizeof(*ret) < WORKER_PACKET_MAX / 2, "it fits a packet");
	uint8_t bytes[sizeof(*ret)];
	int r = client_ask(l->client, l->job, PARSE_REFS, fd, bytes, sizeof(bytes));

	if (r < 0)
		return r;
	if (bytes[offsetof(struct elf_debug_refs, has_dwarf)] > 1)
		return -EPIPE;
	memcpy(ret, bytes, sizeof(*ret));
	if (ret->link[DEBUG_LINK_MAX - 1] || ret->alt[DEBUG_ALT_MAX - 1] ||
	    ret->build_id.size > BUILD_ID_MAX || ret->alt_build_id.size > BUILD_ID_MAX ||
	    strchr(ret->link, '/'))
		return -EPIPE;
	return 0;
}

static bool same_id(const struct build_id *a, const struct build_id *b)
{
	return a->size && a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

static int crc_matches(struct lines_job *l, int fd, bool *ret)
{
	uint32_t crc;
	int r = client_ask(l->client, l->job, PARSE_CRC, fd, &crc, sizeof(crc));

	*ret = r == 0 && crc == l->refs.link_crc;
	return r;
}

/* A file that may have the DWARF of `wanted`: attached when it does. Only what broke the parser is an error. */
static int try_file(struct lines_job *l, enum open_what what, const char *path,
		    const struct build_id *wanted, uint32_t kind)
{
	const struct client_path at = { .what = what, .path = path };
	struct file_identity identity;
	struct elf_debug_refs refs;
	_cleanup_close_ int fd = -1;
	bool matches;
	int r = client_open(l->client, l->job, &at, &identity, &fd);

	if (r < 0)
		return r == -ECANCELED ? r : 0;
	r = ask_refs(l, fd, &refs);
	if (r < 0)
		return r == -EPIPE || r == -ETIMEDOUT || r == -ECANCELED ? r : 0;
	matches = same_id(&refs.build_id, wanted);
	if (!matches && !wanted->size && kind == PARSE_ATTACH_DEBUG && refs.has_dwarf)
		r = crc_matches(l, fd, &matches);
	if (r < 0 || !matches || !refs.has_dwarf)
		return r == -EPIPE || r == -ETIMEDOUT || r == -ECANCELED ? r : 0;
	l->found = true;
	/* What is supplementary is named by the file that has the DWARF. */
	if (kind == PARSE_ATTACH_DEBUG) {
		memcpy(l->refs.alt, refs.alt, sizeof(refs.alt));
		l->refs.alt_build_id = refs.alt_build_id;
	}
	return client_attach(l->client, kind, fd);
}

/* In the process's root, then on the host. */
static int try_path(struct lines_job *l, const struct build_id *wanted, uint32_t kind,
		    const char *format, ...) __attribute__((format(printf, 4, 5)));

static int try_path(struct lines_job *l, const struct build_id *wanted, uint32_t kind,
		    const char *format, ...)
{
	char path[WORKER_PATH_MAX];
	va_list ap;
	int n, r = 0;

	va_start(ap, format);
	n = vsnprintf(path, sizeof(path), format, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(path) || l->found)
		return 0;
	if (l->job->file.pid)
		r = try_file(l, OPEN_IN_ROOT, path, wanted, kind);
	return r < 0 || l->found ? r : try_file(l, OPEN_ON_HOST, path, wanted, kind);
}

static int try_build_id(struct lines_job *l, const struct build_id *id, uint32_t kind)
{
	char hex[2 * BUILD_ID_MAX + 1];

	if (id->size < 2)
		return 0;
	for (size_t i = 0; i < id->size; i++)
		snprintf(hex + 2 * i, 3, "%02x", id->bytes[i]);
	return try_path(l, id, kind, DEBUG_ROOT "/.build-id/%.2s/%s.debug", hex, hex + 2);
}

/* Beside the file, in a folder beside it, and in the tree of debug packages. */
static int try_link(struct lines_job *l)
{
	static const char *const formats[] = { "%.*s/%s", "%.*s/.debug/%s", DEBUG_ROOT "%.*s/%s" };
	const char *slash = strrchr(l->job->path, '/');
	int dir = slash ? (int)(slash - l->job->path) : 0, r = 0;

	if (!slash || !l->refs.link[0])
		return 0;
	for (size_t i = 0; i < 3 && r == 0; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		r = try_path(l, &l->refs.build_id, PARSE_ATTACH_DEBUG, formats[i], dir,
			     l->job->path, l->refs.link);
#pragma GCC diagnostic pop
	}
	return r;
}

static int find_debug(struct lines_job *l)
{
	int r;

	if (l->refs.has_dwarf)
		return 0;
	r = try_build_id(l, &l->refs.build_id, PARSE_ATTACH_DEBUG);
	if (r == 0 && !l->found)
		r = try_link(l);
	if (r == 0 && !l->found)
		r = -ENOENT;
	return r;
}

/* Without it names are missing, lines are not. A path that is not absolute is in the debug tree, too. */
static int find_alt(struct lines_job *l)
{
	const struct build_id *id = &l->refs.alt_build_id;
	int r;

	l->found = false;
	if (!id->size)
		return 0;
	r = try_build_id(l, id, PARSE_ATTACH_ALT);
	if (r == 0 && !l->found && l->refs.alt[0] == '/')
		r = try_path(l, id, PARSE_ATTACH_ALT, "%s", l->refs.alt);
	return r;
}

int client_run_lines(struct client *c, const struct job *job, const struct file_identity *identity,
		     int fd, struct reply *reply)
{
	struct lines_job l = { .client = c, .job = job };
	int r = ask_refs(&l, fd, &l.refs);

	if (r == 0)
		r = find_debug(&l);
	if (r == 0)
		r = find_alt(&l);
	return r < 0 ? r : client_parse(c, job, identity, fd, reply);
}
