/* SPDX-License-Identifier: Apache-2.0 */
/* Inside user/worker: one packet out, one packet in, with or without a descriptor. */
#ifndef KYMO_WORKER_CHANNEL_H
#define KYMO_WORKER_CHANNEL_H

#include <stddef.h>

/* fd < 0 = none; it stays the caller's. 0 or -errno; -EPIPE when the other side is gone. Waits while the socket is full. */
int channel_send(int sock, const void *head, size_t head_size, const void *body, size_t body_size,
		 int fd);
/*
 * 0; -EPIPE when the other side is gone, -EMSGSIZE for a packet longer than `max` or with more than was asked
 * for, -errno. With ret_fd NULL the kernel drops what descriptors come; else *ret_fd is -1 or the caller's.
 */
int channel_recv(int sock, void *data, size_t max, size_t *ret_size, int *ret_fd);

#endif
