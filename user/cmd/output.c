/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/output.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "cmd/screen.h"

#define NAMES_TRIED 100

/* A new file beside the one asked for, which it replaces when it is whole. */
struct output {
	FILE *file; /* onto fd */
	int fd;
	int error;	 /* of the first failed write: stdio forgets it */
	char *path;	 /* NULL for what is written directly */
	char *temporary; /* the new file's name; NULL while it has none */
};

static void output_release(struct output *o)
{
	if (o->temporary)
		unlink(o->temporary);
	if (o->file)
		fclose(o->file);
	closep(&o->fd);
	free(o->path);
	free(o->temporary);
}

static ssize_t output_write(void *cookie, const char *data, size_t size)
{
	struct output *o = cookie;

	if (o->error == 0)
		o->error = file_write_all(o->fd, data, size);
	return o->error == 0 ? (ssize_t)size : 0;
}

/* Links too: a file put in the place of /dev/stdout would be there for good. */
static bool is_special(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

/* mkstemp's 0600 is for secrets; an export gets what any new file gets. */
static void set_usual_mode(int fd)
{
	mode_t mask = umask(0);

	umask(mask);
	(void)fchmod(fd, 0666 & ~mask);
}

/* /dev/stdout leads to what may be an ordinary file that others write, too: as it stands, not cut off. */
static bool is_standard_output(const char *path)
{
	struct stat there, out;

	return strcmp(path, "-") == 0 ||
	       (stat(path, &there) == 0 && fstat(STDOUT_FILENO, &out) == 0 &&
		there.st_dev == out.st_dev && there.st_ino == out.st_ino);
}

/*
 * A file without a name in the folder of the one asked for: of one that is killed nothing stays. -errno where the file system has
 * none.
 */
static int open_unnamed(struct output *o, const char *path)
{
	_cleanup_free_ char *folder = strdup(path);
	char *slash = folder ? strrchr(folder, '/') : NULL;
	int fd;

	if (!folder)
		return -ENOMEM;
	/* The way to a name for it. */
	if (access("/proc/self/fd", X_OK) < 0)
		return -errno;
	if (slash)
		slash[slash == folder] = '\0';
	fd = open(slash ? folder : ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
	if (fd < 0)
		return -errno;
	o->path = strdup(path);
	if (!o->path) {
		close(fd);
		return -ENOMEM;
	}
	return fd;
}

/* A link does not replace a file: where there is one, it gets another name for a moment, to be renamed. */
static int give_name(struct output *o)
{
	char file[32];

	snprintf(file, sizeof(file), "/proc/self/fd/%d", o->fd);
	if (linkat(AT_FDCWD, file, AT_FDCWD, o->path, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	for (int i = 0; i < NAMES_TRIED; i++) {
		uint32_t number;

		if (getrandom(&number, sizeof(number), 0) != sizeof(number))
			return -EIO;
		if (asprintf(&o->temporary, "%s.%06" PRIx32, o->path, number & 0xffffff) < 0) {
			o->temporary = NULL;
			return -ENOMEM;
		}
		if (linkat(AT_FDCWD, file, AT_FDCWD, o->temporary, AT_SYMLINK_FOLLOW) == 0)
			return 0;
		free(TAKE_PTR(o->temporary));
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

/* A descriptor of the new file, or -errno. */
static int open_beside(struct output *o, const char *path)
{
	int fd;

	o->path = strdup(path);
	if (!o->path || asprintf(&o->temporary, "%s.XXXXXX", path) < 0) {
		o->temporary = NULL;
		return -ENOMEM;
	}
	fd = mkostemp(o->temporary, O_CLOEXEC);
	if (fd < 0) {
		fd = -errno;
		free(TAKE_PTR(o->temporary));
		return fd;
	}
	set_usual_mode(fd);
	return fd;
}

/* The descriptor to write to, or -errno. */
static int open_output(struct output *o, const char *path, bool by_name)
{
	int fd;

	if (!path || is_standard_output(path))
		fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	else if (is_special(path))
		fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOCTTY);
	else if (by_name || (fd = open_unnamed(o, path)) < 0)
		return open_beside(o, path);
	return fd < 0 ? -errno : fd;
}

static int output_open(struct output *o, const char *path, bool by_name)
{
	static const cookie_io_functions_t functions = { .write = output_write };
	int fd = open_output(o, path, by_name);

	if (fd < 0)
		return fd;
	o->fd = fd;
	o->file = fopencookie(o, "w", functions);
	return o->file ? 0 : -ENOMEM;
}

static int output_finish(struct output *o)
{
	int r = 0;

	if (fflush(o->file) != 0 || ferror(o->file))
		return o->error ? o->error : -EIO;
	if (o->path && !o->temporary)
		r = give_name(o);
	if (r < 0)
		return r;
	if (close(TAKE_FD(o->fd)) < 0) /* some file systems tell here that they are full */
		return -errno;
	if (!o->temporary)
		return 0;
	if (rename(o->temporary, o->path) < 0)
		return -errno;
	free(TAKE_PTR(o->temporary));
	return 0;
}

static int write_stream(struct output *o, const struct exporter *format, struct profile *p,
			const struct query_selection *sel, const struct query_result *result,
			const struct export_options *options)
{
	int r = format->write(o->file, p, sel, result, options);

	return r == 0 ? output_finish(o) : r;
}

/* By its name: only a new file beside the one asked for has one of ours. */
static int write_file(struct output *o, const struct exporter *format, struct profile *p,
		      const struct query_selection *sel, char **ret_message)
{
	int r;

	if (!o->temporary)
		return -ESPIPE;
	r = format->write_file(o->temporary, p, sel, ret_message);
	return r == 0 ? output_finish(o) : r;
}

int output_export(const char *path, const struct exporter *format, struct profile *p,
		  const struct query_selection *sel, const struct query_result *result,
		  const struct export_options *options)
{
	_cleanup_(output_release) struct output out = { .fd = -1 };
	_cleanup_free_ char *message = NULL;
	int r;

	if (path && profile_is_one(path)) {
		log_error("%s: a kymo profile is there: choose another name or remove it", path);
		return -EEXIST;
	}
	/* SQLite makes files of its own beside it. */
	r = output_open(&out, path, format->write_file != NULL);
	if (r == 0)
		r = format->write_file ? write_file(&out, format, p, sel, &message)
				       : write_stream(&out, format, p, sel, result, options);
	if (r == -ESPIPE && format->write_file)
		log_error("%s: format %s needs an ordinary file", path ? path : "standard output",
			  format->name);
	else if (r < 0 && message)
		log_error("%s", message);
	else if (r < 0)
		return output_failed(path, r);
	return r;
}
