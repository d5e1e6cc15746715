/* SPDX-License-Identifier: Apache-2.0 */
/* Reaching a profile that anybody may have made, of which nothing may be changed. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "store/create.h"
#include "store/message.h"
#include "store/reader.h"

/* All that SQLite may hold in this process at a time. */
#define HEAP_BYTES_MAX (256LL << 20)
#define SUFFIX_MAX     8

static int open_regular(int dir_fd, const char *name, struct stat *ret_stat)
{
	/* NONBLOCK: the name may have become a FIFO since it was looked at. */
	_cleanup_close_ int fd =
		openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (fstat(fd, ret_stat) < 0)
		return -errno;
	if (!S_ISREG(ret_stat->st_mode))
		return S_ISDIR(ret_stat->st_mode) ? -EISDIR : -ENOTSUP;
	return TAKE_FD(fd);
}

static int fail_opening(const struct store_reader *r, int error, char **ret_message)
{
	if (error == -ENOENT)
		return message_fail(ret_message, error, "%s: no such file", r->path);
	if (error == -EISDIR)
		return message_fail(ret_message, error, "%s: is a directory, not a profile",
				    r->path);
	if (error == -ENOTSUP || error == -ENXIO || error == -ELOOP)
		return message_fail(ret_message, error, "%s: not a regular file", r->path);
	return message_fail(ret_message, error, "%s: %s", r->path, strerror(-error));
}

/* The file's own folder, behind links: its WAL lies there. */
static int open_file(struct store_reader *r, char **ret_message)
{
	_cleanup_free_ char *real = realpath(r->path, NULL);
	struct stat st;
	char *slash;

	if (!real)
		return fail_opening(r, -errno, ret_message);
	slash = strrchr(real, '/');
	if (!slash[1] || strlen(slash + 1) > NAME_MAX - SUFFIX_MAX)
		return fail_opening(r, slash[1] ? -ENAMETOOLONG : -EISDIR, ret_message);
	strcpy(r->name, slash + 1);
	slash[slash == real] = '\0';
	r->dir_fd = open(real, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (r->dir_fd < 0)
		return fail_opening(r, -errno, ret_message);
	r->fd = open_regular(r->dir_fd, r->name, &st);
	return r->fd < 0 ? fail_opening(r, r->fd, ret_message) : 0;
}

static int check_header(const struct store_reader *r, const struct stat *st,
			struct schema_header *h, char **ret_message)
{
	uint8_t bytes[SCHEMA_HEADER_BYTES];
	int e = file_pread_all(r->fd, bytes, sizeof(bytes), 0);

	if (e == -ENODATA)
		return message_fail(ret_message, -EBADMSG,
				    "%s: not a kymo profile (%" PRId64 " bytes are too few)",
				    r->path, (int64_t)st->st_size);
	if (e < 0)
		return fail_opening(r, e, ret_message);
	schema_parse_header(bytes, h);
	if (!h->is_sqlite)
		return message_fail(ret_message, -EBADMSG, "%s: not a kymo profile", r->path);
	if (h->application_id != SCHEMA_APPLICATION_ID)
		return message_fail(ret_message, -EBADMSG,
				    "%s: an SQLite database, but not a kymo profile", r->path);
	if (h->user_version > STORE_FORMAT_VERSION)
		return message_fail(ret_message, -EPROTONOSUPPORT,
				    "%s: written by a newer kymo (format %" PRIu32
				    ", this one reads %d)",
				    r->path, h->user_version, STORE_FORMAT_VERSION);
	if (h->user_version > 0 && h->user_version < STORE_FORMAT_OLDEST)
		return message_fail(ret_message, -EPROTONOSUPPORT,
				    "%s: written by an older kymo (format %" PRIu32
				    ", this one reads %d)",
				    r->path, h->user_version, STORE_FORMAT_VERSION);
	if (h->user_version == 0 || h->page_bytes != SCHEMA_PAGE_BYTES)
		return message_fail(ret_message, -EBADMSG,
				    "%s: damaged: its header is not a profile's", r->path);
	/* With a WAL the end may still lie in it; SQLite then sees what is missing. */
	if (!h->is_wal && (uint64_t)h->pages * h->page_bytes > (uint64_t)st->st_size)
		return message_fail(ret_message, -EBADMSG,
				    "%s: truncated: %" PRId64 " of %" PRIu64 " bytes are there",
				    r->path, (int64_t)st->st_size,
				    (uint64_t)h->pages * h->page_bytes);
	return 0;
}

/*
 * What lies beside the file changes what is read of it. In a shared folder anybody may have laid
 * it there: only the file's owner's, or root's, is taken.
 */
static int open_wal(struct store_reader *r, const struct stat *file, const struct schema_header *h,
		    char **ret_message)
{
	char name[NAME_MAX + 1 + SUFFIX_MAX];
	struct stat st;

	snprintf(name, sizeof(name), "%s-journal", r->name);
	if (fstatat(r->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    (!S_ISREG(st.st_mode) || st.st_size > 0))
		return message_fail(
			ret_message, -EBUSY,
			"%s: %s lies beside it, which kymo does not write: another program "
			"has changed the profile and was interrupted",
			r->path, name);
	snprintf(name, sizeof(name), "%s-wal", r->name);
	closep(&r->wal_fd);
	r->wal_fd = open_regular(r->dir_fd, name, &st);
	if (r->wal_fd == -ENOENT) {
		r->wal_fd = -1;
		return 0;
	}
	if (r->wal_fd < 0) {
		int error = r->wal_fd;

		r->wal_fd = -1;
		return message_fail(ret_message, error, "%s: %s beside it cannot be read: %s",
				    r->path, name,
				    error == -ENOTSUP ? "not a regular file" : strerror(-error));
	}
	if (st.st_size > 0 && !h->is_wal)
		return message_fail(
			ret_message, -EBADMSG,
			"%s: %s beside it does not belong to it: the recording had ended", r->path,
			name);
	if (st.st_size > 0 && st.st_uid != file->st_uid && st.st_uid != 0)
		return message_fail(ret_message, -EPERM, "%s: %s beside it belongs to another user",
				    r->path, name);
	return 0;
}

static int open_database(struct store_reader *r)
{
	int e = vfs_new_snapshot(r->fd, r->wal_fd, r->hold.wal_bytes, &r->vfs), rc;

	if (e < 0)
		return e;
	rc = sqlite3_open_v2(r->name, &r->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX,
			     vfs_name(r->vfs));
	return r->db ? sql_error(r->db, rc) : -ENOMEM;
}

/* Before the first statement: already the schema is read from a file that may be hostile. */
static int harden(sqlite3 *db)
{
	static const int options[][2] = { { SQLITE_DBCONFIG_DEFENSIVE, 1 },
					  { SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0 },
					  { SQLITE_DBCONFIG_ENABLE_VIEW, 0 },
					  { SQLITE_DBCONFIG_ENABLE_TRIGGER, 0 },
					  { SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0 },
					  { SQLITE_DBCONFIG_DQS_DML, 0 },
					  { SQLITE_DBCONFIG_DQS_DDL, 0 } };
	static const int limits[][2] = { { SQLITE_LIMIT_LENGTH, BLOCK_SIZE_MAX + 4096 },
					 { SQLITE_LIMIT_SQL_LENGTH, SCHEMA_TEXT_MAX },
					 { SQLITE_LIMIT_COLUMN, 1000 },
					 { SQLITE_LIMIT_EXPR_DEPTH, 100 },
					 { SQLITE_LIMIT_COMPOUND_SELECT, 2 },
					 { SQLITE_LIMIT_ATTACHED, 0 },
					 { SQLITE_LIMIT_TRIGGER_DEPTH, 1 } };

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		sqlite3_db_config(db, options[i][0], options[i][1], NULL);
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		sqlite3_limit(db, limits[i][0], limits[i][1]);
	if (sqlite3_hard_heap_limit64(-1) == 0)
		sqlite3_hard_heap_limit64(HEAP_BYTES_MAX);
	sqlite3_extended_result_codes(db, 1);
	return sql_exec(db, "PRAGMA cell_size_check=ON; PRAGMA query_only=ON; PRAGMA mmap_size=0;"
			    "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-4096");
}

/* One transaction for all that is read: the tables and blocks of one instant. */
static int begin(sqlite3 *db)
{
	int e = sql_exec(db, "BEGIN");

	return e == 0 ? sql_exec(db, "SELECT 1 FROM sqlite_schema LIMIT 1") : e;
}

/* Renamed or replaced between the opening of the file and of its WAL: the two may not be a pair. */
static bool still_there(const struct store_reader *r, const struct stat *opened)
{
	struct stat now;

	return fstatat(r->dir_fd, r->name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
	       now.st_dev == opened->st_dev && now.st_ino == opened->st_ino;
}

static int connect_database(struct store_reader *r, char **ret_message)
{
	int e = open_database(r);

	if (e == 0)
		e = harden(r->db);
	if (e == 0)
		e = begin(r->db);
	if (e < 0)
		return message_fail(ret_message, e, "%s: damaged: %s", r->path,
				    r->db ? sqlite3_errmsg(r->db) : strerror(-e));
	return 0;
}

/* The file and its WAL as of one instant, which then stays. -EAGAIN: not at this instant. */
static int hold_still(struct store_reader *r, char **ret_message)
{
	struct schema_header header;
	struct stat st;
	int e = hold_file(r->fd);

	if (e < 0)
		return message_fail(ret_message, e, "%s: another program is writing it", r->path);
	if (fstat(r->fd, &st) < 0)
		return fail_opening(r, -errno, ret_message);
	e = check_header(r, &st, &header, ret_message);
	if (e == 0)
		r->format = header.user_version;
	if (e == 0 && header.is_wal) {
		e = hold_wal(r->dir_fd, r->name, &r->hold);
		/* A recorder without shared memory is just beginning. */
		if (e == 0 && r->hold.shm_fd < 0 && create_is_recording(r->fd))
			e = -EAGAIN;
	}
	if (e == 0)
		e = open_wal(r, &st, &header, ret_message);
	if (e == 0)
		e = hold_check_wal(&r->hold, r->wal_fd);
	if (e == -EAGAIN)
		message_fail(ret_message, e, "%s: is being written too busily; try again", r->path);
	if (e == 0 && !still_there(r, &st))
		e = message_fail(ret_message, -ESTALE,
				 "%s: was replaced while it was being opened; try again", r->path);
	return e;
}

#define HOLD_TRIES   100
#define HOLD_WAIT_MS 20

static void let_go(struct store_reader *r)
{
	hold_release(&r->hold);
	closep(&r->wal_fd);
	closep(&r->fd);
	closep(&r->dir_fd);
	r->dir_fd = r->fd = r->wal_fd = -1;
}

int reader_connect(struct store_reader *r, char **ret_message)
{
	const struct timespec wait = { .tv_nsec = HOLD_WAIT_MS * (long)NS_PER_MSEC };
	int e = 0;

	for (int i = 0; i < HOLD_TRIES; i++) {
		e = open_file(r, ret_message);
		if (e == 0)
			e = hold_still(r, ret_message);
		if (e != -EAGAIN && e != -ESTALE)
			break;
		let_go(r);
		nanosleep(&wait, NULL);
	}
	if (e < 0)
		return e;
	/* What an earlier try had to say is over. */
	free(*ret_message);
	*ret_message = NULL;
	return connect_database(r, ret_message);
}

bool store_is_profile(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	return fd >= 0 && schema_is_profile(fd);
}
