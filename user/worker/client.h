/* SPDX-License-Identifier: Apache-2.0 */
/* Inside user/worker: one job after the other, by way of the two helpers. Used by one thread. */
#ifndef KYMO_WORKER_CLIENT_H
#define KYMO_WORKER_CLIENT_H

#include "worker/disk_cache.h"
#include "worker/held.h"
#include "worker/helper.h"
#include "worker/options.h"
#include "worker/protocol.h"
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

#define CLIENT_MAPS_MAX 64

/* An open perf map: it can be read to its end when the process is gone. */
struct client_map {
	uint64_t start_ns; /* 0 = none */
	uint32_t pid;
	int fd;
	struct file_identity identity;
	uint64_t used; /* the clock when it was read last */
};

struct client {
	struct helper opener, parser;
	struct suspects suspects;
	uint64_t timeouts, deaths;
	bool all_hurried;
	struct held held;
	struct client_map maps[CLIENT_MAPS_MAX];
	uint64_t maps_clock;
	struct disk_cache disk;
	struct buf kept; /* what was read from it, or is to be written (to_keep) */
	bool to_keep;
	enum worker_job_kind to_keep_kind;
	struct file_identity to_keep_file;
	uint64_t kept_used;
	uint8_t packet[WORKER_PACKET_MAX];
};

void client_init(struct client *c, const struct worker_options *o, int stop_fd);
void client_release(struct client *c);
int client_start(struct client *c); /* both helpers; 0 or -errno */
/* The answer's error: 0, those of struct worker_reply, or -ECANCELED when stop_fd became readable. */
int client_run(struct client *c, const struct job *job, struct reply *reply);
/* Writes the last answer to the disk, if it is one that is kept: when those who wait for it have it. */
void client_keep(struct client *c);

/* ---- what the kinds of jobs are made of ---- */

struct client_path {
	enum open_what what;
	const char *path;
	uint32_t uid; /* OPEN_PERF_MAP */
};

/* What goes wrong in these is put down to the job's file. */
int client_open(struct client *c, const struct job *job, const struct client_path *path,
		struct file_identity *ret_identity, int *ret_fd);
/* The job's own question, about all its offsets. */
int client_parse(struct client *c, const struct job *job, const struct file_identity *identity,
		 int fd, struct reply *reply);
/* enum parse_kind: one that has an answer of that size, or none. */
int client_ask(struct client *c, const struct job *job, uint32_t kind, int fd, void *ret,
	       size_t size);
int client_attach(struct client *c, uint32_t kind, int fd);

int client_run_lines(struct client *c, const struct job *job, const struct file_identity *identity,
		     int fd, struct reply *reply);
int client_run_map(struct client *c, const struct job *job, struct reply *reply);
void client_close_maps(struct client *c);

#endif
