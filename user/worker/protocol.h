/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside user/worker: what the agent and its two helper processes say to each other, as packets
 * (SOCK_SEQPACKET) on descriptor 3 of the helper. Both sides are one binary, so the layout is
 * the compiler's; both sides check every size, and the agent believes the parser nothing.
 */
#ifndef KYMO_WORKER_PROTOCOL_H
#define KYMO_WORKER_PROTOCOL_H

#include <stdint.h>

#include "elf/inspect.h"
#include "worker/worker.h"

#define WORKER_HELPER_FD     3
#define WORKER_MAGIC	     0x6b776b31U
#define WORKER_PACKET_MAX    (64U << 10)
#define WORKER_PATH_MAX	     4096
#define WORKER_OFFSETS_MAX   1024 /* in one request: longer jobs are several */
#define WORKER_NAME_SIZE_MAX 4096

/* The first packet of a helper: its sandbox stands, or why not. */
struct hello {
	uint32_t magic;
	int32_t error;
};

struct open_request {
	uint32_t magic, sequence;
	uint64_t inode, start, end;
	uint32_t dev, pid;
	uint32_t path_size; /* bytes behind this header, without a NUL */
	uint32_t careful;   /* ask no file system anything that it may leave unanswered */
};

/* What was opened, by fstat: tells whether a file that is known has changed. */
struct file_identity {
	uint64_t dev, inode, size, mtime_ns;
};

/*
 * Two for a request that finds its file: the first, before it is opened, says that it is found. A hang
 * behind it is this file's; one before it may be anybody's whose path was walked.
 */
/* The last one has a descriptor when error is 0. */
struct open_reply {
	uint32_t magic, sequence;
	int32_t error;
	uint32_t last;
	struct file_identity identity;
};

/* With a descriptor; offsets_n uint64_t behind it. */
struct parse_request {
	uint32_t magic, sequence;
	uint32_t kind; /* enum worker_job_kind */
	uint32_t offsets_n;
	struct file_identity identity;
};

/* INSPECT: struct elf_facts behind it. NAME: names_n times struct name_record and its bytes, in one or more packets. UNWIND: so are names_n bytes of a table
 * (unwind/serial.h). */
struct parse_reply {
	uint32_t magic, sequence;
	int32_t error; /* then nothing is behind it */
	uint32_t names_n;
	uint8_t last;	 /* of this request's */
	uint8_t leaving; /* the parser ends now, on purpose: start another */
	uint8_t pad[6];
};

struct name_record {
	uint32_t line;
	uint16_t name_size, file_size; /* bytes behind it: the name, then the source file */
};

#endif
