/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of a test's own, what lies in it, and opening profiles there. */
#ifndef KYMO_TEST_STORE_FOLDER_H
#define KYMO_TEST_STORE_FOLDER_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/hmap.h"
#include "store/store.h"

struct folder {
	char path[64];
	char profile[96]; /* PATH/a.kymo */
};

static inline int folder_setup(void **state)
{
	struct folder *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	strcpy(f->path, "/tmp/kymo-store-XXXXXX");
	if (!mkdtemp(f->path) || chmod(f->path, 0755) < 0)
		return -1;
	snprintf(f->profile, sizeof(f->profile), "%s/a.kymo", f->path);
	*state = f;
	return 0;
}

static inline int folder_teardown(void **state)
{
	struct folder *f = *state;
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", f->path);
	free(f);
	return system(command);
}

/* Names, sizes, owners, times and contents of all that lies there, as one number. */
static inline uint64_t folder_digest(const char *path)
{
	DIR *d = opendir(path);
	uint64_t sum = 0;
	struct dirent *e;

	assert_non_null(d);
	while ((e = readdir(d))) {
		struct buf data = { 0 };
		struct stat st;
		uint64_t h = hash_bytes(e->d_name, strlen(e->d_name), 1);

		if (e->d_name[0] == '.' && (!e->d_name[1] || e->d_name[1] == '.'))
			continue;
		assert_int_equal(fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW), 0);
		h = hash_bytes(&st.st_size, sizeof(st.st_size), h);
		h = hash_bytes(&st.st_uid, sizeof(st.st_uid), h);
		h = hash_bytes(&st.st_mtim, sizeof(st.st_mtim), h);
		if (S_ISREG(st.st_mode) && file_read(dirfd(d), e->d_name, 1 << 30, &data) == 0)
			h = hash_bytes(data.data, data.size, h);
		sum += h;
		buf_release(&data);
	}
	closedir(d);
	return sum;
}

static inline bool folder_has(const struct folder *f, const char *name)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", f->path, name);
	return lstat(path, &st) == 0;
}

/* Runs a shell command in the folder; it must succeed. */
static inline void folder_run(const struct folder *f, const char *command)
{
	char line[512];

	snprintf(line, sizeof(line), "cd '%s' && %s", f->path, command);
	if (system(line) != 0)
		fail_msg("%s", line);
}

static inline struct store *folder_create(const char *path)
{
	char *message = NULL;
	struct store *s = NULL;
	int r = store_create(path, getuid(), getgid(), &s, &message);

	if (r < 0)
		fail_msg("%s", message);
	return s;
}

static inline struct store_reader *folder_open(const char *path)
{
	char *message = NULL;
	struct store_reader *r = NULL;

	if (store_open(path, &r, &message) < 0)
		fail_msg("%s", message);
	return r;
}

#endif
