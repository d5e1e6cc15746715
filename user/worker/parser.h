/* SPDX-License-Identifier: Apache-2.0 */
/* Inside user/worker: what the parts of the parser process share. */
#ifndef KYMO_WORKER_PARSER_H
#define KYMO_WORKER_PARSER_H

#include "worker/cache.h"
#include "worker/protocol.h"

enum attached { ATTACHED_DEBUG, ATTACHED_ALT, ATTACHED_MAX };

struct parser {
	struct cache cache;
	bool leaving;
	uint64_t begun_cpu_ns;	    /* of the request at hand */
	int attached[ATTACHED_MAX]; /* for the next LINES; -1 = none */
	uint8_t packet[sizeof(struct parse_request) + WORKER_OFFSETS_MAX * sizeof(uint64_t)];
	uint8_t body[WORKER_PACKET_MAX - sizeof(struct parse_reply)];
};

int parser_send(struct parser *p, struct parse_reply *reply, const void *body, size_t size);
int parser_send_error(struct parser *p, const struct parse_request *q, int error);

/* Answers about the offsets behind the request, in p->packet. 0 or the channel's error. */
int parser_serve_names(struct parser *p, const struct parse_request *q, int fd);
int parser_serve_lines(struct parser *p, const struct parse_request *q, int fd);
int parser_serve_map(struct parser *p, const struct parse_request *q, int fd);

#endif
