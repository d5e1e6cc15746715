/* SPDX-License-Identifier: Apache-2.0 */
#include "store/segments.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "store/create.h"
#include "store/message.h"
#include "store/schema.h"

/* More names than anybody can record: not a list of ours. */
#define SEGMENTS_MAX 1000000

/* d = a digit; the rest stands for itself. */
static const char pattern[] = "ddddddddTdddddd.dddZ.kymo";

static_assert(sizeof(pattern) == SEGMENT_NAME_SIZE, "the pattern is the name's");

void segment_names_release(struct segment_names *names)
{
	free(names->items);
	*names = (struct segment_names){ 0 };
}

bool segment_name_valid(const char *name)
{
	size_t i;

	for (i = 0; pattern[i]; i++)
		if (pattern[i] == 'd' ? name[i] < '0' || name[i] > '9' : name[i] != pattern[i])
			return false;
	return !name[i];
}

static int make_folder(const char *path, uid_t uid, gid_t gid, int *ret_fd)
{
	_cleanup_close_ int fd = -1;

	if (mkdir(path, 0700) < 0)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || (fchown(fd, uid, gid) < 0 && (uid != geteuid() || gid != getegid())))
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int fail_folder(const char *path, int error, char **ret_message)
{
	if (error == -ENOTDIR)
		return message_fail(
			ret_message, error,
			"%s: is there and is no folder; with --rotate -o names a folder", path);
	if (error == -ELOOP)
		return message_fail(ret_message, error,
				    "%s: is a symbolic link; a recording does not follow it", path);
	return message_fail(ret_message, error, "%s: cannot be made or opened as a folder: %s",
			    path, strerror(-error));
}

int segments_folder_open(const char *path, uid_t uid, gid_t gid, int *ret_fd, char **ret_message)
{
	_cleanup_close_ int fd = -1;
	struct stat st;
	int r = make_folder(path, uid, gid, &fd);

	if (r == -EEXIST) {
		r = lstat(path, &st) < 0   ? -errno
		    : S_ISLNK(st.st_mode)  ? -ELOOP
		    : !S_ISDIR(st.st_mode) ? -ENOTDIR
					   : 0;
		if (r == 0)
			fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (r == 0 && fd < 0)
			r = -errno;
	}
	if (r < 0)
		return fail_folder(path, r, ret_message);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		return message_fail(ret_message, -EBUSY, "%s: another kymo is recording into it",
				    path);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

int segments_list(int folder_fd, struct segment_names *ret)
{
	_cleanup_(segment_names_release) struct segment_names names = { 0 };
	_cleanup_(closedirp) DIR *dir = NULL;
	const struct dirent *entry;
	struct stat st;
	int r = file_open_folder(folder_fd, ".", &dir);

	if (r < 0)
		return r;
	while ((entry = readdir(dir))) {
		if (!segment_name_valid(entry->d_name) ||
		    fstatat(folder_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(st.st_mode))
			continue;
		if (names.n == SEGMENTS_MAX)
			return -EFBIG;
		if (array_reserve(&names.items, &names.cap, names.n + 1) < 0)
			return -ENOMEM;
		memcpy(names.items[names.n++], entry->d_name, SEGMENT_NAME_SIZE);
	}
	if (names.n)
		qsort(names.items, names.n, sizeof(*names.items), compare_names);
	*ret = names;
	names = (struct segment_names){ 0 };
	return 0;
}

static int name_of(uint64_t wall_ns, char ret[SEGMENT_NAME_SIZE])
{
	time_t seconds = (time_t)(wall_ns / NS_PER_SEC);
	char date[32];
	struct tm tm;

	if (!gmtime_r(&seconds, &tm) || strftime(date, sizeof(date), "%Y%m%dT%H%M%S", &tm) == 0)
		return -ERANGE;
	if (snprintf(ret, SEGMENT_NAME_SIZE, "%s.%03uZ.kymo", date,
		     (unsigned)(wall_ns % NS_PER_SEC / NS_PER_MSEC)) != SEGMENT_NAME_SIZE - 1)
		return -ERANGE;
	return 0;
}

/* When a segment of that name began. */
static uint64_t wall_of(const char *name)
{
	struct tm tm = { 0 };
	const char *rest = strptime(name, "%Y%m%dT%H%M%S", &tm);
	time_t seconds = rest ? timegm(&tm) : 0;

	if (!rest || *rest != '.' || seconds < 0)
		return 0;
	return (uint64_t)seconds * NS_PER_SEC + strtoull(rest + 1, NULL, 10) * NS_PER_MSEC;
}

int segment_name_next(int folder_fd, uint64_t wall_ns, char ret[SEGMENT_NAME_SIZE])
{
	_cleanup_(segment_names_release) struct segment_names names = { 0 };
	int r = segments_list(folder_fd, &names);

	if (r < 0)
		return r;
	r = name_of(wall_ns, ret);
	if (r < 0 || names.n == 0 || strcmp(ret, names.items[names.n - 1]) > 0)
		return r;
	r = name_of(wall_of(names.items[names.n - 1]) + NS_PER_MSEC, ret);
	/* A name that is of no time at all: nothing can be sorted behind it. */
	return r == 0 && strcmp(ret, names.items[names.n - 1]) <= 0 ? -EEXIST : r;
}

/* A profile of kymo's that nobody records; *ret_recorded: somebody does. */
static bool is_ours(int folder_fd, const char *name, bool *ret_recorded)
{
	_cleanup_close_ int fd =
		openat(folder_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0 || !schema_is_profile(fd))
		return false;
	*ret_recorded = create_is_recording(fd);
	return true;
}

static int remove_segment(int folder_fd, const char *name)
{
	static const char *const beside[] = { "-wal", "-shm", "-journal" };
	char other[SEGMENT_NAME_SIZE + 16];

	/* The file first: a WAL without it is nothing, the file without its WAL would look whole. */
	if (unlinkat(folder_fd, name, 0) < 0 && errno != ENOENT)
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(beside); i++) {
		snprintf(other, sizeof(other), "%s%s", name, beside[i]);
		unlinkat(folder_fd, other, 0);
	}
	return 0;
}

int segments_prune(int folder_fd, size_t keep)
{
	_cleanup_(segment_names_release) struct segment_names names = { 0 };
	int r = segments_list(folder_fd, &names), error = 0;
	size_t kept = 0;

	if (r < 0)
		return r;
	for (size_t i = names.n; i-- > 0;) {
		bool recorded = false;

		if (!is_ours(folder_fd, names.items[i], &recorded))
			continue;
		if (kept < keep || recorded) {
			kept++;
			continue;
		}
		r = remove_segment(folder_fd, names.items[i]);
		if (r < 0 && error == 0)
			error = r;
	}
	return error;
}
