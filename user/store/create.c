/* SPDX-License-Identifier: Apache-2.0 */
#include "store/create.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "store/message.h"
#include "store/schema.h"

/*
 * The byte that a recorder locks: behind the 512 of SQLite (its file format, "the lock-byte page").
 * An open-file lock, which a close of another descriptor of the same file does not drop.
 */
#define RECORDER_LOCK_BYTE (0x40000000 + 1024)

/* The longest of ours must fit: "." and ".ballast" around, ".old-journal" behind the name. */
#define SUFFIX_MAX 16

static struct flock recorder_lock(void)
{
	return (struct flock){
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = RECORDER_LOCK_BYTE, .l_len = 1
	};
}

bool create_is_recording(int fd)
{
	struct flock lock = recorder_lock();

	return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static int lock_recorder(int fd)
{
	struct flock lock = recorder_lock();

	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
}

void create_free_ballast(struct create *c)
{
	if (c->ballast_fd < 0)
		return;
	/* A child between fork and exec may hold it too: closing alone would then free nothing. */
	(void)!ftruncate(c->ballast_fd, 0);
	close(c->ballast_fd);
	c->ballast_fd = -1;
}

void create_release(struct create *c)
{
	create_free_ballast(c);
	closep(&c->fd);
	closep(&c->dir_fd);
	*c = CREATE_NONE;
}

static int open_folder(int folder_fd, const char *path, struct create *c, char **ret_message)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	_cleanup_free_ char *folder = NULL;

	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return message_fail(ret_message, -EISDIR, "%s: not the name of a file", path);
	if (strlen(name) > NAME_MAX - SUFFIX_MAX)
		return message_fail(ret_message, -ENAMETOOLONG, "%s: the name is too long", path);
	strcpy(c->name, name);
	if (folder_fd >= 0) {
		c->dir_fd = fcntl(folder_fd, F_DUPFD_CLOEXEC, 0);
		if (c->dir_fd < 0)
			return message_fail(ret_message, -errno, "%s: %s", path, strerror(errno));
		return 0;
	}
	folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
	if (!folder)
		return message_fail(ret_message, -ENOMEM, "%s: out of memory", path);
	c->dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->dir_fd < 0) {
		int error = -errno;

		return message_fail(ret_message, error, "%s: cannot open its folder: %s", path,
				    strerror(-error));
	}
	return 0;
}

/* NAME, .NAME.new ... : at most NAME_MAX by the check above. */
static const char *beside(const struct create *c, const char *before, const char *after,
			  char out[NAME_MAX + 1])
{
	int n = snprintf(out, NAME_MAX + 1, "%s%s%s", before, c->name, after);

	return n > 0 && n <= NAME_MAX ? out : "";
}

/* May NAME or NAME.old (by the suffix) be moved or replaced? Also when there is none. */
static int check_replaceable(const struct create *c, const char *path, const char *suffix,
			     uid_t uid, char **ret_message)
{
	struct stat file, folder;
	char name[NAME_MAX + 1];

	if (fstatat(c->dir_fd, beside(c, "", suffix, name), &file, AT_SYMLINK_NOFOLLOW) < 0) {
		int error = -errno;

		if (error == -ENOENT)
			return 0;
		return message_fail(ret_message, error, "%s%s: %s", path, suffix, strerror(-error));
	}
	if (S_ISLNK(file.st_mode))
		return message_fail(ret_message, -ELOOP,
				    "%s%s: is a symbolic link; a recording does not follow it",
				    path, suffix);
	if (S_ISDIR(file.st_mode))
		return message_fail(ret_message, -EISDIR, "%s%s: is a directory", path, suffix);
	if (!S_ISREG(file.st_mode))
		return message_fail(ret_message, -EEXIST, "%s%s: is not a regular file", path,
				    suffix);
	if (fstat(c->dir_fd, &folder) < 0)
		return message_fail(ret_message, -errno, "%s: %s", path, strerror(errno));
	/* Root could: but in a shared folder the file of another user is not ours to move. */
	if (file.st_uid != uid && folder.st_mode & S_ISVTX && folder.st_uid != uid)
		return message_fail(ret_message, -EPERM,
				    "%s%s: belongs to another user (in a shared folder); "
				    "choose another name",
				    path, suffix);
	return 0;
}

/* An older profile makes room for a new one; what is anything else somebody may still want. */
static int check_profile(const struct create *c, const char *path, const char *suffix,
			 char **ret_message)
{
	_cleanup_close_ int fd = -1;
	uint8_t bytes[SCHEMA_HEADER_BYTES];
	struct schema_header header = { 0 };
	char name[NAME_MAX + 1];
	struct stat st;
	int r;

	fd = openat(c->dir_fd, beside(c, "", suffix, name),
		    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0) {
		r = -errno;
		return message_fail(ret_message, r, "%s%s: cannot open what is there: %s", path,
				    suffix, strerror(-r));
	}
	if (st.st_size == 0)
		return 0;
	r = file_pread_all(fd, bytes, sizeof(bytes), 0);
	if (r == 0)
		schema_parse_header(bytes, &header);
	if (header.is_sqlite && header.application_id == SCHEMA_APPLICATION_ID)
		return 0;
	return message_fail(ret_message, -EEXIST,
			    "%s%s is not a kymo profile: choose another name or remove it", path,
			    suffix);
}

/* Of NAME and NAME.old. */
static int check_what_is_there(const struct create *c, const char *path, uid_t uid,
			       char **ret_message)
{
	static const char *const suffixes[] = { "", ".old" };
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(suffixes) && r == 0; i++)
		r = check_replaceable(c, path, suffixes[i], uid, ret_message);
	for (size_t i = 0; i < ARRAY_SIZE(suffixes) && r == 0; i++)
		r = check_profile(c, path, suffixes[i], ret_message);
	return r;
}

/* The lock of the recorder that may still write the old file; held until it has been moved. */
static int lock_old(const struct create *c, const char *path, int *ret_fd, char **ret_message)
{
	_cleanup_close_ int fd = -1;
	int r;

	fd = openat(c->dir_fd, c->name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0) {
		int error = -errno;

		if (error == -ENOENT)
			return 0;
		return message_fail(ret_message, error, "%s: cannot open what is there: %s", path,
				    strerror(-error));
	}
	r = lock_recorder(fd);
	if (r == -EBUSY)
		return message_fail(ret_message, r, "%s: another kymo is recording into it", path);
	if (r < 0)
		return message_fail(ret_message, r, "%s: cannot be locked: %s", path, strerror(-r));
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* What a recorder that was killed has left; -EBUSY when that one is alive. */
static int remove_leftover(int dir_fd, const char *name)
{
	_cleanup_close_ int fd = openat(dir_fd, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0 && lock_recorder(fd) == -EBUSY)
		return -EBUSY;
	return unlinkat(dir_fd, name, 0) < 0 ? -errno : 0;
}

static int make_new(struct create *c, const char *temporary)
{
	const int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int r;

	c->fd = openat(c->dir_fd, temporary, flags, 0600);
	if (c->fd < 0 && errno == EEXIST) {
		r = remove_leftover(c->dir_fd, temporary);
		if (r < 0)
			return r;
		c->fd = openat(c->dir_fd, temporary, flags, 0600);
	}
	return c->fd < 0 ? -errno : lock_recorder(c->fd);
}

static int make_ballast(struct create *c)
{
	char name[NAME_MAX + 1];
	int fd;

	beside(c, ".", ".ballast", name);
	unlinkat(c->dir_fd, name, 0);
	fd = openat(c->dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	/* Without a name: whoever kills us, the kernel gives it back. */
	unlinkat(c->dir_fd, name, 0);
	c->ballast_fd = fd;
	if (fallocate(fd, 0, 0, CREATE_BALLAST_BYTES) == 0)
		return 0;
	/* Some file systems cannot reserve; a full disk then may leave a WAL beside the file. */
	if (errno == EOPNOTSUPP || errno == ENOSYS)
		return 0;
	return -errno;
}

static int fill_new(struct create *c, uid_t uid, gid_t gid, const struct buf *image)
{
	if (fchown(c->fd, uid, gid) < 0 && (uid != geteuid() || gid != getegid()))
		return -errno;
	int r = file_write_all(c->fd, image->data, image->size);

	if (r == 0 && fsync(c->fd) < 0)
		r = -errno;
	return r == 0 ? make_ballast(c) : r;
}

static int remove_if_there(int dir_fd, const char *name)
{
	return unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT ? 0 : -errno;
}

static int move_if_there(int dir_fd, const char *from, const char *to)
{
	return renameat(dir_fd, from, dir_fd, to) == 0 || errno == ENOENT ? 0 : -errno;
}

/*
 * NAME -> NAME.old with the journals that belong to it. Those of the older .old go first: SQLite
 * would take them for those of the new one.
 */
static int move_old(const struct create *c)
{
	static const char *const removed[] = { ".old-wal", ".old-journal", ".old-shm", "-shm" };
	static const char *const moved[][2] = { { "", ".old" },
						{ "-wal", ".old-wal" },
						{ "-journal", ".old-journal" } };
	char from[NAME_MAX + 1], to[NAME_MAX + 1];
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(removed) && r == 0; i++)
		r = remove_if_there(c->dir_fd, beside(c, "", removed[i], from));
	for (size_t i = 0; i < ARRAY_SIZE(moved) && r == 0; i++)
		r = move_if_there(c->dir_fd, beside(c, "", moved[i][0], from),
				  beside(c, "", moved[i][1], to));
	return r;
}

/* When a recorder was killed between two moves: a WAL without its file belongs to the .old. */
static int move_stray(const struct create *c)
{
	char wal[NAME_MAX + 1], old_wal[NAME_MAX + 1], name[NAME_MAX + 1];
	int r;

	beside(c, "", "-wal", wal);
	beside(c, "", ".old-wal", old_wal);
	if (faccessat(c->dir_fd, beside(c, "", ".old", name), F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
	    faccessat(c->dir_fd, old_wal, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		r = move_if_there(c->dir_fd, wal, old_wal);
	else
		r = remove_if_there(c->dir_fd, wal);
	if (r == 0)
		r = remove_if_there(c->dir_fd, beside(c, "", "-journal", name));
	if (r == 0)
		r = remove_if_there(c->dir_fd, beside(c, "", "-shm", name));
	return r;
}

/*
 * SQLite opens these when they exist, whoever made them. It gives them to the profile's owner
 * itself, once opened (with fs.protected_regular it could not open them in /tmp after a chown).
 */
static int make_siblings(const struct create *c)
{
	static const char *const suffixes[] = { "-wal", "-shm" };
	char name[NAME_MAX + 1];

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		_cleanup_close_ int fd = openat(c->dir_fd, beside(c, "", suffixes[i], name),
						O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
						0600);

		if (fd < 0)
			return -errno;
	}
	return 0;
}

static int rename_new(const struct create *c, const char *temporary)
{
	if (renameat2(c->dir_fd, temporary, c->dir_fd, c->name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	/* A file system without RENAME_NOREPLACE. */
	if (linkat(c->dir_fd, temporary, c->dir_fd, c->name, 0) < 0)
		return -errno;
	return unlinkat(c->dir_fd, temporary, 0) < 0 ? -errno : 0;
}

static int move_into_place(const struct create *c, const char *temporary)
{
	struct stat ours, placed;
	int r = rename_new(c, temporary);

	if (r < 0)
		return r;
	/* Two that start in the same instant: one of them finds the other's file. */
	if (fstat(c->fd, &ours) < 0 ||
	    fstatat(c->dir_fd, c->name, &placed, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return ours.st_dev == placed.st_dev && ours.st_ino == placed.st_ino ? 0 : -EBUSY;
}

/* old_fd < 0: nothing was there. */
static int replace(const struct create *c, const char *temporary, int old_fd)
{
	int r = old_fd >= 0 ? move_old(c) : move_stray(c);

	if (r == 0)
		r = make_siblings(c);
	return r == 0 ? move_into_place(c, temporary) : r;
}

static int fail_making(const char *path, int error, char **ret_message)
{
	if (error == -ENOSPC || error == -EDQUOT)
		return message_fail(ret_message, error,
				    "%s: the disk is full (a recording needs %u MiB to begin)",
				    path, (CREATE_BALLAST_BYTES >> 20) + 1);
	if (error == -EBUSY || error == -EEXIST)
		return message_fail(ret_message, error, "%s: another kymo is starting there", path);
	return message_fail(ret_message, error, "%s: cannot be created: %s", path,
			    strerror(-error));
}

int create_profile(int folder_fd, const char *path, uid_t uid, gid_t gid, const struct buf *image,
		   struct create *ret, char **ret_message)
{
	_cleanup_(create_release) struct create c = CREATE_NONE;
	_cleanup_close_ int old_fd = -1;
	char temporary[NAME_MAX + 1];
	int r = open_folder(folder_fd, path, &c, ret_message);

	if (r == 0)
		r = check_what_is_there(&c, path, uid, ret_message);
	if (r == 0)
		r = lock_old(&c, path, &old_fd, ret_message);
	if (r < 0)
		return r;
	beside(&c, ".", ".new", temporary);
	r = make_new(&c, temporary);
	if (r == 0)
		r = fill_new(&c, uid, gid, image);
	if (r == 0)
		r = replace(&c, temporary, old_fd);
	if (r < 0) {
		if (c.fd >= 0)
			unlinkat(c.dir_fd, temporary, 0);
		return fail_making(path, r, ret_message);
	}
	*ret = c;
	c = CREATE_NONE;
	return 0;
}

enum create_place create_place(const struct create *c)
{
	struct stat ours, placed;

	if (fstatat(c->dir_fd, c->name, &placed, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? CREATE_GONE : CREATE_TAKEN;
	return fstat(c->fd, &ours) == 0 && ours.st_dev == placed.st_dev &&
			       ours.st_ino == placed.st_ino
		       ? CREATE_IN_PLACE
		       : CREATE_TAKEN;
}
