/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/channel.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"

union control {
	struct cmsghdr head;
	char bytes[CMSG_SPACE(sizeof(int))];
};

int channel_send(int sock, const void *head, size_t head_size, const void *body, size_t body_size,
		 int fd)
{
	struct iovec parts[2] = { { (void *)head, head_size }, { (void *)body, body_size } };
	struct msghdr m = { .msg_iov = parts, .msg_iovlen = body_size ? 2 : 1 };
	union control control;
	ssize_t n;

	if (fd >= 0) {
		memset(&control, 0, sizeof(control));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
		m.msg_control = &control;
		m.msg_controllen = sizeof(control.bytes);
	}
	do
		n = sendmsg(sock, &m, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	return 0;
}

static int received_fd(struct msghdr *m)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);
	int fd;

	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
	    c->cmsg_len != CMSG_LEN(sizeof(int)))
		return -1;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

int channel_recv(int sock, void *data, size_t max, size_t *ret_size, int *ret_fd)
{
	struct iovec part = { data, max };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1 };
	_cleanup_close_ int fd = -1;
	union control control;
	ssize_t n;

	if (ret_fd) {
		m.msg_control = &control;
		m.msg_controllen = CMSG_LEN(sizeof(int)); /* room for no second one */
	}
	do
		n = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	if (ret_fd)
		fd = received_fd(&m);
	if (n == 0)
		return -EPIPE;
	if (m.msg_flags & (MSG_TRUNC | (ret_fd ? MSG_CTRUNC : 0)))
		return -EMSGSIZE;
	*ret_size = (size_t)n;
	if (ret_fd)
		*ret_fd = TAKE_FD(fd);
	return 0;
}
