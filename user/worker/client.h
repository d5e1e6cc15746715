/* SPDX-License-Identifier: Apache-2.0 */
/* Inside user/worker: one job after the other, by way of the two helpers. Used by one thread. */
#ifndef KYMO_WORKER_CLIENT_H
#define KYMO_WORKER_CLIENT_H

#include "worker/helper.h"
#include "worker/options.h"
#include "worker/reply.h"
#include "worker/suspects.h"

struct job {
	struct job *next;
	enum worker_job_kind kind;
	struct worker_file file;
	char *path;
	uint64_t cookie;
	uint64_t *offsets;
	size_t offsets_n;
};

struct client {
	struct helper opener, parser;
	struct suspects suspects;
	uint64_t timeouts, deaths;
	uint8_t packet[WORKER_PACKET_MAX];
};

void client_init(struct client *c, const struct worker_options *o, int stop_fd);
void client_release(struct client *c);
int client_start(struct client *c); /* both helpers; 0 or -errno */
/* The answer's error: 0, those of struct worker_reply, or -ECANCELED when stop_fd became readable. */
int client_run(struct client *c, const struct job *job, struct reply *reply);

#endif
