/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/cleanup.h"

#define STEP_BYTES 4096

int file_reread(int fd, size_t max_bytes, struct buf *buf)
{
	buf_clear(buf);
	for (;;) {
		ssize_t n;

		/* the room for one byte more than allowed tells "too long" from "just fits" */
		if (buf->size > max_bytes)
			return -EFBIG;
		if (buf_reserve(buf, STEP_BYTES + 1) < 0)
			return -ENOMEM;
		n = pread(fd, buf->data + buf->size, buf->cap - buf->size - 1, (off_t)buf->size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		buf->size += (size_t)n;
	}
	if (buf->size > max_bytes)
		return -EFBIG;
	buf->data[buf->size] = 0;
	return 0;
}

int file_read(int dirfd, const char *path, size_t max_bytes, struct buf *buf)
{
	/* a pipe or a terminal in the file's place must neither hold us up nor become ours */
	_cleanup_close_ int fd = openat(dirfd < 0 ? AT_FDCWD : dirfd, path,
					O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return -errno;
	return file_reread(fd, max_bytes, buf);
}

int file_write_all(int fd, const void *data, size_t size)
{
	const char *p = data;

	while (size > 0) {
		ssize_t n = write(fd, p, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		size -= (size_t)n;
	}
	return 0;
}

int file_pread_all(int fd, void *data, size_t size, off_t offset)
{
	char *p = data;

	while (size > 0) {
		ssize_t n = pread(fd, p, size, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ENODATA;
		p += n;
		size -= (size_t)n;
		offset += n;
	}
	return 0;
}

int file_open_folder(int dirfd, const char *path, DIR **ret)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	*ret = fdopendir(fd);
	if (!*ret) {
		close(fd);
		return -ENOMEM;
	}
	return 0;
}
